//! Plugins that come after the one that makes the interface.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use corten_cni_types::{Attachment, NetworkConfList};
use corten_sys_netlink::route::{LinkChange, Links};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use serde_json::{Value, json};

use crate::lab::{Container, Host, ROOT, ask_tcp, ask_udp, bridge, ip};

/// A bridge and then `plugin`.
fn after_a_bridge(plugin: Value) -> Host {
    Host::chain("1.1.0", |networks| vec![bridge(&json!({}), "10.42.0.0/24", networks), plugin])
}

#[test]
fn settings_of_an_interface_are_put_back() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let scratch = tempfile::tempdir().unwrap();
        let tuning = json!({
            "type": "tuning", "dataDir": scratch.path(), "mtu": 1300, "promisc": true,
            "txQLen": 77, "allmulti": true, "mac": "02:00:00:00:00:09",
            "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.IFNAME.arp_filter": "1"},
        });
        let host = after_a_bridge(tuning.clone());
        let one = host.container("one");
        let result = host.add(&one);
        assert_eq!(
            (result.interfaces[2].mac.as_str(), result.interfaces[2].mtu),
            ("02:00:00:00:00:09", 1300)
        );
        let eth0 = || one.run(|| Links::open().unwrap().link("eth0").unwrap().unwrap());
        let changed = eth0();
        assert_eq!((changed.mtu, changed.tx_queue_length), (1300, 77));
        assert!(changed.promiscuous && changed.all_multicast);
        let sysctl = |key: &str| {
            one.run(|| {
                std::fs::read_to_string(format!("/proc/sys/net/{key}")).unwrap().trim().to_owned()
            })
        };
        assert_eq!(
            (sysctl("core/somaxconn"), sysctl("ipv4/conf/eth0/arp_filter")),
            ("500".into(), "1".into())
        );
        host.invoker.check(&host.network, &one.args).unwrap();
        one.run(|| {
            let back = LinkChange { mtu: Some(1400), ..LinkChange::default() };
            Links::open().unwrap().set_link(changed.index, &back).unwrap();
        });
        let cause = Host::cause(host.invoker.check(&host.network, &one.args));
        assert!(cause.contains("mtu is 1400, not 1300"), "{cause}");

        // DEL of this plugin alone.
        let alone = json!({"cniVersion": "1.1.0", "name": "corten", "plugins": [tuning]});
        let alone = NetworkConfList::parse(alone.to_string().as_bytes()).unwrap();
        host.invoker.del(&alone, &one.args).unwrap();
        let back = eth0();
        assert_eq!(back.mtu, 1500);
        assert!(!back.promiscuous && !back.all_multicast);
        assert_ne!(back.mac, changed.mac);
        host.invoker.del(&host.network, &one.args).unwrap();

        // A container that went without DEL leaves a file.
        let two = host.container("two");
        host.add(&two);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
        std::fs::remove_dir_all(host.dir.path().join("results")).unwrap();
        host.invoker.gc(&host.network, &[]).unwrap();
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);

        let outside = after_a_bridge(json!({"type": "tuning", "sysctl": {"kernel.pid_max": "9"}}));
        let cause = Host::cause(outside.invoker.add(&outside.network, &one.args));
        assert!(cause.contains("\"kernel.pid_max\" is not one of the network's"), "{cause}");
    });
}

#[test]
fn what_a_container_sends_and_receives_goes_through_buckets() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let mut host = after_a_bridge(json!({"type": "bandwidth",
            "capabilities": {"bandwidth": true}}));
        let limits = json!({"ingressRate": 8_000_000, "ingressBurst": 800_000,
            "egressRate": 16_000_000, "egressBurst": 800_000});
        let mut one = host.container("one");
        one.args.capability_args.insert("bandwidth".into(), limits);
        let two = host.container("two");
        let result = host.add(&one);
        assert_eq!(host.add(&two).interfaces.len(), 3, "no limits, no ifb");
        let ifb = &result.interfaces[3].name;
        assert!(ifb.starts_with("bwp") && ifb.len() == 15, "{ifb}");
        let mut links = Links::open().unwrap();
        let mut rate = |name: &str| {
            let index = links.link(name).unwrap().unwrap().index;
            let qdiscs = links.qdiscs(index).unwrap();
            qdiscs.iter().find_map(|it| it.token_bucket).unwrap().rate
        };
        assert_eq!((rate(&result.interfaces[1].name), rate(ifb)), (1_000_000, 2_000_000));
        host.invoker.check(&host.network, &one.args).unwrap();
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        one.stop(80, server);

        // It went without DEL, and nobody but the link itself knows whose it is.
        std::fs::remove_dir_all(host.dir.path().join("results")).unwrap();
        let valid = |id: &str| [Attachment { container_id: id.into(), ifname: "eth0".into() }];
        host.invoker.gc(&host.network, &valid("one")).unwrap();
        assert!(links.link(ifb).unwrap().is_some());
        host.invoker.gc(&host.network, &valid("two")).unwrap();
        assert_eq!(links.link(ifb).unwrap(), None);

        host.network.plugins[1].raw.insert("egressRate".into(), json!(8));
        let cause = Host::cause(host.invoker.add(&host.network, &host.container("three").args));
        assert!(cause.contains("egressRate and egressBurst come together"), "{cause}");
    });
}

