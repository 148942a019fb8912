//! All processes of a cgroup at once: list, freeze, kill.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rustix::fs::{Dir, FileType, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::file::{Files, open_dir, read_fd};
use crate::{Cgroup, Error, Version};

const FREEZER: &str = "freezer";
const FREEZE_TIMEOUT: Duration = Duration::from_secs(2);
/// A bound on walks: a container with a delegated subtree may build any tree.
const DEPTH_MAX: usize = 64;
const CGROUPS_MAX: usize = 100_000;
/// Rounds of listing and killing; each finds only what was forked during the one before.
const KILL_ROUNDS_MAX: u32 = 100;

/// All processes in one hierarchy's cgroup and below.
pub(crate) fn pids_in(top: &Files) -> Result<Vec<Pid>, Error> {
    let mut pids = HashSet::new();
    walk(top, &mut |procs| {
        for line in procs.lines() {
            // 0 is a process of a pid namespace that this one cannot see.
            if let Some(pid) = line.parse().ok().and_then(Pid::from_raw) {
                pids.insert(pid);
            }
        }
    })?;
    Ok(pids.into_iter().collect())
}

/// Calls `visit` with the `cgroup.procs` of a cgroup and of all below it. One that goes away
/// meanwhile is passed over.
fn walk(top: &Files, visit: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let failed = |call, source| Error::File { call, path: top.path().to_owned(), source };
    let mut stack = vec![Dir::read_from(top.dir()).map_err(|source| failed("readdir", source))?];
    visit(&read_procs(top)?);
    let mut seen = 0;
    loop {
        let depth = stack.len();
        let Some(dir) = stack.last_mut() else { return Ok(()) };
        let Some(entry) = dir.read() else {
            stack.pop();
            continue;
        };
        let Ok(entry) = entry else {
            stack.pop();
            continue;
        };
        let name = entry.file_name();
        if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        seen += 1;
        if depth >= DEPTH_MAX || seen > CGROUPS_MAX {
            return Err(Error::TooLarge { path: top.path().to_owned() });
        }
        let at = dir.fd().map_err(|source| failed("dirfd", source))?;
        let child = match open_dir(at, name) {
            Ok(child) => child,
            Err(Errno::NOENT | Errno::NODEV) => continue,
            Err(source) => return Err(failed("open", source)),
        };
        let child = Files::new(child, top.path().join(&*name.to_string_lossy()), top.version());
        match read_procs(&child) {
            Ok(procs) => visit(&procs),
            Err(error) if matches!(error.errno(), Some(Errno::NOENT | Errno::NODEV)) => continue,
            Err(error) => return Err(error),
        }
        let child = Dir::read_from(child.dir()).map_err(|source| failed("readdir", source))?;
        stack.push(child);
    }
}

/// `cgroup.procs` of a threaded v2 cgroup cannot be read; its processes are listed by the cgroup at
/// the top of the threaded subtree.
fn read_procs(files: &Files) -> Result<String, Error> {
    let file = files.open("cgroup.procs", OFlags::RDONLY)?;
    match read_fd(std::os::fd::AsFd::as_fd(&file), &files.path().join("cgroup.procs")) {
        Err(error) if error.errno() == Some(Errno::OPNOTSUPP) => Ok(String::new()),
        other => other,
    }
}

pub(crate) fn kill(group: &Cgroup) -> Result<(), Error> {
    let by_kernel = match group.unified() {
        // Since Linux 5.14; takes all below, and those that fork meanwhile, but only of the v2 tree.
        Some(files) if files.exists("cgroup.kill") => {
            files.write("cgroup.kill", "1")?;
            true
        }
        Some(_) | None => false,
    };
    // A process that is not in the v2 cgroup: moved out of it, or there is no v2 hierarchy.
    let mut frozen = false;
    for files in group.handles() {
        if by_kernel && files.version() == Version::V2 {
            continue;
        }
        for _round in 0..KILL_ROUNDS_MAX {
            let pids = pids_in(files)?;
            if pids.is_empty() || !signal_all(files, &pids)? {
                break;
            }
            if !by_kernel && !frozen {
                // So that a fork bomb does not outrun the loop.
                set_freezer_v1(group, "FROZEN")?;
                frozen = true;
            }
        }
    }
    // v1 processes that are frozen do not die until they are thawed. (v2's do.)
    set_freezer_v1(group, "THAWED")
}

