//! `corten reset`: the machine as it was before the first `corten server`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use corten_runtime_cgroup::{Cgroup, CgroupPath, Hierarchies};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::command::print;
use crate::config::Config;
use crate::lock;
use crate::server::network::BRIDGE;

/// Options of `reset`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Remove the data too: every object, image and certificate of the cluster
    #[arg(long)]
    purge: bool,
}

/// How long the server may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(30);
/// How long killed processes may take to be gone.
const KILL_MAX: Duration = Duration::from_secs(20);
/// How long the ports of namespaces that are gone may stay.
const PORTS_MAX: Duration = Duration::from_secs(10);
/// Below the kubelet's cgroup root: pods of the kubelet, and pods of others that use the runtime.
const CGROUPS: [&str; 2] = ["kubepods", "corten"];

/// Every step is tried; all failures are told.
pub(crate) fn run(config: &Config, options: &Options) -> Result<ExitCode> {
    ensure!(rustix::process::geteuid().is_root(), "corten reset needs root");
    stop_server(config)?;
    // From here on no server may start.
    let no_server = lock::Lock::take(&config.run_dir)?;
    let mut failures = Vec::new();
    let mut step = |what: &str, outcome: Result<()>| {
        if let Err(error) = outcome {
            failures.push(format!("{what}: {error:#}"));
        }
    };
    for cgroup in CGROUPS {
        step("end the pods", end_pods(&config.kubelet.cgroup_root, cgroup));
    }
    step("remove the pods' logs", remove_logs(config));
    step("unmount", unmount_below(&[&config.run_dir, &config.data_dir]));
    step("remove the pods' network", remove_network());
    step("remove the pods' addresses", remove_tree(&config.data_dir.join("cni/networks")));
    step("remove the kubeconfig", remove_kubeconfig(config));
    drop(no_server);
    step("remove the run folder", remove_tree(&config.run_dir));
    if options.purge {
        step("remove the data", remove_tree(&config.data_dir));
    }
    if failures.is_empty() {
        let kept = config.data_dir.display();
        print(&if options.purge || !config.data_dir.exists() {
            "nothing of Corten is left on this machine".to_owned()
        } else {
            format!("stopped; the cluster's data is kept in {kept} (--purge removes it)")
        });
        return Ok(ExitCode::SUCCESS);
    }
    bail!("some things are left:\n  {}", failures.join("\n  "))
}

fn stop_server(config: &Config) -> Result<()> {
    let Some(pid) = lock::holder(&config.run_dir)? else { return Ok(()) };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(errno).context("find the server's process"),
    };
    for (signal, limit) in [(Signal::TERM, STOP_MAX), (Signal::KILL, KILL_MAX)] {
        match pidfd_send_signal(&process, signal) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(()),
            Err(errno) => return Err(errno).context("stop the server"),
        }
        let mut ends = [PollFd::new(&process, PollFlags::IN)];
        let limit = limit.try_into().context("a limit fits")?;
        if poll(&mut ends, Some(&limit)).context("wait for the server")? > 0 {
            return Ok(());
        }
    }
    bail!("process {pid} does not end", pid = pid.as_raw_nonzero())
}

