//! The other side of the border: `cnitool` drives our plugins, we drive the reference plugins, and
//! both give the same results and files.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use corten_cni_invoke::Invoker;
use corten_cni_types::{NetworkConfList, RuntimeArgs};
use corten_sys_netlink::route::{LinkChange, Links};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use serde_json::{Value, json};

use crate::lab::{Container, Host, ROOT, ask_tcp, ask_udp, host_local, ip, start};

/// Where Debian's package `containernetworking-plugins` has the reference plugins.
const REFERENCE: &str = "/usr/lib/cni";

fn has_reference() -> bool {
    Path::new(REFERENCE).join("bridge").exists()
}

fn cnitool() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join("cnitool")).find(|it| it.is_file())
}

/// `cnitool` has its cache in `/var/lib/cni`.
fn own_var_lib() {
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("tmpfs", "/var/lib", "tmpfs", flags, None).unwrap();
}

fn run_cnitool(tool: &Path, host: &Host, container: &Container, verb: &str) -> Output {
    let conf_dir = host.dir.path().join("net.d");
    let mappings = json!({"portMappings": [
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    Command::new(tool)
        .args([verb, &host.network.name])
        .arg(&container.args.netns)
        .env("NETCONFPATH", conf_dir)
        .env("CNI_PATH", host.dir.path().join("bin"))
        .env("CAP_ARGS", mappings.to_string())
        .output()
        .unwrap()
}

#[test]
fn cnitool_drives_our_plugins() {
    skip_unless!(is_root(), ROOT);
    let tool = cnitool();
    skip_unless!(tool.is_some(), "cnitool is not installed");
    let tool = tool.unwrap();
    in_new_namespaces(NamespaceOptions::default(), || {
        own_var_lib();
        for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let host = Host::chain(version, crate::kill::chain);
            let conf_dir = host.dir.path().join("net.d");
            std::fs::create_dir(&conf_dir).unwrap();
            let plugins: Vec<_> = host.network.plugins.iter().map(|it| it.raw.clone()).collect();
            let list = json!({"cniVersion": version, "name": "corten", "plugins": plugins});
            std::fs::write(conf_dir.join("10-corten.conflist"), list.to_string()).unwrap();
            let one = host.container("one");
            let call = |verb: &str| {
                let output = run_cnitool(&tool, &host, &one, verb);
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{version} {verb}: {stderr}");
                output.stdout
            };
            if version == "1.1.0" {
                call("status");
            }
            let result: Value = serde_json::from_slice(&call("add")).unwrap();
            assert_eq!(result["cniVersion"], version);
            assert_eq!(result["ips"][0]["address"], "10.42.0.2/24");
            let server = one.serve(80);
            assert_eq!(ask_tcp("10.42.0.1:8080").unwrap(), ip("10.42.0.1"));
            one.stop(80, server);
            if version != "0.3.1" {
                call("check");
                one.run(|| {
                    let mut links = Links::open().unwrap();
                    let index = links.link("eth0").unwrap().unwrap().index;
                    let change = LinkChange { mtu: Some(1300), ..LinkChange::default() };
                    links.set_link(index, &change).unwrap();
                });
                let output = run_cnitool(&tool, &host, &one, "check");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains("mtu is 1300, not 1400"), "{said}");
            }
            if version == "1.1.0" {
                // It deletes what is in its cache, and does not tell the plugins what is valid:
                // they do not guess.
                let output = run_cnitool(&tool, &host, &one, "gc");
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains("GC needs cni.dev/valid-attachments"), "{said}");
                assert_eq!(host.reservations(), Vec::<String>::new());
            }
            call("del");
            call("del");
            assert_eq!(host.reservations(), Vec::<String>::new());
            assert_eq!(one.run(|| Links::open().unwrap().link("eth0").unwrap()), None);
        }
    });
}

/// A host whose plugins are the reference ones.
fn reference_host(version: &str, plugins: impl FnOnce(&Path) -> Vec<Value>) -> Host {
    let mut host = Host::chain(version, plugins);
    host.invoker = Invoker::new(vec![PathBuf::from(REFERENCE)], host.dir.path());
    host
}

