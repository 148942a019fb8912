//! The validation programs of the OCI's own runtime-tools, against this runtime.
//!
//! They are Go programs, 58 of them, built here from the module proxy. Many look at cgroup v1 by
//! its paths alone, so they see a host that has nothing else mounted.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of tests fails the test that it helps"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_move, unmount};

const MODULE: &str = "github.com/opencontainers/runtime-tools@\
                      v0.9.1-0.20251114084447-edf4cb3d2116";
const RUNTIME: &str = env!("CARGO_BIN_EXE_corten-run");
const TMP: &str = env!("CARGO_TARGET_TMPDIR");
const PROGRAMS: usize = 58;

/// Programs that cannot pass, and why. No runtime passes those that are the programs' own fault.
const FAIL: [(&str, &str); 25] = [
    ("delete", "wants a container that waits to be started not to be deleted; all engines do that"),
    ("delete_resources", "compares the addresses of two limits instead of the limits"),
    ("hooks_stdin", "reads what hooks wrote from a folder that they cannot see"),
    ("linux_cgroups_blkio", "asks for leaf weights, which no kernel has had since 5.0"),
    ("linux_cgroups_hugetlb", "asks for v1's hugetlb, which is on v2 here"),
    ("linux_cgroups_memory", "asks for a limit on kernel memory, which no kernel has"),
    ("linux_cgroups_network", "asks for net_cls and net_prio, which this kernel does not have"),
    ("linux_cgroups_pids", "compares the addresses of two limits instead of the limits"),
    ("linux_cgroups_relative_blkio", "asks for leaf weights, which no kernel has had since 5.0"),
    ("linux_cgroups_relative_hugetlb", "asks for v1's hugetlb, which is on v2 here"),
    ("linux_cgroups_relative_memory", "asks for a limit on kernel memory, which no kernel has"),
    ("linux_cgroups_relative_network", "asks for net_cls and net_prio, which this kernel lacks"),
    ("linux_cgroups_relative_pids", "compares the addresses of two limits instead of the limits"),
    ("linux_mount_label", "needs SELinux"),
    ("linux_ns_itype", "wants a container in the host's mount namespace"),
    ("linux_ns_path", "wants a container in another's mount namespace"),
    ("linux_process_apparmor_profile", "needs AppArmor"),
    ("misc_props", "runs a program that is not in its bundle"),
    ("mounts", "gives a bind mount an option of tmpfs"),
    ("pidfile", "kills a container whose program has ended"),
    ("process_capabilities", "wants CAP_SYS_RESOURCE, which continuous integration lacks"),
    ("process_capabilities_fail", "wants an unknown capability to be refused: a warning is right"),
    ("process_rlimits", "wants a hard limit raised, and Go raises a soft one by itself"),
    ("linux_seccomp", "denies getcwd, by which the working directory is checked (CVE-2024-21626)"),
    ("start", "wants a container without a process"),
];

fn go_is_there() -> bool {
    Command::new("go").arg("version").stdout(Stdio::null()).status().is_ok_and(|it| it.success())
}

/// Gets and builds the programs, once for a target folder; none without a way to the proxy.
fn build() -> Option<PathBuf> {
    let home = Path::new(TMP).join("runtime-tools");
    let done = home.join("built");
    if done.exists() {
        return Some(home);
    }
    let go = |words: &[&str]| {
        let mut command = Command::new("go");
        command.args(words).env("GOPATH", Path::new(TMP).join("go")).env("CGO_ENABLED", "0");
        // The module's folder is the user's to remove again.
        command.env("GOFLAGS", "-mod=mod -modcacherw").stderr(Stdio::inherit());
        command
    };
    let outside = tempfile::tempdir_in("/tmp").unwrap();
    let answer = go(&["mod", "download", "-json", MODULE]).current_dir(&outside).output().unwrap();
    if !answer.status.success() {
        return None;
    }
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    drop(std::fs::remove_dir_all(&home));
    let module = answer["Dir"].as_str().unwrap();
    let copied = Command::new("cp").arg("-r").arg(module).arg(&home).status().unwrap();
    assert!(copied.success());
    std::fs::create_dir(home.join("programs")).unwrap();
    for (output, package) in
        [("runtimetest", "./cmd/runtimetest"), ("programs/", "./validation/...")]
    {
        let built = go(&["build", "-o", output, package]).current_dir(&home).status().unwrap();
        assert!(built.success(), "go build {package}");
    }
    std::fs::write(done, "").unwrap();
    Some(home)
}

