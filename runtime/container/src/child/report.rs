//! How the child tells what happened: one short record each.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use corten_sys_linux::rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// The child is ready and waits at its gate.
pub(crate) const READY: u8 = b'R';
/// The child waits for hooks to run while its root is still the host's.
pub(crate) const HOOKS: u8 = b'H';
/// Another process than the one that was made first is the one; it comes with this.
pub(crate) const SECOND: u8 = b'S';
/// The terminal's master comes with this.
pub(crate) const TERMINAL: u8 = b'T';
/// The filter has a listener; its descriptor's number follows.
pub(crate) const LISTENER: u8 = b'L';
pub(crate) const LISTENER_BYTES: usize = 5;
const FAILURE: u8 = b'F';
/// Kind, step, errno.
const HEADER_BYTES: usize = 6;
/// How much of an object is told.
const OBJECT_BYTES_MAX: usize = 1024;

/// What was being done.
macro_rules! steps {
    ($($name:ident = $text:literal,)*) => {
        /// What the child was doing.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Step { $($name),* }

        impl Step {
            const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As an error says it.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

steps! {
    Cgroup = "write",
    Wait = "wait for",
    Dumpable = "prctl PR_SET_DUMPABLE",
    Session = "setsid",
    Unshare = "unshare namespace",
    Setns = "join namespace",
    Clone = "make the process in",
    TimeOffsets = "set time offsets",
    User = "become user",
    Groups = "setgroups",
    Hostname = "set host name",
    Domainname = "set domain name",
    Propagation = "set mount propagation of",
    Target = "make mount target",
    Source = "open mount source",
    CopyUp = "copy the image's files into",
    Filesystem = "make file system for",
    Mount = "mount",
    Attributes = "set mount attributes of",
    ProcReplace = "refuse to mount anything but procfs at",
    ProcCover = "refuse to mount over a file of procfs at",
    Device = "make device",
    Link = "make link in /dev",
    Null = "verify the host's",
    Mask = "mask",
    Readonly = "make read-only",
    Terminal = "open terminal",
    Proc = "open a private procfs",
    Sysctl = "write /proc/",
    Pivot = "change root to",
    Streams = "set up standard stream",
    Keyring = "join session keyring",
    AppArmor = "tell AppArmor to",
    Selinux = "give SELinux label",
    MemoryPolicy = "set_mempolicy for",
    Personality = "personality for",
    IoPriority = "ioprio_set for",
    Scheduling = "sched_setattr for",
    Affinity = "sched_setaffinity for",
    Rlimit = "set",
    Bounding = "limit capabilities",
    Capabilities = "set capabilities",
    NoNewPrivs = "set no_new_privs",
    Cwd = "change directory to",
    CwdOutside = "refuse a working directory outside the root:",
    Program = "find program",
    Gate = "wait for start",
    StartHook = "run startContainer hook",
    StartHookStatus = "refuse to start after the failure of startContainer hook",
    StartHookTimeout = "wait for startContainer hook",
    CloseFds = "close descriptors",
    Seccomp = "install seccomp filter",
    Exec = "execute",
}

/// A step that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure<'a> {
    step: Step,
    object: &'a [u8],
    errno: Errno,
}

pub(crate) type Outcome<'a, T> = Result<T, Failure<'a>>;

/// Gives an errno its step and object.
pub(crate) trait At<T> {
    fn at(self, step: Step, object: &[u8]) -> Outcome<'_, T>;
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, step: Step, object: &[u8]) -> Outcome<'_, T> {
        self.map_err(|errno| Failure { step, object, errno })
    }
}

impl<'a> Failure<'a> {
    pub(crate) fn new(step: Step, object: &'a [u8], errno: Errno) -> Self {
        Self { step, object, errno }
    }

    /// Sends the failure; returns the status to end with: 127 for a program that is not there, 126
    /// for one that cannot be executed, 1 for the rest, as a shell would.
    pub(crate) fn tell(&self, to: BorrowedFd<'_>) -> i32 {
        let header = self.header();
        let object = &self.object[..self.object.len().min(OBJECT_BYTES_MAX)];
        let mut none = SendAncillaryBuffer::default();
        // A parent that is gone cannot be told; the status is all that is left.
        sendmsg(to, &[IoSlice::new(&header), IoSlice::new(object)], &mut none, SendFlags::NOSIGNAL)
            .unwrap_or_default();
        self.status()
    }

