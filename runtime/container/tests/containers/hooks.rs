//! Hooks: which, when, where, and what their failure does.

use std::path::PathBuf;

use corten_runtime_container::{Status, delete, start};
use corten_sys_linux::pidfd::Pidfd;
use serde_json::{Value, json};

use crate::world::{World, chain, need_containers};

/// A hook of the host that appends what `script` says to `<dir>/log`.
fn hook(world: &World, script: &str) -> Value {
    json!({
        "path": "/bin/sh",
        "args": ["sh", "-c", format!("{{ {script}; }} >> {}", log(world).display())],
        "env": ["PATH=/usr/bin:/bin", "A=exact"],
    })
}

fn log(world: &World) -> PathBuf {
    world.path("log")
}

fn logged(world: &World) -> String {
    std::fs::read_to_string(log(world)).unwrap_or_default()
}

/// Each hook says its name and the state that it was given.
fn with_all(script: &str) -> World {
    let mut world = World::new(script);
    let mut hooks = serde_json::Map::new();
    for name in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        let script = format!("echo \"{name} $(cat)\"");
        hooks.insert(name.to_owned(), json!([hook(&world, &script)]));
    }
    hooks.insert(
        "startContainer".to_owned(),
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", "echo \"startContainer $(cat)\" >> /tmp/log"],
                 "env": ["PATH=/bin"] }]),
    );
    world.spec["hooks"] = Value::Object(hooks);
    world.spec["annotations"] = json!({ "some": "thing" });
    world
}

#[test]
fn hooks_run_in_order_with_the_state_they_should_see() {
    need_containers!();
    let world = with_all("test -s /tmp/log && sleep 1000");
    let created = world.create().unwrap();
    let pid = created.pid.as_raw_nonzero().get();
    let told = |line: &str, name: &str| -> Value {
        let (first, state) = line.split_once(' ').unwrap();
        assert_eq!(first, name);
        let state: Value = serde_json::from_str(state).unwrap();
        assert_eq!(state["id"], world.id.as_str());
        assert_eq!(state["bundle"], world.dir.path().to_str().unwrap());
        assert_eq!(state["ociVersion"], "1.2.0");
        assert_eq!(state["annotations"]["some"], "thing");
        state
    };
    let text = logged(&world);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (line, name, expected) in [
        (lines[0], "prestart", pid),
        (lines[1], "createRuntime", pid),
        // As the container sees it.
        (lines[2], "createContainer", 1),
    ] {
        let state = told(line, name);
        assert_eq!((&state["status"], &state["pid"]), (&json!("creating"), &json!(expected)));
    }
    start(&world.states, &world.id).unwrap();
    let inside = std::fs::read_to_string(world.rootfs().join("tmp/log")).unwrap();
    let state = told(inside.trim(), "startContainer");
    assert_eq!((&state["status"], &state["pid"]), (&json!("created"), &json!(1)));
    let text = logged(&world);
    let state = told(text.lines().nth(3).unwrap(), "poststart");
    assert_eq!((&state["status"], &state["pid"]), (&json!("running"), &json!(pid)));
    delete(&world.states, &world.id, true).unwrap();
    let text = logged(&world);
    let state = told(text.lines().nth(4).unwrap(), "poststop");
    assert_eq!((&state["status"], &state["pid"]), (&json!("stopped"), &Value::Null));
    assert_eq!(text.lines().count(), 5);
    drop(Pidfd::from(created.pidfd).wait());
}

/// The container's mounts are there, at the place of the root on the host; the root is the host's;
/// and what such a hook mounts below the container's root, the container has (crun once ran these
/// before its mounts were attached).
#[test]
fn a_create_container_hook_sees_the_hosts_root_and_the_containers_mounts() {
    need_containers!();
    let mut world = World::new("cat /mnt/from-hook; hostname");
    let root = world.rootfs();
    let script = format!(
        "pwd; readlink /proc/self/ns/net; test -e {root}/proc/1/status && echo mounted; hostname; \
         mount -t tmpfs hook {root}/mnt && echo hello > {root}/mnt/from-hook; echo $A; env | wc -l",
        root = root.display()
    );
    world.spec["hooks"] = json!({ "createContainer": [hook(&world, &script)] });
    let created = world.create().unwrap();
    let pid = created.pid.as_raw_nonzero().get();
    let net = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    let text = logged(&world);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[..5],
        [root.to_str().unwrap(), net.to_str().unwrap(), "mounted", "box", "exact"]
    );
    // PATH and A, and what the shell itself sets (PWD).
    assert!(lines[5].parse::<u32>().unwrap() <= 5, "{text}");
    start(&world.states, &world.id).unwrap();
    Pidfd::from(created.pidfd).wait().unwrap();
    assert_eq!(world.output(), "hello\nbox\n");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(root.to_str().unwrap()), "{mounts}");
}