/// Whether a datagram comes through, without long waiting for one that does not.
fn is_blocked(from: &Container, address: &str) -> bool {
    from.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket.send_to(b"who", address).unwrap();
        socket.recv_from(&mut [0; 64]).is_err()
    })
}

#[test]
fn bridges_are_kept_apart() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let network = |name: &str, subnet: &str, policy: &str| {
            let options = json!({"bridge": name});
            let mut host = Host::chain("1.1.0", |networks| {
                vec![
                    bridge(&options, subnet, networks),
                    json!({"type": "firewall", "ingressPolicy": policy}),
                ]
            });
            host.network.name = name.to_owned();
            host
        };
        let first = network("br1", "10.42.1.0/24", "same-bridge");
        let second = network("br2", "10.42.2.0/24", "same-bridge");
        let open = network("br3", "10.42.3.0/24", "open");
        let (one, two) = (first.container("one"), first.container("two"));
        let (three, four) = (second.container("three"), open.container("four"));
        for (host, container) in [(&first, &one), (&first, &two), (&second, &three), (&open, &four)]
        {
            host.add(container);
            host.invoker.check(&host.network, &container.args).unwrap();
        }
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_udp("10.42.1.2:80")).unwrap(), ip("10.42.1.3"));
        // Masqueraded, as it comes from another network.
        assert_eq!(four.run(|| ask_udp("10.42.1.2:80")).unwrap(), ip("10.42.1.1"));
        assert!(is_blocked(&three, "10.42.1.2:80"));
        one.stop(80, server);

        // The last container of a bridge goes; its separation is collected.
        first.invoker.del(&first.network, &one.args).unwrap();
        first.invoker.del(&first.network, &two.args).unwrap();
        first.invoker.gc(&first.network, &[]).unwrap();
        let rules = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        let rules = String::from_utf8(rules.stdout).unwrap();
        assert!(!rules.contains("br1\"") && rules.contains("br2\""), "{rules}");
        second.invoker.check(&second.network, &three.args).unwrap();
    });
}

#[test]
fn containers_of_a_bridge_are_isolated() {
    skip_unless!(is_root(), ROOT);
    skip_unless!(
        std::path::Path::new("/proc/sys/net/bridge").exists(),
        "br_netfilter is not loaded"
    );
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = after_a_bridge(json!({"type": "firewall", "ingressPolicy": "isolated"}));
        let (one, two) = (host.container("one"), host.container("two"));
        host.add(&one);
        host.add(&two);
        host.invoker.check(&host.network, &one.args).unwrap();
        let server = one.serve(80);
        assert!(is_blocked(&two, "10.42.0.2:80"));
        assert_eq!(ask_udp("10.42.0.2:80").unwrap(), ip("10.42.0.1"));
        one.stop(80, server);
    });
}

#[test]
fn a_chain_that_discards_by_policy_is_named() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let chain = "add table ip filter; add chain ip filter FORWARD \
                     { type filter hook forward priority 0; policy drop; }";
        assert!(Command::new("nft").arg(chain).status().unwrap().success());
        let host = after_a_bridge(json!({"type": "firewall"}));
        let one = host.container("one");
        let cause = Host::cause(host.invoker.add(&host.network, &one.args));
        assert!(cause.contains("chain ip filter FORWARD discards by its policy"), "{cause}");
        host.invoker.del(&host.network, &one.args).unwrap();
        let error = host.invoker.status(&host.network).unwrap_err();
        assert_eq!(error.cni_code(), Some(50));
        let iptables = after_a_bridge(json!({"type": "firewall", "backend": "iptables"}));
        let cause = Host::cause(iptables.invoker.add(&iptables.network, &one.args));
        assert!(cause.contains("option backend \"iptables\" is not supported"), "{cause}");
    });
}

