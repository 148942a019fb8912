//! Engines made for runc, driving this runtime: podman and containerd as Debian ships them.
//!
//! Each test has a pid and a mount namespace of its own, with everything the engine keeps on a
//! tmpfs: whatever happens, all of it is gone when the test ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails the test that it helps"
)]

mod peers {
    pub(crate) mod lab;
}

use corten_tests_harness::skip;
use peers::lab::{Lab, RUNTIME};

macro_rules! need {
    ($($program:literal),+) => {
        if !corten_tests_harness::is_root() {
            skip("engines need root");
            return;
        }
        $(if !peers::lab::installed($program) {
            skip(concat!($program, " is not installed"));
            return;
        })+
    };
}

/// podman's flags for a world of its own. Events go to a file: there is no journal.
fn podman(lab: &Lab) -> Vec<String> {
    let dir = lab.dir();
    let flags = format!(
        "podman --root {dir}/root --runroot {dir}/runroot --tmpdir {dir}/tmp --storage-driver vfs \
         --cgroup-manager cgroupfs --events-backend file --runtime {RUNTIME}"
    );
    flags.split(' ').map(str::to_owned).collect()
}

/// What every container of these tests is made with: no network, as there is none in the lab.
/// podman's own seccomp profile is in force.
const CONTAINED: [&str; 2] = ["--network", "none"];

#[test]
fn podman_runs_execs_pauses_updates_kills_and_removes() {
    need!("podman", "conmon", "unshare", "nsenter");
    let lab = Lab::new();
    let base = podman(&lab);
    let call = |words: &[&str]| {
        let words: Vec<&str> =
            base.iter().map(String::as_str).chain(words.iter().copied()).collect();
        lab.call(&words)
    };
    let with = |before: &[&'static str], after: &[&'static str]| {
        call(&[before, &CONTAINED[..], after].concat())
    };
    let tar = lab.rootfs_tar();
    assert_eq!(call(&["import", &tar, "localhost/busybox:1"]).status, 0);

    let run = with(&["run", "--rm"], &["localhost/busybox:1", "sh", "-c", "echo out; exit 7"]);
    assert_eq!((run.status, run.stdout.as_str()), (7, "out\n"), "{run:?}");
    let run = with(&["run", "--rm", "-t"], &["localhost/busybox:1", "tty"]);
    assert_eq!((run.status, run.stdout.trim()), (0, "/dev/pts/0"), "{run:?}");
    // 127 is podman's word for a program that is not there; it reads the runtime's message for it.
    let run = with(&["run", "--rm"], &["localhost/busybox:1", "absent"]);
    assert_eq!(run.status, 127, "{run:?}");

    let run = with(
        &["run", "-d", "--name", "one", "--memory", "64m", "--pids-limit", "50"],
        &["localhost/busybox:1", "sleep", "1000"],
    );
    assert_eq!(run.status, 0, "{run:?}");
    let exec = call(&["exec", "one", "sh", "-c", "echo in; exit 3"]);
    assert_eq!((exec.status, exec.stdout.as_str()), (3, "in\n"), "{exec:?}");
    assert_eq!(call(&["exec", "one", "absent"]).status, 127);

    let status = || call(&["inspect", "-f", "{{.State.Status}}", "one"]).stdout.trim().to_owned();
    assert_eq!(call(&["pause", "one"]).status, 0);
    assert_eq!(status(), "paused");
    assert_eq!(call(&["unpause", "one"]).status, 0);
    assert_eq!(status(), "running");

    assert_eq!(call(&["update", "--memory", "128m", "one"]).status, 0);
    // podman's own word for the limit is what the container was made with, so the cgroup is asked.
    let id = call(&["inspect", "-f", "{{.Id}}", "one"]).stdout;
    let stats = lab.call(&[RUNTIME, "events", "--stats", id.trim()]);
    let stats: serde_json::Value = serde_json::from_str(&stats.stdout).unwrap();
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 128 << 20, "{stats}");
    let stats = call(&["stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", "one"]);
    assert!(stats.stdout.starts_with("1 ") && stats.stdout.contains("kB / "), "{stats:?}");
    let top = call(&["top", "one"]);
    assert!(top.stdout.contains("sleep 1000"), "{top:?}");

    assert_eq!(call(&["kill", "one"]).status, 0);
    assert_eq!(call(&["wait", "one"]).stdout.trim(), "137");
    assert_eq!(call(&["rm", "one"]).status, 0);
    assert_eq!(call(&["ps", "-aq"]).stdout, "");
}

#[test]
fn containerd_runs_execs_pauses_counts_kills_and_removes() {
    need!("containerd", "ctr", "unshare", "nsenter");
    let lab = Lab::new();
    let dir = lab.dir();
    let config = format!(
        "version = 2\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{dir}/socket\"\n"
    );
    lab.write("config.toml", &config);
    lab.spawn(&["containerd", "-c", &format!("{dir}/config.toml")]);
    let socket = format!("{dir}/socket");
    lab.until(|| lab.call(&["ctr", "-a", &socket, "version"]).status == 0);
    let call = |words: &[&str]| lab.call(&[&["ctr", "-a", &socket], words].concat());
    let state = format!("{dir}/runtime");
    let rootfs = lab.rootfs();
    let run = |words: &[&str], after: &[&str]| {
        let runtime =
            ["run", "--runtime", "io.containerd.runc.v2", "--runc-binary", RUNTIME, "--runc-root"];
        call(&[&runtime[..], &[&state, "--seccomp"], words, &["--rootfs", &rootfs], after].concat())
    };

    let echo = run(&["--rm"], &["one", "/bin/sh", "-c", "echo out; exit 7"]);
    assert_eq!((echo.status, echo.stdout.as_str()), (7, "out\n"), "{echo:?}");
    // The message is the runtime's own, out of its JSON log.
    let absent = run(&["--rm"], &["two", "absent"]);
    assert!(absent.stderr.contains("executable file not found in $PATH"), "{absent:?}");

    let run = run(&["-d"], &["three", "/bin/sleep", "1000"]);
    assert_eq!(run.status, 0, "{run:?}");
    let exec =
        call(&["task", "exec", "--exec-id", "e", "three", "/bin/sh", "-c", "echo in; exit 3"]);
    assert_eq!((exec.status, exec.stdout.as_str()), (3, "in\n"), "{exec:?}");
    let is = |status: &str| call(&["task", "ls"]).stdout.contains(status);
    assert_eq!(call(&["task", "pause", "three"]).status, 0);
    assert!(is("PAUSED"));
    assert_eq!(call(&["task", "resume", "three"]).status, 0);
    assert!(is("RUNNING"));
    let metrics = call(&["task", "metrics", "three"]);
    assert!(metrics.stdout.contains("pids.current"), "{metrics:?}");
    assert!(call(&["task", "ps", "three"]).stdout.lines().count() == 2);
    assert_eq!(call(&["task", "kill", "-s", "KILL", "three"]).status, 0);
    lab.until(|| is("STOPPED"));
    let removed = call(&["task", "rm", "three"]);
    assert!(removed.stderr.contains("exit code 137"), "{removed:?}");
    assert_eq!(call(&["container", "rm", "three"]).status, 0);
    assert_eq!(call(&["container", "ls", "-q"]).stdout, "");
}
