//! More processes in a container.

use corten_sys_linux::pidfd::Exit;
use serde_json::json;

use crate::world::{World, chain, need_containers};

#[test]
fn an_exec_is_inside_and_has_its_own_status() {
    need_containers!();
    let world = World::new("sleep 1000");
    let _first = world.begin();
    let pid = world.states.load(&world.id).unwrap().pid;
    let (output, exit) = world.exec(
        "for n in pid net ipc uts mnt cgroup; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup; exit 5",
        |_| (),
    );
    assert_eq!(exit, Exit::Code(5), "{output}");
    for name in ["pid", "net", "ipc", "uts", "mnt", "cgroup"] {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        assert!(output.contains(link.to_str().unwrap()), "{name}: {output}");
    }
    // In its cgroup everywhere: from inside, its root.
    let outside = output.lines().filter(|line| line.contains(':') && !line.contains("["));
    assert!(outside.clone().all(|line| line.ends_with(":/")), "{output}");
    assert!(outside.count() > 0);
}

#[test]
fn an_exec_may_be_somebody_else_somewhere_else() {
    need_containers!();
    let world = World::new("sleep 1000");
    let _first = world.begin();
    let (output, exit) =
        world.exec("id -u; id -g; echo $PATH $A $HOME; readlink /proc/self/cwd", |process| {
            process["user"] = json!({ "uid": 33, "gid": 34 });
            process["cwd"] = json!("/tmp");
            process["env"] = json!(["PATH=/bin", "A=b", "HOME=/"]);
        });
    assert_eq!(exit, Exit::Code(0), "{output}");
    assert!(output.starts_with("33\n34\n/bin b /\n"), "{output:?}");
    assert!(output.contains("/tmp\n"), "{output:?}");
}

#[test]
fn what_cannot_be_executed_is_said() {
    need_containers!();
    let world = World::new("sleep 1000");
    let _first = world.begin();
    std::fs::write(world.rootfs().join("tmp/plain"), "no program").unwrap();
    for (program, expected) in [
        ("absent", "executable file not found in $PATH"),
        ("/tmp/plain", "Permission denied"),
        ("/tmp", "Is a directory"),
        ("/bin/garbage", "execute \"/bin/garbage\": Exec format error"),
    ] {
        let mut process = world.spec["process"].clone();
        process["args"] = json!([program]);
        let error = chain(&world.try_exec(process).unwrap_err());
        assert!(error.contains(expected), "{program}: {error}");
    }
}

#[test]
fn a_container_that_has_ended_takes_no_exec() {
    need_containers!();
    let world = World::new("true");
    world.run();
    let error = world.try_exec(world.spec["process"].clone()).unwrap_err();
    assert_eq!(error.to_string(), "cannot exec in a stopped container");
}

/// Also CVE-2022-27650 (crun) and CVE-2025-27612 (youki): inheritable capabilities would hand
/// themselves on to every program of the container.
#[test]
fn cve_2022_29162_an_exec_gains_no_inheritable_capability() {
    need_containers!();
    let world = World::new("sleep 1000");
    let _first = world.begin();
    let (output, _) = world.exec("grep -E '^Cap(Inh|Amb|Eff)' /proc/self/status", |process| {
        let caps = json!(["CAP_KILL"]);
        process["capabilities"] = json!({ "bounding": caps, "effective": caps, "permitted": caps });
    });
    let expected =
        ["CapInh:\t0000000000000000", "CapEff:\t0000000000000020", "CapAmb:\t0000000000000000"];
    assert_eq!(output.lines().collect::<Vec<_>>(), expected);
}