/// Replaces /sys/fs/cgroup by the v1 hierarchies; `false` where there are none.
fn only_v1(scratch: &Path) -> bool {
    let is_v1 = |line: &str| line.split(' ').nth(2) == Some("cgroup");
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let v1: Vec<&str> = mounts
        .lines()
        .filter(|line| is_v1(line))
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    if v1.is_empty() {
        return false;
    }
    mount("tmpfs", scratch, "tmpfs", MountFlags::empty(), None).unwrap();
    for path in v1 {
        let target = scratch.join(Path::new(path).file_name().unwrap());
        std::fs::create_dir(&target).unwrap();
        mount_bind(path, &target).unwrap();
    }
    let v2 = mounts.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
    for path in v2.filter_map(|line| line.split(' ').nth(1)) {
        unmount(path, UnmountFlags::DETACH).unwrap();
    }
    mount_move(scratch, "/sys/fs/cgroup").unwrap();
    true
}

/// Runs one program, again if it fails: some do not wait for what they look for (`killsig` for its
/// shell to be ready), which shows on a busy machine.
fn patiently(home: &Path, program: &Path) -> Vec<String> {
    let name = program.file_name().unwrap().to_str().unwrap();
    let tries = if FAIL.iter().any(|(known, _)| *known == name) { 1 } else { 3 };
    let mut failed = Vec::new();
    for _try in 0..tries {
        failed = failures(home, program);
        if failed.is_empty() {
            break;
        }
    }
    failed
}

/// Runs one program: what it says failed, or nothing.
fn failures(home: &Path, program: &Path) -> Vec<String> {
    let output = Command::new("timeout")
        .arg("60")
        .arg(program)
        .current_dir(home)
        .env("RUNTIME", RUNTIME)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let mut failed: Vec<String> =
        said.lines().filter(|line| line.starts_with("not ok")).map(str::to_owned).collect();
    if !output.status.success() {
        failed.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    failed
}

/// Runs all programs. They mostly wait, so several at a time; but those that make cgroups all use
/// the same ones.
fn side_by_side(home: &Path) -> BTreeMap<String, Vec<String>> {
    const WORKERS: usize = 4;
    let mut shares: [Vec<PathBuf>; WORKERS] = Default::default();
    let entries = std::fs::read_dir(home.join("programs")).unwrap();
    for (number, entry) in entries.map(|entry| entry.unwrap()).enumerate() {
        let name = entry.file_name().to_str().unwrap().to_owned();
        let with_cgroups = name.starts_with("linux_cgroups") || name.starts_with("delete");
        let worker = if with_cgroups { 0 } else { 1 + number % (WORKERS - 1) };
        shares[worker].push(entry.path());
    }
    let run = |share: &[PathBuf]| -> Vec<(String, Vec<String>)> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        share.iter().map(|path| (name(path), patiently(home, path))).collect()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = shares.iter().map(|share| scope.spawn(|| run(share))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Some programs end without deleting their containers.
fn remove_what_is_left() {
    let list = Command::new(RUNTIME).args(["list", "--quiet"]).output().unwrap();
    for id in String::from_utf8_lossy(&list.stdout).lines() {
        let deleted = Command::new(RUNTIME).args(["delete", "--force", id]).status().unwrap();
        assert!(deleted.success(), "{id} is left behind");
    }
}

#[test]
fn the_ocis_own_programs() {
    if !is_root() {
        skip("containers need root");
        return;
    }
    if !go_is_there() {
        skip("go is not installed");
        return;
    }
    let Some(home) = build() else {
        skip("the Go module proxy cannot be reached");
        return;
    };
    let scratch = tempfile::tempdir_in(TMP).unwrap();
    let outcomes = in_new_namespaces(NamespaceOptions { net: false, cgroup: false }, || {
        if !only_v1(scratch.path()) {
            return None;
        }
        // The programs say no --root; what they leave behind goes with this.
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
        let outcomes = side_by_side(&home);
        remove_what_is_left();
        Some(outcomes)
    });
    let Some(outcomes) = outcomes else {
        skip("the programs know cgroup v1 alone, which is not mounted here");
        return;
    };
    assert_eq!(outcomes.len(), PROGRAMS);
    let unexpected: Vec<_> = outcomes
        .iter()
        .filter(|(name, failed)| !failed.is_empty() && !FAIL.iter().any(|(known, _)| known == name))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    let passed = outcomes.values().filter(|failed| failed.is_empty()).count();
    assert!(passed >= 33, "{passed} of {PROGRAMS} pass");
}
