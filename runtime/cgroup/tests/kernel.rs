//! The kernel does what the limits say. Needs root; works on whatever hierarchies are mounted.

#![allow(clippy::unwrap_used, reason = "a test's setup fails the test")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corten_runtime_cgroup::{
    Cgroup, CgroupPath, Cpu, Error, Hierarchies, Limit, Memory, Mode, OomInterest, Pids, Resources,
};
use corten_tests_harness::{TempCgroup, is_root, skip_unless};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Pid;

/// Processes of a test, killed with it.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Started {
    /// A shell that waits for a line before it runs `script`, so that it can be moved first.
    fn shell(script: &str) -> Self {
        let child = Command::new("sh")
            .args(["-c", &format!("read line; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    fn go(&mut self) {
        use std::io::Write as _;
        self.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }
}

struct Fixture {
    hierarchies: Hierarchies,
    group: Cgroup,
    _outer: TempCgroup,
}

/// A cgroup two levels below a temporary one.
fn fixture(name: &str) -> Fixture {
    let outer = TempCgroup::new(name).unwrap();
    let hierarchies = Hierarchies::probe().unwrap();
    let path = CgroupPath::new(&outer.path()).unwrap().join("pod").unwrap().join("c").unwrap();
    let group = Cgroup::create(&hierarchies, &path).unwrap();
    Fixture { hierarchies, group, _outer: outer }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_process_is_joined_to_every_hierarchy() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-join");
    let shell = Started::shell(":");
    f.group.add(shell.pid()).unwrap();
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", shell.0.id())).unwrap();
    for line in text.lines() {
        assert!(line.ends_with(f.group.path().as_str()), "{line}");
    }
    assert_eq!(f.group.pids().unwrap(), [shell.pid()]);
    let outer = Cgroup::open(&f.hierarchies, &f.group.path().parent().unwrap()).unwrap();
    assert_eq!(outer.pids().unwrap(), [shell.pid()], "those below count");
    assert_eq!(f.group.stats().unwrap().pids.unwrap().current, 1);
}

#[test]
fn past_its_memory_limit_a_process_is_killed_and_told_of() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-oom");
    let resources = Resources {
        memory: Memory {
            max: Some(Limit::Value(16 << 20)),
            swap: Some(Limit::Value(0)),
            ..Memory::default()
        },
        ..Resources::default()
    };
    assert_eq!(f.group.apply(&resources).unwrap(), []);
    let watch = f.group.oom_events().unwrap();
    assert_eq!(watch.kills().unwrap(), 0);
    // A shell variable that doubles until there is no more.
    let mut shell = Started::shell("x=0123456789abcdef; while :; do x=$x$x; done");
    f.group.add(shell.pid()).unwrap();
    assert_eq!(f.group.stats().unwrap().memory.unwrap().limit, Some(16 << 20));
    shell.go();
    let flags = match watch.interest() {
        OomInterest::Readable => PollFlags::IN,
        OomInterest::Priority => PollFlags::PRI,
    };
    let fd = watch.fd();
    let timeout = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(poll(&mut [PollFd::new(&fd, flags)], Some(&timeout)), Ok(1));
    let status = shell.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert_eq!(watch.acknowledge().unwrap(), Some(1));
    assert_eq!(f.group.stats().unwrap().memory.unwrap().oom_kills, 1);
}

#[test]
fn memory_limits_can_be_raised_and_lowered() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-mem");
    let limit = || f.group.stats().unwrap().memory.unwrap().limit;
    let memory = |max, swap| Resources {
        memory: Memory { max: Some(max), swap, ..Memory::default() },
        ..Resources::default()
    };
    let mib = |count: u64| Limit::Value(count << 20);
    for (max, swap, expected) in [
        (mib(64), Some(mib(0)), Some(64 << 20)),
        (mib(256), Some(mib(0)), Some(256 << 20)),
        // Without a word on swap, the limit on the sum makes room.
        (mib(512), None, Some(512 << 20)),
        (mib(32), Some(mib(16)), Some(32 << 20)),
        (Limit::Max, None, None),
        (mib(128), Some(Limit::Max), Some(128 << 20)),
    ] {
        assert_eq!(f.group.apply(&memory(max, swap)).unwrap(), [], "{max:?} {swap:?}");
        assert_eq!(limit(), expected, "{max:?} {swap:?}");
    }
}

