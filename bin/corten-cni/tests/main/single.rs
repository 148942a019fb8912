//! Plugins that make one interface without a bridge.

use std::fs::File;

use corten_cni_types::Attachment;
use corten_sys_netlink::route::{LinkChange, LinkKind, Links, MacvlanMode, NewVeth};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip, skip_unless};
use serde_json::json;

use crate::lab::{Host, ROOT, ask_tcp, host_local, ip};

/// A pair of the host that is up; the first end is what interfaces are made on.
fn pair(name: &str, peer: &str) {
    let here = File::open("/proc/thread-self/ns/net").unwrap();
    let mut links = Links::open().unwrap();
    let veth = NewVeth {
        name,
        master: 0,
        peer_name: peer,
        peer_namespace: &here,
        peer_mac: None,
        mtu: None,
    };
    links.add_veth(&veth).unwrap();
    let index = links.link(peer).unwrap().unwrap().index;
    links.set_link(index, &LinkChange { up: Some(true), ..LinkChange::default() }).unwrap();
}

#[test]
fn a_pair_for_each_container() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::chain("1.1.0", |networks| {
            let mut ipam = host_local("10.42.0.0/24", networks);
            ipam["ranges"] = json!([[{"subnet": "10.42.0.0/24"}], [{"subnet": "fd42::/64"}]]);
            ipam["routes"] = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
            vec![json!({"type": "ptp", "ipMasq": true, "mtu": 1400, "ipam": ipam})]
        });
        let (one, two) = (host.container("one"), host.container("two"));
        let result = host.add(&one);
        assert_eq!(result.interfaces[1].name, "eth0");
        assert!(result.interfaces[0].sandbox.is_empty());
        assert_eq!((result.ips[0].interface, result.interfaces[1].mtu), (Some(1), 1400));
        host.add(&two);
        host.invoker.check(&host.network, &one.args).unwrap();
        host.invoker.status(&host.network).unwrap();
        let server = one.serve(80);
        // By way of the host, from one's own address.
        assert_eq!(two.run(|| ask_tcp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        assert_eq!(two.run(|| ask_tcp("[fd42::2]:80")).unwrap(), ip("fd42::3"));
        assert_eq!(ask_tcp("10.42.0.2:80").unwrap(), ip("10.42.0.1"));
        one.stop(80, server);

        let mut links = Links::open().unwrap();
        let routes = links.routes().unwrap();
        let to_one = routes.iter().find(|it| it.destination == ip("10.42.0.2")).unwrap();
        links.delete_route(to_one).unwrap();
        let cause = Host::cause(host.invoker.check(&host.network, &one.args));
        assert!(cause.contains("the host's route to 10.42.0.2 is gone"), "{cause}");
        for container in [&one, &two] {
            host.invoker.del(&host.network, &container.args).unwrap();
            host.invoker.del(&host.network, &container.args).unwrap();
        }
        assert_eq!(host.reservations(), Vec::<String>::new());
        assert_eq!(links.links().unwrap().len(), 1);
        host.invoker.gc(&host.network, &[]).unwrap();
        let masquerade = corten_sys_netlink::tables::Table::new(
            corten_sys_netlink::tables::Family::Inet,
            "corten-masquerade",
        );
        let mut tables = corten_sys_netlink::tables::Tables::open().unwrap();
        assert_eq!(tables.rules(&masquerade, "postrouting").unwrap(), []);
    });
}

#[test]
fn macvlans_on_a_link_of_the_host() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        // The host has the very name that the containers' interfaces get.
        pair("eth0", "wire");
        let plugin = |networks: &std::path::Path| {
            json!({"type": "macvlan", "master": "eth0", "mac": "02:00:00:00:00:07",
                "ipam": host_local("10.42.0.0/24", networks)})
        };
        let host = Host::chain("1.1.0", |networks| vec![plugin(networks)]);
        let (one, mut two) = (host.container("one"), host.container("two"));
        assert_eq!(host.add(&one).interfaces[0].mac, "02:00:00:00:00:07");
        two.args.args.push(("MAC".into(), "02:00:00:00:00:08".into()));
        assert_eq!(host.add(&two).interfaces[0].mac, "02:00:00:00:00:08");
        host.invoker.check(&host.network, &one.args).unwrap();
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        one.stop(80, server);
        let kind = one.run(|| Links::open().unwrap().link("eth0").unwrap().unwrap().kind);
        assert_eq!(kind, LinkKind::Macvlan(MacvlanMode::Bridge));
        for container in [&one, &two] {
            host.invoker.del(&host.network, &container.args).unwrap();
            assert_eq!(container.run(|| Links::open().unwrap().link("eth0").unwrap()), None);
        }
        assert_eq!(host.reservations(), Vec::<String>::new());

        let wide = Host::chain("1.1.0", |networks| {
            let mut plugin = plugin(networks);
            plugin["mtu"] = json!(9000);
            vec![plugin]
        });
        let cause = Host::cause(wide.invoker.add(&wide.network, &one.args));
        assert!(cause.contains("mtu 9000 is more than eth0's, 1500"), "{cause}");
        assert_eq!(wide.reservations(), Vec::<String>::new());
        let lost = Host::chain("1.1.0", |networks| {
            let mut plugin = plugin(networks);
            plugin["master"] = json!("eth7");
            vec![plugin]
        });
        let error = lost.invoker.status(&lost.network).unwrap_err();
        assert_eq!(error.cni_code(), Some(50));
    });
}

