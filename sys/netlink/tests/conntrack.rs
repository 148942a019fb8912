//! Tracked connections, in a namespace of their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::UdpSocket;

use corten_sys_netlink::conntrack::Conntrack;
use corten_sys_netlink::tables::{
    BaseChain, Batch, ChainType, CtKey, Expression, Family, Hook, Register, Table, Tables,
};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};

#[test]
fn a_flow_is_found_and_forgotten() {
    skip_unless!(is_root(), "network namespaces need root");
    in_new_namespaces(NamespaceOptions::default(), || {
        // Connections are tracked only where a rule looks at them.
        let table = Table::new(Family::Inet, "corten-test");
        let mut batch = Batch::new();
        batch.add_table(&table);
        let base = BaseChain { kind: ChainType::Filter, hook: Hook::Output, priority: 0 };
        batch.add_chain(&table, "output", Some(base));
        let look = Expression::Ct { key: CtKey::State, direction: None, to: Register(0) };
        batch.add_rule(&table, "output", &[look], None);
        Tables::open().unwrap().commit(&batch).unwrap();

        for address in ["127.0.0.1:0", "[::1]:0"] {
            let receiver = UdpSocket::bind(address).unwrap();
            let sender = UdpSocket::bind(address).unwrap();
            sender.send_to(b"x", receiver.local_addr().unwrap()).unwrap();
            let ipv6 = address.starts_with('[');
            let port = receiver.local_addr().unwrap().port();
            let mut conntrack = Conntrack::open().unwrap();
            let flows =
                conntrack.list(ipv6, |flow| flow.original.destination_port == port).unwrap();
            assert_eq!(flows.len(), 1, "{flows:?}");
            assert_eq!(flows[0].original.protocol, 17);
            assert_eq!(flows[0].reply.source_port, port);
            assert_eq!(flows[0].original.source, sender.local_addr().unwrap().ip());
            let matching =
                |flow: &corten_sys_netlink::conntrack::Flow| flow.original.destination_port == port;
            assert_eq!(conntrack.delete(ipv6, matching).unwrap(), 1);
            assert!(!conntrack.delete_flow(&flows[0]).unwrap());
            assert_eq!(conntrack.list(ipv6, matching).unwrap(), []);
        }
    });
}
