//! Real packets through the rules, in network namespaces.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::UdpSocket;

use corten_proxy_model::{Model, Protocol, TrafficPolicy};
use corten_proxy_nftables::Proxy;
use corten_sys_netlink::tables::{Batch, Element, Family, Table, Tables};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use lab::{LIMIT, Node, Talk, datagram, ip, name, service, tcp, udp};

const ROOT: &str = "network namespaces need root";

/// `br_netfilter`: without it the answer of a neighbour on the bridge does not come by the rules.
fn can_filter_bridges() -> bool {
    std::path::Path::new("/proc/sys/net/bridge").exists()
}

fn with_node(pods: u8, test: impl FnOnce(&mut Node) + Send) {
    skip_unless!(is_root(), ROOT);
    skip_unless!(can_filter_bridges(), "the kernel has no br_netfilter");
    in_new_namespaces(NamespaceOptions::default(), || {
        let mut node = Node::new(pods);
        node.pods.iter().for_each(lab::Machine::answer);
        test(&mut node);
    });
}

#[test]
fn the_nodes_processes_and_pods_reach_a_service() {
    with_node(3, |node| {
        node.serve(Protocol::Tcp, &[0, 1]);
        node.serve(Protocol::Udp, &[0, 1]);
        let endpoints: BTreeSet<_> = [ip("10.42.0.2"), ip("10.42.0.3")].into();
        for address in ["10.43.0.9:80", "[fd43::9]:80"] {
            let ask = |ask: fn(&str) -> std::io::Result<_>| {
                (0..40).map(|_| ask(address).unwrap()).collect::<Vec<(_, _)>>()
            };
            for answers in [ask(tcp), ask(udp)] {
                let servers: BTreeSet<_> = answers.iter().map(|answer| answer.0).collect();
                assert_eq!(servers, endpoints);
            }
            // The third pod is seen as itself.
            let pod = &node.pods[2];
            let me = if address.starts_with('[') { pod.address6 } else { pod.address };
            for answers in [pod.run(|| ask(tcp)), pod.run(|| ask(udp))] {
                let servers: BTreeSet<_> = answers.iter().map(|answer| answer.0).collect();
                assert_eq!(servers, endpoints);
                assert!(answers.iter().all(|answer| answer.1 == me), "{answers:?}");
            }
            // The first pod may be led to itself.
            let servers: BTreeSet<_> =
                node.pods[0].run(|| ask(tcp)).into_iter().map(|answer| answer.0).collect();
            assert_eq!(servers, endpoints);
            let servers: BTreeSet<_> =
                node.pods[0].run(|| ask(udp)).into_iter().map(|answer| answer.0).collect();
            assert_eq!(servers, endpoints);
        }
    });
}

