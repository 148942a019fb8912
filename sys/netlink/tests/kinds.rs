//! Kinds of links, routing rules and traffic control, in namespaces of their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd as _;

use corten_sys_netlink::in_namespace;
use corten_sys_netlink::route::{
    Address, BridgeVlan, IpvlanMode, LinkChange, LinkKind, Links, MacAddress, MacvlanMode,
    NewBridge, NewLink, NewVeth, Route, Rule, TokenBucket,
};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip, skip_unless};
use rustix::io::Errno;

const ROOT: &str = "network namespaces need root";

fn in_namespaces(test: impl FnOnce(&mut Links) + Send) {
    in_new_namespaces(NamespaceOptions::default(), || test(&mut Links::open().unwrap()));
}

fn new_namespace() -> File {
    in_new_namespaces(NamespaceOptions::default(), || {
        File::open("/proc/thread-self/ns/net").unwrap()
    })
}

/// A veth pair in the calling namespace, both up; their indexes.
fn pair(links: &mut Links) -> (u32, u32) {
    let here = File::open("/proc/thread-self/ns/net").unwrap();
    let veth = NewVeth {
        name: "v0",
        master: 0,
        peer_name: "v1",
        peer_namespace: &here,
        peer_mac: None,
        mtu: None,
    };
    links.add_veth(&veth).unwrap();
    let index = |links: &mut Links, name| links.link(name).unwrap().unwrap().index;
    let (v0, v1) = (index(links, "v0"), index(links, "v1"));
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    links.set_link(v1, &up).unwrap();
    (v0, v1)
}

/// Makes a link on `parent` in another namespace, and looks at it there.
fn on_parent(links: &mut Links, parent: Option<u32>, kind: LinkKind) -> bool {
    let other = new_namespace();
    let mut new = NewLink::new("l0", kind.clone());
    new.parent = parent;
    new.namespace = Some(other.as_fd());
    match links.add(&new) {
        Err(error) if error.is(Errno::OPNOTSUPP) => return false,
        outcome => outcome.unwrap(),
    }
    let found = in_namespace(&other, || Links::open().unwrap().link("l0").unwrap()).unwrap();
    let found = found.unwrap();
    assert_eq!((found.kind, found.up), (kind, false));
    true
}

#[test]
fn macvlans_and_ifbs() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        let (v0, _v1) = pair(links);
        for mode in [MacvlanMode::Private, MacvlanMode::Vepa, MacvlanMode::Bridge] {
            assert!(on_parent(links, Some(v0), LinkKind::Macvlan(mode)));
        }
        let mac = MacAddress::local([3; 6]);
        let new = NewLink {
            mac: Some(mac),
            mtu: Some(1300),
            up: true,
            ..NewLink::new("i0", LinkKind::Ifb)
        };
        links.add(&new).unwrap();
        let ifb = links.link("i0").unwrap().unwrap();
        assert_eq!((ifb.kind, ifb.mac, ifb.mtu, ifb.up), (LinkKind::Ifb, mac, 1300, true));
        assert!(links.add(&new).unwrap_err().is(Errno::EXIST));
    });
}

#[test]
fn a_vlan() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        let (v0, _v1) = pair(links);
        if !on_parent(links, Some(v0), LinkKind::Vlan(100)) {
            skip("the kernel has no VLAN links");
        }
    });
}

#[test]
fn an_ipvlan() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        let (v0, _v1) = pair(links);
        if !on_parent(links, Some(v0), LinkKind::Ipvlan(IpvlanMode::L3s)) {
            skip("the kernel has no ipvlan links");
        }
    });
}

#[test]
fn a_dummy() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        if !on_parent(links, None, LinkKind::Dummy) {
            skip("the kernel has no dummy links");
        }
    });
}

#[test]
fn vlans_of_bridge_ports() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        let mac = MacAddress::local([1; 6]);
        links.add_bridge(&NewBridge { name: "br0", mac, mtu: None }).unwrap();
        let br0 = links.link("br0").unwrap().unwrap().index;
        let (v0, _v1) = pair(links);
        let port = LinkChange { master: Some(br0), ..LinkChange::default() };
        links.set_link(v0, &port).unwrap();
        match links.filter_vlans(br0) {
            Err(error) if error.is(Errno::OPNOTSUPP) => {
                skip("the kernel has no bridges that filter by VLAN");
                return;
            }
            outcome => outcome.unwrap(),
        }
        assert_eq!(links.bridge_vlans(v0).unwrap(), [BridgeVlan { id: 1, native: true }]);
        links.delete_bridge_vlan(v0, 1).unwrap();
        let vlan = BridgeVlan { id: 100, native: true };
        links.add_bridge_vlan(v0, vlan).unwrap();
        assert_eq!(links.bridge_vlans(v0).unwrap(), [vlan]);
    });
}

