//! Every kind of mount and option, as the container finds it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown, symlink};

use corten_sys_linux::pidfd::Exit;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces};
use rustix::mount::{MountFlags, mount};
use serde_json::{Value, json};

use crate::world::{World, need_containers};

const MOUNTS_ONLY: NamespaceOptions = NamespaceOptions { net: false, cgroup: false };

fn map(host: u32) -> Value {
    json!([{ "containerID": 0, "hostID": host, "size": 65536 }])
}

fn add(world: &mut World, mount: Value) {
    world.spec["mounts"].as_array_mut().unwrap().push(mount);
}

/// A volume with a file of root's.
fn volume(world: &World, name: &str) {
    std::fs::create_dir_all(world.path(name)).unwrap();
    std::fs::write(world.path(name).join("file"), "x").unwrap();
}

#[test]
fn an_id_mapped_mount_shows_other_owners() {
    need_containers!();
    let mut world = World::new("stat -c %u:%g /a/file /b/file; touch /a/made; stat -c %u /a/made");
    volume(&world, "a");
    chown(world.path("a/file"), Some(5), Some(6)).unwrap();
    let source = world.path("a");
    for (place, uid, gid, option) in [("/a", 1000, 2000, "idmap"), ("/b", 3000, 3000, "nodev")] {
        add(
            &mut world,
            json!({
                "destination": place, "source": source, "options": ["bind", option],
                "uidMappings": map(uid), "gidMappings": map(gid),
            }),
        );
    }
    // Root itself has no id on disk there, so it can make nothing.
    let (output, exit) = world.run();
    assert!(output.starts_with("1005:2006\n3005:3006\n"), "{output}");
    assert!(output.contains("Value too large"), "{output}");
    assert_ne!(exit, Exit::Code(0));
}

