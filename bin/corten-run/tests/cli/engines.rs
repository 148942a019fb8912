//! What engines do with it.

use std::path::Path;
use std::process::Command;

use corten_tests_harness::{NamespaceOptions, in_new_namespaces, skip};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::{Value, json};

use crate::world::{TMP, World, need_containers, text};

#[test]
fn run_hands_on_streams_and_status_and_leaves_nothing() {
    need_containers!();
    let world = World::new("echo out; echo err >&2; exit 7");
    let output = world.call(&["run", "ID"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("out\n".into(), "err\n".into()));
    assert!(std::fs::read_dir(world.path("state")).unwrap().next().is_none());
}

#[test]
fn a_signalled_program_is_128_and_its_signal() {
    need_containers!();
    let world = World::new("kill -15 $$; (sleep 1; kill -9 1) ; sleep 1000");
    // Without a handler, a namespace's first process does not get its own signals; the exec does.
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    let output = world.call(&["exec", "ID", "sh", "-c", "kill -9 $$"]);
    assert_eq!(output.status.code(), Some(137), "{output:?}");
}

#[test]
fn an_engines_round() {
    need_containers!();
    let world = World::new("sleep 1000");
    assert_eq!(world.call_apart(&["create", "--pid-file", "pid", "ID"]), 0);
    let state = world.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], world.id.as_str());
    assert_eq!(state["annotations"]["a"], "b");
    assert_eq!(state["bundle"], world.dir.path().to_str().unwrap());
    let pid = std::fs::read_to_string(world.path("pid")).unwrap();
    assert_eq!(state["pid"].to_string(), pid);
    assert!(world.call(&["start", "ID"]).status.success());
    assert_eq!(world.state()["status"], "running");

    let list = world.call(&["list", "-f", "json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list[0]["id"], world.id.as_str());
    assert_eq!(text(&world.call(&["list", "-q"]).stdout), format!("{}\n", world.id));
    assert!(text(&world.call(&["list"]).stdout).contains("running"));

    let exec = world.call(&[
        "exec",
        "-u",
        "12:34",
        "-e",
        "A=b",
        "--cwd",
        "/tmp",
        "ID",
        "sh",
        "-c",
        "id -u; id -g; echo $A $PWD; exit 3",
    ]);
    assert_eq!((exec.status.code(), text(&exec.stdout).as_str()), (Some(3), "12\n34\nb /tmp\n"));
    let delete = world.call(&["delete", "ID"]);
    assert_eq!(delete.status.code(), Some(1));
    assert!(text(&delete.stderr).contains("running"), "{delete:?}");
    assert!(world.call(&["kill", "ID", "KILL"]).status.success());
    while world.state()["status"] != "stopped" {
        std::thread::yield_now();
    }
    assert_eq!(world.state()["pid"], 0);
    let kill = world.call(&["kill", "ID", "TERM"]);
    assert!(text(&kill.stderr).contains("container not running"), "{kill:?}");
    assert!(world.call(&["delete", "ID"]).status.success());
    let state = world.call(&["state", "ID"]);
    assert!(text(&state.stderr).contains("container does not exist"), "{state:?}");
    assert!(world.call(&["delete", "-f", "ID"]).status.success());
}

#[test]
fn a_failure_is_told_to_people_and_to_engines() {
    need_containers!();
    let mut world = World::new("true");
    world.spec["process"]["args"] = json!(["absent"]);
    let output = world.call(&["create", "ID"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "exec: \"absent\": executable file not found in $PATH";
    assert!(text(&output.stderr).contains(expected), "{output:?}");
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "error");
    assert!(last["msg"].as_str().unwrap().contains(expected));

    world.spec["solaris"] = json!({});
    let output = world.call(&["create", "ID"]);
    assert!(text(&output.stderr).contains("solaris is not supported"), "{output:?}");
    world.spec = json!({ "ociVersion": "1.2.0", "mounts": [{ "destination": 7 }] });
    let output = world.call(&["create", "ID"]);
    assert!(text(&output.stderr).contains("mounts[0].destination"), "{output:?}");
}

#[test]
fn exec_keeps_its_own_failures_apart() {
    need_containers!();
    let world = World::new("sleep 1000");
    assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
    assert_eq!(world.call(&["exec", "ID", "absent"]).status.code(), Some(255));
    let process = json!({ "user": { "uid": 5, "gid": 6 }, "args": ["id", "-u"], "cwd": "/", "env": ["PATH=/bin"] });
    std::fs::write(world.path("process.json"), process.to_string()).unwrap();
    let output = world.call(&["exec", "--process", "process.json", "ID"]);
    assert_eq!(text(&output.stdout), "5\n", "{output:?}");
    let output = world.call(&["exec", "-u", "root", "ID", "id"]);
    assert!(text(&output.stderr).contains("\"root\" is not a number"), "{output:?}");
}

#[test]
fn a_terminals_master_goes_to_the_console_socket() {
    need_containers!();
    let mut world = World::new("tty; sleep 1000");
    world.spec["process"]["terminal"] = json!(true);
    let output = world.call(&["create", "ID"]);
    assert!(text(&output.stderr).contains("console socket"), "{output:?}");
    let listener = std::os::unix::net::UnixListener::bind(world.path("console")).unwrap();
    let waiting = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        corten_sys_linux::fdpass::receive(&socket, &mut [0; 64]).unwrap().fds
    });
    assert_eq!(world.call_apart(&["create", "--console-socket", "console", "ID"]), 0);
    let master = waiting.join().unwrap().remove(0);
    assert!(world.call(&["start", "ID"]).status.success());
    let mut buffer = [0; 64];
    let read = rustix::io::read(&master, &mut buffer).unwrap();
    assert!(text(&buffer[..read]).starts_with("/dev/pts/0"));
}

