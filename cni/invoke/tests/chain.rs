//! Chains of scripted plugins that record what they are given.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_cni_invoke::{InvokeError, Invoker};
use corten_cni_types::{Attachment, NetworkConfList, PortMapping, Protocol, RuntimeArgs};
use serde_json::Value;

struct Fixture {
    dir: tempfile::TempDir,
    invoker: Invoker,
}

/// Appends a line for each call, keeps the last input, and answers with `result`.
const PLUGIN: &str = r#"#!/bin/sh
dir="$(dirname "$0")"; me="$(basename "$0")"
echo "$CNI_COMMAND $me $CNI_CONTAINERID $CNI_IFNAME $CNI_NETNS $CNI_ARGS" >> "$dir/log"
cat > "$dir/$me.$CNI_COMMAND"
if [ -e "$dir/$me.fail" ]; then cat "$dir/$me.fail"; exit 1; fi
if [ "$CNI_COMMAND" = ADD ]; then echo '{"cniVersion":"1.1.0","interfaces":[{"name":"'$me'"}],
"ips":[{"address":"10.9.0.2/24"}]}'; fi
"#;

impl Fixture {
    fn new(plugins: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for plugin in plugins {
            let path = dir.path().join(plugin);
            std::fs::write(&path, PLUGIN).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let bin_dirs = vec![PathBuf::from("/nonexistent"), dir.path().to_owned()];
        let invoker = Invoker::new(bin_dirs, &dir.path().join("cache"));
        Self { dir, invoker }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("log")).unwrap_or_default();
        std::fs::remove_file(self.path("log")).unwrap_or_default();
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn input(&self, name: &str) -> Value {
        json(&self.path(name))
    }

    fn cached(&self) -> PathBuf {
        self.path("cache/results/net-c1-eth0")
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn network(version: &str) -> NetworkConfList {
    let text = format!(
        r#"{{"cniVersion":"{version}","name":"net","plugins":[{{"type":"first","x":1}},
        {{"type":"second","capabilities":{{"portMappings":true}}}}]}}"#
    );
    NetworkConfList::parse(text.as_bytes()).unwrap()
}

fn args() -> RuntimeArgs {
    let mapping =
        PortMapping { host_port: 8080, container_port: 80, protocol: Protocol::Tcp, host_ip: None };
    RuntimeArgs {
        container_id: "c1".into(),
        netns: "/run/netns/c1".into(),
        ifname: "eth0".into(),
        args: vec![("K8S_POD_NAME".into(), "web".into()), ("A".into(), "b".into())],
        ..RuntimeArgs::default()
    }
    .with_port_mappings(&[mapping])
}

#[test]
fn add_passes_results_along_and_del_undoes_in_reverse() {
    let fixture = Fixture::new(&["first", "second"]);
    let result = fixture.invoker.add(&network("1.1.0"), &args()).unwrap();
    assert_eq!(result.interfaces[0].name, "second");
    let call = "c1 eth0 /run/netns/c1 K8S_POD_NAME=web;A=b";
    assert_eq!(fixture.log(), [format!("ADD first {call}"), format!("ADD second {call}")]);
    let first = fixture.input("first.ADD");
    assert_eq!((&first["name"], &first["x"]), (&"net".into(), &1.into()));
    assert!(first.get("prevResult").is_none() && first.get("runtimeConfig").is_none());
    let second = fixture.input("second.ADD");
    assert_eq!(second["prevResult"]["interfaces"][0]["name"], "first");
    assert_eq!(second["runtimeConfig"]["portMappings"][0]["hostPort"], 8080);
    assert!(second.get("capabilities").is_none());
    assert_eq!(json(&fixture.cached())["kind"], "cniCacheV1");

    fixture.invoker.check(&network("1.1.0"), &args()).unwrap();
    assert_eq!(fixture.log().len(), 2);

    // The runtime has forgotten everything but the names.
    let bare =
        RuntimeArgs { container_id: "c1".into(), ifname: "eth0".into(), ..RuntimeArgs::default() };
    fixture.invoker.del(&network("1.1.0"), &bare).unwrap();
    let log = fixture.log();
    assert!(log[0].starts_with("DEL second c1 eth0") && log[1].starts_with("DEL first"));
    assert!(log[0].ends_with("K8S_POD_NAME=web;A=b"), "{log:?}");
    let second = fixture.input("second.DEL");
    assert_eq!(second["prevResult"]["interfaces"][0]["name"], "second");
    assert_eq!(second["runtimeConfig"]["portMappings"][0]["hostPort"], 8080);
    assert!(!fixture.cached().exists());
    fixture.invoker.del(&network("1.1.0"), &bare).unwrap();
}

#[test]
fn a_failing_plugin_says_why_and_del_can_be_repeated() {
    let fixture = Fixture::new(&["first", "second"]);
    fixture.invoker.add(&network("1.1.0"), &args()).unwrap();
    let error = r#"{"cniVersion":"1.1.0","code":11,"msg":"busy","details":"lock held"}"#;
    std::fs::write(fixture.path("first.fail"), error).unwrap();
    let error = fixture.invoker.del(&network("1.1.0"), &args()).unwrap_err();
    assert_eq!(error.cni_code(), Some(11));
    assert!(fixture.cached().exists());
    std::fs::write(fixture.path("first.fail"), "no json").unwrap();
    let error = fixture.invoker.add(&network("1.1.0"), &args()).unwrap_err();
    assert!(error.to_string().contains("no json"), "{error}");
    std::fs::remove_file(fixture.path("first.fail")).unwrap();
    fixture.invoker.del(&network("1.1.0"), &args()).unwrap();
    assert!(!fixture.cached().exists());
}

