//! Links, addresses and routes, in namespaces of their own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;

use corten_sys_netlink::in_namespace;
use corten_sys_netlink::route::{
    Address, BridgePort, LinkChange, LinkKind, Links, MacAddress, NewBridge, NewVeth, Route,
};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use rustix::io::Errno;

const ROOT: &str = "network namespaces need root";

fn new_namespace() -> File {
    in_new_namespaces(NamespaceOptions::default(), || {
        File::open("/proc/thread-self/ns/net").unwrap()
    })
}

#[test]
fn a_bridge_and_a_pair_across_namespaces() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let other = new_namespace();
        let mut links = Links::open().unwrap();
        assert_eq!(links.link("br0").unwrap(), None);
        let mac = MacAddress::local([1, 2, 3, 4, 5, 6]);
        let bridge = NewBridge { name: "br0", mac, mtu: None };
        links.add_bridge(&bridge).unwrap();
        let error = links.add_bridge(&bridge).unwrap_err();
        assert!(error.is(Errno::EXIST), "{error}");
        assert!(error.to_string().contains("add bridge br0"), "{error}");
        let br0 = links.link("br0").unwrap().unwrap();
        assert_eq!((br0.kind.clone(), br0.mac, br0.up), (LinkKind::Bridge, mac, true));

        let peer_mac = MacAddress::local([9; 6]);
        let veth = NewVeth {
            name: "veth0",
            master: br0.index,
            peer_name: "eth0",
            peer_namespace: &other,
            peer_mac: Some(peer_mac),
            mtu: Some(1400),
        };
        links.add_veth(&veth).unwrap();
        let veth0 = links.link("veth0").unwrap().unwrap();
        assert_eq!((veth0.master, veth0.mtu, veth0.up), (Some(br0.index), 1400, true));
        let port = BridgePort { hairpin: true, isolated: true };
        links.set_bridge_port(veth0.index, port).unwrap();
        // A fresh sysfs shows the namespace of whoever mounts it.
        rustix::mount::mount("sysfs", "/sys", "sysfs", rustix::mount::MountFlags::empty(), None)
            .unwrap();
        for setting in ["hairpin_mode", "isolated"] {
            let path = format!("/sys/class/net/veth0/brport/{setting}");
            assert_eq!(std::fs::read_to_string(path).unwrap(), "1\n");
        }

        in_namespace(&other, || {
            let mut links = Links::open().unwrap();
            let eth0 = links.link("eth0").unwrap().unwrap();
            assert_eq!((eth0.mac, eth0.mtu, eth0.up), (peer_mac, 1400, false));
            assert_eq!(eth0.peer, Some(veth0.index));
            let address =
                Address { link: eth0.index, address: "10.0.0.2".parse().unwrap(), prefix: 24 };
            links.add_address(address, false).unwrap();
            let v6 = Address { link: eth0.index, address: "fd00::2".parse().unwrap(), prefix: 64 };
            links.add_address(v6, false).unwrap();
            let up = LinkChange { up: Some(true), ..LinkChange::default() };
            links.set_link(eth0.index, &up).unwrap();
            let gateway = Some("10.0.0.1".parse().unwrap());
            let mut default = Route::new("0.0.0.0".parse().unwrap(), 0, gateway, eth0.index);
            default.mtu = Some(1300);
            links.add_route(&default).unwrap();
            assert!(links.add_route(&default).unwrap_err().is(Errno::EXIST));
            let routes = links.routes().unwrap();
            let found = routes.iter().find(|route| route.gateway == gateway).unwrap();
            assert_eq!((found.prefix, found.mtu, found.link), (0, Some(1300), Some(eth0.index)));
            let mine = links.addresses(eth0.index).unwrap();
            assert!(mine.contains(&address) && mine.contains(&v6), "{mine:?}");
            links.delete_route(&default).unwrap();
            links.delete_address(address).unwrap();
            assert!(!links.addresses(eth0.index).unwrap().contains(&address));
        })
        .unwrap();

        assert!(links.link("veth0").unwrap().unwrap().operational);
        links.delete_link(veth0.index).unwrap();
        let gone = in_namespace(&other, || Links::open().unwrap().link("eth0").unwrap()).unwrap();
        assert_eq!(gone, None);
        assert!(links.delete_link(veth0.index).unwrap_err().is(Errno::NODEV));
    });
}

#[test]
fn a_pair_that_cannot_be_made_leaves_nothing() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let other = new_namespace();
        let mut links = Links::open().unwrap();
        let lo = links.link("lo").unwrap().unwrap();
        let veth = NewVeth {
            name: "veth0",
            master: lo.index,
            peer_name: "eth0",
            peer_namespace: &other,
            peer_mac: None,
            mtu: None,
        };
        // Loopback has no ports.
        assert!(links.add_veth(&veth).is_err());
        assert_eq!(links.link("veth0").unwrap(), None);
        let gone = in_namespace(&other, || Links::open().unwrap().link("eth0").unwrap()).unwrap();
        assert_eq!(gone, None);
    });
}
