//! Attacks that have worked on runtimes; each test is named after one.

use std::os::unix::fs::{MetadataExt as _, symlink};

use corten_tests_harness::{NamespaceOptions, in_new_namespaces};
use serde_json::json;

use corten_runtime_container::delete;

use crate::world::{World, chain, need_containers};

const MOUNTS_ONLY: NamespaceOptions = NamespaceOptions { net: false, cgroup: false };

/// A descriptor of the host, left open in the container's first process, as its working directory.
#[test]
fn cve_2024_21626_no_descriptor_of_the_host_leads_out() {
    need_containers!();
    let mut world = World::new("true");
    for number in 3..64 {
        world.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let error = world.create_error();
        assert!(error.contains("director"), "{number}: {error}");
    }
    let world = World::new("sleep 1000");
    let _first = world.begin();
    for number in 3..64 {
        let mut process = world.spec["process"].clone();
        process["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let error = chain(&world.try_exec(process).unwrap_err());
        assert!(error.contains("director"), "{number}: {error}");
    }
}

/// Also CVE-2016-9962: while it waits to be started, the process holds its streams and its gate and
/// nothing else, and what it holds is root's alone to look at.
#[test]
fn cve_2024_21626_a_waiting_process_holds_nothing_of_the_host() {
    need_containers!();
    let mut world = World::new("true");
    world.spec["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    world.create().unwrap();
    let pid = world.states.load(&world.id).unwrap().pid;
    let mut open = 0;
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        open += 1;
        // The socket to its parent goes just after it has said that it is ready.
        let Ok(file) = std::fs::metadata(entry.path()) else { continue };
        assert!(!file.is_dir(), "{:?}", std::fs::read_link(entry.path()));
    }
    assert!((5..=6).contains(&open), "{open}");
    // Not dumpable: its files in /proc belong to root, not to the user it runs as.
    assert_eq!(std::fs::metadata(format!("/proc/{pid}/fd")).unwrap().uid(), 0);
}

/// The image's symlink at a mount's destination is resolved inside the root.
#[test]
fn cve_2021_30465_a_destination_never_leaves_the_root() {
    need_containers!();
    let mut world = World::new("cat /link/file; ls -d /outside");
    std::fs::create_dir(world.path("outside")).unwrap();
    std::fs::create_dir(world.path("volume")).unwrap();
    std::fs::write(world.path("volume/file"), "inside\n").unwrap();
    symlink("../../../../../../outside", world.rootfs().join("link")).unwrap();
    world.bind("volume", "/link", &["bind"]);
    assert_eq!(world.output_of_run(), "inside\n/outside\n");
    assert!(std::fs::read_dir(world.path("outside")).unwrap().next().is_none());
    assert!(world.rootfs().join("outside").is_dir());
}

/// The volume of an image at `/proc`: programs would read what the image says, and a runtime that
/// writes to `/proc` would write into it. Also CVE-2023-28642.
#[test]
fn cve_2019_16884_only_procfs_goes_on_proc() {
    need_containers!();
    for kind in ["bind", "tmpfs"] {
        let mut world = World::new("true");
        std::fs::create_dir_all(world.path("decoy/self/attr")).unwrap();
        let mount = json!({
            "destination": "/proc", "type": kind, "source": world.path("decoy"),
            "options": if kind == "bind" { json!(["bind"]) } else { json!([]) },
        });
        world.spec["mounts"][0] = mount;
        let error = world.create_error();
        assert!(error.contains("refuse to mount anything but procfs"), "{error}");
    }
    // The host's own is procfs.
    let mut world = World::new("test -e /proc/self/status && echo proc");
    world.spec["mounts"][0] =
        json!({ "destination": "/proc", "source": "/proc", "options": ["rbind"] });
    world.spec["linux"]["maskedPaths"] = json!([]);
    world.spec["linux"]["readonlyPaths"] = json!([]);
    assert_eq!(world.output_of_run(), "proc\n");
}

/// The link at `/proc`, which came back as CVE-2023-27561: a volume with such a link, mounted where
/// the root's parts are, let procfs be mounted elsewhere and `/proc` be anything.
#[test]
fn cve_2019_19921_proc_is_no_link_into_a_volume() {
    need_containers!();
    let mut world = World::new("true");
    std::fs::create_dir_all(world.path("volume/decoy")).unwrap();
    std::fs::remove_dir(world.rootfs().join("proc")).unwrap();
    symlink("/volume/decoy", world.rootfs().join("proc")).unwrap();
    world.bind("volume", "/volume", &["rbind"]);
    world.spec["mounts"].as_array_mut().unwrap().rotate_right(1);
    let error = world.create_error();
    assert!(error.contains("make mount target \"/proc\""), "{error}");
}

/// While a destination is made, somebody with another handle on the image puts links in its way.
#[test]
fn cve_2024_45310_a_race_makes_nothing_outside() {
    use std::sync::atomic::{AtomicBool, Ordering};

    need_containers!();
    let mut world = World::new("true");
    std::fs::create_dir(world.path("outside")).unwrap();
    std::fs::create_dir(world.path("volume")).unwrap();
    let root = world.rootfs();
    std::fs::create_dir(root.join("plain")).unwrap();
    symlink(world.path("outside"), root.join("link")).unwrap();
    world.bind("volume", "/plain/some/deep/folder", &["bind"]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let (plain, link) = (root.join("plain"), root.join("link"));
                rustix::fs::renameat_with(rustix::fs::CWD, plain, rustix::fs::CWD, link, flags)
                    .unwrap();
            }
        });
        for _try in 0..60 {
            // Whether it works or not depends on the moment.
            drop(world.create());
            delete(&world.states, &world.id, true).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(std::fs::read_dir(world.path("outside")).unwrap().next().is_none());
}

