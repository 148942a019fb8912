//! Waiting for a program in the foreground: its signals, and its terminal if this process keeps it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context as _;
use corten_sys_linux::pidfd::{Exit, Pidfd};
use corten_sys_linux::signal::{SignalFd, SignalSet};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

const SIGCHLD: i32 = 17;
const SIGWINCH: i32 = 28;
/// What is passed on to the program: what people, shells and supervisors send.
const FORWARDED: [i32; 9] = [1, 2, 3, 10, 12, 15, 18, 20, SIGWINCH];
const BUFFER_BYTES: usize = 16 * 1024;

/// Passes on signals and terminal until the program ends.
pub(crate) fn until_exit(pidfd: OwnedFd, master: Option<OwnedFd>) -> anyhow::Result<Exit> {
    let process = Pidfd::from(pidfd);
    let mut forwarded = FORWARDED.to_vec();
    forwarded.push(SIGCHLD);
    let signals = SignalFd::new(SignalSet::of(&forwarded)).context("take signals")?;
    let mut terminal = master.map(Terminal::new);
    loop {
        let (exited, from_user, from_program) = wait(&process, &signals, terminal.as_ref())?;
        while let Some(signal) = signals.next().context("take signals")? {
            match (signal, &terminal) {
                (SIGCHLD, _) => (),
                (SIGWINCH, Some(terminal)) => terminal.resize(),
                // It may just have ended.
                _other => process.send_signal(signal).unwrap_or_default(),
            }
        }
        if let Some(terminal) = &mut terminal {
            if from_user {
                terminal.user_to_program();
            }
            if from_program || exited {
                terminal.program_to_user();
            }
        }
        if exited {
            if let Some(terminal) = &mut terminal {
                terminal.drain();
            }
            return process.wait().context("wait for the program");
        }
    }
}

fn wait(
    process: &Pidfd,
    signals: &SignalFd,
    terminal: Option<&Terminal>,
) -> anyhow::Result<(bool, bool, bool)> {
    let mut fds = vec![PollFd::new(process, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
    let stdin = rustix::stdio::stdin();
    let (mut user, mut program) = (None, None);
    if let Some(terminal) = terminal {
        if terminal.open {
            program = Some(fds.len());
            fds.push(PollFd::new(&terminal.master, PollFlags::IN));
        }
        if terminal.user_open {
            user = Some(fds.len());
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
    }
    match poll(&mut fds, None) {
        Ok(_) | Err(Errno::INTR) => (),
        Err(errno) => return Err(errno).context("poll"),
    }
    let ready = |at: Option<usize>| at.is_some_and(|at| !fds[at].revents().is_empty());
    Ok((ready(Some(0)), ready(user), ready(program)))
}

/// The program's terminal, and the user's.
struct Terminal {
    master: OwnedFd,
    /// The program's side has not hung up.
    open: bool,
    /// The user's side has not ended.
    user_open: bool,
    /// What the user's terminal was like.
    before: Option<Termios>,
}

impl Terminal {
    fn new(master: OwnedFd) -> Self {
        let stdin = rustix::stdio::stdin();
        let before = tcgetattr(stdin).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            // A terminal that cannot be made raw still works, with an echo too many.
            tcsetattr(stdin, OptionalActions::Now, &raw).unwrap_or_default();
        }
        let terminal = Self { master, open: true, user_open: true, before };
        terminal.resize();
        terminal
    }

    /// Makes the program's terminal as large as the user's.
    fn resize(&self) {
        if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
            tcsetwinsize(&self.master, size).unwrap_or_default();
        }
    }

    fn user_to_program(&mut self) {
        self.user_open = pump(rustix::stdio::stdin(), self.master.as_fd());
        if !self.user_open {
            // The end of input, as a terminal says it.
            rustix::io::write(&self.master, &[4]).unwrap_or_default();
        }
    }

    fn program_to_user(&mut self) {
        if self.open && readable(self.master.as_fd()) {
            self.open = pump(self.master.as_fd(), rustix::stdio::stdout());
        }
    }

    /// What the program wrote last.
    fn drain(&mut self) {
        while self.open && readable(self.master.as_fd()) {
            self.program_to_user();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before).unwrap_or_default();
        }
    }
}

fn readable(fd: BorrowedFd<'_>) -> bool {
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Moves what is there; `false` at the end.
fn pump(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0_u8; BUFFER_BYTES];
    match rustix::io::retry_on_intr(|| rustix::io::read(from, &mut buffer)) {
        // EIO: the last program on the terminal is gone.
        Ok(0) | Err(_) => false,
        Ok(read) => {
            let mut rest = &buffer[..read];
            while !rest.is_empty() {
                match rustix::io::retry_on_intr(|| rustix::io::write(to, rest)) {
                    Ok(written) => rest = &rest[written..],
                    Err(_closed) => return false,
                }
            }
            true
        }
    }
}
