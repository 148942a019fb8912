//! Pause, limits, statistics, lists.

use std::process::Command;

use serde_json::{Value, json};

use crate::world::{TMP, World, need_containers, text};

#[test]
fn paused_and_resumed() {
    need_containers!();
    let world = World::new("sleep 1000");
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    let resume = world.call(&["resume", "ID"]);
    assert!(text(&resume.stderr).contains("container not paused"), "{resume:?}");
    assert!(world.call(&["pause", "ID"]).status.success());
    assert_eq!(world.state()["status"], "paused");
    let exec = world.call(&["exec", "ID", "true"]);
    assert_eq!(exec.status.code(), Some(255));
    assert!(text(&exec.stderr).contains("cannot exec in a paused container"), "{exec:?}");
    let delete = world.call(&["delete", "ID"]);
    assert!(text(&delete.stderr).contains("cannot delete container"), "{delete:?}");
    assert!(world.call(&["resume", "ID"]).status.success());
    assert_eq!(world.state()["status"], "running");
    // What is frozen dies all the same.
    assert!(world.call(&["pause", "ID"]).status.success());
    assert!(world.call(&["kill", "ID", "KILL"]).status.success());
    while world.state()["status"] != "stopped" {
        std::thread::yield_now();
    }
    let pause = world.call(&["pause", "ID"]);
    assert!(text(&pause.stderr).contains("container not running"), "{pause:?}");
}

#[test]
fn limits_change_while_it_runs() {
    need_containers!();
    let mut world = World::new("sleep 1000");
    world.spec["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 } });
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    let memory = |world: &World| {
        let output = world.call(&["events", "--stats", "ID"]);
        let event: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&event["type"], event["id"].as_str()), (&json!("stats"), Some(&*world.id)));
        (event["data"]["memory"]["usage"]["limit"].clone(), event["data"]["pids"].clone())
    };
    assert_eq!(memory(&world), (json!(64 << 20), json!({ "current": 1 })));
    let update = world.call(&["update", "--memory", "96m", "--pids-limit", "9", "ID"]);
    assert!(update.status.success(), "{update:?}");
    assert_eq!(memory(&world), (json!(96 << 20), json!({ "current": 1, "limit": 9 })));
    std::fs::write(world.path("r"), r#"{ "memory": { "limit": 134217728 }, "pids": {} }"#).unwrap();
    let update = world.call(&["update", "--resources", "r", "ID"]);
    assert!(update.status.success(), "{update:?}");
    assert_eq!(memory(&world).0, json!(128 << 20));
    for (words, named) in [
        (&["update", "--resources", "absent", "ID"][..], "absent"),
        (&["update", "--cpuset-cpus", "x", "ID"], "cpu.cpus"),
        (&["update", "--blkio-weight", "3", "ID"], "io.weight"),
        (&["update", "--l3-cache-schema", "x", "ID"], "l3-cache-schema"),
    ] {
        let output = world.call(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(text(&output.stderr).contains(named), "{output:?}");
    }
}

#[test]
fn a_kill_for_want_of_memory_is_an_event() {
    need_containers!();
    let mut world = World::new("sleep 1000");
    world.spec["linux"]["resources"] = json!({ "memory": { "limit": 16 << 20 } });
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    let events = Command::new(env!("CARGO_BIN_EXE_corten-run"))
        .arg("--root")
        .arg(world.path("state"))
        .args(["events", "--interval", "10ms", &world.id])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let hog = ["exec", "ID", "sh", "-c", "a=x; while true; do a=$a$a; done"];
    assert_eq!(world.call(&hog).status.code(), Some(137));
    assert!(world.call(&["kill", "ID", "KILL"]).status.success());
    // They end with the container.
    let output = events.wait_with_output().unwrap();
    let said = text(&output.stdout);
    let kinds: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(kinds.iter().any(|event| event["type"] == "stats"), "{said}");
    assert!(kinds.iter().any(|event| event["type"] == "oom"), "{said}");
    let late = world.call(&["events", "ID"]);
    assert!(text(&late.stderr).contains("is not running"), "{late:?}");
}

#[test]
fn processes_are_listed() {
    need_containers!();
    let world = World::new("sleep 1000 & sleep 1000; true");
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    let pids = || {
        let output = world.call(&["ps", "--format", "json", "ID"]);
        let pids: Vec<i64> = serde_json::from_slice(&output.stdout).unwrap();
        pids
    };
    while pids().len() != 3 {
        std::thread::yield_now();
    }
    assert!(pids().contains(&world.state()["pid"].as_i64().unwrap()));
    let table = world.call(&["ps", "ID", "-o", "pid,comm"]);
    if !table.status.success() {
        // ps(1) is a package of its own (procps).
        assert!(text(&table.stderr).contains("ps(1)"), "{table:?}");
        return;
    }
    assert_eq!(text(&table.stdout).lines().count(), 4, "{table:?}");
}

#[test]
fn a_pidfd_goes_to_who_asks() {
    need_containers!();
    let world = World::new("sleep 1000");
    let listener = std::os::unix::net::UnixListener::bind(world.path("pidfd")).unwrap();
    let waiting = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        corten_sys_linux::fdpass::receive(&socket, &mut [0; 64]).unwrap().fds
    });
    assert_eq!(world.call_apart(&["run", "-d", "--pidfd-socket", "pidfd", "ID"]), 0);
    let pidfd = corten_sys_linux::pidfd::Pidfd::from(waiting.join().unwrap().remove(0));
    pidfd.send_signal(9).unwrap();
    while world.state()["status"] != "stopped" {
        std::thread::yield_now();
    }
}

#[test]
fn a_spec_is_written_once() {
    let dir = tempfile::tempdir_in(TMP).unwrap();
    let spec = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten-run"));
        command.arg("spec").args(flags).current_dir(dir.path()).output().unwrap()
    };
    assert!(spec(&["--rootless"]).status.success());
    let written: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("config.json")).unwrap()).unwrap();
    assert!(written["linux"]["uidMappings"].is_array());
    let again = spec(&[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("File exists"), "{again:?}");
}
