//! Mounts, masks and modes.

use corten_sys_linux::pidfd::Exit;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces};
use serde_json::json;

use crate::world::{World, need_containers};

const MOUNTS_ONLY: NamespaceOptions = NamespaceOptions { net: false, cgroup: false };

#[test]
fn masked_and_read_only_paths_hold() {
    need_containers!();
    let world = World::new(
        "head -c 1 /proc/keys | wc -c; ls /sys/firmware; echo 1 > /proc/sys/kernel/shmmax; \
         touch /sys/x; echo 1 > /sys/firmware/x; head -c 1 /proc/timer_list",
    );
    let (output, _) = world.run();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(output.matches("Read-only file system").count(), 3, "{output}");
    // Nothing but the three refusals: what is masked is empty.
    assert!(
        lines.iter().all(|line| line.contains("Read-only") || line.contains("wc") || *line == "0"),
        "{output}"
    );
}

#[test]
fn a_read_only_root_is_read_only_and_its_volumes_are_not() {
    need_containers!();
    let mut world = World::new("touch /x; touch /mnt/y && echo wrote");
    world.spec["root"]["readonly"] = json!(true);
    std::fs::create_dir(world.path("volume")).unwrap();
    world.bind("volume", "/mnt", &["rbind", "rw"]);
    let output = world.output_of_run();
    assert!(
        output.contains("/x: Read-only file system") && output.ends_with("wrote\n"),
        "{output}"
    );
    assert!(world.path("volume/y").exists());
    assert!(!world.rootfs().join("x").exists());
}

#[test]
fn bind_mounts_are_as_read_only_as_asked() {
    need_containers!();
    let mut world = World::new(
        "touch /ro/x; touch /ro/below/x && echo below; touch /rro/below/x; cat /made/by/mount",
    );
    for folder in ["a/below", "file-dir"] {
        std::fs::create_dir_all(world.path(folder)).unwrap();
    }
    std::fs::write(world.path("file"), "content\n").unwrap();
    let path = world.path("a/below");
    in_new_namespaces(MOUNTS_ONLY, || {
        rustix::mount::mount("tmpfs", &path, "tmpfs", rustix::mount::MountFlags::empty(), None)
            .unwrap();
        world.bind("a", "/ro", &["rbind", "ro"]);
        world.bind("a", "/rro", &["rbind", "rro"]);
        world.bind("file", "/made/by/mount", &["bind"]);
        let output = world.output_of_run();
        assert!(output.contains("/ro/x: Read-only"), "{output}");
        assert!(output.contains("below\n"), "{output}");
        assert!(output.contains("/rro/below/x: Read-only"), "{output}");
        assert!(output.ends_with("content\n"), "{output}");
    });
}

#[test]
fn mounts_of_the_container_do_not_show_on_the_host() {
    need_containers!();
    let before = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let world = World::new("sleep 1000");
    let _first = world.begin();
    let own = |mounts: &str| {
        mounts.lines().filter(|line| line.contains(world.dir.path().to_str().unwrap())).count()
    };
    assert_eq!(own(&before), 0);
    assert_eq!(own(&std::fs::read_to_string("/proc/self/mounts").unwrap()), 0);
}

#[test]
fn a_shared_mount_passes_to_the_container() {
    need_containers!();
    let mut world = World::new("while ! test -e /mnt/late/file; do sleep 0.05; done; echo seen");
    std::fs::create_dir_all(world.path("volume/late")).unwrap();
    world.bind("volume", "/mnt", &["rbind", "rslave"]);
    let (volume, late) = (world.path("volume"), world.path("volume/late"));
    in_new_namespaces(MOUNTS_ONLY, || {
        use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
        mount_bind(&volume, &volume).unwrap();
        mount_change(&volume, MountPropagationFlags::SHARED).unwrap();
        let process = world.begin();
        mount("tmpfs", &late, "tmpfs", MountFlags::empty(), None).unwrap();
        std::fs::write(late.join("file"), "").unwrap();
        assert_eq!(process.wait().unwrap(), Exit::Code(0));
        assert_eq!(world.output(), "seen\n");
    });
}

/// Bidirectional propagation: what a privileged container mounts on such a volume, the host sees.
#[test]
fn a_mount_of_the_container_passes_to_the_host_if_shared() {
    need_containers!();
    let mut world = World::new("mount -t tmpfs late /mnt/late && touch /mnt/late/file");
    let caps = json!(["CAP_SYS_ADMIN"]);
    world.spec["process"]["capabilities"] =
        json!({ "bounding": caps, "effective": caps, "permitted": caps });
    std::fs::create_dir_all(world.path("volume/late")).unwrap();
    world.bind("volume", "/mnt", &["rbind", "rshared"]);
    let (volume, file) = (world.path("volume"), world.path("volume/late/file"));
    in_new_namespaces(MOUNTS_ONLY, || {
        use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
        mount_bind(&volume, &volume).unwrap();
        mount_change(&volume, MountPropagationFlags::SHARED).unwrap();
        world.output_of_run();
        assert!(file.exists());
    });
}

