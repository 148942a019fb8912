//! Mounts, masks and modes.

use corten_sys_linux::pidfd::Exit;
use serde_json::json;

use crate::world::{World, need_containers};

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
    corten_tests_harness::in_new_namespaces(
        corten_tests_harness::NamespaceOptions { net: false, cgroup: false },
        || {
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
        },
    );
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
    corten_tests_harness::in_new_namespaces(
        corten_tests_harness::NamespaceOptions { net: false, cgroup: false },
        || {
            use rustix::mount::{
                MountFlags, MountPropagationFlags, mount, mount_bind, mount_change,
            };
            mount_bind(&volume, &volume).unwrap();
            mount_change(&volume, MountPropagationFlags::SHARED).unwrap();
            let process = world.begin();
            mount("tmpfs", &late, "tmpfs", MountFlags::empty(), None).unwrap();
            std::fs::write(late.join("file"), "").unwrap();
            assert_eq!(process.wait().unwrap(), Exit::Code(0));
            assert_eq!(world.output(), "seen\n");
        },
    );
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