#[test]
fn preserved_descriptors_and_no_others_are_inherited() {
    need_containers!();
    let world = World::new("cat <&3; (cat <&4) 2>&1 | grep -c . ; true");
    std::fs::write(world.path("given"), "given\n").unwrap();
    std::fs::write(world.path("config.json"), world.spec.to_string()).unwrap();
    let run = format!(
        "exec 3<given 4<given; exec {} --root state run --preserve-fds 1 {}",
        env!("CARGO_BIN_EXE_corten-run"),
        world.id
    );
    let output =
        Command::new("/bin/sh").args(["-c", &run]).current_dir(world.dir.path()).output().unwrap();
    assert!(text(&output.stdout).starts_with("given\n"), "{output:?}");
    assert!(!text(&output.stdout)["given\n".len()..].contains("given"), "{output:?}");
}

/// A container that gets at its runtime's binary must not be able to write to it: the process that
/// waits runs from a sealed image, not from the host's file.
#[test]
fn cve_2019_5736_the_binary_cannot_be_written() {
    need_containers!();
    let world = World::new("sleep 1000");
    assert_eq!(world.call_apart(&["create", "ID"]), 0);
    let exe = format!("/proc/{}/exe", world.state()["pid"]);
    let written = std::fs::OpenOptions::new().write(true).open(&exe);
    let refused = match written {
        // Text file busy would pass as soon as the process ends.
        Err(error) => error.raw_os_error() == Some(rustix::io::Errno::ROFS.raw_os_error()),
        Ok(file) => rustix::fs::fcntl_get_seals(&file)
            .is_ok_and(|seals| seals.contains(rustix::fs::SealFlags::WRITE)),
    };
    assert!(refused, "{exe} can be written");
}

#[test]
fn usage_errors_say_what_and_where_to_look() {
    for (words, expected) in [
        (&["frobnicate"][..], "frobnicate"),
        (&[], "--help"),
        (&["create"], "ID is missing"),
        (&["kill", "x", "NOSUCH"], "no signal"),
        (&["state", "../x"], "container id"),
    ] {
        let dir = tempfile::tempdir_in(TMP).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_corten-run"))
            .arg("--root")
            .arg(dir.path())
            .args(words)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(text(&output.stderr).contains(expected), "{words:?}: {output:?}");
    }
}

/// On a machine with cgroup v2 alone: born in the cgroup, a program for the devices, one view. Here
/// every v1 hierarchy is taken out of sight first.
#[test]
fn on_pure_v2_a_container_is_born_in_its_cgroup_and_devices_are_guarded() {
    need_containers!();
    let mut world = World::new(
        "cat /proc/self/cgroup | grep ^0; cat /sys/fs/cgroup/cgroup.procs | head -n 1; \
         (mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk) 2>&1; head -c 1 /dev/zero | grep -c .; \
         echo x > /dev/null && echo null; mkdir /sys/fs/cgroup/x 2>&1; echo end; sleep 1000",
    );
    let caps = json!(["CAP_MKNOD"]);
    world.spec["process"]["capabilities"] =
        json!({ "bounding": caps, "effective": caps, "permitted": caps });
    world.spec["linux"]["resources"] = json!({ "unified": { "cgroup.max.depth": "7" } });
    world.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "cgroup" }));
    let mounts = world.spec["mounts"].as_array_mut().unwrap();
    mounts.push(json!({ "destination": "/sys", "type": "tmpfs" }));
    mounts.push(json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"] }));
    in_new_namespaces(NamespaceOptions { net: false, cgroup: false }, move || {
        unmount("/sys/fs/cgroup", UnmountFlags::DETACH).unwrap();
        if mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MountFlags::empty(), None).is_err() {
            skip("this kernel has no cgroup v2");
            return;
        }
        assert_eq!(world.call_apart(&["run", "-d", "ID"]), 0);
        let expected = "0::/\n1\nhead: /tmp/disk: Operation not permitted\n1\nnull\n\
                        mkdir: can't create directory '/sys/fs/cgroup/x': Read-only file system\nend\n";
        let mut output = String::new();
        while !output.ends_with("end\n") {
            output = std::fs::read_to_string(world.path("out")).unwrap();
        }
        assert_eq!(output, expected);
        let group = format!("/sys/fs/cgroup/{}", world.id);
        let depth = std::fs::read_to_string(format!("{group}/cgroup.max.depth")).unwrap();
        assert_eq!(depth, "7\n");
        let exec = world.call(&["exec", "ID", "sh", "-c", "cat /proc/self/cgroup | grep ^0"]);
        assert_eq!(text(&exec.stdout), "0::/\n", "{exec:?}");
        assert!(world.call(&["delete", "--force", "ID"]).status.success());
        assert!(!Path::new(&group).exists());
    });
}
