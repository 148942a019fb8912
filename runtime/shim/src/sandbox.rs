//! What a pod's containers share: namespaces, `/dev/shm`, the shim's place in the pod's cgroup.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_runtime_cgroup::{Cgroup, CgroupPath, Hierarchies};
use corten_sys_linux::clone::{CloneArgs, Namespaces as CloneNamespaces, clone3};
use corten_sys_linux::fdpass;
use corten_sys_linux::mount;
use corten_sys_linux::netdev;
use corten_sys_linux::ns::{self, Kind};
use corten_sys_linux::pidfd::Pidfd;
use corten_sys_linux::procfs::ProcFs;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::fault::{errno, internal, invalid, io, sys};
use crate::protocol::{Fault, PidNamespace, PodNamespace, SandboxSpec, VERSION};
use crate::{id, reaper, sysctl};

/// How long a child may take to set up what only a child can.
pub(crate) const CHILD_TIMEOUT: Duration = Duration::from_secs(20);

/// What has been made, and is undone by [`Sandbox::teardown`].
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) hierarchies: Hierarchies,
    leaf: Option<CgroupPath>,
    pins: Vec<PathBuf>,
    ns_dir: PathBuf,
    made_ns_dir: bool,
    shm: Option<PathBuf>,
    reaper: Option<Pidfd>,
}

impl Sandbox {
    /// Makes all that the spec asks for. What fails half-way is undone.
    pub(crate) fn make(dir: &Path, spec: &SandboxSpec) -> Result<Self, Fault> {
        check(spec)?;
        let hierarchies = Hierarchies::probe()
            .map_err(|error| internal("probe cgroups", "/proc/self/mountinfo", &error))?;
        let mut sandbox = Self {
            hierarchies,
            leaf: None,
            pins: Vec::new(),
            ns_dir: spec.ns_dir.clone(),
            made_ns_dir: false,
            shm: None,
            reaper: None,
        };
        match sandbox.fill(dir, spec) {
            Ok(()) => Ok(sandbox),
            Err(mut fault) => {
                for also in sandbox.teardown() {
                    fault.message = format!("{}; then, undoing it: {also}", fault.message);
                }
                Err(fault)
            }
        }
    }

    /// What a shim that was killed has left, to be torn down.
    pub(crate) fn left_behind(dir: &Path, spec: &SandboxSpec) -> Result<Self, Fault> {
        check(spec)?;
        let hierarchies = Hierarchies::probe()
            .map_err(|error| internal("probe cgroups", "/proc/self/mountinfo", &error))?;
        let kinds = [Kind::Net, Kind::Ipc, Kind::Uts, Kind::Pid];
        let pins = kinds.iter().map(|kind| spec.ns_dir.join(kind.name()));
        let shm = dir.join("shm");
        Ok(Self {
            hierarchies,
            leaf: Some(leaf_of(spec)?),
            pins: pins.filter(|pin| pin.exists()).collect(),
            ns_dir: spec.ns_dir.clone(),
            made_ns_dir: spec.ns_dir.exists(),
            shm: shm.exists().then_some(shm),
            reaper: None,
        })
    }

    fn fill(&mut self, dir: &Path, spec: &SandboxSpec) -> Result<(), Fault> {
        self.join_leaf(spec)?;
        match std::fs::create_dir_all(&spec.ns_dir) {
            Ok(()) => self.made_ns_dir = true,
            Err(error) => return Err(io("mkdir", &spec.ns_dir, &error)),
        }
        self.make_namespaces(spec)?;
        if let Some(size) = spec.shm_size_bytes {
            self.mount_shm(dir, size)?;
        }
        if spec.namespaces.pid == PidNamespace::Pod {
            let (reaper, namespace) = reaper::start()?;
            self.reaper = Some(reaper);
            self.pin(&namespace, Kind::Pid)?;
        }
        Ok(())
    }

    fn join_leaf(&mut self, spec: &SandboxSpec) -> Result<(), Fault> {
        let failed = |step: &str, error: corten_runtime_cgroup::Error| {
            internal(step, spec.cgroup_parent.as_str(), &error)
        };
        let leaf = leaf_of(spec)?;
        self.leaf = Some(leaf.clone());
        let group = Cgroup::create(&self.hierarchies, &leaf)
            .map_err(|error| failed("make the shim's cgroup", error))?;
        group.add_self().map_err(|error| failed("join the shim's cgroup", error))
    }