    /// Writes the failure into a FIFO, where whoever has started the container reads it.
    pub(crate) fn leave(&self, fifo: BorrowedFd<'_>) -> i32 {
        let mut record = [0_u8; RECORD_BYTES_MAX];
        let object = &self.object[..self.object.len().min(OBJECT_BYTES_MAX)];
        let end = HEADER_BYTES + object.len();
        record[..HEADER_BYTES].copy_from_slice(&self.header());
        record[HEADER_BYTES..end].copy_from_slice(object);
        // One write, which PIPE_BUF keeps whole. A reader that is gone cannot be told.
        rustix::io::write(fifo, &record[..end]).unwrap_or_default();
        self.status()
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let errno = self.errno.raw_os_error().to_le_bytes();
        [FAILURE, self.step as u8, errno[0], errno[1], errno[2], errno[3]]
    }

    fn status(&self) -> i32 {
        match (self.step, self.errno) {
            (Step::Exec | Step::Program, Errno::NOENT) => 127,
            (Step::Exec | Step::Program, _) => 126,
            _other => 1,
        }
    }
}

/// Sends a record of one byte and a descriptor.
pub(crate) fn say_with(
    to: BorrowedFd<'_>,
    record: u8,
    fd: BorrowedFd<'_>,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::MSGSIZE);
    }
    sendmsg(to, &[IoSlice::new(&[record])], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Sends a record of one byte.
pub(crate) fn say(to: BorrowedFd<'_>, record: u8) -> rustix::io::Result<()> {
    // Not send(2): a filter that is loaded early may know only what other runtimes use. Whoever runs
    // this ignores SIGPIPE, or dies of it as it would of the error.
    rustix::io::write(to, &[record]).map(drop)
}

/// A record as the parent reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Ready,
    Hooks,
    Second,
    Terminal,
    Listener(i32),
    Failed(crate::ChildFailure),
}

/// Reads a record; `None` for one that no child writes.
pub(crate) fn parse(record: &[u8]) -> Option<Message> {
    match record {
        [READY] => Some(Message::Ready),
        [HOOKS] => Some(Message::Hooks),
        [SECOND] => Some(Message::Second),
        [LISTENER, n0, n1, n2, n3] => {
            let number = i32::from_le_bytes([*n0, *n1, *n2, *n3]);
            (number >= 0).then_some(Message::Listener(number))
        }
        [TERMINAL] => Some(Message::Terminal),
        [FAILURE, step, e0, e1, e2, e3, object @ ..] if object.len() <= OBJECT_BYTES_MAX => {
            let step = Step::ALL.get(usize::from(*step))?;
            let raw = i32::from_le_bytes([*e0, *e1, *e2, *e3]);
            // Outside the kernel's range no errno can be made of it.
            (1..4096).contains(&raw).then(|| {
                Message::Failed(crate::ChildFailure {
                    step: step.name(),
                    object: String::from_utf8_lossy(object).into_owned(),
                    errno: Errno::from_raw_os_error(raw),
                })
            })
        }
        _other => None,
    }
}

/// The longest record.
pub(crate) const RECORD_BYTES_MAX: usize = HEADER_BYTES + OBJECT_BYTES_MAX;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_failure_goes_round() {
        let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
        let failure = Failure::new(Step::Mount, b"/proc", Errno::PERM);
        assert_eq!(failure.tell(one.as_fd()), 1);
        let mut record = [0; RECORD_BYTES_MAX];
        let read = rustix::io::read(&two, &mut record).unwrap();
        let Some(Message::Failed(parsed)) = parse(&record[..read]) else { panic!("no failure") };
        assert_eq!(parsed.to_string(), "mount \"/proc\"");
        assert_eq!(parsed.errno, Errno::PERM);
    }

    /// What comes from a process that becomes the container's is bounded.
    #[test]
    fn cve_2021_43784_garbage_is_no_record() {
        for record in [b"".as_slice(), b"X", b"F", b"F\xff\x01\0\0\0", b"F\0\0\0\0\0", b"RR"] {
            assert_eq!(parse(record), None);
        }
        let mut longest = [b'o'; RECORD_BYTES_MAX + 1];
        longest[..HEADER_BYTES].copy_from_slice(b"F\x01\x02\0\0\0");
        assert!(parse(&longest[..RECORD_BYTES_MAX]).is_some());
        assert_eq!(parse(&longest), None);
    }
}
