//! Scheduling, disk priority, memory policy, personality, affinity.

use corten_sys_linux::pidfd::Exit;
use serde_json::json;

use crate::world::{World, need_containers};

/// Fields of `proc_pid_stat(5)`, counted from the third: nice is the 19th, the policy the 41st.
fn nice_and_policy(stat: &str) -> (String, String) {
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[16].to_owned(), fields[38].to_owned())
}

#[test]
fn scheduling_is_as_asked() {
    need_containers!();
    for (scheduler, expected) in [
        (json!({ "policy": "SCHED_BATCH", "nice": 5 }), ("5", "3")),
        // Which leaves the nice value as it is.
        (json!({ "policy": "SCHED_IDLE" }), ("", "5")),
        (json!({ "policy": "SCHED_OTHER", "nice": 19 }), ("19", "0")),
    ] {
        let mut world = World::new("cat /proc/self/stat");
        world.spec["process"]["scheduler"] = scheduler;
        let (nice, policy) = nice_and_policy(&world.output_of_run());
        assert_eq!(policy, expected.1);
        assert!(expected.0.is_empty() || nice == expected.0, "{nice}");
    }
    let mut world = World::new("true");
    world.spec["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "priority": 7 });
    let error = world.create_error();
    assert!(error.contains("sched_setattr for \"process.scheduler\": Invalid argument"), "{error}");
}

#[test]
fn disk_priority_is_as_asked() {
    need_containers!();
    let mut world = World::new("ionice -p 1; ionice -p $$");
    std::os::unix::fs::symlink("busybox", world.rootfs().join("bin/ionice")).unwrap();
    world.spec["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    assert_eq!(world.output_of_run(), "best-effort: prio 6\nbest-effort: prio 6\n");
}

#[test]
fn personality_and_memory_policy_hold_for_execs_too() {
    need_containers!();
    let mut world = World::new("sleep 1000");
    world.spec["linux"]["personality"] = json!({ "domain": "LINUX32" });
    world.spec["linux"]["memoryPolicy"] =
        json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] });
    let _first = world.begin();
    let (output, _) = world.exec(
        "for p in 1 self; do cat /proc/$p/personality; grep -c bind=static:0 /proc/$p/numa_maps; done",
        |_| (),
    );
    let lines: Vec<_> = output.lines().collect();
    assert_eq!((lines[0], lines[2]), ("00000008", "00000008"), "{output}");
    assert!(lines[1] != "0" && lines[3] != "0", "{output}");
}

#[test]
fn an_execs_processors_are_as_asked() {
    need_containers!();
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let Some(cpu) = (0..rustix::thread::CpuSet::MAX_CPU).find(|cpu| allowed.is_set(*cpu)) else {
        panic!("no processor to run on")
    };
    let world = World::new("sleep 1000");
    let _first = world.begin();
    for name in ["initial", "final"] {
        let (output, exit) = world.exec("grep ^Cpus_allowed_list /proc/self/status", |process| {
            process["execCPUAffinity"] = json!({ name: cpu.to_string() });
        });
        assert_eq!((output, exit), (format!("Cpus_allowed_list:\t{cpu}\n"), Exit::Code(0)));
    }
    // This thread itself stays where it was.
    assert_eq!(rustix::thread::sched_getaffinity(None).unwrap(), allowed);
}