#[test]
fn gc_deletes_what_is_cached_and_no_longer_valid() {
    let fixture = Fixture::new(&["first", "second"]);
    let network = network("1.1.0");
    for id in ["c1", "c2"] {
        let args = RuntimeArgs { container_id: id.into(), ..args() };
        fixture.invoker.add(&network, &args).unwrap();
    }
    fixture.log();
    let valid = [Attachment { container_id: "c2".into(), ifname: "eth0".into() }];
    fixture.invoker.gc(&network, &valid).unwrap();
    let log = fixture.log();
    assert!(log[0].starts_with("DEL second c1") && log[1].starts_with("DEL first c1"));
    assert_eq!(log[2..], ["GC first", "GC second"]);
    let conf = fixture.input("second.GC");
    assert_eq!(conf["cni.dev/valid-attachments"][0]["containerID"], "c2");
    assert!(!fixture.cached().exists());
    assert!(fixture.path("cache/results/net-c2-eth0").exists());
}

#[test]
fn what_was_attached_is_detached_as_it_was_configured_then() {
    let fixture = Fixture::new(&["first", "second", "third"]);
    fixture.invoker.add(&network("1.1.0"), &args()).unwrap();
    let other = r#"{"cniVersion":"1.1.0","name":"other","plugins":[{"type":"third"}]}"#;
    let other = NetworkConfList::parse(other.as_bytes()).unwrap();
    let two = RuntimeArgs { container_id: "c2".into(), ..args() };
    fixture.invoker.add(&other, &two).unwrap();
    fixture.log();
    // Only the names are given, and no configuration.
    let bare =
        RuntimeArgs { container_id: "c1".into(), ifname: "eth0".into(), ..RuntimeArgs::default() };
    assert_eq!(fixture.invoker.del_cached(&bare).unwrap(), 1);
    let log = fixture.log();
    assert!(log[0].starts_with("DEL second c1") && log[1].starts_with("DEL first c1"), "{log:?}");
    assert_eq!(fixture.input("first.DEL")["x"], 1);
    assert_eq!(fixture.invoker.del_cached(&bare).unwrap(), 0);

    // Of a network that is configured no more; its namespace is gone.
    let valid = [Attachment { container_id: "c2".into(), ifname: "eth0".into() }];
    fixture.invoker.del_stale(&valid).unwrap();
    assert_eq!(fixture.log(), Vec::<String>::new());
    fixture.invoker.del_stale(&[]).unwrap();
    assert_eq!(fixture.log(), ["DEL third c2 eth0  K8S_POD_NAME=web;A=b"]);
}

#[test]
fn an_add_that_ended_halfway_is_known() {
    let fixture = Fixture::new(&["first", "second"]);
    std::fs::write(fixture.path("second.fail"), "killed").unwrap();
    fixture.invoker.add(&network("1.1.0"), &args()).unwrap_err();
    let error = fixture.invoker.check(&network("1.1.0"), &args()).unwrap_err();
    assert!(matches!(error, InvokeError::NotAdded { .. }), "{error}");
    std::fs::remove_file(fixture.path("second.fail")).unwrap();
    fixture.log();
    fixture.invoker.gc(&network("1.1.0"), &[]).unwrap();
    let log = fixture.log();
    assert!(log[0].starts_with("DEL second c1") && log[1].starts_with("DEL first c1"), "{log:?}");
    assert!(fixture.input("first.DEL").get("prevResult").is_none());
    assert!(!fixture.cached().exists());
}

#[test]
fn verbs_that_a_version_lacks_are_not_called() {
    let fixture = Fixture::new(&["first", "second"]);
    fixture.invoker.status(&network("1.0.0")).unwrap();
    assert_eq!(fixture.log(), Vec::<String>::new());
    fixture.invoker.status(&network("1.1.0")).unwrap();
    assert_eq!(fixture.log(), ["STATUS first", "STATUS second"]);
    let error = fixture.invoker.check(&network("0.3.1"), &args()).unwrap_err();
    assert!(matches!(error, InvokeError::Version { .. }), "{error}");
    let error = fixture.invoker.check(&network("1.1.0"), &args()).unwrap_err();
    assert!(matches!(error, InvokeError::NotAdded { .. }), "{error}");
}

#[test]
fn what_cannot_be_run_is_named() {
    let fixture = Fixture::new(&["first"]);
    let error = fixture.invoker.status(&network("1.1.0")).unwrap_err();
    assert!(error.to_string().starts_with("CNI plugin \"second\" is in none"), "{error}");
    std::fs::write(fixture.path("first"), "#!/bin/sh\nexec sleep 100\n").unwrap();
    let invoker = Invoker::new(vec![fixture.dir.path().to_owned()], fixture.dir.path())
        .with_time_limit(Duration::from_millis(300));
    let error = invoker.add(&network("1.1.0"), &args()).unwrap_err();
    assert!(matches!(error, InvokeError::Timeout { .. }), "{error}");
    let bad = RuntimeArgs { container_id: "../x".into(), ..args() };
    let error = invoker.add(&network("1.1.0"), &bad).unwrap_err();
    assert!(matches!(error, InvokeError::Parameter { .. }), "{error}");
}