#[test]
fn a_runtime_hook_runs_where_the_runtime_is() {
    need_containers!();
    let mut world = World::new("true");
    let script = "pwd; readlink /proc/self/ns/net; readlink /proc/self/ns/mnt";
    world.spec["hooks"] = json!({ "createRuntime": [hook(&world, script)] });
    world.create().unwrap();
    let own = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let expected = format!("{}\n{}\n{}\n", world.dir.path().display(), own("net"), own("mnt"));
    assert_eq!(logged(&world), expected);
}

#[test]
fn a_hook_that_fails_fails_the_create_and_leaves_nothing() {
    need_containers!();
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut world = World::new("true");
        let broken =
            json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo why it failed; exit 3"] });
        world.spec["hooks"] = json!({
            kind: [hook(&world, "echo first"), broken, hook(&world, "echo never")],
            "poststop": [hook(&world, "echo after")],
        });
        let error = world.create_error();
        let expected = format!("hooks.{kind}[1]: /bin/sh ended with exit status 3: why it failed");
        assert!(error.contains(&expected), "{error}");
        assert_eq!(logged(&world), "first\nafter\n");
        assert!(world.cgroup_folders().is_empty());
        world.states.load(&world.id).unwrap_err();
    }
}

#[test]
fn a_hook_that_takes_too_long_is_killed() {
    need_containers!();
    for kind in ["createRuntime", "createContainer"] {
        let mut world = World::new("true");
        world.spec["hooks"] = json!({
            kind: [{ "path": "/bin/sleep", "args": ["sleep", "4242"], "timeout": 1 }],
        });
        let error = world.create_error();
        assert!(error.contains("was killed after its timeout of 1 s"), "{error}");
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            assert_ne!(line, b"sleep\x004242\0");
        }
    }
}

#[test]
fn a_hook_that_is_not_there_is_named() {
    need_containers!();
    for kind in ["createRuntime", "createContainer"] {
        let mut world = World::new("true");
        world.spec["hooks"] = json!({ kind: [{ "path": "/absent" }] });
        let error = world.create_error();
        let expected = format!("hooks.{kind}[0]: run /absent: execve(/absent): No such file");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn a_start_container_hook_that_fails_fails_the_start() {
    need_containers!();
    for (hook, expected) in [
        (json!({ "path": "/bin/sh", "args": ["sh", "-c", "exit 1"] }), "after the failure of"),
        (json!({ "path": "/absent" }), "run startContainer hook \"/absent\": No such file"),
        (json!({ "path": "/bin/sleep", "args": ["sleep", "99"], "timeout": 1 }), "timed out"),
    ] {
        let mut world = World::new("echo ran");
        world.spec["hooks"] = json!({ "startContainer": [hook] });
        let created = world.create().unwrap();
        let error = chain(&start(&world.states, &world.id).unwrap_err());
        assert!(error.contains(expected), "{error}");
        Pidfd::from(created.pidfd).wait().unwrap();
        assert_eq!(world.output(), "");
        let state = world.states.load(&world.id).unwrap();
        assert_eq!(world.states.status(&state), Status::Stopped);
    }
}

/// Its file may be the image's, so it may no more than the program itself.
#[test]
fn a_start_container_hook_is_confined_as_the_program() {
    need_containers!();
    let mut world = World::new("true");
    world.spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    world.spec["hooks"] = json!({ "startContainer": [{
        "path": "/bin/sh", "env": ["PATH=/bin"],
        "args": ["sh", "-c", "id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; ls /proc/self/fd"],
    }] });
    let output = world.output_of_run();
    let expected = "1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n0\n1\n2\n3\n";
    assert_eq!(output, expected);
}

#[test]
fn a_poststart_hook_that_fails_ends_the_container() {
    need_containers!();
    let mut world = World::new("sleep 1000");
    world.spec["hooks"] = json!({ "poststart": [{ "path": "/bin/false" }] });
    let created = world.create().unwrap();
    let error = chain(&start(&world.states, &world.id).unwrap_err());
    assert!(error.contains("hooks.poststart[0]: /bin/false ended with exit status 1"), "{error}");
    assert_eq!(
        Pidfd::from(created.pidfd).wait().unwrap(),
        corten_sys_linux::pidfd::Exit::Signal(9)
    );
}

#[test]
fn every_poststop_hook_runs_even_after_one_that_fails() {
    need_containers!();
    let mut world = World::new("true");
    world.spec["hooks"] = json!({
        "poststop": [hook(&world, "echo one"), { "path": "/absent" }, { "path": "/bin/false" },
                     hook(&world, "echo two")],
    });
    world.run();
    // The bundle's file may change: what counts is what was there at create.
    delete(&world.states, &world.id, false).unwrap();
    assert_eq!(logged(&world), "one\ntwo\n");
}

#[test]
fn a_start_says_why_the_program_could_not_be_executed() {
    need_containers!();
    let mut world = World::new("");
    world.spec["process"]["args"] = json!(["/bin/garbage"]);
    let created = world.create().unwrap();
    let error = chain(&start(&world.states, &world.id).unwrap_err());
    assert!(error.contains("Exec format error"), "{error}");
    Pidfd::from(created.pidfd).wait().unwrap();
}
