//! The protocol's frame, without a network.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Runs a plugin by hand.
fn call(plugin: &str, variables: &[(&str, &str)], input: &str) -> (bool, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(plugin);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_corten-cni"), &path).unwrap();
    let mut child = Command::new(&path)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A plugin that does not read its input closes the pipe.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Plugin, environment, input; code and a part of the error that is to come.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u32, &'a str);

#[test]
fn the_protocol_without_a_network() {
    let (ok, out, err) = call("bridge", &[], "");
    assert!(ok && out.is_empty() && err.starts_with("CNI plugin bridge"), "{err}");
    let (ok, out, _) = call("portmap", &[("CNI_COMMAND", "VERSION")], "{}");
    let versions: Value = serde_json::from_str(&out).unwrap();
    assert!(ok);
    assert_eq!(versions["supportedVersions"], json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));

    let add = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/nowhere"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    let with = |key: &str, value: &'static str| -> Vec<(&str, &str)> {
        add.iter().map(|&(name, old)| (name, if name == key { value } else { old })).collect()
    };
    let good = r#"{"cniVersion":"1.1.0","name":"n","type":"bridge"}"#;
    let cases: &[Case<'_>] = &[
        ("bridge", vec![("CNI_COMMAND", "ADD")], good, 4, "[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"),
        ("bridge", vec![("CNI_COMMAND", "X")], good, 4, "bad CNI_COMMAND"),
        ("bridge", with("CNI_CONTAINERID", "../x"), good, 4, "CNI_CONTAINERID"),
        ("bridge", with("CNI_IFNAME", "a/b"), good, 4, "CNI_IFNAME"),
        ("bridge", with("", ""), "{", 6, "decode"),
        ("bridge", with("", ""), r#"{"cniVersion":"9.9.9","name":"n"}"#, 1, "incompatible"),
        ("bridge", with("", ""), r#"{"cniVersion":"1.1.0"}"#, 7, "missing network name"),
        ("bridge", with("", ""), good, 3, "/run/netns/nowhere is not a network namespace"),
        ("bridge", with("CNI_NETNS", "/proc/self/ns/net"), good, 8, "should not be the same"),
        (
            "bridge",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","vlanning":5}"#,
            2,
            "option vlanning is not supported",
        ),
        (
            "bridge",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","ipMasqBackend":"iptables"}"#,
            2,
            "ipMasqBackend",
        ),
        (
            "bridge",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","hairpinMode":true,"promiscMode":true}"#,
            7,
            "exclude each other",
        ),
        (
            "host-local",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","ipam":{"type":"host-local","ranges":
               [[{"subnet":"10.0.0.0/8"}],[{"subnet":"10.1.0.0/16"}]]}}"#,
            7,
            "ipam.ranges[0] overlaps with ipam.ranges[1]",
        ),
        ("portmap", with("CNI_COMMAND", "GC"), good, 7, "GC needs cni.dev/valid-attachments"),
        (
            "portmap",
            with("CNI_COMMAND", "GC"),
            r#"{"cniVersion":"1.0.0","name":"n"}"#,
            1,
            "config version does not allow GC",
        ),
        ("unheard-of", with("", ""), good, 7, "no plugin \"unheard-of\""),
    ];
    for (plugin, variables, input, code, expected) in cases {
        let (ok, out, _) = call(plugin, variables, input);
        let error: Value = serde_json::from_str(&out).unwrap();
        assert!(!ok, "{out}");
        assert_eq!(error["code"], json!(code), "{out}");
        assert!(out.contains(&expected.replace('"', "\\\"")), "{out}");
    }
}
