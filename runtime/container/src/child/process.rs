//! The last steps: streams, credentials, program.

use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use corten_sys_linux::exec::exit_now;
use corten_sys_linux::path::{Leaf, cwd_is_inside_root};
use corten_sys_linux::rustix::io::Errno;
use corten_sys_linux::{caps, fd, keyring, mount, pty, signal};
use rustix::fs::{Access, FileType, Gid, Mode, Uid};
use rustix::process::DumpableBehavior;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::report::{At as _, Failure, Outcome, READY, Step, TERMINAL, say, say_with};
use super::rootfs::Root;
use super::{Common, Gate, Streams, filter, hooks, lsm, tuning};
use crate::plan::{Load, Process};

/// Root of the user namespace that this process has just come into.
pub(super) fn become_root<'a>() -> Outcome<'a, ()> {
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).at(Step::User, b"gid 0")?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).at(Step::User, b"uid 0")?;
    // The change of ids made it dumpable again, by what fs.suid_dumpable says.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Dumpable, b"")
}

/// A terminal of the container's own devpts, also shown as `/dev/console`.
pub(super) fn open_terminal<'a>(root: &Root, common: &Common<'_>) -> Outcome<'a, OwnedFd> {
    let peer = open_terminal_in(root.fd.as_fd(), common)?;
    const CONSOLE: &[u8] = b"/dev/console";
    let target = root.open_or_create(c"/dev/console", Leaf::File).at(Step::Terminal, CONSOLE)?;
    let tree = mount::clone_fd(peer.as_fd(), false).at(Step::Terminal, CONSOLE)?;
    mount::attach(tree.as_fd(), target.as_fd()).at(Step::Terminal, CONSOLE)?;
    Ok(peer)
}

/// A terminal of the devpts inside `root`; its master goes to the parent.
pub(super) fn open_terminal_in<'a>(
    root: BorrowedFd<'_>,
    common: &Common<'_>,
) -> Outcome<'a, OwnedFd> {
    const PTMX: &[u8] = b"/dev/pts/ptmx";
    let pty = pty::open_in(root).at(Step::Terminal, PTMX)?;
    if let Some((rows, columns)) = common.process.console_size {
        let size =
            rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&pty.master, size).at(Step::Terminal, PTMX)?;
    }
    say_with(common.sync.get(), TERMINAL, pty.master.as_fd()).at(Step::Terminal, PTMX)?;
    Ok(pty.peer)
}

/// From a container that is set up to its program.
///
/// Once descriptors have been closed by number, this never returns: the handles of the frames above
/// would close numbers that are no longer theirs.
pub(super) fn finish<'a>(
    common: &'a Common<'_>,
    terminal: Option<&OwnedFd>,
) -> Outcome<'a, Infallible> {
    streams(common, terminal)?;
    let status = match narrow(common).and_then(|kept| Ok((kept, prepare(common)?))) {
        Ok((kept, program)) => run(common, kept, program),
        Err(failure) => failure.tell(common.sync.get()),
    };
    exit_now(status)
}

/// The process itself: keyring, limits, credentials, directory, program. Tells the parent that it is
/// ready.
fn prepare<'a>(common: &'a Common<'_>) -> Outcome<'a, &'a CStr> {
    let process = common.process;
    if let Some(name) = common.keyring {
        match keyring::join_session(name) {
            // A kernel without keys has nothing to leak.
            Ok(()) | Err(Errno::NOSYS) => (),
            Err(errno) => return Err(Failure::new(Step::Keyring, name.to_bytes(), errno)),
        }
    }
    lsm::apply(process)?;
    tuning::apply(&process.tuning)?;
    for (name, resource, limit) in &process.rlimits {
        rustix::process::setrlimit(*resource, *limit).at(Step::Rlimit, name.to_bytes())?;
    }
    filter::load(common, Load::Privileged)?;
    credentials(process)?;
    let cwd = process.cwd.to_bytes();
    rustix::process::chdir(&*process.cwd).at(Step::Cwd, cwd)?;
    if !cwd_is_inside_root().at(Step::Cwd, cwd)? {
        return Err(Failure::new(Step::CwdOutside, cwd, Errno::PERM));
    }
    let program = find_program(process)?;
    filter::load(common, Load::Ready)?;
    say(common.sync.get(), READY).at(Step::Wait, b"parent")?;
    Ok(program)
}

