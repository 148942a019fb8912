//! The socket between parent and child, and the gate's other end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use corten_sys_linux::clone::Cloned;
use corten_sys_linux::pidfd::Pidfd;
use corten_sys_linux::{SysError, fdpass};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};

use super::Parenthood;
use crate::child::{self, Message};
use crate::{ChildFailure, CreateError};

/// How long a child may take to set itself up: disks can be slow, but not for ever.
const SETUP_SECONDS_MAX: u64 = 120;

/// Both ends; records keep their borders.
pub(super) struct Pair {
    parent: OwnedFd,
    pub(super) child: OwnedFd,
}

impl Pair {
    pub(super) fn new() -> Result<Self, CreateError> {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map(|(parent, child)| Self { parent, child })
            .map_err(SysError::of("socketpair", || ""))
            .map_err(|source| CreateError::Parent { step: "talk to the child", source })
    }

    /// Closes the child's end, so that its end is seen.
    pub(super) fn into_parent(self) -> OwnedFd {
        self.parent
    }
}

/// Lets the child begin: its ids are mapped.
pub(super) fn go(parent: &OwnedFd) -> Result<(), CreateError> {
    match rustix::net::send(parent, &[0], SendFlags::NOSIGNAL) {
        // A child that is dead already is found out by the wait that follows.
        Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        Err(errno) => Err(CreateError::Parent {
            step: "talk to the child",
            source: SysError::of("send", || "")(errno),
        }),
    }
}

/// Waits for the process that the first one makes, and reaps the first one. Where the first is the
/// child of the caller's parent, that one reaps it.
pub(super) fn second(
    parent: &OwnedFd,
    first: Cloned,
    parenthood: Parenthood,
) -> Result<Cloned, CreateError> {
    let error = |source| CreateError::Parent { step: "make the process", source };
    let deadline = Instant::now() + Duration::from_secs(SETUP_SECONDS_MAX);
    let pidfd = match next(parent, deadline)? {
        Some((Message::Second, Some(pidfd))) => Pidfd::from(pidfd),
        Some((Message::Failed(failure), _)) => return Err(failure.into()),
        None => return Err(ended(first.pidfd.as_fd(), parenthood)),
        Some(_other) => return Err(garbled()),
    };
    if parenthood == Parenthood::Caller {
        Pidfd::from(first.pidfd).wait().map_err(error)?;
    }
    let pid = pidfd.pid().map_err(error)?;
    Ok(Cloned { pid, pidfd: pidfd.into() })
}

/// Waits until the child is at its gate; returns its terminal's master, if it has one.
pub(super) fn until_ready(
    parent: &OwnedFd,
    child: BorrowedFd<'_>,
    parenthood: Parenthood,
    hooks: impl FnOnce() -> Result<(), CreateError>,
    listener: impl Fn(i32) -> Result<(), CreateError>,
) -> Result<Option<OwnedFd>, CreateError> {
    let from_now = || Instant::now() + Duration::from_secs(SETUP_SECONDS_MAX);
    let mut deadline = from_now();
    let mut hooks = Some(hooks);
    let mut master = None;
    loop {
        match next(parent, deadline)? {
            Some((Message::Ready, _)) => return Ok(master),
            Some((Message::Terminal, fd)) => master = fd,
            Some((Message::Hooks, _)) => {
                hooks.take().ok_or_else(garbled)?()?;
                // They may take as long as their timeouts say.
                deadline = from_now();
                go(parent)?;
            }
            Some((Message::Listener(number), _)) => {
                listener(number)?;
                go(parent)?;
            }
            Some((Message::Failed(failure), _)) => return Err(failure.into()),
            Some((Message::Second, _)) => return Err(garbled()),
            None => return Err(ended(child, parenthood)),
        }
    }
}

/// Waits until a child without a gate has executed its program.
pub(super) fn until_executed(parent: &OwnedFd) -> Result<(), CreateError> {
    let deadline = Instant::now() + Duration::from_secs(SETUP_SECONDS_MAX);
    match next(parent, deadline)? {
        // Exec closed the child's end.
        None => Ok(()),
        Some((Message::Failed(failure), _)) => Err(failure.into()),
        Some(_other) => Err(garbled()),
    }
}

