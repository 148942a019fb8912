//! Wrong use: the status, a message with the cause, and nothing left behind.

use std::path::Path;
use std::process::Output;

use corten_tests_harness::{NamespaceOptions, in_new_namespaces};
use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};

use crate::world::{World, need_containers, text};

/// The cgroups of the test's container, in whatever hierarchy.
fn cgroups(world: &World) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let groups = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (target, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| format!("{target}/{}", world.id))
    });
    groups.filter(|path| Path::new(path).exists()).collect()
}

/// A failure by its cause: status 1, the message on standard error and in the log, and no trace.
fn fails(world: &World, words: &[&str], cause: &str) -> Output {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let output = world.call(words);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
    assert!(text(&output.stderr).contains(cause), "{words:?}: {output:?}");
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error");
    assert!(last["msg"].as_str().unwrap().contains(cause), "{last}");
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), mounts);
    output
}

/// As [`fails`], for what would have made a container.
fn makes_nothing(world: &World, words: &[&str], cause: &str) {
    fails(world, words, cause);
    assert!(!world.path("state").join(&world.id).exists(), "{words:?}: a state is left");
    assert_eq!(cgroups(world), [""; 0], "{words:?}: cgroups are left");
}

#[test]
fn bundles_that_are_none() {
    need_containers!();
    let mut world = World::new("true");
    makes_nothing(&world, &["create", "-b", "/absent", "ID"], "/absent/config.json");
    std::fs::create_dir(world.path("empty")).unwrap();
    makes_nothing(&world, &["create", "-b", "empty", "ID"], "No such file or directory");
    std::fs::write(world.path("empty/config.json"), "{ \"ociVersion\": ").unwrap();
    makes_nothing(&world, &["create", "-b", "empty", "ID"], "EOF while parsing");
    world.spec["root"]["path"] = json!("absent");
    makes_nothing(&world, &["create", "ID"], "absent");
    world.spec["root"]["path"] = json!("rootfs");
    world.spec["process"]["args"] = json!(["absent"]);
    makes_nothing(&world, &["create", "ID"], "executable file not found in $PATH");
    world.spec["process"]["cwd"] = json!("relative");
    makes_nothing(&world, &["create", "ID"], "process.cwd");
}

#[test]
fn limits_and_mounts_that_fail() {
    need_containers!();
    let mut world = World::new("true");
    world.spec["linux"]["resources"] = json!({ "cpu": { "cpus": "4096" } });
    makes_nothing(&world, &["create", "ID"], "cpuset.cpus");
    world.spec["linux"]["resources"] = json!({});
    let mounts = world.spec["mounts"].clone();
    world.spec["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/tmp", "source": "/absent", "options": ["bind"],
    }));
    makes_nothing(&world, &["create", "ID"], "/absent");
    world.spec["mounts"] = mounts;
    let socket = world.path("nobody").display().to_string();
    world.spec["process"]["terminal"] = json!(true);
    makes_nothing(&world, &["create", "--console-socket", &socket, "ID"], "--console-socket");
    world.spec["process"]["terminal"] = json!(false);
    makes_nothing(&world, &["create", "--pidfd-socket", &socket, "ID"], "--pidfd-socket");
    makes_nothing(&world, &["create", "--pid-file", "absent/pid", "ID"], "--pid-file");
    makes_nothing(&world, &["--systemd-cgroup", "create", "ID"], "slice:prefix:name");
    world.spec["linux"]["cgroupsPath"] = json!("a.slice:b:c");
    if !Path::new("/run/systemd/private").exists() {
        makes_nothing(&world, &["--systemd-cgroup", "create", "ID"], "systemd cannot be reached");
    }
}

#[test]
fn an_id_that_is_taken_and_one_that_is_not() {
    need_containers!();
    let world = World::new("sleep 1000");
    fails(&world, &["start", "ID"], "container does not exist");
    fails(&world, &["kill", "ID", "KILL"], "container does not exist");
    fails(&world, &["delete", "ID"], "container does not exist");
    fails(&world, &["exec", "--absent", "ID", "true"], "--absent");
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    fails(&world, &["create", "ID"], "container with given ID already exists");
    // The one that was there is none the worse for it.
    assert_eq!(world.state()["status"], "running");
    fails(&world, &["start", "ID"], "running");
    fails(&world, &["delete", "ID"], "cannot delete container");
    fails(&world, &["kill", "ID", "99"], "signal 99");
    assert!(world.call(&["kill", "ID", "KILL"]).status.success());
    while world.state()["status"] != "stopped" {
        std::thread::yield_now();
    }
    fails(&world, &["kill", "ID", "TERM"], "container not running");
    fails(&world, &["start", "ID"], "stopped");
    let exec = world.call(&["exec", "ID", "true"]);
    assert_eq!(exec.status.code(), Some(255));
    assert!(text(&exec.stderr).contains("cannot exec in a stopped container"), "{exec:?}");
}

#[test]
fn a_user_by_name_is_refused() {
    need_containers!();
    let world = World::new("sleep 1000");
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    fails(&world, &["exec", "-u", "nobody", "ID", "true"], "\"nobody\" is not a number");
    fails(&world, &["exec", "-g", "wheel", "ID", "true"], "\"wheel\" is not a number");
}

#[test]
fn a_disk_that_is_full() {
    need_containers!();
    let world = World::new("true");
    in_new_namespaces(NamespaceOptions { net: false, cgroup: false }, || {
        let state = world.path("state");
        std::fs::create_dir_all(&state).unwrap();
        mount("tmpfs", &state, "tmpfs", MountFlags::empty(), Some(c"size=16k")).unwrap();
        // To the last byte; an error is what is wanted.
        drop(std::fs::write(state.join("filler"), [0; 64 << 10]));
        makes_nothing(&world, &["create", "ID"], "No space left on device");
        std::fs::remove_file(state.join("filler")).unwrap();
        assert_eq!(world.call_apart(&["create", "ID"]), 0);
        assert!(world.call(&["delete", "--force", "ID"]).status.success());
    });
}