#[test]
fn node_ports_from_everywhere() {
    with_node(2, |node| {
        node.serve(Protocol::Tcp, &[0]);
        node.serve(Protocol::Udp, &[0]);
        for (address, gateway) in [("192.168.9.1", "10.42.0.1"), ("[fd99::1]", "fd42::1")] {
            let address = format!("{address}:30080");
            let expected = (ip("10.42.0.2"), ip(gateway));
            // From outside, from the node itself, from a pod, from the endpoint.
            for ask in [tcp, udp] {
                assert_eq!(node.outside.run(|| ask(&address)).unwrap(), expected);
                assert_eq!(ask(&address).unwrap(), expected);
                assert_eq!(node.pods[1].run(|| ask(&address)).unwrap(), expected);
                assert_eq!(node.pods[0].run(|| ask(&address)).unwrap(), expected);
            }
        }
        // Loopback is not served: it is refused as any closed port is.
        let error = tcp("127.0.0.1:30080").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn the_local_policy_keeps_the_clients_address() {
    with_node(2, |node| {
        let mut local = service(Protocol::Tcp);
        local.external_policy = TrafficPolicy::Local;
        node.model.set_service(&name(Protocol::Tcp), local);
        node.set_endpoints(Protocol::Tcp, &[0]);
        node.sync();
        let answer = node.outside.run(|| tcp("192.168.9.1:30080")).unwrap();
        assert_eq!(answer, (ip("10.42.0.2"), ip("192.168.9.2")));
    });
}

#[test]
fn without_endpoints_it_is_refused_at_once() {
    with_node(1, |node| {
        node.serve(Protocol::Tcp, &[]);
        node.serve(Protocol::Udp, &[]);
        let refused = [
            // No endpoints.
            "10.43.0.9:80",
            "[fd43::9]:80",
            // No such port, no such Service.
            "10.43.0.9:81",
            "10.43.7.7:80",
            "192.168.9.1:30080",
        ];
        for address in refused {
            let error = tcp(address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address} from the node");
            // The kernel refuses a datagram of this machine while it is being sent.
            let error = udp(address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{address} from the node");
            for ask in [tcp, udp] {
                let error = node.pods[0].run(|| ask(address)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address} from a pod");
            }
        }
        node.set_endpoints(Protocol::Tcp, &[0]);
        node.sync();
        assert_eq!(tcp("10.43.0.9:80").unwrap().0, ip("10.42.0.2"));
        // Connections that are open outlive their endpoint's readiness.
        let mut open = Talk::new("10.43.0.9:80").unwrap();
        open.ask().unwrap();
        node.set_endpoints(Protocol::Tcp, &[]);
        node.sync();
        assert_eq!(tcp("10.43.0.9:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(open.ask().unwrap().0, ip("10.42.0.2"));
    });
}

#[test]
fn datagrams_move_to_an_endpoint_that_is_there() {
    with_node(2, |node| {
        node.serve(Protocol::Udp, &[0]);
        let address = "10.43.0.9:80".parse().unwrap();
        let (one, two) = (ip("10.42.0.2"), ip("10.42.0.3"));
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        assert_eq!(datagram(&socket, address).unwrap().0, one);
        assert_eq!(datagram(&socket, address).unwrap().0, one);
        node.set_endpoints(Protocol::Udp, &[1]);
        node.sync();
        // The same socket: the same flow to the kernel.
        assert_eq!(datagram(&socket, address).unwrap().0, two);
        let outside = node.outside.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        let node_port = "192.168.9.1:30080".parse().unwrap();
        assert_eq!(datagram(&outside, node_port).unwrap().0, two);
        node.set_endpoints(Protocol::Udp, &[0]);
        node.sync();
        assert_eq!(datagram(&outside, node_port).unwrap().0, one);
    });
}

#[test]
fn a_client_keeps_its_endpoint() {
    with_node(5, |node| {
        let mut sticky = service(Protocol::Tcp);
        sticky.affinity_s = Some(300);
        node.model.set_service(&name(Protocol::Tcp), sticky);
        node.set_endpoints(Protocol::Tcp, &[0, 1, 2, 3]);
        node.sync();
        for address in ["10.43.0.9:80", "[fd43::9]:80", "192.168.9.1:30080"] {
            let client = &node.pods[4];
            let chosen = client.run(|| tcp(address)).unwrap().0;
            for _ in 0..30 {
                assert_eq!(client.run(|| tcp(address)).unwrap().0, chosen, "{address}");
            }
        }
        let client = 4;
        let ask = |node: &Node| node.pods[client].run(|| tcp("10.43.0.9:80")).unwrap().0;
        let chosen = ask(node);
        let position = (0..4).find(|pod| node.pods[*pod].address == chosen).unwrap();
        // Others come and go: the client notices nothing.
        let other = (position + 1) % 4;
        node.set_endpoints(Protocol::Tcp, &[position, other]);
        node.sync();
        assert_eq!(ask(node), chosen);
        node.set_endpoints(Protocol::Tcp, &[position]);
        node.sync();
        assert_eq!(ask(node), chosen);
        // Its own goes: it gets another one and keeps that.
        node.set_endpoints(Protocol::Tcp, &[other]);
        node.sync();
        assert_eq!(ask(node), node.pods[other].address);
        node.set_endpoints(Protocol::Tcp, &[]);
        node.sync();
        node.set_endpoints(Protocol::Tcp, &[0, 1]);
        node.sync();
        let chosen = ask(node);
        for _ in 0..30 {
            assert_eq!(ask(node), chosen);
        }
    });
}

#[test]
fn a_new_process_takes_over() {
    with_node(2, |node| {
        node.serve(Protocol::Tcp, &[0, 1]);
        node.serve(Protocol::Udp, &[]);
        let mut open = Talk::new("10.43.0.9:80").unwrap();
        open.ask().unwrap();

        let mut proxy = Proxy::open(lab::config()).unwrap();
        let found = proxy.start().unwrap();
        assert_eq!(found.frontends.len(), 8);
        let mut model = Model::new(Some("n1"));
        model.adopt(found.frontends, found.local);
        node.proxy = proxy;
        node.model = model;
        node.model.set_service(&name(Protocol::Tcp), service(Protocol::Tcp));
        node.set_endpoints(Protocol::Tcp, &[0, 1]);
        node.model.set_service(&name(Protocol::Udp), service(Protocol::Udp));
        assert_eq!(node.sync(), 0, "nothing is to be done");
        node.proxy.sweep().unwrap();
        open.ask().unwrap();
        tcp("10.43.0.9:80").unwrap();

        // What nobody wants any more goes.
        let mut proxy = Proxy::open(lab::config()).unwrap();
        let found = proxy.start().unwrap();
        node.proxy = proxy;
        node.model = Model::new(Some("n1"));
        node.model.adopt(found.frontends, found.local);
        assert_eq!(node.sync(), 8);
        assert_eq!(tcp("10.43.0.9:80").unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_table_that_somebody_spoilt_is_made_anew() {
    with_node(1, |node| {
        node.serve(Protocol::Tcp, &[0]);
        let table = Table::new(Family::Ipv4, "corten-proxy");
        let mut tables = Tables::open().unwrap();
        let element = tables.elements(&table, "endpoints").unwrap().remove(0);
        let mut batch = Batch::new();
        batch.delete_elements(&table, "endpoints", &[Element::key(element.key)]);
        tables.commit(&batch).unwrap();
        // A change fails, because what it changes is not there; then everything is read anew.
        node.set_endpoints(Protocol::Tcp, &[]);
        let plan = node.model.plan();
        node.proxy.apply(&plan).unwrap_err();
        let found = node.proxy.start().unwrap();
        node.model.forget_committed();
        node.model.adopt(found.frontends, found.local);
        node.set_endpoints(Protocol::Tcp, &[0]);
        node.sync();
        assert_eq!(tcp("10.43.0.9:80").unwrap().0, ip("10.42.0.2"));
    });
}

#[test]
fn cleaning_up_leaves_nothing() {
    with_node(1, |node| {
        node.serve(Protocol::Tcp, &[0]);
        corten_proxy_nftables::cleanup().unwrap();
        corten_proxy_nftables::cleanup().unwrap();
        assert_eq!(Tables::open().unwrap().tables().unwrap(), []);
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        node.pods[0].run(|| tcp("10.43.0.9:80").unwrap_err());
    });
}
