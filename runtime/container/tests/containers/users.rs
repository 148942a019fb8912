//! User namespaces: new, joined, and without any privilege at all.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use corten_sys_linux::pidfd::Pidfd;
use serde_json::{Value, json};

use crate::world::{World, need_containers};

const HOST_ID: u32 = 100_000;

fn map() -> Value {
    json!([{ "containerID": 0, "hostID": HOST_ID, "size": 65536 }])
}

/// A container in a user namespace that maps root to [`HOST_ID`].
fn world(script: &str) -> World {
    let mut world = World::new(script);
    // Every folder on the way must let the mapped user through.
    std::fs::set_permissions(world.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["rootfs", "rootfs/mnt", "rootfs/dev", "rootfs/tmp"] {
        chown(world.path(path), Some(HOST_ID), Some(HOST_ID)).unwrap();
    }
    namespaces(&mut world).push(json!({ "type": "user" }));
    world.spec["linux"]["uidMappings"] = map();
    world.spec["linux"]["gidMappings"] = map();
    world
}

fn namespaces(world: &mut World) -> &mut Vec<Value> {
    world.spec["linux"]["namespaces"].as_array_mut().unwrap()
}

/// Without one kind of namespace.
fn without(world: &mut World, kind: &str) {
    namespaces(world).retain(|one| one["type"] != kind);
}

#[test]
fn a_user_namespace_maps_root_away() {
    need_containers!();
    let world =
        world("id -u; cat /proc/self/uid_map; echo x > /mnt/made; echo > /dev/null && echo null");
    let output = world.output_of_run();
    assert!(output.starts_with("0\n") && output.contains("100000"), "{output}");
    assert!(output.ends_with("null\n"), "{output}");
    let made = std::fs::metadata(world.rootfs().join("mnt/made")).unwrap();
    assert_eq!(made.uid(), HOST_ID);
}

/// What the kernel asks for a right over a namespace is whether its user namespace is one's own.
#[test]
fn the_other_namespaces_belong_to_the_user_namespace() {
    need_containers!();
    let mut world = world(
        "hostname renamed && hostname; mount -t tmpfs x /mnt && echo mounted; \
         echo 5 > /proc/sys/net/ipv4/ip_unprivileged_port_start && echo set",
    );
    let caps = json!(["CAP_SYS_ADMIN", "CAP_NET_ADMIN"]);
    world.spec["process"]["capabilities"] =
        json!({ "bounding": caps, "effective": caps, "permitted": caps });
    world.spec["linux"]["readonlyPaths"] = json!([]);
    assert_eq!(world.output_of_run(), "renamed\nmounted\nset\n");
}

#[test]
fn a_user_namespace_is_joined_by_path() {
    need_containers!();
    let one = world("sleep 1000");
    let _first = one.begin();
    let pid = one.states.load(&one.id).unwrap().pid;
    let mut two = world(
        "id -u; readlink /proc/self/ns/user; hostname other && hostname; \
         readlink /proc/self/ns/net; echo $$; touch /mnt/made; echo > /dev/null && echo null",
    );
    without(&mut two, "user");
    without(&mut two, "network");
    for kind in ["user", "net"] {
        let name = if kind == "net" { "network" } else { kind };
        let path = format!("/proc/{pid}/ns/{kind}");
        namespaces(&mut two).push(json!({ "type": name, "path": path }));
    }
    for field in ["uidMappings", "gidMappings"] {
        two.spec["linux"].as_object_mut().unwrap().remove(field);
    }
    let caps = json!(["CAP_SYS_ADMIN"]);
    two.spec["process"]["capabilities"] =
        json!({ "bounding": caps, "effective": caps, "permitted": caps });
    let output = two.output_of_run();
    let link = |kind: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let expected = format!("0\n{}\nother\n{}\n1\nnull\n", link("user"), link("net"));
    assert_eq!(output, expected);
    assert_eq!(std::fs::metadata(two.rootfs().join("mnt/made")).unwrap().uid(), HOST_ID);
}

/// Engines give containers with a new user namespace a network namespace that the host's root made.
#[test]
fn a_new_user_namespace_goes_with_a_joined_namespace_of_the_host() {
    need_containers!();
    let one = World::new("sleep 1000");
    let _first = one.begin();
    let pid = one.states.load(&one.id).unwrap().pid;
    let mut two = world("readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; id -u; echo $$");
    for (name, kind) in [("network", "net"), ("ipc", "ipc")] {
        without(&mut two, name);
        let path = format!("/proc/{pid}/ns/{kind}");
        namespaces(&mut two).push(json!({ "type": name, "path": path }));
    }
    // The kernel makes no message queues' file system for an ipc namespace of somebody else's.
    two.spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "mqueue");
    let output = two.output_of_run();
    for (line, kind) in output.lines().zip(["net", "ipc"]) {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(line, link.to_str().unwrap());
    }
    assert!(output.ends_with("\n0\n1\n"), "{output}");
}