#[test]
fn only_a_containers_own_hardware_address_passes() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::with(&json!({"macspoofchk": true}), "10.42.0.0/24");
        let (one, two) = (host.container("one"), host.container("two"));
        host.add(&one);
        host.add(&two);
        host.invoker.check(&host.network, &two.args).unwrap();
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_udp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        two.run(|| {
            let mut links = Links::open().unwrap();
            let index = links.link("eth0").unwrap().unwrap().index;
            let mac = Some("02:00:00:00:00:66".parse().unwrap());
            links.set_link(index, &LinkChange { mac, ..LinkChange::default() }).unwrap();
        });
        assert!(is_blocked(&two, "10.42.0.2:80"));
        one.stop(80, server);
        host.invoker.del(&host.network, &one.args).unwrap();
        std::fs::remove_dir_all(host.dir.path().join("results")).unwrap();
        host.invoker.gc(&host.network, &[]).unwrap();
        let rules = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        assert!(!String::from_utf8(rules.stdout).unwrap().contains("veth"));
    });
}

#[test]
fn packets_leave_by_the_interface_of_their_source() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let first = Host::new();
        let second = Host::chain("1.1.0", |networks| {
            let options = json!({"bridge": "br2", "isDefaultGateway": false, "isGateway": true});
            vec![bridge(&options, "10.43.0.0/24", networks), json!({"type": "sbr"})]
        });
        let mut one = first.container("one");
        first.add(&one);
        one.args.ifname = "net1".to_owned();
        second.add(&one);
        second.invoker.check(&second.network, &one.args).unwrap();
        let way = |arguments: &str| {
            one.run(|| {
                let words = arguments.split(' ');
                let output = Command::new("ip").args(["route", "get"]).args(words).output();
                String::from_utf8(output.unwrap().stdout).unwrap()
            })
        };
        assert!(way("192.0.2.1 from 10.43.0.2").contains("via 10.43.0.1 dev net1"));
        assert!(way("192.0.2.1 from 10.42.0.2").contains("via 10.42.0.1 dev eth0"));
        // Taken out of the main table.
        let to_neighbour = way("10.43.0.9");
        assert!(to_neighbour.contains("dev eth0"), "{to_neighbour}");
        second.invoker.del(&second.network, &one.args).unwrap();
        let rules = one.run(|| Links::open().unwrap().rules().unwrap());
        assert!(rules.iter().all(|rule| rule.source.is_none()), "{rules:?}");

        let hints = Host::chain("1.1.0", |networks| {
            let options = json!({"bridge": "br2", "isDefaultGateway": false, "isGateway": true});
            vec![
                bridge(&options, "10.43.0.0/24", networks),
                json!({"type": "sbr", "addSourceHints": true, "gateways": ["10.43.0.77"]}),
            ]
        });
        hints.add(&one);
        assert!(way("192.0.2.1 from 10.43.0.2").contains("via 10.43.0.77 dev net1"));
        assert!(way("10.43.0.9").contains("dev net1 src 10.43.0.2"));
    });
}

#[test]
fn addresses_that_are_written_down() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::chain("1.0.0", |_networks| {
            let ipam = json!({"type": "static", "addresses": [{"address": "10.42.0.9/24"}],
                "routes": [{"dst": "0.0.0.0/0"}], "dns": {"nameservers": ["10.42.0.1"]}});
            vec![json!({"type": "bridge", "isGateway": true, "ipam": ipam})]
        });
        let mut one = host.container("one");
        one.args.args = vec![
            ("IP".into(), "10.42.0.8/24".into()),
            ("GATEWAY".into(), "10.42.0.254".into()),
            ("IgnoreUnknown".into(), "1".into()),
        ];
        let result = host.add(&one);
        let ips: Vec<_> = result.ips.iter().map(|it| it.address.to_string()).collect();
        assert_eq!(ips, ["10.42.0.9/24", "10.42.0.8/24"]);
        assert!(result.ips.iter().all(|it| it.gateway == Some(ip("10.42.0.254"))));
        assert_eq!(result.dns.nameservers, ["10.42.0.1"]);
        host.invoker.check(&host.network, &one.args).unwrap();
        host.invoker.del(&host.network, &one.args).unwrap();
    });
}
