//! `bridge` with `host-local`.

use std::collections::HashSet;

use corten_cni_types::Protocol;
use corten_sys_netlink::conntrack::Conntrack;
use corten_sys_netlink::route::{LinkChange, Links};
use corten_sys_netlink::tables::Tables;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use serde_json::json;

use crate::lab::{Host, ROOT, ask_tcp, ask_udp, ip, mapping};

#[test]
fn containers_reach_each_other_the_host_and_are_cleaned_up() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let (one, two) = (host.container("one"), host.container("two"));
        let result = host.add(&one);
        let names: Vec<_> = result.interfaces.iter().map(|it| it.name.as_str()).collect();
        assert_eq!((names[0], names[2]), ("cni0", "eth0"));
        assert!(names[1].starts_with("veth"));
        assert_eq!(result.interfaces[2].sandbox, one.args.netns.to_str().unwrap());
        assert_eq!(result.ips[0].address.to_string(), "10.42.0.2/24");
        assert_eq!(result.ips[0].gateway, Some(ip("10.42.0.1")));
        assert_eq!(result.routes[0].dst.to_string(), "0.0.0.0/0");
        assert_eq!(host.add(&two).ips[0].address.to_string(), "10.42.0.3/24");
        host.invoker.check(&host.network, &one.args).unwrap();
        host.invoker.status(&host.network).unwrap();

        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        assert_eq!(two.run(|| ask_udp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        assert_eq!(ask_tcp("10.42.0.2:80").unwrap(), ip("10.42.0.1"));
        one.stop(80, server);

        one.run(|| {
            let mut links = Links::open().unwrap();
            let eth0 = links.link("eth0").unwrap().unwrap();
            let down = LinkChange { up: Some(false), ..LinkChange::default() };
            links.set_link(eth0.index, &down).unwrap();
        });
        let error = host.invoker.check(&host.network, &one.args).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("route"));

        for container in [&one, &two] {
            host.invoker.del(&host.network, &container.args).unwrap();
            host.invoker.del(&host.network, &container.args).unwrap();
            assert_eq!(container.run(|| Links::open().unwrap().link("eth0").unwrap()), None);
        }
        assert_eq!(host.reservations(), Vec::<String>::new());
        let links = Links::open().unwrap().links().unwrap();
        assert_eq!(links.iter().filter(|link| link.name.starts_with("veth")).count(), 0);
        corten_cni_plugins::cleanup("cni0").unwrap();
        assert_eq!(Links::open().unwrap().link("cni0").unwrap(), None);
        assert_eq!(Tables::open().unwrap().tables().unwrap(), []);
    });
}

#[test]
fn a_hundred_at_once_get_a_hundred_addresses() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let containers: Vec<_> =
            (0..100).map(|index| host.container(&format!("c{index}"))).collect();
        let addresses: HashSet<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = containers
                .iter()
                .map(|container| scope.spawn(|| host.add(container).ips[0].address.address()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(addresses.len(), 100);
        assert_eq!(host.reservations().len(), 100);
        let rules = Tables::open()
            .unwrap()
            .rules(
                &corten_sys_netlink::tables::Table::new(
                    corten_sys_netlink::tables::Family::Inet,
                    "corten-masquerade",
                ),
                "postrouting",
            )
            .unwrap();
        assert_eq!(rules.len(), 1);
        std::thread::scope(|scope| {
            for container in &containers {
                scope.spawn(|| host.invoker.del(&host.network, &container.args).unwrap());
            }
        });
        assert_eq!(host.reservations(), Vec::<String>::new());
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let one = host.container("one");
        host.add(&one);
        // The address of another network is in the way.
        let other = Host::with(&json!({}), "10.99.0.0/24");
        let two = other.container("two");
        let error = other.invoker.add(&other.network, &two.args).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("bridge cni0 has address 10.42.0.1/24 already"), "{cause}");
        assert_eq!(other.reservations(), Vec::<String>::new());
        assert_eq!(two.run(|| Links::open().unwrap().link("eth0").unwrap()), None);
        // A container that is attached already keeps its address.
        let error = host.invoker.add(&host.network, &one.args).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("one's eth0 has address 10.42.0.2 already"), "{cause}");
        assert_eq!(host.reservations(), ["10.42.0.2"]);
        // A full range.
        let ipam = json!({"type": "host-local", "dataDir": host.dir.path().join("small"),
            "ranges": [[{"subnet": "10.42.0.0/24", "rangeStart": "10.42.0.5", "rangeEnd": "10.42.0.5"}]]});
        let small = Host::with(&json!({ "ipam": ipam }), "10.42.0.0/24");
        small.add(&small.container("three"));
        let error = small.invoker.status(&small.network).unwrap_err();
        assert_eq!(error.cni_code(), Some(50));
        let four = small.container("four");
        let error = small.invoker.add(&small.network, &four.args).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no address is left in ranges 10.42.0.5-10.42.0.5"), "{cause}");
    });
}

#[test]
fn both_families() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let scratch = tempfile::tempdir().unwrap();
        let ipam = json!({"type": "host-local", "dataDir": scratch.path(),
            "ranges": [[{"subnet": "10.42.0.0/24"}], [{"subnet": "fd42::/64"}]]});
        let host = Host::with(&json!({ "ipam": ipam }), "10.42.0.0/24");
        let (mut one, two) = (host.container("one"), host.container("two"));
        let mappings = [mapping(8080, Protocol::Tcp), mapping(8080, Protocol::Udp)];
        one.args = one.args.clone().with_port_mappings(&mappings);
        let result = host.add(&one);
        assert_eq!(result.ips[1].address.to_string(), "fd42::2/64");
        assert_eq!(result.routes.len(), 2);
        host.add(&two);
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("[fd42::2]:80")).unwrap(), ip("fd42::3"));
        assert_eq!(ask_tcp("[fd42::1]:8080").unwrap(), ip("fd42::1"));
        assert_eq!(ask_udp("[fd42::1]:8080").unwrap(), ip("fd42::1"));
        assert_eq!(two.run(|| ask_tcp("[fd42::1]:8080")).unwrap(), ip("fd42::1"));
        one.stop(80, server);
        drop(Conntrack::open().unwrap());
    });
}
