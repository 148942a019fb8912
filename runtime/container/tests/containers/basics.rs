//! What a program in a container sees and may.

use corten_runtime_container::{Console, StartGate, Status, Stdio, delete, kill, start};
use corten_sys_linux::pidfd::{Exit, Pidfd};
use serde_json::json;

use crate::world::{World, need_containers};

#[test]
fn a_programs_status_and_output_are_its_own() {
    need_containers!();
    let world = World::new("echo out; echo err >&2; exit 7");
    assert_eq!(world.run(), ("out\nerr\n".to_owned(), Exit::Code(7)));
}

#[test]
fn life_goes_from_created_to_gone() {
    need_containers!();
    let world = World::new("sleep 1000");
    let pidfd = Pidfd::from(world.create().unwrap().pidfd);
    let state = world.states.load(&world.id).unwrap();
    assert_eq!(world.states.status(&state), Status::Created);
    start(&world.states, &world.id).unwrap();
    assert_eq!(world.states.status(&state), Status::Running);
    start(&world.states, &world.id).unwrap_err();
    delete(&world.states, &world.id, false).unwrap_err();
    kill(&world.states, &world.id, 9, false).unwrap();
    assert_eq!(pidfd.wait().unwrap(), Exit::Signal(9));
    assert_eq!(world.states.status(&state), Status::Stopped);
    let error = kill(&world.states, &world.id, 15, false).unwrap_err();
    assert_eq!(error.to_string(), "container not running");
    delete(&world.states, &world.id, false).unwrap();
    world.states.load(&world.id).unwrap_err();
}

#[test]
fn every_namespace_is_its_own() {
    need_containers!();
    let world = World::new(
        "for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; hostname",
    );
    let output = world.output_of_run();
    assert!(output.ends_with("box\n"), "{output}");
    for name in ["pid", "net", "ipc", "uts", "mnt", "cgroup"] {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert!(!output.contains(host.to_str().unwrap()), "{name} is the host's");
    }
}

#[test]
fn namespaces_are_joined_by_path() {
    need_containers!();
    let one = World::new("sleep 1000");
    let _first = one.begin();
    let pid = one.states.load(&one.id).unwrap().pid;
    let mut two =
        World::new("readlink /proc/self/ns/pid; readlink /proc/self/ns/net; ps; hostname");
    for (index, name) in [(0, "pid"), (1, "net"), (3, "uts")] {
        two.spec["linux"]["namespaces"][index]["path"] = json!(format!("/proc/{pid}/ns/{name}"));
    }
    two.spec.as_object_mut().unwrap().remove("hostname");
    let output = two.output_of_run();
    for name in ["pid", "net"] {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert!(output.contains(link.to_str().unwrap()), "{name}: {output}");
    }
    assert!(output.contains("sleep 1000") && output.ends_with("box\n"), "{output}");
    // This thread's own children are where they were.
    let own = std::fs::read_link("/proc/thread-self/ns/pid").unwrap();
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/pid_for_children").unwrap(), own);
}

#[test]
fn the_user_is_who_was_asked_for() {
    need_containers!();
    let mut world =
        World::new("id -u; id -g; id -G; umask; echo $HOME; touch /dev/stdout && echo ok");
    world.spec["process"]["user"] =
        json!({ "uid": 1000, "gid": 100, "additionalGids": [7, 8], "umask": 63 });
    std::fs::write(world.rootfs().join("etc/passwd"), "me:x:1000:100::/home/me:/bin/sh\n").unwrap();
    let output = world.output_of_run();
    assert_eq!(output, "1000\n100\n100 7 8\n0077\n/home/me\nok\n");
}