#[test]
fn the_container_sees_its_own_cgroup_only() {
    need_containers!();
    let world = World::new(
        "cat /proc/self/cgroup; for d in /sys/fs/cgroup /sys/fs/cgroup/*; do \
         test -e $d/cgroup.procs && cat $d/cgroup.procs && mkdir $d/x; done",
    );
    let (output, _) = world.run();
    assert!(!output.contains(world.id.as_str()), "{output}");
    assert!(output.contains("Read-only file system"), "{output}");
    // Its processes have small numbers; the host's would show as 0.
    assert!(
        output.lines().any(|line| line == "1") && !output.lines().any(|line| line == "0"),
        "{output}"
    );
}

#[test]
fn a_root_without_pivot_works() {
    need_containers!();
    let world = World::new("ls /bin/busybox; ls /..");
    let spec = serde_json::from_value(world.spec.clone()).unwrap();
    let mut options = corten_runtime_container::PlanOptions::new(world.dir.path());
    options.no_pivot = true;
    let plan = corten_runtime_container::Plan::new(&world.id, &spec, &options).unwrap();
    let created = corten_runtime_container::create(
        &world.states,
        plan,
        world.to_file(),
        corten_runtime_container::Parenthood::Caller,
        corten_runtime_container::StartGate::Fifo,
    )
    .unwrap();
    corten_runtime_container::start(&world.states, &world.id).unwrap();
    corten_sys_linux::pidfd::Pidfd::from(created.pidfd).wait().unwrap();
    assert_eq!(world.output(), "/bin/busybox\nbin\ndev\netc\nmnt\nproc\nsys\ntmp\n");
}

#[test]
fn devices_are_those_of_the_specification() {
    need_containers!();
    let mut world = World::new(
        "ls -l /dev/mine; stat -c %t:%T /dev/mine; readlink /dev/ptmx; readlink /dev/fd",
    );
    world.spec["linux"]["devices"] = json!([{
        "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 384, "uid": 5, "gid": 6,
    }]);
    let output = world.output_of_run();
    assert!(output.starts_with("crw-------    1 5        6"), "{output}");
    assert!(output.ends_with("1:3\npts/ptmx\n/proc/self/fd\n"), "{output}");
}

#[test]
fn the_roots_propagation_is_as_asked() {
    need_containers!();
    for (propagation, expected) in [
        ("private", ""),
        ("rprivate", ""),
        ("slave", ""),
        ("rshared", "shared"),
        ("shared", "shared"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ] {
        let mut world =
            World::new("grep ' / / \\| /rootfs / ' /proc/self/mountinfo; cat /proc/self/mountinfo");
        world.spec["linux"]["rootfsPropagation"] = json!(propagation);
        let output = world.output_of_run();
        let line = output.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        let kinds: String = line
            .split(' ')
            .skip(6)
            .take_while(|field| *field != "-")
            .filter_map(|field| field.split(':').next())
            .filter(|kind| *kind != "master")
            .collect();
        assert_eq!(kinds, expected, "{propagation}: {line}");
    }
}

/// Every kind of node, with its owner and mode.
#[test]
fn nodes_of_every_kind_are_made() {
    need_containers!();
    let mut world =
        World::new("cd /dev; stat -c '%n %F %a %u:%g %t:%T' char block fifo sub/deep unbuffered");
    let node = |path: &str, kind: &str, mode: u32, id: u32| json!({ "path": path, "type": kind, "major": 1, "minor": 3, "fileMode": mode, "uid": id, "gid": id });
    world.spec["linux"]["devices"] = json!([
        node("/dev/char", "c", 0o600, 1), node("/dev/block", "b", 0o640, 2),
        { "path": "/dev/fifo", "type": "p", "fileMode": 0o622, "uid": 3, "gid": 3 },
        node("/dev/sub/deep", "c", 0o666, 0), node("/dev/unbuffered", "u", 0o444, 4),
    ]);
    let expected = "char character special file 600 1:1 1:3\n\
        block block special file 640 2:2 1:3\n\
        fifo fifo 622 3:3 0:0\n\
        sub/deep character special file 666 0:0 1:3\n\
        unbuffered character special file 444 4:4 1:3\n";
    assert_eq!(world.output_of_run(), expected);
}

/// The last rule that fits decides, and what every container may have it may.
#[test]
fn device_rules_count_in_their_order() {
    need_containers!();
    for (rules, allowed) in [
        (json!([]), false),
        (
            json!([{ "allow": false, "access": "rwm" },
                { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw" }]),
            true,
        ),
        (
            json!([{ "allow": true, "type": "c", "major": 1, "minor": 11, "access": "rw" },
                { "allow": false, "access": "rwm" }]),
            false,
        ),
        (json!([{ "allow": true, "access": "rwm" }]), true),
    ] {
        let mut world = World::new("(: < /dev/kmsg) && echo opened; (: < /dev/null) && echo null");
        world.spec["linux"]["devices"] = json!([{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666 }]);
        world.spec["linux"]["resources"]["devices"] = rules.clone();
        let caps = json!(["CAP_SYS_ADMIN", "CAP_SYSLOG", "CAP_MKNOD"]);
        world.spec["process"]["capabilities"] =
            json!({ "bounding": caps, "effective": caps, "permitted": caps });
        let (output, _) = world.run();
        assert_eq!(output.contains("opened"), allowed, "{rules}: {output}");
        assert!(output.contains("null"), "{output}");
    }
}