/// What the image has at `/dev/null` masks nothing; the host's device does.
#[test]
fn cve_2025_62161_the_images_null_device_masks_nothing() {
    need_containers!();
    let mut world = World::new("head -c 1 /proc/keys | wc -c; stat -c %t:%T /proc/keys");
    symlink("busybox", world.rootfs().join("bin/wc")).unwrap();
    std::fs::create_dir(world.path("dev")).unwrap();
    std::fs::write(world.path("secret"), "secret").unwrap();
    symlink("/proc/kallsyms", world.path("dev/null")).unwrap();
    world.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    world.bind("dev", "/dev", &["rbind"]);
    assert_eq!(world.output_of_run(), "0\n1:3\n");
}

/// A hook's program is the host's, never one of that name in the image, although the image is
/// mounted by then.
#[test]
fn cve_2026_84042_no_program_of_the_image_runs_before_the_root_changes() {
    need_containers!();
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut world = World::new("true");
        std::fs::create_dir(world.rootfs().join("opt")).unwrap();
        symlink("/bin/busybox", world.rootfs().join("opt/corten-only-in-image")).unwrap();
        let path = "/opt/corten-only-in-image";
        world.spec["hooks"] = json!({ kind: [{ "path": path, "args": ["true"] }] });
        let error = world.create_error();
        assert!(error.contains(&format!("execve({path}): No such file")), "{error}");
    }
}

/// procfs and sysfs go on real directories only.
#[test]
fn cve_2025_54867_proc_is_not_mounted_through_a_link() {
    need_containers!();
    for name in ["proc", "sys"] {
        let world = World::new("true");
        std::fs::remove_dir(world.rootfs().join(name)).unwrap();
        symlink("/tmp", world.rootfs().join(name)).unwrap();
        let error = world.create_error();
        assert!(error.contains(&format!("make mount target \"/{name}\"")), "{error}");
    }
}

/// A link that leads a mount's destination onto procfs would redirect what a runtime writes there.
#[test]
fn cve_2025_52881_nothing_is_mounted_over_procfs() {
    need_containers!();
    for target in ["/proc/self/attr", "/proc/sys/kernel", "/proc/../proc/sys"] {
        let mut world = World::new("true");
        std::fs::create_dir(world.path("decoy")).unwrap();
        symlink(target, world.rootfs().join("innocent")).unwrap();
        world.bind("decoy", "/innocent", &["bind"]);
        let error = world.create_error();
        assert!(error.contains("procfs"), "{target}: {error}");
    }
}