    /// Network, IPC and host name, made by a child that ends as soon as they are pinned.
    fn make_namespaces(&mut self, spec: &SandboxSpec) -> Result<(), Fault> {
        let own = [
            (spec.namespaces.net, Kind::Net),
            (spec.namespaces.ipc, Kind::Ipc),
            (spec.namespaces.uts, Kind::Uts),
        ];
        let kinds: Vec<Kind> = own
            .iter()
            .filter(|(whose, _)| *whose == PodNamespace::Pod)
            .map(|(_, kind)| *kind)
            .collect();
        if kinds.is_empty() {
            return Ok(());
        }
        let flags = kinds.iter().fold(CloneNamespaces::empty(), |all, kind| all.with(kind.flag()));
        let (ours, theirs) = pair()?;
        let args = CloneArgs { namespaces: flags, ..CloneArgs::default() };
        let child = clone3(&args, || {
            let outcome = set_up(spec).err();
            let line = serde_json::to_vec(&outcome).unwrap_or_default();
            if fdpass::send(&theirs, &line, &[]).is_err() {
                return 1;
            }
            // Until they are pinned. The parent answers, or ends, which is an end of file.
            match fdpass::receive(&theirs, &mut [0]) {
                Ok(_) => 0,
                Err(_) => 1,
            }
        })
        .map_err(|error| sys("make namespaces", &error))?;
        let pidfd = Pidfd::from(child.pidfd);
        let outcome = self.pin_all(&ours, child.pid, &kinds);
        // An answer for the child, whatever it is.
        let told = fdpass::send(&ours, b".", &[]);
        if outcome.is_err() || told.is_err() {
            pidfd.send_signal(9).unwrap_or_default();
        }
        pidfd.wait().map_err(|error| sys("wait for the namespaces' maker", &error))?;
        outcome
    }

    fn pin_all(
        &mut self,
        socket: &OwnedFd,
        maker: rustix::process::Pid,
        kinds: &[Kind],
    ) -> Result<(), Fault> {
        let report = receive_within(socket, CHILD_TIMEOUT)?;
        let outcome: Option<Fault> = serde_json::from_slice(&report)
            .map_err(|error| internal("hear of the namespaces", "its maker", &error))?;
        if let Some(fault) = outcome {
            return Err(fault);
        }
        for kind in kinds {
            let path = format!("/proc/{}/ns/{}", maker.as_raw_nonzero(), kind.name());
            let namespace =
                ns::open(Path::new(&path)).map_err(|error| sys("open namespace", &error))?;
            self.pin(&namespace, *kind)?;
        }
        Ok(())
    }

    fn pin(&mut self, namespace: &OwnedFd, kind: Kind) -> Result<(), Fault> {
        let target = self.ns_dir.join(kind.name());
        ns::pin(namespace.as_fd(), &target).map_err(|error| sys("pin namespace", &error))?;
        self.pins.push(target);
        Ok(())
    }

    fn mount_shm(&mut self, dir: &Path, size_bytes: u64) -> Result<(), Fault> {
        let target = dir.join("shm");
        match std::fs::create_dir(&target) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io("mkdir", &target, &error)),
        }
        let failed = |step: &str, cause| errno(step, target.display().to_string(), cause);
        let size = std::ffi::CString::new(size_bytes.to_string())
            .map_err(|error| internal("mount", "shm", &error))?;
        let options = [(c"size".into(), Some(size)), (c"mode".into(), Some(c"1777".into()))];
        let attributes = mount::NOSUID | mount::NODEV | mount::NOEXEC;
        let tree = mount::new_filesystem(c"tmpfs", Some(c"shm"), &options, attributes)
            .map_err(|cause| failed("make tmpfs", cause))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = rustix::fs::openat(CWD, &target, flags, Mode::empty())
            .map_err(|cause| failed("open", cause))?;
        mount::attach(tree.as_fd(), place.as_fd()).map_err(|cause| failed("mount", cause))?;
        self.shm = Some(target);
        Ok(())
    }

    /// Undoes everything; runs every step and says what failed.
    pub(crate) fn teardown(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if let Some(reaper) = self.reaper.take() {
            // All of its namespace ends with it.
            match reaper.send_signal(9).and_then(|()| reaper.wait()) {
                Ok(_) => {}
                // It has been killed, and reaped, before.
                Err(error) if matches!(error.errno, Errno::SRCH | Errno::CHILD) => {}
                Err(error) => faults.push(sys("end the reaper", &error)),
            }
        }
        for pin in self.pins.drain(..) {
            if let Err(error) = ns::unpin(&pin) {
                faults.push(sys("unpin namespace", &error));
            }
        }
        if std::mem::take(&mut self.made_ns_dir)
            && let Err(error) = std::fs::remove_dir(&self.ns_dir)
        {
            faults.push(io("rmdir", &self.ns_dir, &error));
        }
        if let Some(shm) = self.shm.take() {
            match mount::detach(&shm) {
                // EINVAL: nothing is mounted there.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(cause) => faults.push(errno("unmount", shm.display().to_string(), cause)),
            }
            if let Err(error) = std::fs::remove_dir(&shm) {
                faults.push(io("rmdir", &shm, &error));
            }
        }
        if let Some(leaf) = self.leaf.take()
            && let Err(error) = leave(&self.hierarchies, &leaf)
        {
            faults.push(internal("remove the shim's cgroup", leaf.as_str(), &error));
        }
        faults
    }
}