#[test]
fn we_drive_the_reference_plugins() {
    skip_unless!(is_root(), ROOT);
    skip_unless!(has_reference(), "containernetworking-plugins is not installed");
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = reference_host("1.0.0", |networks| {
            vec![
                json!({"type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
                    "ipMasq": true, "hairpinMode": true,
                    "ipam": host_local("10.42.0.0/24", networks)}),
                json!({"type": "portmap", "capabilities": {"portMappings": true}}),
                json!({"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 800_000,
                    "egressRate": 8_000_000, "egressBurst": 800_000}),
                json!({"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}),
            ]
        });
        let (one, two) = (host.ported("one"), host.container("two"));
        host.invoker.status(&host.network).unwrap();
        host.add(&one);
        host.add(&two);
        // Before version 1.2 portmap's CHECK wants rules of both families, whatever the addresses.
        let mut checked = host.network.clone();
        checked.plugins.remove(1);
        host.invoker.check(&checked, &one.args).unwrap();
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        assert_eq!(ask_udp("10.42.0.1:8080").unwrap(), ip("10.42.0.1"));
        one.stop(80, server);
        // They have no GC of their own: what the cache knows is deleted.
        let valid =
            corten_cni_types::Attachment { container_id: "two".into(), ifname: "eth0".into() };
        host.invoker.gc(&host.network, &[valid]).unwrap();
        assert_eq!(host.reservations(), ["10.42.0.3"]);
        let bare = RuntimeArgs { netns: PathBuf::new(), ..two.args.clone() };
        host.invoker.del(&host.network, &bare).unwrap();
        assert_eq!(host.reservations(), Vec::<String>::new());
    });
}

/// What a chain's last plugin answers, through every plugin by hand, with what is random or a
/// place of this test's named instead. `None` when the kernel has no such links.
fn answer(bin: &Path, plugins: &[Value]) -> (Value, Vec<(String, String)>) {
    in_new_namespaces(NamespaceOptions::default(), || {
        let here = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let veth = corten_sys_netlink::route::NewVeth {
            name: "wire0",
            master: 0,
            peer_name: "wire1",
            peer_namespace: &here,
            peer_mac: None,
            mtu: None,
        };
        Links::open().unwrap().add_veth(&veth).unwrap();
        let host = Host::chain("1.0.0", |_networks| vec![json!({"type": "bridge"})]);
        let one = host.container("one");
        let networks = host.dir.path().join("networks");
        let mut result = Value::Null;
        for plugin in plugins {
            let mut conf = plugin.clone();
            conf["cniVersion"] = json!("1.0.0");
            conf["name"] = json!("corten");
            if conf["ipam"]["type"] == "host-local" {
                conf["ipam"]["dataDir"] = json!(networks);
            }
            if !result.is_null() {
                conf["prevResult"] = result.clone();
            }
            let plugin = plugin["type"].as_str().unwrap();
            let output = start(bin, plugin, "ADD", &one, &conf).wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{} {plugin}: {text}", bin.display());
            result = serde_json::from_str(&text).unwrap();
        }
        (named(result, one.args.netns.to_str().unwrap()), files(&networks.join("corten")))
    })
}

fn named(mut result: Value, netns: &str) -> Value {
    for interface in result["interfaces"].as_array_mut().into_iter().flatten() {
        assert!(interface["mac"].as_str().is_none_or(|mac| mac.len() == 17));
        if interface.get("mac").is_some() && interface["mac"] != "02:00:00:00:00:05" {
            interface["mac"] = json!("MAC");
        }
        if interface["name"].as_str().unwrap().starts_with("veth") {
            interface["name"] = json!("VETH");
        }
        if let Some(sandbox) = interface.get_mut("sandbox") {
            assert_eq!(sandbox, netns);
            *sandbox = json!("NETNS");
        }
    }
    result
}