/// Sends SIGKILL to those of `pids` that are still members, and says whether any was new: not yet
/// dying. A pid may have passed to a process outside meanwhile, so each is first pinned by a pidfd
/// and then looked for again.
fn signal_all(files: &Files, pids: &[Pid]) -> Result<bool, Error> {
    let mut pinned = Vec::with_capacity(pids.len().min(1024));
    // In portions, as file descriptors are limited.
    let mut signalled = false;
    for portion in pids.chunks(1024) {
        pinned.clear();
        for pid in portion {
            match pidfd_open(*pid, PidfdFlags::empty()) {
                Ok(pidfd) => pinned.push((*pid, pidfd)),
                Err(Errno::SRCH | Errno::INVAL) => {}
                Err(source) => {
                    return Err(Error::File {
                        call: "pidfd_open",
                        path: files.path().to_owned(),
                        source,
                    });
                }
            }
        }
        let still: HashSet<Pid> = pids_in(files)?.into_iter().collect();
        for (pid, pidfd) in &pinned {
            if still.contains(pid) && !is_dying(*pid) {
                match pidfd_send_signal(pidfd, Signal::KILL) {
                    Ok(()) => signalled = true,
                    Err(Errno::SRCH) => {}
                    Err(source) => {
                        return Err(Error::File {
                            call: "pidfd_send_signal",
                            path: files.path().to_owned(),
                            source,
                        });
                    }
                }
            }
        }
    }
    Ok(signalled)
}

/// Whether SIGKILL is already pending, or the process is a zombie: it is then no use to send
/// another. (proc(5): `ShdPnd` is a mask of signals in hexadecimal, signal 9 being bit 8.)
fn is_dying(pid: Pid) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
    else {
        return true;
    };
    status.lines().any(|line| match line.split_once(':') {
        Some(("State", state)) => {
            matches!(state.trim_start().as_bytes().first(), Some(b'Z' | b'X'))
        }
        Some(("ShdPnd" | "SigPnd", mask)) => {
            u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << 8) != 0)
        }
        _ => false,
    })
}

pub(crate) fn freeze(group: &Cgroup) -> Result<(), Error> {
    let deadline = Instant::now() + FREEZE_TIMEOUT;
    let files = freezer(group)?;
    match files.version() {
        Version::V2 => files.write("cgroup.freeze", "1")?,
        Version::V1 => files.write("freezer.state", "FROZEN")?,
    }
    let mut pause = Duration::from_micros(200);
    while !is_frozen(files)? {
        if Instant::now() > deadline {
            thaw(group)?;
            return Err(Error::Busy {
                path: files.path().to_owned(),
                waited_ms: u64::try_from(FREEZE_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
            });
        }
        if files.version() == Version::V1 {
            // A process that was forking when the state was written is left out until it is
            // written again.
            files.write("freezer.state", "FROZEN")?;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
    Ok(())
}

pub(crate) fn thaw(group: &Cgroup) -> Result<(), Error> {
    if let Some(files) = group.unified()
        && files.exists("cgroup.freeze")
    {
        files.write("cgroup.freeze", "0")?;
    }
    set_freezer_v1(group, "THAWED")
}

pub(crate) fn frozen(group: &Cgroup) -> Result<bool, Error> {
    for files in [group.unified(), group.controller(FREEZER)].into_iter().flatten() {
        if is_frozen(files)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// v2's freezer is not a controller and is in every cgroup, a hybrid host's as well.
fn freezer(group: &Cgroup) -> Result<&Files, Error> {
    group
        .unified()
        .filter(|files| files.exists("cgroup.freeze"))
        .or_else(|| group.controller(FREEZER))
        .ok_or_else(|| Error::ControllerMissing {
            controller: FREEZER.to_owned(),
            field: "freeze".to_owned(),
            reason: "no hierarchy has it".to_owned(),
        })
}

fn is_frozen(files: &Files) -> Result<bool, Error> {
    Ok(match files.version() {
        Version::V2 => files
            .read_map("cgroup.events")?
            .is_some_and(|events| events.get("frozen").copied() == Some(1)),
        Version::V1 => files.read_if_present("freezer.state")?.as_deref() == Some("FROZEN"),
    })
}

fn set_freezer_v1(group: &Cgroup, state: &str) -> Result<(), Error> {
    match group.controller(FREEZER) {
        // The root has no such file.
        Some(files) if files.exists("freezer.state") => files.write("freezer.state", state),
        Some(_) | None => Ok(()),
    }
}
