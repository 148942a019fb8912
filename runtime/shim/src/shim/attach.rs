//! Clients that watch a container's output, and write to its input.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Shim;
use super::jobs::set_nonblocking;
use super::processes::no_container;
use super::requests::wrong_state;
use crate::container::{Asker, Attached, Container, Life};
use crate::crilog::Stream;
use crate::fault::{errno, invalid};
use crate::protocol::{ATTACHED_MAX, Answer, Fault};

/// What became of a write to a client.
enum Copied {
    Whole,
    /// The client has closed its end.
    Closed,
    /// The client does not read fast enough.
    Full,
}

impl Shim {
    pub(super) fn attach_client(
        &mut self,
        asker: Asker,
        id: &str,
        (stdout, stderr): (bool, bool),
        fds: Vec<OwnedFd>,
    ) -> Result<(), Fault> {
        let Some(container) = self.containers.get_mut(id) else {
            return Err(no_container("attach", id));
        };
        if !matches!(container.life, Life::Alive(_)) {
            let status = container.status();
            return Err(wrong_state("attach", id, &format!("is {status:?}, and writes nothing")));
        }
        container.attached.retain_mut(Attached::is_there);
        if container.attached.len() >= ATTACHED_MAX {
            return Err(wrong_state("attach", id, "has too many clients attached already"));
        }
        if !stdout && !stderr {
            return Err(invalid("attach", "stdout", "must be wanted, or stderr"));
        }
        if stderr && container.terminal.is_some() {
            return Err(invalid("attach", "stderr", "a terminal has only one output"));
        }
        for fd in &fds {
            set_nonblocking(fd)?;
        }
        let mut fds = fds.into_iter();
        let mut take = |wanted: bool| if wanted { fds.next() } else { None };
        let attached = Attached { asker, stdout: take(stdout), stderr: take(stderr) };
        container.attached.push(attached);
        Ok(())
    }

    /// Passes output on to those who are attached; never waits for one.
    pub(super) fn copy_to_attached(&mut self, id: &str, stream: Stream, count: usize) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let bytes = &self.buffer[..count];
        let mut over = Vec::new();
        container.attached.retain_mut(|client| {
            let fd = client.pipe(stream);
            match fd.as_ref().map_or(Copied::Whole, |fd| copy(fd, bytes)) {
                Copied::Whole => return true,
                Copied::Closed => *fd = None,
                Copied::Full => {
                    over.push((client.asker, true));
                    return false;
                }
            }
            let listens = client.stdout.is_some() || client.stderr.is_some();
            if !listens {
                over.push((client.asker, false));
            }
            listens
        });
        for (asker, cut_off) in over {
            if cut_off {
                self.journal.note(&format!("an attached client of {id} is too slow: cut off"));
            }
            self.answer(asker, Ok(Answer::Detached { cut_off }));
        }
    }

    /// A stream has ended: so do its copies.
    pub(super) fn end_attached(&mut self, id: &str, stream: Stream) {
        let Some(container) = self.containers.get_mut(id) else { return };
        for client in &mut container.attached {
            *client.pipe(stream) = None;
        }
        if container.outputs.is_empty() {
            self.detach_all(id);
        }
    }

    /// There will be no more output.
    pub(super) fn detach_all(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let attached = std::mem::take(&mut container.attached);
        for client in attached {
            let asker = client.asker;
            drop(client);
            self.answer(asker, Ok(Answer::Detached { cut_off: false }));
        }
    }

    /// What writes to a container's input.
    pub(super) fn open_stdin(&mut self, id: &str) -> Result<OwnedFd, Fault> {
        let Some(container) = self.containers.get(id) else {
            return Err(no_container("open stdin", id));
        };
        if !matches!(container.life, Life::Alive(_)) {
            let status = container.status();
            return Err(wrong_state(
                "open stdin",
                id,
                &format!("is {status:?}, and reads nothing"),
            ));
        }
        let Container { stdin: Some(stdin), terminal, .. } = container else {
            return Err(wrong_state("open stdin", id, "has no standard input"));
        };
        if stdin.ended {
            return Err(wrong_state("open stdin", id, "has had the end of its standard input"));
        }
        let Some(writer) = terminal.as_ref().or(stdin.hold.as_ref()) else {
            return Err(wrong_state("open stdin", id, "has no standard input any more"));
        };
        rustix::io::fcntl_dupfd_cloexec(writer, 3).map_err(|cause| errno("dup", id, cause))
    }
}

impl Attached {
    /// Drops pipes that nobody reads any more, which a container that writes nothing would not
    /// show. A client that closed them all does not wait for an answer either.
    fn is_there(&mut self) -> bool {
        for pipe in [&mut self.stdout, &mut self.stderr] {
            *pipe = pipe.take().filter(|pipe| !is_abandoned(pipe));
        }
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Where a stream's copy goes.
    fn pipe(&mut self, stream: Stream) -> &mut Option<OwnedFd> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// poll(2): an error on the writing end of a pipe is that the reading end is closed.
fn is_abandoned(pipe: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pipe, PollFlags::empty())];
    let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&nothing)), Ok(1..)) && fds[0].revents().contains(PollFlags::ERR)
}

fn copy(fd: &OwnedFd, mut bytes: &[u8]) -> Copied {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Copied::Full,
            Err(_) => return Copied::Closed,
        }
    }
    Copied::Whole
}