#[test]
fn a_fork_bomb_stops_at_its_limit() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-pids");
    let resources = Resources { pids: Pids { max: Some(Limit::Value(5)) }, ..Resources::default() };
    f.group.apply(&resources).unwrap();
    let mut shell = Started::shell("for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; exit 0");
    f.group.add(shell.pid()).unwrap();
    shell.go();
    // dash ends with 2 when it cannot fork; what it started stays.
    assert_eq!(shell.0.wait().unwrap().code(), Some(2));
    assert_eq!(f.group.pids().unwrap().len(), 4);
    let stats = f.group.stats().unwrap().pids.unwrap();
    assert!(stats.current <= 5, "{stats:?}");
    assert_eq!(stats.limit, Some(5));
    f.group.kill().unwrap();
    drop(shell);
    eventually("all killed", || f.group.pids().unwrap().is_empty());
}

#[test]
fn a_quota_throttles() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-cpu");
    let resources = Resources {
        cpu: Cpu {
            weight: Some(50),
            quota_us: Some(Limit::Value(5_000)),
            period_us: Some(50_000),
            ..Cpu::default()
        },
        ..Resources::default()
    };
    f.group.apply(&resources).unwrap();
    let mut shell = Started::shell("while :; do :; done");
    f.group.add(shell.pid()).unwrap();
    shell.go();
    eventually("throttled", || {
        let cpu = f.group.stats().unwrap().cpu.unwrap();
        cpu.throttled > 2 && cpu.throttled_usec > 0 && cpu.usage_usec > 0
    });
    // A longer period with the old quota, a new quota alone, then none.
    for (quota_us, period_us) in
        [(None, Some(100_000)), (Some(Limit::Value(20_000)), None), (Some(Limit::Max), None)]
    {
        let cpu = Cpu { quota_us, period_us, ..Cpu::default() };
        f.group.apply(&Resources { cpu, ..Resources::default() }).unwrap();
    }
}

#[test]
fn freezing_stops_and_thawing_lets_go() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-freeze");
    let mut shell = Started::shell("while :; do echo; done");
    f.group.add(shell.pid()).unwrap();
    shell.go();
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", shell.0.id())).unwrap();
        let times: Vec<&str> = status.rsplit(')').next().unwrap().split(' ').collect();
        (times[12].to_owned(), times[13].to_owned())
    };
    assert!(!f.group.frozen().unwrap());
    f.group.freeze().unwrap();
    assert!(f.group.frozen().unwrap());
    let before = switches();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(switches(), before, "a frozen process uses no time");
    f.group.thaw().unwrap();
    assert!(!f.group.frozen().unwrap());
}

#[test]
fn killing_reaches_frozen_and_forking_processes_below() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-kill");
    let below = Cgroup::create(&f.hierarchies, &f.group.path().join("below").unwrap()).unwrap();
    let mut still = Started::shell("sleep 600");
    below.add(still.pid()).unwrap();
    f.group.freeze().unwrap();
    f.group.kill().unwrap();
    let status = still.0.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    f.group.thaw().unwrap();

    let f = fixture("cg-kill-forking");
    let mut forking =
        Started::shell("while :; do (exit 0); sleep 60 & (sleep 60); done & sleep 600");
    f.group.add(forking.pid()).unwrap();
    forking.go();
    eventually("it forks", || f.group.pids().unwrap().len() > 3);
    f.group.kill().unwrap();
    drop(forking);
    eventually("all killed", || f.group.pids().unwrap().is_empty());
}