/// The address files, by name.
fn files(dir: &Path) -> Vec<(String, String)> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn results_and_files_are_the_reference_plugins() {
    skip_unless!(is_root(), ROOT);
    skip_unless!(has_reference(), "containernetworking-plugins is not installed");
    let ours = tempfile::tempdir().unwrap();
    for plugin in corten_cni_plugins::names() {
        let binary = env!("CARGO_BIN_EXE_corten-cni");
        std::os::unix::fs::symlink(binary, ours.path().join(plugin)).unwrap();
    }
    let ranges = json!({"type": "host-local",
        "ranges": [[{"subnet": "10.42.0.0/24", "rangeStart": "10.42.0.20"}],
            [{"subnet": "fd42::/64", "gateway": "fd42::5"}]],
        "routes": [{"dst": "10.9.0.0/16", "gw": "10.42.0.7"}]});
    let written = json!({"type": "static",
        "addresses": [{"address": "10.42.0.9/24", "gateway": "10.42.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}]});
    let bridge = json!({"type": "bridge", "bridge": "br0", "isDefaultGateway": true,
        "mtu": 1400, "ipam": ranges});
    let chains = [
        vec![bridge.clone()],
        vec![json!({"type": "bridge", "isGateway": true, "ipam": written})],
        vec![json!({"type": "bridge", "dns": {"nameservers": ["10.42.0.1"]}, "ipam": {}})],
        vec![json!({"type": "ptp", "dns": {"domain": "x"}, "ipam": ranges})],
        vec![json!({"type": "macvlan", "master": "wire0", "ipam": ranges})],
        vec![json!({"type": "macvlan", "master": "wire0", "ipam": {}})],
        vec![json!({"type": "host-device", "device": "wire0", "ipam": written})],
        vec![json!({"type": "host-device", "device": "wire0"})],
        vec![json!({"type": "loopback"})],
        vec![bridge.clone(), json!({"type": "tuning", "mac": "02:00:00:00:00:05", "mtu": 1300})],
        vec![bridge.clone(), json!({"type": "sbr"})],
        vec![
            bridge.clone(),
            json!({"type": "bandwidth", "ingressRate": 8000,
            "ingressBurst": 80000, "egressRate": 8000, "egressBurst": 80000}),
        ],
        vec![
            bridge,
            json!({"type": "portmap", "runtimeConfig": {"portMappings":
            [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}}),
        ],
    ];
    for chain in chains {
        let (reference, reference_files) = answer(Path::new(REFERENCE), &chain);
        let (ours, our_files) = answer(ours.path(), &chain);
        let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
        assert_eq!(text(&sorted(&ours)), text(&sorted(&reference)), "{}", json!(chain));
        assert_eq!(our_files, reference_files, "{}", json!(chain));
    }
}

/// With keys in order.
fn sorted(value: &Value) -> Value {
    if let Some(map) = value.as_object() {
        let ordered: std::collections::BTreeMap<_, _> =
            map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
        return json!(ordered);
    }
    match value.as_array() {
        Some(list) => list.iter().map(sorted).collect(),
        None => value.clone(),
    }
}

#[test]
fn a_node_is_switched_over_and_back() {
    skip_unless!(is_root(), ROOT);
    skip_unless!(has_reference(), "containernetworking-plugins is not installed");
    in_new_namespaces(NamespaceOptions::default(), || {
        let ours = Host::chain("1.0.0", |networks| {
            vec![
                json!({"type": "bridge", "isDefaultGateway": true,
                    "ipam": host_local("10.42.0.0/24", networks)}),
                json!({"type": "bandwidth", "egressRate": 8000, "egressBurst": 80000}),
            ]
        });
        // The same network and cache, with the other plugins.
        let theirs = Invoker::new(vec![PathBuf::from(REFERENCE)], ours.dir.path());
        let network: &NetworkConfList = &ours.network;
        let (one, two) = (ours.container("one"), ours.container("two"));
        theirs.add(network, &one.args).unwrap();
        assert_eq!(ours.add(&two).ips[0].address.to_string(), "10.42.0.3/24");
        ours.invoker.check(network, &one.args).unwrap();
        ours.invoker.del(network, &one.args).unwrap();
        theirs.del(network, &two.args).unwrap();
        assert_eq!(ours.reservations(), Vec::<String>::new());
        let links = Links::open().unwrap().links().unwrap();
        let left: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(left, ["lo", "cni0"]);
    });
}