/// The descriptors 0, 1 and 2, belonging to the container's user: else it could not open
/// `/dev/stdout`.
fn streams<'a>(common: &Common<'_>, terminal: Option<&OwnedFd>) -> Outcome<'a, ()> {
    const NAMES: [&[u8]; 3] = [b"stdin", b"stdout", b"stderr"];
    let sources = match (&common.streams, terminal) {
        (Streams::Terminal, Some(peer)) => Some([peer.as_fd(); 3]),
        (Streams::Fds(fds), _) => Some(*fds),
        (Streams::Inherit | Streams::Terminal, _) => None,
    };
    if let Some(sources) = sources {
        // Above the three first: one of them could be another's source.
        let mut copies: [Option<OwnedFd>; 3] = [None, None, None];
        for ((copy, source), name) in copies.iter_mut().zip(sources).zip(NAMES) {
            *copy = Some(rustix::io::fcntl_dupfd_cloexec(source, 3).at(Step::Streams, name)?);
        }
        for ((copy, target), name) in copies.iter().flatten().zip(0..).zip(NAMES) {
            fd::place_at(copy.as_fd(), target).at(Step::Streams, name)?;
        }
    }
    let uid = common.process.uid;
    for (stream, name) in
        [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()].iter().zip(NAMES)
    {
        let Ok(stat) = rustix::fs::fstat(stream) else { continue };
        let node = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        let terminal = node && terminal.is_some();
        // A node of the host's, such as its null device, stays the host's.
        if stat.st_uid == uid.as_raw() || (node && !terminal) {
            continue;
        }
        match rustix::fs::fchown(stream, Some(uid), None) {
            // A file system that knows no owners, or one that is read-only.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS) => (),
            Err(errno) => return Err(Failure::new(Step::Streams, name, errno)),
        }
    }
    if terminal.is_some() {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
            .at(Step::Streams, b"controlling terminal")?;
    }
    Ok(())
}

/// From all-powerful to the container's user. The bounding set goes first, while that is still
/// allowed; nothing is gained on the way (CVE-2022-29162).
fn credentials(process: &Process) -> Outcome<'_, ()> {
    caps::limit_bounding(process.caps.bounding).at(Step::Bounding, b"bounding")?;
    rustix::process::umask(process.umask.unwrap_or(Mode::WGRP | Mode::WOTH));
    rustix::thread::set_keep_capabilities(true).at(Step::Capabilities, b"keep")?;
    if process.may_set_groups {
        set_thread_groups(&process.groups).at(Step::Groups, b"")?;
    }
    set_thread_res_gid(process.gid, process.gid, process.gid).at(Step::User, b"gid")?;
    set_thread_res_uid(process.uid, process.uid, process.uid).at(Step::User, b"uid")?;
    rustix::thread::set_keep_capabilities(false).at(Step::Capabilities, b"keep")?;
    caps::apply(&process.caps).at(Step::Capabilities, b"")?;
    if process.no_new_privs {
        rustix::thread::set_no_new_privs(true).at(Step::NoNewPrivs, b"")?;
    }
    // The change of ids may have made it dumpable; exec will, for the program's own memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Dumpable, b"")
}

/// The first candidate that this user may execute, so that a wrong name fails `create` and not
/// `start`.
fn find_program(process: &Process) -> Outcome<'_, &CStr> {
    let mut worst = Errno::NOENT;
    for candidate in &process.candidates {
        let found = rustix::fs::stat(&**candidate).and_then(|stat| {
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Err(Errno::ISDIR);
            }
            rustix::fs::access(&**candidate, Access::EXEC_OK)
        });
        match found {
            Ok(()) => return Ok(candidate),
            Err(Errno::NOENT | Errno::NOTDIR) => (),
            Err(errno) => worst = errno,
        }
    }
    let name = process.image.args().first().map_or(b"".as_slice(), |name| name.to_bytes());
    Err(Failure::new(Step::Program, name, worst))
}