/// Files of the host's root, as the container's own root sees them.
#[test]
fn an_id_mapped_mount_takes_the_containers_own_mapping() {
    need_containers!();
    for option in ["idmap", "ridmap"] {
        let mut world = World::new("stat -c %u /mnt/file /mnt/below/file; touch /mnt/made");
        std::fs::set_permissions(world.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        chown(world.rootfs(), Some(100_000), Some(100_000)).unwrap();
        world.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        world.spec["linux"]["uidMappings"] = map(100_000);
        world.spec["linux"]["gidMappings"] = map(100_000);
        volume(&world, "a");
        std::fs::create_dir(world.path("a/below")).unwrap();
        let below = world.path("a/below");
        let source = world.path("a");
        add(
            &mut world,
            json!({
                "destination": "/mnt", "source": source, "options": ["rbind", option],
            }),
        );
        in_new_namespaces(MOUNTS_ONLY, || {
            mount("tmpfs", &below, "tmpfs", MountFlags::empty(), None).unwrap();
            std::fs::write(below.join("file"), "x").unwrap();
            let lower = if option == "ridmap" { 0 } else { 65534 };
            assert_eq!(world.output_of_run(), format!("0\n{lower}\n"), "{option}");
        });
        assert_eq!(std::fs::metadata(world.path("a/made")).unwrap().uid(), 0);
    }
}

#[test]
fn an_id_mapped_mount_without_a_mapping_is_named() {
    need_containers!();
    let mut world = World::new("true");
    volume(&world, "a");
    world.bind("a", "/mnt", &["bind", "idmap"]);
    let error = world.create_error();
    assert!(error.contains("mounts[7].uidMappings: is missing"), "{error}");
}

/// Each recursive option holds below, each plain one does not.
#[test]
fn recursive_attributes_reach_what_is_mounted_below() {
    need_containers!();
    let options = [
        ("ro", "ro"),
        ("nosuid", "nosuid"),
        ("nodev", "nodev"),
        ("noexec", "noexec"),
        ("noatime", "noatime"),
        ("nodiratime", "nodiratime"),
        ("nosymfollow", "nosymfollow"),
    ];
    let mut world =
        World::new("grep ' /p/\\| /r/' /proc/self/mounts; grep ' /p \\| /r ' /proc/self/mounts");
    std::fs::create_dir_all(world.path("a/below")).unwrap();
    let plain: Vec<String> = options.iter().map(|one| one.0.to_owned()).collect();
    let recursive: Vec<String> = options.iter().map(|one| format!("r{}", one.0)).collect();
    let source = world.path("a");
    for (place, list) in [("/p", plain), ("/r", recursive)] {
        let mut list = list;
        list.push("rbind".to_owned());
        add(&mut world, json!({ "destination": place, "source": source, "options": list }));
    }
    let below = world.path("a/below");
    in_new_namespaces(MOUNTS_ONLY, || {
        mount("tmpfs", &below, "tmpfs", MountFlags::empty(), None).unwrap();
        let output = world.output_of_run();
        for line in output.lines() {
            let mut fields = line.split(' ').skip(1);
            let (place, _, set) = (fields.next().unwrap(), fields.next(), fields.next().unwrap());
            let set: Vec<_> = set.split(',').collect();
            for (_, shown) in options {
                assert_eq!(set.contains(&shown), place != "/p/below", "{shown}: {line}");
            }
        }
        assert_eq!(output.lines().count(), 4, "{output}");
    });
}

#[test]
fn symlinks_are_not_followed_where_told_so() {
    need_containers!();
    let mut world = World::new("cat /mnt/file; cat /mnt/link");
    volume(&world, "a");
    symlink("file", world.path("a/link")).unwrap();
    world.bind("a", "/mnt", &["bind", "nosymfollow"]);
    let (output, _) = world.run();
    assert!(output.starts_with('x') && output.contains("symbolic link"), "{output}");
}

#[test]
fn propagation_is_as_asked() {
    need_containers!();
    for (option, above, below) in [
        ("private", "", "master"),
        ("rprivate", "", ""),
        ("slave", "master", "master"),
        ("rslave", "master", "master"),
        ("shared", "shared", "shared"),
        ("rshared", "shared", "shared"),
        ("unbindable", "unbindable", "master"),
    ] {
        let mut world = World::new("grep -E ' /mnt(/below)? ' /proc/self/mountinfo");
        std::fs::create_dir_all(world.path("a/below")).unwrap();
        world.bind("a", "/mnt", &["rbind", option]);
        let (top, lower) = (world.path("a"), world.path("a/below"));
        in_new_namespaces(MOUNTS_ONLY, || {
            use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
            mount_bind(&top, &top).unwrap();
            mount("tmpfs", &lower, "tmpfs", MountFlags::empty(), None).unwrap();
            let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
            mount_change(&top, shared).unwrap();
            let output = world.output_of_run();
            // mountinfo: the optional fields are between the sixth and a dash.
            let kinds: Vec<String> = output
                .lines()
                .map(|line| {
                    let fields = line.split(' ').skip(6).take_while(|field| *field != "-");
                    fields.map(|field| field.split(':').next().unwrap()).collect()
                })
                .collect();
            assert_eq!(kinds, [above, below], "{option}: {output}");
        });
    }
}

#[test]
fn a_tmpfs_starts_with_what_it_covers() {
    need_containers!();
    let mut world = World::new(
        "cd /data; stat -c '%n %a %u:%g %Y' . file sub sub/deep; cat file sub/deep; readlink link; \
         test -p pipe && echo pipe; touch new && rm file && echo changed; touch /data-ro/x; cat /data-ro/file",
    );
    let data = world.rootfs().join("data");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    std::fs::write(data.join("file"), "one\n").unwrap();
    std::fs::write(data.join("sub/deep"), "two\n").unwrap();
    symlink("/etc/passwd", data.join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        data.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    chown(data.join("file"), Some(7), Some(8)).unwrap();
    for (name, mode) in [("file", 0o4755), ("sub", 0o750), ("sub/deep", 0o600), ("", 0o711)] {
        std::fs::set_permissions(data.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
    std::fs::File::open(data.join("file")).unwrap().set_modified(time).unwrap();
    std::fs::File::open(data.join("sub/deep")).unwrap().set_modified(time).unwrap();
    std::fs::create_dir(world.rootfs().join("data-ro")).unwrap();
    std::fs::write(world.rootfs().join("data-ro/file"), "three\n").unwrap();
    for (place, extra) in [("/data", "rw"), ("/data-ro", "ro")] {
        add(
            &mut world,
            json!({
                "destination": place, "type": "tmpfs", "source": "tmpfs",
                "options": ["tmpcopyup", "size=1m", extra],
            }),
        );
    }
    let (output, _) = world.run();
    let lines: Vec<_> = output.lines().collect();
    assert!(lines[0].starts_with(". 711 0:0"), "{output}");
    assert_eq!(lines[1], "file 4755 7:8 1000", "{output}");
    assert!(lines[2].starts_with("sub 750 0:0"), "{output}");
    assert_eq!(lines[3], "sub/deep 600 0:0 1000");
    assert_eq!(lines[4..9], ["one", "two", "/etc/passwd", "pipe", "changed"], "{output}");
    assert!(output.contains("/data-ro/x: Read-only") && output.ends_with("three\n"), "{output}");
    // The image itself is as it was.
    assert!(data.join("file").exists() && !data.join("new").exists());
}

/// What is copied is bounded by the tmpfs, and by nothing that the image could do.
#[test]
fn a_tmpfs_that_is_too_small_for_the_images_files_is_named() {
    need_containers!();
    let mut world = World::new("true");
    std::fs::create_dir(world.rootfs().join("data")).unwrap();
    std::fs::write(world.rootfs().join("data/large"), vec![1; 1 << 20]).unwrap();
    add(
        &mut world,
        json!({
            "destination": "/data", "type": "tmpfs", "source": "tmpfs",
            "options": ["tmpcopyup", "size=64k"],
        }),
    );
    let error = world.create_error();
    assert!(error.contains("copy the image's files into \"/data\": No space left"), "{error}");
}

#[test]
fn a_tmpfs_is_as_open_as_what_it_covers_unless_told() {
    need_containers!();
    let mut world = World::new("stat -c %a /mnt /new /told /closed");
    std::fs::set_permissions(world.rootfs().join("mnt"), PermissionsExt::from_mode(0o1777))
        .unwrap();
    for (place, options) in [
        ("/mnt", json!(["nosuid"])),
        ("/new", json!([])),
        ("/told", json!(["mode=700"])),
        ("/closed", json!(["ro"])),
    ] {
        add(
            &mut world,
            json!({ "destination": place, "type": "tmpfs", "source": "t", "options": options }),
        );
    }
    assert_eq!(world.output_of_run(), "1777\n755\n700\n755\n");
}

#[test]
fn an_overlay_is_mounted() {
    need_containers!();
    let mut world = World::new("cat /mnt/file; cat /mnt/other; echo new > /mnt/file");
    for name in ["lower", "lower2", "scratch"] {
        std::fs::create_dir_all(world.path(name)).unwrap();
    }
    std::fs::write(world.path("lower/file"), "old\n").unwrap();
    std::fs::write(world.path("lower2/other"), "other\n").unwrap();
    let text = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let scratch = world.path("scratch");
    // Longer than one option may be: the layers are told one by one.
    let padding = "/.".repeat(100);
    let options = json!([
        format!("lowerdir={}{padding}:{}{padding}", text("lower"), text("lower2")),
        format!("upperdir={}", text("scratch/up")),
        format!("workdir={}", text("scratch/work")),
    ]);
    add(
        &mut world,
        json!({
            "destination": "/mnt", "type": "overlay", "source": "overlay", "options": options,
        }),
    );
    in_new_namespaces(MOUNTS_ONLY, || {
        // The machine's own file system may be an overlay, which cannot hold an upper layer.
        mount("tmpfs", &scratch, "tmpfs", MountFlags::empty(), None).unwrap();
        for name in ["up", "work"] {
            std::fs::create_dir(scratch.join(name)).unwrap();
        }
        assert_eq!(world.output_of_run(), "old\nother\n");
        assert_eq!(std::fs::read_to_string(scratch.join("up/file")).unwrap(), "new\n");
    });
    assert_eq!(std::fs::read_to_string(world.path("lower/file")).unwrap(), "old\n");
}

/// Where the image has no such place, and where a link leads to one that is not there yet.
#[test]
fn targets_are_made_for_files_and_directories() {
    need_containers!();
    let mut world = World::new("cat /a/b/file; cat /a/c/dir/file; cat /dangling/file");
    volume(&world, "v");
    symlink("/made/by/link", world.rootfs().join("dangling")).unwrap();
    world.bind("v/file", "/a/b/file", &["bind"]);
    world.bind("v", "/a/c/dir", &["bind"]);
    world.bind("v", "/dangling", &["bind"]);
    assert_eq!(world.output_of_run(), "xxx");
    assert!(world.rootfs().join("made/by/link").is_dir());
}