/// Kills all processes of a cgroup, shims among them, and removes it.
fn end_pods(root: &str, name: &str) -> Result<()> {
    let hierarchies = Hierarchies::probe().context("find the cgroup hierarchies")?;
    let path = CgroupPath::new(root)?.join(name)?;
    let end = Instant::now() + KILL_MAX;
    loop {
        let Ok(cgroup) = Cgroup::open(&hierarchies, &path) else { return Ok(()) };
        cgroup.kill()?;
        if cgroup.pids()?.is_empty() {
            return cgroup.remove().map_err(anyhow::Error::new);
        }
        ensure!(Instant::now() < end, "processes in {} do not end", path.as_str());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The folders of pods that this machine's kubelet ran: named `<namespace>_<name>_<uid>`.
fn remove_logs(config: &Config) -> Result<()> {
    let ours: Vec<String> = names(&config.data_dir.join("kubelet/pods"))?;
    let logs = &config.kubelet.pod_logs_dir;
    for name in names(logs)? {
        if ours.iter().any(|uid| name.ends_with(&format!("_{uid}"))) {
            remove_tree(&logs.join(&name))?;
        }
    }
    // Others may keep logs there, or have mounted it.
    match std::fs::remove_dir(logs) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty | ErrorKind::ResourceBusy
            ) =>
        {
            Err(error).with_context(|| format!("remove {}", logs.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("list {}", folder.display())),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Unmounts all that is mounted in these folders, the newest first. A folder that is itself a
/// mount point is somebody's disk: it stays mounted. A mount below which a later one hides it is
/// not reached by its path; it belongs to whoever sees it.
fn unmount_below(folders: &[&Path]) -> Result<()> {
    let mounts =
        std::fs::read_to_string("/proc/thread-self/mountinfo").context("read the mounts")?;
    for Mount { id, point } in parse_mounts(&mounts).iter().rev() {
        if folders.iter().any(|folder| point != folder && point.starts_with(folder))
            && mounted_at(point)? == Some(*id)
        {
            unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
                .with_context(|| format!("unmount {}", point.display()))?;
        }
    }
    Ok(())
}

/// Which mount a path leads to.
fn mounted_at(path: &Path) -> Result<Option<u64>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    match statx(CWD, path, flags, StatxFlags::MNT_ID) {
        Ok(found) => Ok(Some(found.stx_mnt_id)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).with_context(|| format!("look at {}", path.display())),
    }
}

/// A line of proc_pid_mountinfo(5).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    id: u64,
    point: PathBuf,
}

/// White space in a path is written in octal.
fn parse_mounts(mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        let id = fields.next()?.parse().ok()?;
        let point = fields.nth(3)?.replace("\\040", " ").replace("\\011", "\t");
        Some(Mount { id, point: point.replace("\\012", "\n").replace("\\134", "\\").into() })
    };
    mountinfo.lines().filter_map(parse).collect()
}

fn remove_network() -> Result<()> {
    corten_proxy_daemon::cleanup().context("the rules of Services")?;
    let end = Instant::now() + PORTS_MAX;
    while !corten_cni_plugins::cleanup(BRIDGE).context("the bridge and its rules")? {
        ensure!(Instant::now() < end, "the bridge {BRIDGE} still has ports");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

fn remove_kubeconfig(config: &Config) -> Result<()> {
    let path = &config.kubeconfig;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    // Only when nothing of the user's is in it.
    if let Some(folder) = path.parent()
        && names(folder)?.is_empty()
        && folder.exists()
    {
        match std::fs::remove_dir(folder) {
            // Somebody mounted it.
            Err(error) if error.kind() != ErrorKind::ResourceBusy => {
                return Err(error).with_context(|| format!("remove {}", folder.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Removes a folder with all that is in it; of a mount point, all that is in it.
fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ResourceBusy) => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
    use rustix::mount::{MountFlags, mount};

    use super::*;

    #[test]
    fn mount_points_with_spaces_are_understood() {
        let line = r"36 35 98:0 /mnt1 /run/a\040b rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(parse_mounts(line), [Mount { id: 36, point: PathBuf::from("/run/a b") }]);
    }

    #[test]
    fn what_a_later_mount_hides_is_left_alone() {
        skip_unless!(is_root(), "mounting needs root");
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let [own, inner] = [run.join("corten"), run.join("corten/inner")];
        let tmpfs = |target: &Path| mount("tmpfs", target, "tmpfs", MountFlags::empty(), None);
        let left = in_new_namespaces(NamespaceOptions { net: false, cgroup: false }, || {
            std::fs::create_dir_all(&inner).unwrap();
            tmpfs(&inner).unwrap();
            tmpfs(&run).unwrap();
            std::fs::create_dir_all(&own).unwrap();
            for name in ["a", "a/b", "a"] {
                std::fs::create_dir_all(own.join(name)).unwrap();
                tmpfs(&own.join(name)).unwrap();
            }
            unmount_below(&[&own]).unwrap();
            let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            let mounts = parse_mounts(&mounts).into_iter().map(|mount| mount.point);
            mounts.filter(|point| point.starts_with(folder.path())).collect::<Vec<_>>()
        });
        assert_eq!(left, [inner, run]);
    }
}
