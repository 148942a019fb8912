//! The command line in the hands of an unprivileged user.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails the test that it helps"
)]

use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use corten_tests_harness::{is_root, skip};
use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";
/// Somebody without a name, a group or a range of ids.
const USER: u32 = 61_234;

macro_rules! need_root {
    () => {
        if !is_root() {
            skip("to be another user needs root");
            return;
        }
        if !Path::new(BUSYBOX).exists() {
            skip("needs /bin/busybox, static (Debian package busybox-static)");
            return;
        }
    };
}

/// A bundle of the user's own, where the user can reach it.
struct World {
    dir: tempfile::TempDir,
    spec: Value,
}

impl World {
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "dev", "proc", "sys", "tmp"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        for applet in [
            "sh", "sleep", "cat", "echo", "id", "ls", "touch", "hostname", "readlink", "grep",
            "mkdir",
        ] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        std::fs::copy(env!("CARGO_BIN_EXE_corten-run"), dir.path().join("corten-run")).unwrap();
        for path in
            [".", "rootfs", "rootfs/bin", "rootfs/dev", "rootfs/proc", "rootfs/sys", "rootfs/tmp"]
        {
            lchown(dir.path().join(path), Some(USER), Some(USER)).unwrap();
        }
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"];
        let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
        let own = json!([{ "containerID": 0, "hostID": USER, "size": 1 }]);
        let spec = json!({
            "ociVersion": "1.3.0",
            "process": {
                "user": { "uid": 0, "gid": 0 }, "args": ["sh", "-c", script],
                "env": ["PATH=/bin"], "cwd": "/",
            },
            "root": { "path": "rootfs" },
            "hostname": "rootless",
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "strictatime", "mode=755"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                  "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666"] },
                { "destination": "/sys", "type": "sysfs", "source": "sysfs",
                  "options": ["nosuid", "noexec", "nodev", "ro"] },
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                  "options": ["nosuid", "noexec", "nodev"] },
            ],
            "linux": {
                "namespaces": namespaces, "uidMappings": own, "gidMappings": own,
                "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
                "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            },
        });
        Self { dir, spec }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    fn command(&self, args: &[&str]) -> Command {
        std::fs::write(self.path("config.json"), self.spec.to_string()).unwrap();
        let mut command = Command::new("setpriv");
        let user = USER.to_string();
        command
            .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--"])
            .arg(self.path("corten-run"))
            .arg("--root")
            .arg(self.path("state"))
            .args(args)
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_unprivileged_user_runs_a_container() {
    need_root!();
    let world = World::new(
        "id -u; cat /proc/self/uid_map; cat /proc/self/setgroups; hostname; echo > /dev/null && echo null; \
         ls /proc | grep -c '^[0-9]' ; touch /made; touch /sys/x",
    );
    let output = world.run(&["run", "one"]);
    let out = text(&output.stdout);
    let words: Vec<_> = out.split_ascii_whitespace().collect();
    let user = USER.to_string();
    assert_eq!(words[..7], ["0", "0", &user, "1", "deny", "rootless", "null"], "{output:?}");
    assert!(text(&output.stderr).contains("/sys/x: Read-only"), "{output:?}");
    let made = std::fs::metadata(world.path("rootfs/made")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&made), USER);
    assert!(std::fs::read_dir(world.path("state")).unwrap().next().is_none());
}

/// What the user cannot write to on the host is not writable inside, cgroup namespace or not.
#[test]
fn cve_2023_25809_the_hosts_cgroups_are_not_writable() {
    need_root!();
    for own in [true, false] {
        let mut world = World::new(
            "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/x 2>/dev/null && echo $d; done; \
             grep ' /sys/fs/cgroup' /proc/self/mounts",
        );
        if !own {
            let namespaces = world.spec["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|one| one["type"] != "cgroup");
        }
        let output = world.ok(&["run", "one"]);
        assert!(!output.starts_with('/'), "{own}: {output}");
        if !own {
            assert!(output.lines().all(|line| line.contains(" ro,")), "{output}");
        }
    }
}

#[test]
fn an_unprivileged_user_has_the_whole_life_of_a_container() {
    need_root!();
    let world = World::new("sleep 1000");
    let quiet = |args: &[&str]| {
        // A container that outlives its maker must not keep a pipe of this test open.
        let status = world
            .command(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(world.path("err")).unwrap())
            .status()
            .unwrap();
        let said = std::fs::read_to_string(world.path("err")).unwrap();
        assert!(status.success(), "{args:?}: {said}");
    };
    quiet(&["create", "one"]);
    quiet(&["start", "one"]);
    let pid = world.ok(&["exec", "one", "sh", "-c", "readlink /proc/self; id -u; hostname"]);
    let words: Vec<_> = pid.split_ascii_whitespace().collect();
    assert_eq!(words[1..], ["0", "rootless"], "{pid}");
    assert!(words[0].parse::<u32>().unwrap() < 100, "{pid}");
    quiet(&["kill", "one", "KILL"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !world.ok(&["state", "one"]).contains("stopped") {
        assert!(Instant::now() < deadline);
    }
    quiet(&["delete", "one"]);
}

#[test]
fn an_unprivileged_users_hooks_run() {
    need_root!();
    let mut world = World::new("true");
    let script = format!("cat >> {}", world.path("log").display());
    let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }]);
    world.spec["hooks"] =
        json!({ "createRuntime": hook, "createContainer": hook, "poststop": hook });
    world.ok(&["run", "one"]);
    let log = std::fs::read_to_string(world.path("log")).unwrap();
    assert_eq!(log.matches("\"creating\"").count(), 2, "{log}");
    assert!(log.contains("\"stopped\""), "{log}");
}

#[test]
fn what_needs_privileges_is_named() {
    need_root!();
    let id = "one";
    for (field, value, expected) in [
        ("/linux/resources/memory", json!({ "limit": 1 << 20 }), "cgroup"),
        ("/process/user/additionalGids", json!([7]), "process.user.additionalGids"),
        (
            "/linux/uidMappings",
            json!([{ "containerID": 0, "hostID": USER, "size": 1 },
                   { "containerID": 1, "hostID": 100_000, "size": 10 }]),
            "linux.uidMappings",
        ),
    ] {
        let mut world = World::new("true");
        let (parent, name) = field.rsplit_once('/').unwrap();
        world.spec.pointer_mut(parent).unwrap()[name] = value;
        let output = world.run(&["run", id]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains(expected), "{field}: {output:?}");
    }
}