#[test]
fn a_macvlan_on_a_link_of_the_container() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::chain("1.1.0", |_networks| {
            vec![json!({"type": "macvlan", "master": "below", "linkInContainer": true,
                "mode": "private"})]
        });
        let one = host.container("one");
        one.run(|| pair("below", "other"));
        let result = host.add(&one);
        assert!(result.ips.is_empty());
        host.invoker.check(&host.network, &one.args).unwrap();
        host.invoker.del(&host.network, &one.args).unwrap();
        assert!(one.run(|| Links::open().unwrap().link("below").unwrap()).is_some());
    });
}

#[test]
fn a_device_of_the_host_is_lent() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        pair("dev0", "dev1");
        let host = Host::chain("1.1.0", |networks| {
            vec![json!({"type": "host-device", "device": "dev0",
                "ipam": host_local("10.42.0.0/24", networks)})]
        });
        let one = host.container("one");
        let mac = Links::open().unwrap().link("dev0").unwrap().unwrap().mac.to_string();
        let result = host.add(&one);
        assert_eq!((&result.interfaces[0].name, &result.interfaces[0].mac), (&"eth0".into(), &mac));
        assert_eq!(Links::open().unwrap().link("dev0").unwrap(), None);
        host.invoker.check(&host.network, &one.args).unwrap();
        let two = host.container("two");
        let cause = Host::cause(host.invoker.add(&host.network, &two.args));
        assert!(cause.contains("the host has no interface of Name(\"dev0\")"), "{cause}");
        assert_eq!(host.reservations(), ["10.42.0.2"]);
        host.invoker.del(&host.network, &one.args).unwrap();
        host.invoker.del(&host.network, &one.args).unwrap();
        let mut links = Links::open().unwrap();
        let back = links.link("dev0").unwrap().unwrap();
        assert_eq!((back.alias.as_str(), back.mac.to_string()), ("", mac));

        // A namespace that ended by itself: hardware comes back with the container's name.
        let lost = LinkChange { name: Some("eth0"), alias: Some("dev0"), ..LinkChange::default() };
        links.set_link(back.index, &lost).unwrap();
        let none: [Attachment; 0] = [];
        host.invoker.gc(&host.network, &none).unwrap();
        assert_eq!(links.link("dev0").unwrap().unwrap().alias, "");
    });
}

/// Runs a chain whose interface's kind the kernel may not have; false when it does not.
fn kind_is_there(host: &Host) -> bool {
    let one = host.container("one");
    let outcome = host.invoker.add(&host.network, &one.args);
    if outcome.as_ref().is_err_and(|error| error.cni_code() == Some(2)) {
        let cause = Host::cause(outcome);
        assert!(cause.contains("the kernel has no such links"), "{cause}");
        assert_eq!(host.reservations(), Vec::<String>::new());
        return false;
    }
    assert_eq!(outcome.unwrap().ips[0].interface, Some(0));
    host.invoker.check(&host.network, &one.args).unwrap();
    host.invoker.del(&host.network, &one.args).unwrap();
    assert_eq!(one.run(|| Links::open().unwrap().link("eth0").unwrap()), None);
    assert_eq!(host.reservations(), Vec::<String>::new());
    true
}

#[test]
fn a_dummy_interface() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::chain("1.1.0", |networks| {
            vec![json!({"type": "dummy", "ipam": host_local("10.42.0.0/24", networks)})]
        });
        if !kind_is_there(&host) {
            skip("the kernel has no dummy links");
        }
    });
}

#[test]
fn a_vlan_interface() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        pair("wire0", "wire1");
        let host = Host::chain("1.1.0", |networks| {
            vec![json!({"type": "vlan", "master": "wire0", "vlanId": 7, "mtu": 1400,
                "ipam": host_local("10.42.0.0/24", networks)})]
        });
        if !kind_is_there(&host) {
            skip("the kernel has no VLAN links");
        }
    });
}

#[test]
fn an_ipvlan_interface() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        pair("wire0", "wire1");
        let host = Host::chain("1.1.0", |networks| {
            vec![json!({"type": "ipvlan", "master": "wire0", "mode": "l3s",
                "ipam": host_local("10.42.0.0/24", networks)})]
        });
        if !kind_is_there(&host) {
            skip("the kernel has no ipvlan links");
        }
    });
}

#[test]
fn a_bridge_with_vlans() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::with(&json!({"vlan": 100}), "10.42.0.0/24");
        let (one, two) = (host.container("one"), host.container("two"));
        let outcome = host.invoker.add(&host.network, &one.args);
        if outcome.as_ref().is_err_and(|error| error.cni_code() == Some(2)) {
            let cause = Host::cause(outcome);
            assert!(cause.contains("CONFIG_BRIDGE_VLAN_FILTERING"), "{cause}");
            skip("the kernel has no bridges that filter by VLAN");
            return;
        }
        assert_eq!(outcome.unwrap().interfaces[3].name, "cni0.100");
        host.add(&two);
        host.invoker.check(&host.network, &one.args).unwrap();
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        assert_eq!(ask_tcp("10.42.0.2:80").unwrap(), ip("10.42.0.1"));
        one.stop(80, server);
        host.invoker.del(&host.network, &one.args).unwrap();
    });
}
