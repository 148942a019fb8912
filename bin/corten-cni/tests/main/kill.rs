//! A plugin that is killed at any point leaves what the next DEL or GC cleans up.

use std::process::Child;
use std::time::{Duration, Instant};

use corten_cni_types::NetworkConfList;
use corten_sys_netlink::route::Links;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use serde_json::{Value, json};

use crate::lab::{Container, Host, ROOT, bridge};

/// At how many points each plugin's ADD is killed.
const POINTS: u32 = 24;

/// What every plugin keeps outside of a container's namespace is in this chain.
pub(crate) fn chain(networks: &std::path::Path) -> Vec<Value> {
    vec![
        bridge(&json!({"macspoofchk": true}), "10.42.0.0/24", networks),
        json!({"type": "portmap", "capabilities": {"portMappings": true}}),
        json!({"type": "firewall"}),
        json!({"type": "bandwidth", "ingressRate": 8_000_000, "ingressBurst": 800_000,
            "egressRate": 8_000_000, "egressBurst": 800_000}),
        json!({"type": "tuning", "dataDir": networks.parent().unwrap().join("tuning"),
            "mtu": 1400}),
    ]
}

/// The first `count` plugins of the host's network.
fn first(host: &Host, count: usize) -> NetworkConfList {
    NetworkConfList { plugins: host.network.plugins[..count].to_vec(), ..host.network.clone() }
}

/// Starts ADD of one plugin with the result of those before it.
fn start(host: &Host, container: &Container, index: usize) -> Child {
    let mut conf = host.network.plugins[index].raw.clone();
    conf.insert("cniVersion".into(), json!("1.1.0"));
    conf.insert("name".into(), json!(host.network.name));
    conf.insert("runtimeConfig".into(), json!(container.args.capability_args));
    if index > 0 {
        let previous = host.invoker.add(&first(host, index), &container.args).unwrap();
        conf.insert("prevResult".into(), previous.to_json(host.network.cni_version));
    }
    let plugin = &host.network.plugins[index].plugin_type;
    crate::lab::start(&host.dir.path().join("bin"), plugin, "ADD", container, &Value::Object(conf))
}

/// Kills the plugin that many microseconds after its start, unless it has ended; tells whether it
/// had.
fn kill_after(mut child: Child, delay: Duration) -> bool {
    let deadline = Instant::now() + delay;
    while Instant::now() < deadline {
        std::hint::spin_loop();
    }
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    ended
}

fn rules() -> String {
    let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Nothing names the container any more.
fn assert_clean(host: &Host, id: &str, what: &str) {
    assert_eq!(host.reservations(), Vec::<String>::new(), "{what}");
    let rules = rules();
    assert!(!rules.contains(&format!("corten {id} eth0")), "{what}: {rules}");
    // The links of a namespace that was let go of vanish a little later.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let links = Links::open().unwrap().links().unwrap();
        let names: Vec<_> = links.into_iter().map(|link| link.name).collect();
        let left = names.iter().find(|name| name.starts_with("veth") || name.starts_with("bwp"));
        let Some(left) = left else { break };
        assert!(Instant::now() < deadline, "{what}: {left} is left");
        std::thread::sleep(Duration::from_millis(10));
    }
    let tuning = host.dir.path().join("tuning");
    let files = std::fs::read_dir(tuning).map(|files| files.count()).unwrap_or(0);
    assert_eq!(files, 0, "{what}: settings are kept");
}

#[test]
fn whatever_is_killed_is_cleaned_up() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::chain("1.1.0", chain);
        for index in 0..host.network.plugins.len() {
            let plugin = host.network.plugins[index].plugin_type.clone();
            // How long it takes when nobody kills it.
            let whole = host.ported(&format!("whole-{index}"));
            let child = start(&host, &whole, index);
            let begin = Instant::now();
            assert!(child.wait_with_output().unwrap().status.success(), "{plugin}");
            let time = begin.elapsed();
            host.invoker.del(&host.network, &whole.args).unwrap();
            assert_clean(&host, &whole.args.container_id, &plugin);

            let mut killed = 0;
            for point in 0..POINTS {
                let id = format!("c{index}-{point}");
                let container = host.ported(&id);
                let ended = kill_after(start(&host, &container, index), time * point / POINTS);
                killed += u32::from(!ended);
                let what = format!("{plugin}, killed at {point}/{POINTS}");
                if point % 2 == 0 {
                    host.invoker.del(&host.network, &container.args).unwrap();
                    let gone = container.run(|| Links::open().unwrap().link("eth0").unwrap());
                    assert_eq!(gone, None, "{what}");
                } else {
                    // The container ends, and the runtime has forgotten it.
                    host.forget(container);
                    host.invoker.gc(&host.network, &[]).unwrap();
                }
                assert_clean(&host, &id, &what);
            }
            assert!(killed > 0, "{plugin} was always faster");
        }
        // And after all of that the network is whole.
        let last = host.ported("last");
        host.add(&last);
        host.invoker.check(&host.network, &last.args).unwrap();
    });
}
