//! nf_tables, with `nft` as the oracle of what the kernel has understood.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use corten_sys_netlink::tables::{
    AddressType, Base, BaseChain, Batch, ChainType, CtDirection, CtKey, DynsetOperation, Element,
    Expression, Family, FibSource, FieldType, Hook, MetaKey, NatType, Operator, Register,
    Rejection, Set, SetData, Table, Tables, Verdict,
};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip, skip_unless};
use expect_test::expect;
use rustix::io::Errno;

const ROOT: &str = "network namespaces need root";

fn nft(arguments: &[&str]) -> Option<String> {
    match Command::new("nft").args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "nft: {output:?}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(_not_installed) => {
            skip("the oracle `nft` (Debian package nftables) is not installed");
            None
        }
    }
}

fn service_key() -> [Expression; 3] {
    [
        Expression::Payload { base: Base::Network, offset: 16, length: 4, to: Register(1) },
        Expression::Meta { key: MetaKey::TransportProtocol, to: Register(2) },
        Expression::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(3) },
    ]
}

fn everything(table: &Table) -> Batch {
    let (address, protocol, port) = (FieldType::Ipv4Address, FieldType::Protocol, FieldType::Port);
    let mut batch = Batch::new();
    batch.add_table(table);
    batch.add_set(table, &Set::new("services", &[address, protocol, port], SetData::Verdict));
    let endpoint = SetData::Value(vec![address, port]);
    let key = [address, protocol, port, FieldType::Mark];
    batch.add_set(table, &Set::new("endpoints", &key, endpoint));
    let affinity = Set {
        dynamic_size: Some(65535),
        ..Set::new(
            "affinity",
            &[address, address, protocol, port],
            SetData::Value(vec![FieldType::Mark]),
        )
    };
    batch.add_set(table, &affinity);
    batch.add_set(table, &Set::new("hairpin", &[address, address], SetData::None));
    for (chain, kind, hook, priority) in [
        ("prerouting", ChainType::Nat, Hook::Prerouting, -100),
        ("postrouting", ChainType::Nat, Hook::Postrouting, 100),
        ("forward", ChainType::Filter, Hook::Forward, 0),
    ] {
        batch.add_chain(table, chain, Some(BaseChain { kind, hook, priority }));
    }
    batch.add_chain(table, "two", None);
    add_prerouting(&mut batch, table);
    add_others(&mut batch, table);
    batch.add_elements(
        table,
        "services",
        &[Element::verdict(
            vec![10, 43, 0, 1, 6, 0, 0, 0, 1, 187, 0, 0],
            Verdict::Goto("two".into()),
        )
        .with_comment("default/kubernetes")],
    );
    let endpoints: Vec<_> = (0..2_u8)
        .map(|index| {
            let mut key = vec![10, 43, 0, 1, 6, 0, 0, 0, 1, 187, 0, 0];
            key.extend(u32::from(index).to_ne_bytes());
            Element::value(key, vec![10, 42, 0, index, 25, 43, 0, 0])
        })
        .collect();
    batch.add_elements(table, "endpoints", &endpoints);
    batch
}

fn add_prerouting(batch: &mut Batch, table: &Table) {
    let mut rule = service_key().to_vec();
    rule.push(Expression::VerdictMap { map: "services".into(), key: Register(1) });
    batch.add_rule(table, "prerouting", &rule, Some("by address"));
    let local = AddressType::Local.number().to_ne_bytes().to_vec();
    batch.add_rule(
        table,
        "prerouting",
        &[
            Expression::Fib { source: FibSource::Destination, to: Register(0) },
            Expression::Compare { from: Register(0), operator: Operator::Equal, value: local },
            Expression::Meta { key: MetaKey::Mark, to: Register(0) },
            Expression::Bitwise {
                from: Register(0),
                to: Register(0),
                mask: (!0x4000_u32).to_ne_bytes().to_vec(),
                xor: 0x4000_u32.to_ne_bytes().to_vec(),
            },
            Expression::SetMeta { key: MetaKey::Mark, from: Register(0) },
            Expression::Verdict(Verdict::Return),
        ],
        None,
    );
    let mut rule = service_key().to_vec();
    rule.insert(
        0,
        Expression::Payload { base: Base::Network, offset: 12, length: 4, to: Register(0) },
    );
    rule.extend([
        Expression::Random { modulus: 2, to: Register(4) },
        Expression::Dynset {
            set: "affinity".into(),
            operation: DynsetOperation::Update,
            key: Register(0),
            value: Some(Register(4)),
            timeout_ms: Some(10_800_000),
        },
        Expression::MapLookup { map: "endpoints".into(), key: Register(1), to: Register(8) },
        Expression::Nat {
            kind: NatType::Destination,
            ipv6: false,
            address: Register(8),
            port: Some(Register(9)),
        },
    ]);
    batch.add_rule(table, "two", &rule, None);
}