#[test]
fn a_link_moves_with_its_changes_in_one_request() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        let (v0, _v1) = pair(links);
        let (here, other) = (File::open("/proc/thread-self/ns/net").unwrap(), new_namespace());
        let there = LinkChange {
            name: Some("eth0"),
            alias: Some("v0"),
            tx_queue_length: Some(77),
            all_multicast: Some(true),
            namespace: Some(other.as_fd()),
            ..LinkChange::default()
        };
        links.set_link(v0, &there).unwrap();
        assert_eq!(links.link("v0").unwrap(), None);
        in_namespace(&other, || {
            let mut links = Links::open().unwrap();
            let eth0 = links.link("eth0").unwrap().unwrap();
            assert_eq!((eth0.alias.as_str(), eth0.tx_queue_length), ("v0", 77));
            assert!(eth0.all_multicast && !eth0.up);
            let back = LinkChange {
                name: Some(&eth0.alias),
                alias: Some(""),
                namespace: Some(here.as_fd()),
                ..LinkChange::default()
            };
            links.set_link(eth0.index, &back).unwrap();
        })
        .unwrap();
        assert_eq!(links.link("v0").unwrap().unwrap().alias, "");
    });
}

#[test]
fn rules_and_routes_by_source() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        let (v0, _v1) = pair(links);
        let address: IpAddr = "10.0.0.2".parse().unwrap();
        links.add_address(Address { link: v0, address, prefix: 24 }, false).unwrap();
        let network = "10.0.0.0".parse().unwrap();
        // The kernel made it.
        links.delete_route(&Route::new(network, 24, None, v0)).unwrap();
        let mut route = Route::new(network, 24, None, v0);
        route.source = Some(address);
        route.table = Some(1000);
        links.add_route(&route).unwrap();
        assert!(links.add_route(&route).unwrap_err().is(Errno::EXIST));
        links.replace_route(&route).unwrap();
        let routes = links.routes().unwrap();
        let found = routes.iter().find(|it| it.table == Some(1000)).unwrap();
        assert_eq!((found.source, found.destination), (Some(address), network));

        for source in ["10.0.0.2", "fd00::2"] {
            let source = source.parse().unwrap();
            links.add_rule(source, 1000).unwrap();
            let rules = links.rules().unwrap();
            let rule = rules.iter().find(|rule| rule.source == Some(source)).unwrap();
            assert_eq!(rule.table, 1000);
            links.delete_rule(rule).unwrap();
            assert!(links.delete_rule(rule).unwrap_err().is(Errno::NOENT));
        }
        assert!(links.rules().unwrap().iter().all(|rule: &Rule| rule.source.is_none()));
    });
}

#[test]
fn token_buckets_and_redirection() {
    skip_unless!(is_root(), ROOT);
    in_namespaces(|links| {
        let (v0, _v1) = pair(links);
        links.add(&NewLink { up: true, ..NewLink::new("i0", LinkKind::Ifb) }).unwrap();
        let i0 = links.link("i0").unwrap().unwrap().index;
        let bucket = TokenBucket { rate: 125_000, burst: 10_000, limit: 13_125 };
        links.add_token_bucket(v0, bucket).unwrap();
        assert!(links.add_token_bucket(v0, bucket).unwrap_err().is(Errno::EXIST));
        let qdiscs = links.qdiscs(v0).unwrap();
        let root = qdiscs.iter().find(|qdisc| qdisc.root).unwrap();
        assert_eq!(root.kind, "tbf");
        assert!(root.token_bucket.is_some_and(|found| found.is(bucket)), "{root:?}");
        assert_eq!(links.ingress_filters(v0).unwrap(), 0);
        links.add_ingress(v0).unwrap();
        links.redirect_ingress(v0, i0).unwrap();
        assert!(links.ingress_filters(v0).unwrap() > 0);
        assert!(links.qdiscs(v0).unwrap().iter().any(|qdisc| qdisc.kind == "ingress"));
    });
}