/// The kernel makes no sysfs for a network namespace of somebody else's; the host's is shown, and
/// is as read-only as was asked for, with all that is mounted below (crun's regression #2178).
#[test]
fn sysfs_of_a_shared_network_namespace_is_the_hosts_and_read_only() {
    need_containers!();
    let mut world =
        world("test -d /sys/class/net/lo && echo net; touch /sys/kernel/x; touch /sys/fs/cgroup/x");
    without(&mut world, "network");
    world.spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
    let (output, _) = world.run();
    assert!(output.starts_with("net\n"), "{output}");
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
}

#[test]
fn an_exec_is_in_the_user_namespace() {
    need_containers!();
    let world = world("sleep 1000");
    let _first = world.begin();
    let (output, _) = world.exec("id -u; cat /proc/self/uid_map; echo x > /mnt/made", |_| ());
    assert!(output.starts_with("0\n") && output.contains("100000"), "{output}");
    assert_eq!(std::fs::metadata(world.rootfs().join("mnt/made")).unwrap().uid(), HOST_ID);
}

#[test]
fn hooks_inside_are_in_the_user_namespace() {
    need_containers!();
    let mut world = world("true");
    let log = world.rootfs().join("mnt/log");
    let script = format!("cat /proc/self/uid_map > {0}; id -u >> {0}", log.display());
    world.spec["hooks"] = json!({ "createContainer": [{
        "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin"],
    }] });
    world.create().unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains("100000") && text.ends_with("\n0\n"), "{text}");
    assert_eq!(std::fs::metadata(&log).unwrap().uid(), HOST_ID);
}

/// A container that owns its cgroup may have more below; one that only sees it may not.
#[test]
fn a_writable_cgroup_is_handed_over() {
    need_containers!();
    for (option, owner) in [("rw", HOST_ID), ("ro", 0)] {
        let mut world = world("sleep 1000");
        let mounts = world.spec["mounts"].as_array_mut().unwrap();
        let cgroup = mounts.iter_mut().find(|mount| mount["type"] == "cgroup").unwrap();
        cgroup["options"] = json!(["nosuid", "noexec", "nodev", option]);
        let process: Pidfd = world.begin();
        let mut unified = 0;
        for folder in world.cgroup_folders() {
            // v2 only: a v1 hierarchy is never safe to hand over.
            let v2 = folder.join("cgroup.subtree_control").exists();
            let expected = if v2 { owner } else { 0 };
            unified += u32::from(v2);
            assert_eq!(std::fs::metadata(&folder).unwrap().uid(), expected);
            let procs = std::fs::metadata(folder.join("cgroup.procs")).unwrap();
            assert_eq!(procs.uid(), expected);
            if v2 {
                assert_eq!(std::fs::metadata(folder.join("cgroup.max.depth")).unwrap().uid(), 0);
            }
        }
        assert!(unified == 1);
        drop(process);
    }
}