fn add_others(batch: &mut Batch, table: &Table) {
    batch.add_rule(
        table,
        "postrouting",
        &[
            Expression::Payload { base: Base::Network, offset: 12, length: 8, to: Register(0) },
            Expression::Lookup { set: "hairpin".into(), key: Register(0), inverted: false },
            Expression::Masquerade,
        ],
        None,
    );
    let status = CtKey::STATUS_DESTINATION_TRANSLATED.to_ne_bytes().to_vec();
    batch.add_rule(
        table,
        "forward",
        &[
            Expression::Ct { key: CtKey::Status, direction: None, to: Register(0) },
            Expression::Bitwise {
                from: Register(0),
                to: Register(0),
                mask: status,
                xor: vec![0; 4],
            },
            Expression::Compare {
                from: Register(0),
                operator: Operator::NotEqual,
                value: vec![0; 4],
            },
            Expression::Ct {
                key: CtKey::DestinationPort,
                direction: Some(CtDirection::Original),
                to: Register(0),
            },
            Expression::Compare {
                from: Register(0),
                operator: Operator::Equal,
                value: vec![0, 80],
            },
            Expression::Reject(Rejection::Ipv4PortUnreachable),
        ],
        None,
    );
}

#[test]
fn the_kernel_understands_every_expression() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let table = Table::new(Family::Ipv4, "corten-test");
        let mut tables = Tables::open().unwrap();
        tables.commit(&everything(&table)).unwrap();
        let Some(listing) = nft(&["-nn", "list", "table", "ip", "corten-test"]) else { return };
        expect![[r#"
            table ip corten-test {
            	map services {
            		type ipv4_addr . inet_proto . inet_service : verdict
            		elements = { 10.43.0.1 . 6 . 443 comment "default/kubernetes" : goto two }
            	}

            	map endpoints {
            		type ipv4_addr . inet_proto . inet_service . mark : ipv4_addr . inet_service
            		elements = { 10.43.0.1 . 6 . 443 . 0x00000000 : 10.42.0.0 . 6443,
            			     10.43.0.1 . 6 . 443 . 0x00000001 : 10.42.0.1 . 6443 }
            	}

            	map affinity {
            		type ipv4_addr . ipv4_addr . inet_proto . inet_service : mark
            		size 65535
            		flags dynamic,timeout
            	}

            	set hairpin {
            		type ipv4_addr . ipv4_addr
            	}

            	chain prerouting {
            		type nat hook prerouting priority -100; policy accept;
            		ip daddr . meta l4proto . th dport vmap @services comment "by address"
            		fib daddr type 2 meta mark set meta mark | 0x00004000 return
            	}

            	chain postrouting {
            		type nat hook postrouting priority 100; policy accept;
            		@nh,96,64 @hairpin masquerade fully-random
            	}

            	chain forward {
            		type filter hook forward priority 0; policy accept;
            		ct status 0x20 ct original proto-dst 0x50 [invalid type] reject
            	}

            	chain two {
            		update @affinity { ip saddr . ip daddr . meta l4proto . th dport timeout 10800s : numgen random mod 2 } dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 2 map @endpoints
            	}
            }
        "#]].assert_eq(&listing);
    });
}

