//! The first process of a pid namespace that a pod's containers share.
//!
//! It adopts and reaps orphans, and its end ends the namespace. Containers see it in `/proc`, so it
//! keeps nothing of the host: no file descriptors, no mounts but an empty read-only root, no
//! capabilities, another user, and no core or ptrace access. (The shim itself is never in a pod's
//! namespace: its `/proc/<pid>/root` is the host.)

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use corten_sys_linux::clone::{CloneArgs, Namespaces, clone3};
use corten_sys_linux::ns::{self, Kind};
use corten_sys_linux::pidfd::Pidfd;
use corten_sys_linux::signal::{SignalFd, SignalSet};
use corten_sys_linux::{caps, fd, fdpass, mount};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, WaitId, WaitIdOptions, waitid};

use crate::fault::{errno, internal, sys};
use crate::protocol::Fault;
use crate::sandbox::{CHILD_TIMEOUT, pair, receive_within};

/// `nobody`.
const NOBODY: u32 = 65534;
const SIGCHLD: i32 = 17;

/// Starts a reaper in a new pid namespace; returns it and the namespace once it has let go of the
/// host.
pub(crate) fn start() -> Result<(Pidfd, OwnedFd), Fault> {
    let (ours, theirs) = pair()?;
    let namespaces = Namespaces::PID
        .with(Namespaces::MOUNT)
        .with(Namespaces::NET)
        .with(Namespaces::IPC)
        .with(Namespaces::UTS)
        .with(Namespaces::CGROUP);
    let args = CloneArgs { namespaces, ..CloneArgs::default() };
    let child = clone3(&args, || {
        if let Err((step, cause)) = let_go() {
            let line = serde_json::to_vec(&errno(step, "the reaper", cause)).unwrap_or_default();
            return match fdpass::send(&theirs, &line, &[]) {
                Ok(_) | Err(_) => 1,
            };
        }
        // The end of file on the socket tells the shim that this went well.
        if fd::close_from(0).is_err() {
            return 1;
        }
        reap_for_ever()
    })
    .map_err(|error| sys("start the reaper", &error))?;
    drop(theirs);
    let reaper = Pidfd::from(child.pidfd);
    let checked = receive_within(&ours, CHILD_TIMEOUT).and_then(|report| {
        if !report.is_empty() {
            return Err(serde_json::from_slice(&report)
                .unwrap_or_else(|error| internal("start", "the reaper", &error)));
        }
        // An end of file also comes of its death.
        match reaper.try_wait() {
            Ok(None) => {}
            Ok(Some(exit)) => {
                return Err(internal(
                    "start",
                    "the reaper",
                    &std::io::Error::other(format!("it ended at once: {exit:?}")),
                ));
            }
            Err(error) => return Err(sys("start the reaper", &error)),
        }
        let path = format!("/proc/{}/ns/{}", child.pid.as_raw_nonzero(), Kind::Pid.name());
        ns::open(Path::new(&path)).map_err(|error| sys("open namespace", &error))
    });
    match checked {
        Ok(namespace) => Ok((reaper, namespace)),
        Err(fault) => {
            // It may be gone already.
            reaper.send_signal(9).unwrap_or_default();
            drop(reaper.wait());
            Err(fault)
        }
    }
}

type Step = (&'static str, Errno);

fn let_go() -> Result<(), Step> {
    let step = |name: &'static str| move |cause: Errno| (name, cause);
    let private = mount::Attributes { propagation: mount::PRIVATE, ..Default::default() };
    mount::set_attributes_at(c"/", true, private).map_err(step("make mounts private"))?;
    let options = [
        (c"size".into(), Some(c"4k".into())),
        (c"nr_inodes".into(), Some(c"1".into())),
        (c"mode".into(), Some(c"0555".into())),
    ];
    let attributes = mount::RDONLY | mount::NOSUID | mount::NODEV | mount::NOEXEC;
    let root = mount::new_filesystem(c"tmpfs", None, &options, attributes)
        .map_err(step("make an empty root"))?;
    mount::attach_at(root.as_fd(), c"/proc").map_err(step("mount an empty root"))?;
    mount::pivot(root.as_fd()).map_err(step("pivot_root"))?;
    caps::limit_bounding(0).map_err(step("drop the bounding set"))?;
    rustix::thread::set_thread_groups(&[]).map_err(step("setgroups"))?;
    let (gid, uid) = (Gid::from_raw(NOBODY), Uid::from_raw(NOBODY));
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(step("setresgid"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(step("setresuid"))?;
    caps::apply(&caps::Sets::default()).map_err(step("drop capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(step("set no_new_privs"))?;
    // Nobody without CAP_SYS_PTRACE over the host may look into it; it is a copy of the shim.
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(step("make it undumpable"))?;
    rustix::thread::set_name(c"reaper").map_err(step("set its name"))
}

fn reap_for_ever() -> i32 {
    let Ok(signals) = SignalFd::new(SignalSet::of(&[SIGCHLD])) else { return 1 };
    loop {
        // Until none has ended, or there is none.
        while let Ok(Some(_)) | Err(Errno::INTR) =
            waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
        {}
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return 1,
        }
        // One pending SIGCHLD may stand for many ends.
        while matches!(signals.next(), Ok(Some(_))) {}
    }
}