/// A mask is made of the null device and of nothing that merely has its name.
#[test]
fn cve_2025_31133_a_false_null_device_masks_nothing() {
    need_containers!();
    let world = World::new("true");
    let decoy = world.path("decoy");
    std::fs::write(&decoy, "not null").unwrap();
    in_new_namespaces(MOUNTS_ONLY, || {
        let stdio = world.to_file();
        rustix::mount::mount_bind(&decoy, "/dev/null").unwrap();
        let error = world
            .create_with(stdio, corten_runtime_container::StartGate::Fifo)
            .expect_err("create must fail");
        assert!(chain(&error).contains("verify the host's \"/dev/null\""), "{}", chain(&error));
    });
}

/// An image whose /dev is a link to the host's: nothing there may be unlinked or made. Also
/// CVE-2026-47766 (crun).
#[test]
fn cve_2026_41579_dev_as_a_link_reaches_no_host_folder() {
    need_containers!();
    let mut world = World::new("ls /dev/null");
    std::fs::create_dir(world.path("outside")).unwrap();
    std::fs::write(world.path("outside/ptmx"), "precious").unwrap();
    std::fs::remove_dir(world.rootfs().join("dev")).unwrap();
    symlink(world.path("outside"), world.rootfs().join("dev")).unwrap();
    // Without a tmpfs on /dev, the image's own is used.
    world.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    assert_eq!(world.output_of_run(), "/dev/null\n");
    let left: Vec<_> = std::fs::read_dir(world.path("outside")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(std::fs::read_to_string(world.path("outside/ptmx")).unwrap(), "precious");
}

/// The terminal comes from the container's own devpts, not from what the image has in its place.
#[test]
fn cve_2025_52565_a_false_terminal_is_refused() {
    need_containers!();
    let mut world = World::new("true");
    world.spec["process"]["terminal"] = json!(true);
    world.spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "devpts");
    world.spec["linux"]["devices"] =
        json!([{ "path": "/dev/pts/ptmx", "type": "c", "major": 5, "minor": 2 }]);
    let stdio = corten_runtime_container::Stdio::Terminal(corten_runtime_container::Console::Keep);
    let error = world.create_with(stdio, corten_runtime_container::StartGate::Fifo).unwrap_err();
    assert!(chain(&error).contains("open terminal \"/dev/pts/ptmx\""), "{}", chain(&error));
}

/// A console that is a link to a host's file is resolved inside.
#[test]
fn cve_2025_52565_a_console_link_stays_inside() {
    need_containers!();
    let mut world = World::new("sleep 1000");
    world.spec["process"]["terminal"] = json!(true);
    std::fs::write(world.path("outside"), "precious").unwrap();
    std::fs::create_dir(world.path("dev")).unwrap();
    symlink(world.path("outside"), world.path("dev/console")).unwrap();
    let mounts = world.spec["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    world.bind("dev", "/dev", &["rbind"]);
    std::fs::create_dir(world.path("dev/pts")).unwrap();
    world.spec["mounts"].as_array_mut().unwrap().push(json!({
        "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"],
    }));
    let stdio = corten_runtime_container::Stdio::Terminal(corten_runtime_container::Console::Keep);
    world.create_with(stdio, corten_runtime_container::StartGate::Fifo).unwrap();
    let outside = std::fs::metadata(world.path("outside")).unwrap();
    assert!(outside.is_file() && outside.len() == 8);
}

/// No limit of a program's own name or arguments may break the state file's reading.
#[test]
fn a_hostile_program_name_does_not_confuse_the_state() {
    need_containers!();
    let mut world = World::new("");
    std::fs::hard_link(world.rootfs().join("bin/busybox"), world.rootfs().join("bin/a) Z 1 (b"))
        .unwrap();
    world.spec["process"]["args"] = json!(["/bin/a) Z 1 (b", "sleep", "1000"]);
    let process = world.begin();
    let state = world.states.load(&world.id).unwrap();
    // busybox refuses an unknown name; until it has ended it runs, and then it is stopped.
    process.wait_ended(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(world.states.status(&state), corten_runtime_container::Status::Stopped);
}