#[test]
fn what_was_written_can_be_read_and_deleted() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let table = Table::new(Family::Ipv4, "corten-test");
        let mut tables = Tables::open().unwrap();
        assert_eq!(tables.tables().unwrap(), []);
        assert_eq!(tables.elements(&table, "services").unwrap(), []);
        tables.commit(&everything(&table)).unwrap();
        assert_eq!(tables.tables().unwrap(), std::slice::from_ref(&table));
        let chains = tables.chains(&table).unwrap();
        let two = chains.iter().find(|chain| chain.name == "two").unwrap();
        assert_eq!((chains.len(), two.uses), (4, 2));
        assert_eq!(tables.sets(&table).unwrap().len(), 4);
        let services = tables.elements(&table, "services").unwrap();
        assert_eq!(services[0].comment.as_deref(), Some("default/kubernetes"));
        let rules = tables.rules(&table, "prerouting").unwrap();
        assert_eq!((rules.len(), rules[0].comment.as_deref()), (2, Some("by address")));

        let mut batch = Batch::new();
        batch.delete_rule(&table, "prerouting", rules[0].handle);
        batch.delete_elements(&table, "services", &[Element::key(services[0].key.clone())]);
        batch.flush_set(&table, "endpoints");
        tables.commit(&batch).unwrap();
        assert_eq!(tables.rules(&table, "prerouting").unwrap().len(), 1);
        assert_eq!(tables.elements(&table, "services").unwrap(), []);
        assert_eq!(tables.elements(&table, "endpoints").unwrap(), []);
        tables.delete_table(&table).unwrap();
        tables.delete_table(&table).unwrap();
        assert_eq!(tables.tables().unwrap(), []);
    });
}

#[test]
fn a_refused_request_is_named_and_nothing_is_done() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let table = Table::new(Family::Ipv4, "corten-test");
        let mut tables = Tables::open().unwrap();
        let mut batch = everything(&table);
        batch.delete_elements(&table, "hairpin", &[Element::key(vec![1; 8])]);
        batch.add_rule(&table, "nowhere", &[], None);
        batch.add_chain(&table, "last", None);
        let error = tables.commit(&batch).unwrap_err();
        let requests: Vec<_> =
            error.refusals().iter().map(|refusal| refusal.request.as_str()).collect();
        assert_eq!(
            requests,
            ["delete elements of ip corten-test hairpin", "add rule ip corten-test nowhere"]
        );
        assert!(error.is(Errno::NOENT));
        assert_eq!(tables.tables().unwrap(), []);
        // The same socket goes on to work.
        tables.commit(&everything(&table)).unwrap();
    });
}

#[test]
fn a_change_in_between_is_noticed() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let table = Table::new(Family::Inet, "corten-test");
        let mut tables = Tables::open().unwrap();
        let mut batch = Batch::new();
        batch.add_table(&table);
        batch.expect_generation(tables.generation().unwrap());
        tables.commit(&batch).unwrap();
        let mut second = Batch::new();
        second.add_chain(&table, "one", None);
        second.expect_generation(tables.generation().unwrap() - 1);
        // ERESTART, which is not in everybody's list of error numbers.
        let restart = Errno::from_raw_os_error(85);
        assert!(tables.commit(&second).unwrap_err().is(restart));
        assert_eq!(tables.chains(&table).unwrap(), []);
    });
}

#[test]
fn twenty_thousand_elements_in_one_batch() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let table = Table::new(Family::Ipv4, "corten-test");
        let mut tables = Tables::open().unwrap();
        let mut batch = Batch::new();
        batch.add_table(&table);
        let address = [FieldType::Ipv4Address];
        let data = SetData::Value(address.to_vec());
        batch.add_set(&table, &Set::new("many", &address, data));
        let elements: Vec<_> = (0..20_000_u32)
            .map(|number| Element::value(number.to_be_bytes().to_vec(), vec![10, 0, 0, 1]))
            .collect();
        batch.add_elements(&table, "many", &elements);
        tables.commit(&batch).unwrap();
        assert_eq!(tables.elements(&table, "many").unwrap().len(), 20_000);
        let mut batch = Batch::new();
        batch.create_elements(&table, "many", &elements);
        let error = tables.commit(&batch).unwrap_err();
        assert!(error.is(Errno::EXIST), "{error}");
        let mut batch = Batch::new();
        batch.delete_elements(&table, "many", &elements);
        tables.commit(&batch).unwrap();
        assert_eq!(tables.elements(&table, "many").unwrap(), []);
    });
}