fn leaf_of(spec: &SandboxSpec) -> Result<CgroupPath, Fault> {
    CgroupPath::new(&spec.cgroup_parent)
        .and_then(|parent| parent.join(&format!("shim-{}", spec.sandbox_id)))
        .map_err(|error| invalid("check", "cgroup_parent", crate::fault::chain(&error)))
}

/// Removes the shim's cgroup, with what a killed shim has left in it. A process cannot remove the
/// cgroup that it is in; the root always takes it for its last moments.
fn leave(hierarchies: &Hierarchies, leaf: &CgroupPath) -> Result<(), corten_runtime_cgroup::Error> {
    let group = match Cgroup::open(hierarchies, leaf) {
        Ok(group) => group,
        // Made in part, or not at all.
        Err(error) if error.errno() == Some(Errno::NOENT) => {
            return Cgroup::remove_at(hierarchies, leaf);
        }
        Err(error) => return Err(error),
    };
    if group.pids()?.contains(&rustix::process::getpid()) {
        let root = CgroupPath::new("/")?;
        Cgroup::open(hierarchies, &root)?.add_self()?;
    }
    if !group.pids()?.is_empty() {
        group.kill()?;
    }
    group.remove()
}

/// Refuses what cannot be done before anything is.
fn check(spec: &SandboxSpec) -> Result<(), Fault> {
    if spec.v != VERSION {
        return Err(invalid("check", "v", format!("{} is not {VERSION}", spec.v)));
    }
    id::check("sandbox_id", &spec.sandbox_id)?;
    for (what, path) in [("ns_dir", &spec.ns_dir), ("state_dir", &spec.state_dir)] {
        if !path.is_absolute() {
            return Err(invalid("check", what, format!("{} is not absolute", path.display())));
        }
    }
    if let Some(hostname) = &spec.hostname {
        if spec.namespaces.uts == PodNamespace::Host {
            return Err(invalid("check", "hostname", "needs a uts namespace of the pod's own"));
        }
        // HOST_NAME_MAX (sethostname(2)).
        if hostname.is_empty() || hostname.len() > 64 {
            return Err(invalid("check", "hostname", "is not 1 to 64 bytes long"));
        }
    }
    spec.sysctls.keys().try_for_each(|name| sysctl::path(name, spec.namespaces).map(drop))
}

/// In the child with the new namespaces.
fn set_up(spec: &SandboxSpec) -> Result<(), Fault> {
    if let Some(hostname) = &spec.hostname {
        rustix::system::sethostname(hostname.as_bytes())
            .map_err(|cause| errno("sethostname", hostname.as_str(), cause))?;
    }
    if spec.namespaces.net == PodNamespace::Pod {
        // Programs in a pod meet on it, whatever network plugins do besides.
        netdev::bring_loopback_up().map_err(|error| sys("bring loopback up", &error))?;
    }
    if spec.sysctls.is_empty() {
        return Ok(());
    }
    let proc = ProcFs::open().map_err(|cause| errno("open", "procfs", cause))?;
    for (name, value) in &spec.sysctls {
        let path = format!("sys/{}", sysctl::path(name, spec.namespaces)?);
        proc.set(&path, value).map_err(|error| sys("set sysctl", &error))?;
    }
    Ok(())
}

/// A socket pair that keeps messages apart.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Fault> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|cause| errno("socketpair", "AF_UNIX", cause))
}

/// One message; empty at the end of file.
pub(crate) fn receive_within(socket: &OwnedFd, timeout: Duration) -> Result<Vec<u8>, Fault> {
    let timespec = rustix::event::Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let mut fds = [rustix::event::PollFd::new(socket, rustix::event::PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&timespec)))
        .map_err(|cause| errno("poll", "a child's report", cause))?;
    if ready == 0 {
        return Err(errno("wait for", "a child's report", rustix::io::Errno::TIMEDOUT));
    }
    let mut buffer = vec![0; 16 << 10];
    let got = fdpass::receive(socket, &mut buffer)
        .map_err(|error| sys("receive a child's report", &error))?;
    buffer.truncate(got.bytes);
    Ok(buffer)
}
