//! A child process with bounded time and output.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// How much a plugin may write to each of its outputs.
pub(crate) const OUTPUT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Failure {
    Io(std::io::Error),
    Timeout,
    TooMuchOutput,
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Runs a command with `input` on its standard input. It gets a process group of its own, which is
/// killed when the time is over, so that what it started does not go on.
pub(crate) fn run(command: &mut Command, input: &[u8], limit: Duration) -> Result<Output, Failure> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let outcome = converse(&mut child, input, limit);
    if outcome.is_err()
        && let Some(group) = Pid::from_raw(child.id().try_into().unwrap_or(0))
    {
        // The group may be gone already: it is the wait below that matters.
        kill_process_group(group, Signal::KILL).unwrap_or_default();
    }
    let status = child.wait()?;
    outcome.map(|(stdout, stderr)| Output { status, stdout, stderr })
}

/// Feeds the input and gathers both outputs until the child has ended. What a grandchild that
/// keeps the pipes open writes later is not waited for.
fn converse(
    child: &mut Child,
    input: &[u8],
    limit: Duration,
) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let deadline = Instant::now() + limit;
    let pid = Pid::from_raw(child.id().try_into().unwrap_or(0))
        .ok_or_else(|| std::io::Error::other("the child has no process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let mut stdin = child.stdin.take();
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    for fd in [
        stdin.as_ref().map(AsFd::as_fd),
        stdout.as_ref().map(AsFd::as_fd),
        stderr.as_ref().map(AsFd::as_fd),
    ]
    .into_iter()
    .flatten()
    {
        let flags = rustix::fs::fcntl_getfl(fd)?;
        rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?;
    }
    let mut rest = input;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        let ended = wait(&pidfd, stdin.as_ref(), stdout.as_ref(), stderr.as_ref(), deadline)?;
        if let Some(pipe) = &mut stdin
            && write_some(pipe, &mut rest)?
        {
            stdin = None;
        }
        if let Some(pipe) = &mut stdout
            && read_all(pipe, &mut out)?
        {
            stdout = None;
        }
        if let Some(pipe) = &mut stderr
            && read_all(pipe, &mut err)?
        {
            stderr = None;
        }
        if ended {
            return Ok((out, err));
        }
    }
}

/// Waits for any of them; tells whether the child has ended.
fn wait(
    pidfd: &impl AsFd,
    stdin: Option<&impl AsFd>,
    stdout: Option<&impl AsFd>,
    stderr: Option<&impl AsFd>,
    deadline: Instant,
) -> Result<bool, Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::Timeout);
    }
    let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
    fds.extend(stdin.map(|fd| PollFd::new(fd, PollFlags::OUT)));
    fds.extend(stdout.map(|fd| PollFd::new(fd, PollFlags::IN)));
    fds.extend(stderr.map(|fd| PollFd::new(fd, PollFlags::IN)));
    let left = Timespec::try_from(left)
        .map_err(|_too_long| std::io::Error::other("the time limit is too long"))?;
    match poll(&mut fds, Some(&left)) {
        Ok(0) => Err(Failure::Timeout),
        Ok(_) => Ok(fds.first().is_some_and(|fd| !fd.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Writes what fits; true when there is no more to write.
fn write_some(pipe: &mut impl Write, rest: &mut &[u8]) -> Result<bool, Failure> {
    while !rest.is_empty() {
        match pipe.write(rest) {
            Ok(count) => *rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A plugin need not read its input.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Reads what there is; true when the other end is closed.
fn read_all(pipe: &mut impl Read, into: &mut Vec<u8>) -> Result<bool, Failure> {
    let mut buffer = [0; 8192];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        if into.len() > OUTPUT_BYTES_MAX {
            return Err(Failure::TooMuchOutput);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn large_input_and_output_pass_through() {
        let input = vec![b'x'; 300_000];
        let output = run(&mut shell("cat; echo e >&2"), &input, Duration::from_secs(60)).unwrap();
        assert!(output.status.success());
        assert_eq!((output.stdout, output.stderr), (input, b"e\n".to_vec()));
    }

    #[test]
    fn a_child_that_hangs_is_killed_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let failure = run(&mut shell(&script), b"", Duration::from_millis(500)).unwrap_err();
        assert!(matches!(failure, Failure::Timeout), "{failure:?}");
        let pid = std::fs::read_to_string(file).unwrap();
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        let gone = state.is_err() || state.is_ok_and(|state| state.contains(") Z "));
        assert!(gone, "the grandchild lives on");
    }

    #[test]
    fn endless_output_is_cut_off() {
        let failure = run(&mut shell("yes"), b"", Duration::from_secs(60)).unwrap_err();
        assert!(matches!(failure, Failure::TooMuchOutput), "{failure:?}");
    }

    #[test]
    fn a_daemon_that_keeps_the_pipes_does_not_hold_us_up() {
        // Waiting for the grandchild would run into the limit.
        let output = run(&mut shell("sleep 30 & echo x"), b"", Duration::from_secs(20)).unwrap();
        assert_eq!(output.stdout, b"x\n");
    }
}
