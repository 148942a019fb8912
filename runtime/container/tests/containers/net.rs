//! Network devices that become the container's.

use std::net::IpAddr;

use corten_sys_netlink::route::{Address, LinkChange, Links, NewVeth};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces};
use serde_json::json;

use crate::world::{World, need_containers};

const OWN_NET: NamespaceOptions = NamespaceOptions { net: true, cgroup: false };

/// Two ends of a veth in this namespace, the first with addresses.
fn veth(one: &str, two: &str) {
    let mut links = Links::open().unwrap();
    links
        .add_bridge(&corten_sys_netlink::route::NewBridge {
            name: "br",
            mac: corten_sys_netlink::route::MacAddress::local([2, 0, 0, 0, 0, 1]),
            mtu: None,
        })
        .unwrap();
    let bridge = links.link("br").unwrap().unwrap().index;
    let here = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
    let made = NewVeth {
        name: two,
        peer_name: one,
        peer_namespace: here,
        master: bridge,
        mtu: None,
        peer_mac: None,
    };
    links.add_veth(&made).unwrap();
    let index = links.link(one).unwrap().unwrap().index;
    for (address, prefix) in [("10.99.0.7", 24), ("fd00::7", 64)] {
        let address: IpAddr = address.parse().unwrap();
        links.add_address(Address { link: index, address, prefix }, false).unwrap();
    }
    links.set_link(index, &LinkChange { up: Some(true), ..Default::default() }).unwrap();
}

#[test]
fn a_device_is_moved_with_its_addresses_and_is_up() {
    need_containers!();
    let mut world = World::new(
        "ip -o addr show eth7; ip -o link show eth7; test -e /sys/class/net/tested || echo renamed",
    );
    std::os::unix::fs::symlink("busybox", world.rootfs().join("bin/ip")).unwrap();
    world.spec["linux"]["netDevices"] = json!({ "tested": { "name": "eth7" } });
    in_new_namespaces(OWN_NET, || {
        veth("tested", "other");
        let output = world.output_of_run();
        for expected in ["10.99.0.7/24", "fd00::7/64", "UP", "renamed"] {
            assert!(output.contains(expected), "{expected} in {output}");
        }
        assert!(Links::open().unwrap().link("tested").unwrap().is_none());
    });
}

#[test]
fn a_device_that_is_not_there_or_clashes_is_named() {
    need_containers!();
    in_new_namespaces(OWN_NET, || {
        veth("tested", "other");
        for (devices, expected) in [
            (json!({ "absent": {} }), "linux.netDevices.absent"),
            (json!({ "tested": { "name": "lo" } }), "linux.netDevices.tested"),
        ] {
            let mut world = World::new("true");
            world.spec["linux"]["netDevices"] = devices;
            let error = world.create_error();
            assert!(error.contains(expected), "{error}");
        }
        // The one that could not be moved is where it was.
        assert!(Links::open().unwrap().link("tested").unwrap().is_some());
    });
}
