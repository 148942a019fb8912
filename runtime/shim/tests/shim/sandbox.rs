//! The sandbox, without any container.

use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use corten_runtime_shim::protocol::{
    Answer, FaultCode, Namespaces, Op, PidNamespace, PodNamespace, SOCKET, Startup, VERSION,
};

use crate::client::{Pod, eventually};
use crate::isolated;

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn mounts_below(dir: &Path) -> Vec<String> {
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    mounts.lines().filter(|l| l.contains(dir.to_str().unwrap())).map(str::to_owned).collect()
}

pub(crate) fn alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

/// After the shim's end only what the client made is there.
pub(crate) fn assert_nothing_left(pod: &Pod) {
    assert_eq!(mounts_below(pod.base.path()), Vec::<String>::new());
    assert_eq!(pod.cgroups_left(), Vec::<PathBuf>::new());
    assert!(!pod.spec.ns_dir.exists());
    let mut left: Vec<String> = std::fs::read_dir(pod.dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    left.retain(|name| name != "shim.log");
    assert_eq!(left, ["sandbox.json"]);
    assert_eq!(std::fs::read_dir(&pod.spec.state_dir).into_iter().flatten().count(), 0);
}

#[test]
fn a_sandbox_is_made_as_told_and_leaves_nothing() {
    isolated(|| {
        let pod = Pod::start("shim-sandbox", |spec| {
            spec.hostname = Some("web-0".to_owned());
            spec.sysctls.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "7".to_owned());
            spec.sysctls.insert("kernel.shmmni".to_owned(), "77".to_owned());
            spec.shm_size_bytes = Some(8 << 20);
        });
        for (kind, ours) in [("net", "net"), ("ipc", "ipc"), ("uts", "uts")] {
            let pinned = std::fs::metadata(pod.spec.ns_dir.join(kind)).unwrap().ino();
            let own = std::fs::metadata(format!("/proc/thread-self/ns/{ours}")).unwrap().ino();
            assert_ne!(pinned, own, "{kind}");
        }
        let enter = |kind: &str, file: &str| {
            let pin = format!("--{kind}={}", pod.spec.ns_dir.join(kind).display());
            output(Command::new("nsenter").args([&pin, "cat", file]))
        };
        assert_eq!(enter("uts", "/proc/sys/kernel/hostname"), "web-0");
        assert_eq!(enter("net", "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "7");
        assert_eq!(enter("ipc", "/proc/sys/kernel/shmmni"), "77");
        let shm = mounts_below(&pod.dir().join("shm"));
        assert_eq!(shm.len(), 1);
        assert!(shm[0].contains("size=8192k") && shm[0].contains("nosuid,nodev,noexec"), "{shm:?}");
        let group = std::fs::read_to_string(format!("/proc/{}/cgroup", pod.pid)).unwrap();
        let leaf = format!("{}/shim-shim-sandbox", pod.spec.cgroup_parent);
        assert!(group.lines().all(|line| line.ends_with(&leaf)), "{group}");
        let open: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", pod.pid))
            .unwrap()
            .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().display().to_string())
            .collect();
        assert!(!open.iter().any(|what| what.starts_with("pipe:")), "the client's: {open:?}");
        let mode = std::fs::metadata(pod.dir().join(SOCKET)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);

        let mut client = pod.client();
        let sandbox_id = "shim-sandbox".to_owned();
        let hello = Answer::Hello { version: VERSION, pid: pod.pid, sandbox_id };
        assert_eq!(client.call(Op::Hello), Ok(hello));
        assert_eq!(client.call(Op::State), Ok(Answer::State { containers: Vec::new() }));
        let fault = client.call(Op::Start { container_id: "no".to_owned() }).unwrap_err();
        assert_eq!(fault.code, FaultCode::NotFound);

        assert_eq!(client.call(Op::Shutdown { force: false }), Ok(Answer::Done));
        eventually("the shim's end", || (!alive(pod.pid)).then_some(()));
        assert_nothing_left(&pod);
    });
}

#[test]
fn sigterm_ends_a_shim_as_cleanly() {
    isolated(|| {
        let pod = Pod::start("shim-term", |spec| spec.namespaces.pid = PidNamespace::Pod);
        let pid = rustix::process::Pid::from_raw(pod.pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("the shim's end", || (!alive(pod.pid)).then_some(()));
        assert_nothing_left(&pod);
    });
}

#[test]
fn a_sandbox_on_the_hosts_namespaces_makes_none() {
    isolated(|| {
        let pod = Pod::start("shim-host", |spec| {
            spec.namespaces = Namespaces {
                net: PodNamespace::Host,
                ipc: PodNamespace::Host,
                uts: PodNamespace::Host,
                pid: PidNamespace::Host,
            };
            spec.shm_size_bytes = None;
        });
        assert_eq!(mounts_below(pod.base.path()), Vec::<String>::new());
        pod.client().call(Op::Shutdown { force: false }).unwrap();
        eventually("the shim's end", || (!alive(pod.pid)).then_some(()));
        assert_nothing_left(&pod);
    });
}

#[test]
fn a_sandbox_that_cannot_be_made_says_why_and_leaves_nothing() {
    isolated(|| {
        let sysctl = |name: &str, value: &str| {
            let (name, value) = (name.to_owned(), value.to_owned());
            Pod::try_start("shim-fails", move |spec| {
                drop(spec.sysctls.insert(name, value));
            })
        };
        for (name, value, code) in [
            ("net.ipv4.ip_forward", "many", FaultCode::Internal),
            ("net.ipv4.no_such_thing", "1", FaultCode::Internal),
            ("vm.swappiness", "1", FaultCode::Invalid),
        ] {
            let (pod, startup) = sysctl(name, value);
            let Startup::Failed(fault) = startup else { panic!("{name} was taken") };
            assert_eq!(fault.code, code, "{fault}");
            let path = name.replace('.', "/");
            assert!(
                fault.to_string().contains(name) || fault.to_string().contains(&path),
                "{fault}"
            );
            assert_nothing_left(&pod);
        }
    });
}

/// The reaper's process: the first of the pinned pid namespace.
fn reaper(pod: &Pod) -> i32 {
    let pinned = std::fs::metadata(pod.spec.ns_dir.join("pid")).unwrap().ino();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| {
            std::fs::metadata(format!("/proc/{pid}/ns/pid")).is_ok_and(|ns| ns.ino() == pinned)
        })
        .expect("a reaper")
}

#[test]
fn the_reaper_has_nothing_of_the_host_and_reaps() {
    isolated(|| {
        let pod = Pod::start("shim-reaper", |spec| spec.namespaces.pid = PidNamespace::Pod);
        let reaper = reaper(&pod);
        let status = std::fs::read_to_string(format!("/proc/{reaper}/status")).unwrap();
        for line in [
            "Uid:\t65534\t65534\t65534\t65534",
            "Gid:\t65534\t65534\t65534\t65534",
            "Groups:\t ",
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
        ] {
            assert!(status.lines().any(|have| have == line), "{line:?} in {status}");
        }
        let root = std::fs::read_dir(format!("/proc/{reaper}/root/")).unwrap();
        assert_eq!(root.count(), 0, "its root is empty");
        let open: Vec<PathBuf> = std::fs::read_dir(format!("/proc/{reaper}/fd"))
            .unwrap()
            .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap())
            .collect();
        assert_eq!(open, [Path::new("anon_inode:[signalfd]")]);
        for kind in ["mnt", "net", "ipc", "uts", "cgroup"] {
            let its = std::fs::metadata(format!("/proc/{reaper}/ns/{kind}")).unwrap().ino();
            let shims = std::fs::metadata(format!("/proc/{}/ns/{kind}", pod.pid)).unwrap().ino();
            assert_ne!(its, shims, "{kind}");
        }

        // An orphan becomes its child, and is no zombie when it ends.
        let pin = format!("--pid={}", pod.spec.ns_dir.join("pid").display());
        let script = "sh -c 'sleep 0.2 & echo $!' ; cat /proc/thread-self/status >/dev/null";
        output(Command::new("nsenter").args([&pin, "sh", "-c", script]));
        let children = || {
            let tasks = format!("/proc/{reaper}/task/{reaper}/children");
            std::fs::read_to_string(tasks).unwrap()
        };
        eventually("the orphan's end", || children().is_empty().then_some(()));

        // From inside it cannot be killed.
        let kill = "kill -KILL 1; kill -TERM 1; exit 0";
        output(Command::new("nsenter").args([&pin, "sh", "-c", kill]));
        assert!(alive(reaper));
        pod.client().call(Op::Shutdown { force: false }).unwrap();
        assert!(!alive(reaper));
        assert_nothing_left(&pod);
    });
}

#[test]
fn programs_of_a_pod_meet_on_loopback() {
    isolated(|| {
        let pod = Pod::start("shim-loopback", |_| ());
        let namespace = std::fs::File::open(pod.spec.ns_dir.join("net")).unwrap();
        let inside = std::thread::spawn(move || {
            let kind = Some(rustix::thread::LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        });
        inside.join().unwrap();
        pod.client().call(Op::Shutdown { force: true }).unwrap();
    });
}
