//! A hostile root file system.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// `<dir>/root` is the root, `<dir>/outside` must never change.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("root")).unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        Self { dir }
    }

    fn path(&self, inside: &str) -> std::path::PathBuf {
        self.dir.path().join(inside)
    }

    fn root(&self) -> RootFd {
        RootFd::open_host(&self.path("root")).unwrap()
    }

    fn outside_is_empty(&self) -> bool {
        std::fs::read_dir(self.path("outside")).unwrap().next().is_none()
    }
}

fn make(root: &RootFd, path: &CStr, leaf: Leaf) -> rustix::io::Result<OwnedFd> {
    root.open_or_create(path, leaf, Mode::from_raw_mode(0o755))
}

#[test]
fn directories_and_a_file_are_made() {
    let world = World::new();
    make(&world.root(), c"/a/b/../c//file", Leaf::File).unwrap();
    assert!(world.path("root/a/c/file").is_file());
    assert!(world.path("root/a/b").is_dir());
    make(&world.root(), c"/a/c/file", Leaf::File).unwrap();
    make(&world.root(), c"/", Leaf::Directory).unwrap();
}

#[test]
fn an_absolute_symlink_stays_in_the_root() {
    let world = World::new();
    symlink(world.path("outside"), world.path("root/escape")).unwrap();
    make(&world.root(), c"/escape/made", Leaf::Directory).unwrap();
    assert!(world.outside_is_empty());
    let inside = world.path("root").join(world.path("outside").strip_prefix("/").unwrap());
    assert!(inside.join("made").is_dir());
}

#[test]
fn dots_do_not_climb_out() {
    let world = World::new();
    symlink("../../../../../../outside", world.path("root/up")).unwrap();
    make(&world.root(), c"/up/made", Leaf::Directory).unwrap();
    assert!(world.outside_is_empty());
    assert!(world.path("root/outside/made").is_dir());
    make(&world.root(), c"../../x", Leaf::File).unwrap();
    assert!(world.path("root/x").is_file());
}

/// Images often carry /etc/resolv.conf as a link to a file that only systemd makes.
#[test]
fn a_dangling_symlink_is_completed_inside() {
    let world = World::new();
    std::fs::create_dir(world.path("root/etc")).unwrap();
    symlink("../run/systemd/stub.conf", world.path("root/etc/resolv.conf")).unwrap();
    make(&world.root(), c"/etc/resolv.conf", Leaf::File).unwrap();
    assert!(world.path("root/run/systemd/stub.conf").is_file());
}

#[test]
fn a_loop_of_links_ends() {
    let world = World::new();
    symlink("b", world.path("root/a")).unwrap();
    symlink("a", world.path("root/b")).unwrap();
    assert_eq!(make(&world.root(), c"/a/x", Leaf::File).unwrap_err(), Errno::LOOP);
}

#[test]
fn the_kind_of_the_leaf_is_checked() {
    let world = World::new();
    std::fs::write(world.path("root/file"), "").unwrap();
    let root = world.root();
    assert_eq!(make(&root, c"/file", Leaf::Directory).unwrap_err(), Errno::NOTDIR);
    assert_eq!(make(&root, c"/file/below", Leaf::File).unwrap_err(), Errno::NOTDIR);
    assert_eq!(make(&root, c"/", Leaf::File).unwrap_err(), Errno::ISDIR);
    let long = std::ffi::CString::new("x/".repeat(3000)).unwrap();
    assert_eq!(make(&root, &long, Leaf::File).unwrap_err(), Errno::NAMETOOLONG);
}

/// CVE-2021-30465's shape: a directory is swapped for a symlink while mount targets are made.
#[test]
fn a_racing_swap_never_leaves_the_root() {
    let world = World::new();
    std::fs::create_dir(world.path("root/d")).unwrap();
    symlink(world.path("outside"), world.path("root/l")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let dir = std::fs::File::open(world.path("root")).unwrap();
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                rustix::fs::renameat_with(&dir, "d", &dir, "l", flags).unwrap();
            }
        });
        let root = world.root();
        for round in 0..2000 {
            let name = std::ffi::CString::new(format!("/d/made{round}/x")).unwrap();
            // Either outcome is fine, inside.
            drop(make(&root, &name, Leaf::File));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(world.outside_is_empty(), "{:?}", Path::new(&world.path("outside")));
}

#[test]
fn only_the_null_device_is_null() {
    let open = |path: &str| RootFd::open_host(Path::new("/")).unwrap().open(path, OFlags::PATH);
    assert!(is_dev_null(open("/dev/null").unwrap().as_fd()).unwrap());
    assert!(!is_dev_null(open("/dev/zero").unwrap().as_fd()).unwrap());
    assert!(!is_dev_null(open("/dev").unwrap().as_fd()).unwrap());
}