#[test]
fn capabilities_are_exactly_those_given() {
    need_containers!();
    let mut world = World::new("grep -E '^(Cap|NoNewPrivs)' /proc/self/status");
    let caps = ["CAP_KILL", "CAP_NET_BIND_SERVICE"];
    world.spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    world.spec["process"]["capabilities"] = json!({
        "bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps,
        "ambient": ["CAP_NET_BIND_SERVICE"],
    });
    let output = world.output_of_run();
    // After exec by a user that is not root, the ambient ones are what is left.
    let expected = [
        "CapInh:\t0000000000000420",
        "CapPrm:\t0000000000000400",
        "CapEff:\t0000000000000400",
        "CapBnd:\t0000000000000420",
        "CapAmb:\t0000000000000400",
        "NoNewPrivs:\t1",
    ];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn without_capabilities_there_are_none() {
    need_containers!();
    let mut world = World::new("grep -E '^Cap' /proc/self/status");
    world.spec["process"].as_object_mut().unwrap().remove("capabilities");
    let output = world.output_of_run();
    assert_eq!(output.matches("\t0000000000000000").count(), 5, "{output}");
}

#[test]
fn a_program_starts_with_default_signals_and_limits() {
    need_containers!();
    let mut world = World::new(
        "grep -E '^Sig(Blk|Ign|Cgt)' /proc/1/status | grep -v 0000000000000000; ulimit -n",
    );
    world.spec["process"]["rlimits"] =
        json!([{ "type": "RLIMIT_NOFILE", "hard": 321, "soft": 321 }]);
    // The shell itself catches and ignores some; what matters is that SIGPIPE (0x1000) is not among
    // the ignored.
    let output = world.output_of_run();
    assert!(output.ends_with("321\n"), "{output}");
    let ignored = output.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap_or("0");
    assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & 0x1000, 0, "{output}");
}

#[test]
fn a_terminal_is_the_containers_own() {
    need_containers!();
    let mut world =
        World::new("tty; stty size; test -c /dev/console && echo console; read x; echo got $x");
    world.spec["process"]["terminal"] = json!(true);
    world.spec["process"]["consoleSize"] = json!({ "height": 17, "width": 99 });
    let created = world.create_with(Stdio::Terminal(Console::Keep), StartGate::Fifo).unwrap();
    let master = created.master.unwrap();
    start(&world.states, &world.id).unwrap();
    rustix::io::write(&master, b"word\n").unwrap();
    let exit = Pidfd::from(created.pidfd).wait().unwrap();
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    // EIO is how a terminal says that its last program has gone.
    while let Ok(read @ 1..) = rustix::io::read(&master, &mut chunk) {
        text.extend_from_slice(&chunk[..read]);
    }
    let text = String::from_utf8(text).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    for expected in ["/dev/pts/0", "17 99", "console", "got word"] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
}

#[test]
fn terminal_and_streams_must_agree() {
    need_containers!();
    let mut world = World::new("true");
    let error =
        world.create_with(Stdio::Terminal(Console::Keep), StartGate::Fifo).unwrap_err().to_string();
    assert!(error.starts_with("process.terminal"), "{error}");
    world.spec["process"]["terminal"] = json!(true);
    assert!(world.create_error().starts_with("process.terminal"));
}

#[test]
fn a_sysctl_of_its_own_namespace_is_set() {
    need_containers!();
    let mut world = World::new("cat /proc/sys/net/ipv4/ip_unprivileged_port_start");
    world.spec["linux"]["sysctl"] = json!({ "net.ipv4.ip_unprivileged_port_start": "17" });
    assert_eq!(world.output_of_run(), "17\n");
}

#[test]
fn a_low_oom_score_is_set_or_the_warning_says_why_not() {
    need_containers!();
    let mut world = World::new("cat /proc/self/oom_score_adj");
    world.spec["process"]["oomScoreAdj"] = json!(-998);
    let created = world.create().unwrap();
    start(&world.states, &world.id).unwrap();
    Pidfd::from(created.pidfd).wait().unwrap();
    let told = created.warnings.iter().any(|warning| warning.contains("oomScoreAdj -998"));
    assert_eq!(world.output() == "-998\n", !told, "{:?}", created.warnings);
}