#[test]
fn removal_takes_all_below_and_waits_for_the_dying() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-remove");
    let mut deep = f.group.path().clone();
    for name in ["a", "b", "c", "d"] {
        deep = deep.join(name).unwrap();
    }
    let deep = Cgroup::create(&f.hierarchies, &deep).unwrap();
    let mut shell = Started::shell("sleep 600");
    deep.add(shell.pid()).unwrap();
    assert!(matches!(f.group.try_remove(), Ok(corten_runtime_cgroup::Removal::Busy)));
    f.group.kill().unwrap();
    let reaper = std::thread::spawn(move || drop(shell.0.wait()));
    let path = f.group.path().clone();
    f.group.remove().unwrap();
    reaper.join().unwrap();
    Cgroup::open(&f.hierarchies, &path).unwrap_err();
    Cgroup::remove_at(&f.hierarchies, &path).expect("what is gone already is fine");
    for (mount, _version) in f.hierarchies.mounts() {
        assert!(!mount.join(&path.as_str()[1..]).exists(), "{}", mount.display());
    }
    let root = Cgroup::open(&f.hierarchies, &CgroupPath::new("/").unwrap()).unwrap();
    root.remove().expect_err("the root is not to be removed");
}

#[test]
fn a_limit_without_a_controller_is_an_error_or_a_warning() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-missing");
    let mut resources = Resources::default();
    resources.unified.insert("nosuch.max".to_owned(), "1".to_owned());
    let error = f.group.apply(&resources).unwrap_err();
    assert!(
        matches!(&error, Error::ControllerMissing { controller, field, .. }
            if controller == "nosuch" && field == "unified.nosuch.max"),
        "{error}"
    );
    resources.allow_missing = true;
    let warnings = f.group.apply(&resources).unwrap();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].field, "unified.nosuch.max");
    for hostile in ["cgroup.kill", "../cgroup.procs", "memory", "a/b.c"] {
        let mut resources = Resources { allow_missing: true, ..Resources::default() };
        resources.unified.insert(hostile.to_owned(), "1".to_owned());
        let error = f.group.apply(&resources).unwrap_err();
        assert!(matches!(error, Error::InvalidValue { .. }), "{hostile}: {error}");
    }
}

#[test]
fn a_processor_list_holds() {
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-cpuset");
    let cpus = |list: &str| Resources {
        cpu: Cpu { cpus: Some(list.to_owned()), ..Cpu::default() },
        ..Resources::default()
    };
    f.group.apply(&cpus("0")).unwrap();
    let shell = Started::shell(":");
    f.group.add(shell.pid()).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", shell.0.id())).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    assert!(matches!(f.group.apply(&cpus("0;1")), Err(Error::InvalidValue { .. })));
}

#[test]
fn device_rules_hold_on_v1() {
    use corten_runtime_cgroup::{DeviceAccess, DeviceKind, DeviceRule, Version};
    skip_unless!(is_root(), "cgroups need root");
    let f = fixture("cg-devices");
    if f.hierarchies.version_of("devices") != Some(Version::V1) {
        corten_tests_harness::skip("the devices controller is one of cgroup v1");
        return;
    }
    let all = DeviceAccess { read: true, write: true, mknod: true };
    let rule = |allow, kind, major, minor| DeviceRule { allow, kind, major, minor, access: all };
    let devices = vec![
        rule(false, DeviceKind::All, None, None),
        rule(true, DeviceKind::Char, Some(1), Some(3)),
    ];
    f.group.apply(&Resources { devices: Some(devices), ..Resources::default() }).unwrap();
    let mut shell = Started::shell(
        "echo x >/dev/null || exit 1; { echo x >/dev/full; } && exit 2; exec </dev/zero && exit 3; exit 0",
    );
    f.group.add(shell.pid()).unwrap();
    shell.go();
    // dash ends with 2 when a redirection of `exec` fails: what is wanted here.
    assert_eq!(shell.0.wait().unwrap().code(), Some(2));
    let mut without = Started::shell("exec </dev/zero && exit 3");
    without.go();
    assert_eq!(without.0.wait().unwrap().code(), Some(3), "outside it can be opened");
}

#[test]
fn the_mode_is_what_the_mounts_say() {
    let hierarchies = Hierarchies::probe().unwrap();
    let v2 = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!(hierarchies.mode() == Mode::Unified, v2);
}