/// The next record, or `None` at the end.
fn next(
    parent: &OwnedFd,
    deadline: Instant,
) -> Result<Option<(Message, Option<OwnedFd>)>, CreateError> {
    let step = |source| CreateError::Parent { step: "wait for the child", source };
    if !readable(parent.as_fd(), deadline).map_err(step)? {
        return Err(step(SysError::of("poll", || "the child's socket")(Errno::TIMEDOUT)));
    }
    let mut record = [0_u8; child::RECORD_BYTES_MAX + 1];
    let received = match fdpass::receive(parent, &mut record) {
        Err(SysError { errno: Errno::CONNRESET, .. }) => return Ok(None),
        other => other.map_err(step)?,
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = child::parse(&record[..received.bytes]).ok_or_else(garbled)?;
    Ok(Some((message, received.fds.into_iter().next())))
}

fn garbled() -> CreateError {
    CreateError::Ended { how: "it sent a record that makes no sense".to_owned() }
}

fn ended(child: BorrowedFd<'_>, parenthood: Parenthood) -> CreateError {
    let how = match (parenthood, child.try_clone_to_owned().map(Pidfd::from)) {
        (Parenthood::Caller, Ok(pidfd)) => match pidfd.wait() {
            Ok(exit) => format!("{exit:?}"),
            Err(error) => error.to_string(),
        },
        _unknown => "killed, perhaps by its memory limit".to_owned(),
    };
    CreateError::Ended { how }
}

fn readable(fd: BorrowedFd<'_>, deadline: Instant) -> Result<bool, SysError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timespec = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timespec)) {
            Ok(0) => return Ok(false),
            Ok(_ready) => return Ok(true),
            Err(Errno::INTR) => (),
            Err(errno) => return Err(SysError::of("poll", || "a socket")(errno)),
        }
    }
}

/// Starts a container that waits on the other end of this socket, and waits until its program has
/// been executed.
///
/// # Errors
/// What the child could not do; `Ended` when it is gone already.
pub fn release(gate: BorrowedFd<'_>, timeout: Duration) -> Result<(), CreateError> {
    let step = |source| CreateError::Parent { step: "start the container", source };
    match rustix::net::send(gate, &[0], SendFlags::NOSIGNAL) {
        Ok(_) => (),
        Err(Errno::PIPE | Errno::CONNRESET) => {
            return Err(CreateError::Ended { how: "before it was started".to_owned() });
        }
        Err(errno) => return Err(step(SysError::of("send", || "the gate")(errno))),
    }
    let deadline = Instant::now() + timeout;
    let mut record = Vec::new();
    loop {
        if !readable(gate, deadline).map_err(step)? {
            return Err(step(SysError::of("poll", || "the gate")(Errno::TIMEDOUT)));
        }
        let mut chunk = [0_u8; child::RECORD_BYTES_MAX];
        match rustix::io::retry_on_intr(|| rustix::io::read(gate, &mut chunk)) {
            // Executed, or ended: either way nothing more comes.
            Ok(0) | Err(Errno::CONNRESET) => break,
            Ok(read) if record.len() + read <= child::RECORD_BYTES_MAX => {
                record.extend_from_slice(&chunk[..read]);
            }
            Ok(_too_much) => return Err(garbled()),
            Err(errno) => return Err(step(SysError::of("read", || "the gate")(errno))),
        }
    }
    if record.is_empty() {
        return Ok(());
    }
    Err(parse_failure(&record).map_or_else(garbled, CreateError::from))
}

/// A failure that a child has written to its gate, for starters that poll it themselves: nothing
/// but the end of the stream comes from a child that has executed its program.
#[must_use]
pub fn parse_failure(record: &[u8]) -> Option<ChildFailure> {
    match child::parse(record)? {
        Message::Failed(failure) => Some(failure),
        Message::Ready
        | Message::Hooks
        | Message::Second
        | Message::Terminal
        | Message::Listener(_) => None,
    }
}