/// What stays open until the program is executed, by its final number.
#[derive(Clone, Copy)]
struct Kept {
    /// The gate, or the socket to the parent where there is none.
    gate: BorrowedFd<'static>,
    /// The state that `startContainer` hooks read; without them, the gate again.
    state: BorrowedFd<'static>,
}

/// Closes every descriptor but the streams, those that the caller preserves, the gate, the state of
/// hooks and the socket to the parent, which comes last.
///
/// Now, and not only at exec: a working directory may be asked for by a descriptor's number
/// (CVE-2024-21626), and nobody shall wait for the end of a pipe that a process at its gate happens
/// to hold.
fn narrow<'a>(common: &Common<'_>) -> Outcome<'a, Kept> {
    let sync = common.sync.get();
    let gate = match common.gate {
        Gate::Open => sync,
        Gate::Fifo(fd) | Gate::Socket(fd) => fd,
    };
    let state = common.start_hooks.map_or(gate, |hooks| hooks.state);
    let sources = [gate, state, sync];
    let first = 3_u32.checked_add(common.process.preserve_fds);
    let numbers = first.and_then(|first| {
        let mut numbers = [0_i32; 4];
        for (number, offset) in numbers.iter_mut().zip(0..) {
            *number = i32::try_from(first.checked_add(offset)?).ok()?;
        }
        Some(numbers)
    });
    let Some([gate_at, state_at, sync_at, rest]) = numbers else {
        return Err(Failure::new(Step::CloseFds, b"", Errno::MFILE));
    };
    let close = |result: rustix::io::Result<()>| result.at(Step::CloseFds, b"");
    {
        // Out of the way first: each may sit where another shall go.
        let mut copies: [Option<OwnedFd>; 3] = [None, None, None];
        for (copy, source) in copies.iter_mut().zip(sources) {
            *copy = Some(rustix::io::fcntl_dupfd_cloexec(source, rest).at(Step::CloseFds, b"")?);
        }
        for (copy, target) in copies.iter().flatten().zip([gate_at, state_at, sync_at]) {
            close(fd::place_at(copy.as_fd(), target))?;
        }
    }
    let placed = |number| fd::borrow_inherited(number).at(Step::CloseFds, b"");
    common.sync.set(placed(sync_at)?);
    close(fd::close_range_cloexec(gate_at.unsigned_abs()))?;
    close(fd::close_from(rest.unsigned_abs()))?;
    Ok(Kept { gate: placed(gate_at)?, state: placed(state_at)? })
}

/// Waits at the gate, executes; returns the status to end with. Only the gate (or, without one, the
/// parent) can be told of a failure.
fn run(common: &Common<'_>, kept: Kept, program: &CStr) -> i32 {
    // The parent's socket comes right after what is kept. Without a gate it is in all places, and
    // the parent waits for the end of all.
    let failure = match fd::close_one(common.sync.get().as_raw_fd())
        .at(Step::CloseFds, b"")
        .and_then(|()| wait(common.gate, kept.gate))
        .and_then(|()| hooks::run(common, kept.state))
    {
        Ok(()) => execute(common, program),
        Err(failure) => failure,
    };
    match common.gate {
        Gate::Open | Gate::Socket(_) => failure.tell(kept.gate),
        Gate::Fifo(_) => failure.leave(kept.gate),
    }
}

fn wait<'a>(gate: Gate<'_>, kept: BorrowedFd<'_>) -> Outcome<'a, ()> {
    match gate {
        Gate::Open => Ok(()),
        Gate::Fifo(_) | Gate::Socket(_) => {
            let mut byte = [0_u8; 1];
            let read = rustix::io::retry_on_intr(|| rustix::io::read(kept, &mut byte))
                .at(Step::Gate, b"")?;
            // The end of a socket: whoever would have started this is gone.
            if read == 1 { Ok(()) } else { Err(Failure::new(Step::Gate, b"", Errno::PIPE)) }
        }
    }
}

fn execute<'a>(common: &'a Common<'_>, program: &'a CStr) -> Failure<'a> {
    signal::reset_for_exec();
    if let Err(failure) = filter::load(common, Load::Last) {
        return failure;
    }
    match common.process.image.exec(program) {
        Ok(never) => match never {},
        Err(errno) => Failure::new(Step::Exec, program.to_bytes(), errno),
    }
}
