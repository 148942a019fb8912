//! `portmap`.

use std::net::UdpSocket;
use std::time::Duration;

use corten_cni_types::{Protocol, RuntimeArgs};
use corten_sys_netlink::route::Links;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};

use serde_json::json;

use crate::lab::{Host, ROOT, ask_tcp, ask_udp, bridge, ip, mapping};

#[test]
fn ports_of_the_host_lead_to_the_container() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let (mut one, two) = (host.container("one"), host.container("two"));
        let mappings = [mapping(8080, Protocol::Tcp), mapping(8080, Protocol::Udp)];
        one.args = one.args.clone().with_port_mappings(&mappings);
        host.add(&one);
        host.add(&two);
        host.invoker.check(&host.network, &one.args).unwrap();
        let server = one.serve(80);
        let gateway = ip("10.42.0.1");
        for address in ["10.42.0.1:8080", "127.0.0.1:8080"] {
            assert_eq!(ask_tcp(address).unwrap(), gateway);
            assert_eq!(ask_udp(address).unwrap(), gateway);
        }
        // From its neighbour, and from itself: both come back by the host.
        for container in [&one, &two] {
            assert_eq!(container.run(|| ask_tcp("10.42.0.1:8080")).unwrap(), gateway);
            assert_eq!(container.run(|| ask_udp("10.42.0.1:8080")).unwrap(), gateway);
        }

        let mut three = host.container("three");
        three.args = three.args.clone().with_port_mappings(&mappings);
        let error = host.invoker.add(&host.network, &three.args).unwrap_err();
        assert_eq!(error.cni_code(), Some(11));
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.contains("host port 8080/tcp is taken by container corten one eth0"),
            "{cause}"
        );
        host.invoker.del(&host.network, &three.args).unwrap();

        // The runtime has forgotten the mappings.
        let bare = RuntimeArgs { capability_args: Default::default(), ..one.args.clone() };
        one.stop(80, server);
        host.invoker.del(&host.network, &bare).unwrap();
        ask_tcp("10.42.0.1:8080").unwrap_err();
        host.add(&three);
    });
}

#[test]
fn what_listens_on_loopback_is_not_reached_from_containers() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let mut one = host.container("one");
        one.args = one.args.clone().with_port_mappings(&[mapping(8080, Protocol::Tcp)]);
        host.add(&one);
        let secret = UdpSocket::bind("127.0.0.1:7777").unwrap();
        secret.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        one.run(|| {
            // Root in the container sends loopback packets out of its link.
            std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
            let mut links = Links::open().unwrap();
            let eth0 = links.link("eth0").unwrap().unwrap().index;
            let lo = links.link("lo").unwrap().unwrap().index;
            let loopback = corten_sys_netlink::route::Address {
                link: lo,
                address: ip("127.0.0.1"),
                prefix: 8,
            };
            links.delete_address(loopback).unwrap();
            let route = corten_sys_netlink::route::Route::new(
                ip("127.0.0.1"),
                32,
                Some(ip("10.42.0.1")),
                eth0,
            );
            links.add_route(&route).unwrap();
            let socket = UdpSocket::bind("10.42.0.2:0").unwrap();
            socket.send_to(b"hello", "127.0.0.1:7777").unwrap();
        });
        let mut buffer = [0; 8];
        assert!(secret.recv_from(&mut buffer).is_err(), "the packet came through");
    });
}

#[test]
fn a_mapping_may_hold_for_some_packets_only() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let conditional = |dialect: serde_json::Value| {
            Host::chain("1.1.0", |networks| {
                let ports = json!({"type": "portmap", "conditionsV4": dialect,
                    "capabilities": {"portMappings": true}});
                vec![bridge(&json!({}), "10.42.0.0/24", networks), ports]
            })
        };
        let host = conditional(json!(["ip saddr 10.42.0.0/24", "iifname", "cni0"]));
        let (one, two) = (host.ported("one"), host.container("two"));
        host.add(&one);
        host.add(&two);
        host.invoker.check(&host.network, &one.args).unwrap();
        let server = one.serve(80);
        let gateway = ip("10.42.0.1");
        assert_eq!(two.run(|| ask_tcp("10.42.0.1:8080")).unwrap(), gateway);
        // From the host itself, which is no such packet.
        ask_tcp("10.42.0.1:8080").unwrap_err();
        one.stop(80, server);
        host.invoker.del(&host.network, &one.args).unwrap();
        let error = two.run(|| ask_tcp("10.42.0.1:8080")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

        let wrong = conditional(json!(["-m", "mark"]));
        let cause = Host::cause(wrong.invoker.status(&wrong.network));
        assert!(cause.contains("conditionsV4: \"-m\" is not supported"), "{cause}");
    });
}
