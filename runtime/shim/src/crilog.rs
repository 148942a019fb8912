//! A container's output in CRI's log format.
//!
//! Each line is `<time> <stream> <tag> <text>`: the time in RFC 3339 with nanoseconds in UTC, the
//! stream `stdout` or `stderr`, the tag `F` for a full line or `P` for a part whose rest follows.
//! A line longer than 16 KiB is cut into parts, and what a stream ends with without a newline is a
//! part: a reader puts parts together and adds no newline after them.
//! (Kubernetes' `pkg/kubelet/kuberuntime/logs` reads it; the limit is containerd's default.)

mod lines;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

pub(crate) use lines::{LineCutter, Stream};

use crate::protocol::{Fault, FaultCode};

/// Text that is gathered before it is written in one call.
const BATCH_BYTES: usize = 32 << 10;

/// A log file that is appended to.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: OwnedFd,
    /// Bytes that a full disk swallowed.
    lost_bytes: u64,
}

impl LogFile {
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        Ok(Self { path: path.to_owned(), file: open_regular(path)?, lost_bytes: 0 })
    }

    /// Goes on in a new file of the same name. If that cannot be had, the old one stays in use.
    pub(crate) fn reopen(&mut self) -> Result<(), Fault> {
        self.file = open_regular(&self.path)?;
        Ok(())
    }

    /// Writes what `cutter` makes of `bytes`. Never fails: a container must not stop because a disk
    /// is full. Says how many bytes have been lost when the first is.
    pub(crate) fn write(
        &mut self,
        cutter: &mut LineCutter,
        bytes: &[u8],
        at_ns: u64,
        scratch: &mut Vec<u8>,
    ) -> Option<Errno> {
        let mut trouble = None;
        scratch.clear();
        let time = timestamp(at_ns);
        cutter.push(bytes, &mut |stream, tag, parts| {
            lines::append_entry(scratch, &time, stream, tag, parts);
            if scratch.len() >= BATCH_BYTES {
                trouble = trouble.or(self.append(scratch));
                scratch.clear();
            }
        });
        if !scratch.is_empty() {
            trouble = trouble.or(self.append(scratch));
        }
        trouble
    }

    /// Writes what a stream ended with.
    pub(crate) fn finish(
        &mut self,
        cutter: &mut LineCutter,
        at_ns: u64,
        scratch: &mut Vec<u8>,
    ) -> Option<Errno> {
        scratch.clear();
        let time = timestamp(at_ns);
        cutter.finish(&mut |stream, tag, parts| {
            lines::append_entry(scratch, &time, stream, tag, parts);
        });
        if scratch.is_empty() { None } else { self.append(scratch) }
    }

    /// The error, if it is the first since writing last worked.
    fn append(&mut self, mut text: &[u8]) -> Option<Errno> {
        while !text.is_empty() {
            match rustix::io::write(&self.file, text) {
                Ok(count) => text = &text[count..],
                Err(Errno::INTR) => {}
                Err(errno) => {
                    let first = self.lost_bytes == 0;
                    self.lost_bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
                    return first.then_some(errno);
                }
            }
        }
        self.lost_bytes = 0;
        None
    }
}

fn timestamp(at_ns: u64) -> String {
    let time = jiff::Timestamp::from_nanosecond(at_ns.into()).unwrap_or_default();
    format!("{time:.9}")
}

/// Opens to append, never through a link or into anything that could block or is a device.
fn open_regular(path: &Path) -> Result<OwnedFd, Fault> {
    let fault = |step: &str, code, message: String| {
        Fault::new(code, step, path.display().to_string(), message)
    };
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, path, flags, Mode::from_raw_mode(0o640))
        .map_err(|errno| fault("open log", FaultCode::Internal, errno.to_string()))?;
    let stat = rustix::fs::fstat(&file)
        .map_err(|errno| fault("stat log", FaultCode::Internal, errno.to_string()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(fault("open log", FaultCode::Invalid, "is not a regular file".to_owned()));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path) -> LogFile {
        LogFile::open(&dir.join("0.log")).unwrap()
    }

    #[test]
    fn the_format_is_what_the_kubelet_reads() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        let mut out = LineCutter::new(Stream::Stdout);
        let mut err = LineCutter::new(Stream::Stderr);
        let mut scratch = Vec::new();
        // 2016-10-06T00:17:09.669794202Z, the example in Kubernetes' sources.
        let at = 1_475_713_029_669_794_202;
        assert_eq!(log.write(&mut out, b"one\n\ntw", at, &mut scratch), None);
        assert_eq!(log.write(&mut err, b"bad\n", at, &mut scratch), None);
        assert_eq!(log.write(&mut out, b"o\nrest", at, &mut scratch), None);
        assert_eq!(log.finish(&mut out, at, &mut scratch), None);
        assert_eq!(log.finish(&mut err, at, &mut scratch), None);
        let text = std::fs::read_to_string(dir.path().join("0.log")).unwrap();
        let time = "2016-10-06T00:17:09.669794202Z";
        assert_eq!(
            text,
            format!(
                "{time} stdout F one\n{time} stdout F \n{time} stderr F bad\n\
                 {time} stdout F two\n{time} stdout P rest\n"
            )
        );
    }

    #[test]
    fn whole_seconds_keep_nine_digits() {
        assert_eq!(timestamp(1_000_000_000), "1970-01-01T00:00:01.000000000Z");
    }

    #[test]
    fn a_rotated_log_goes_on_in_a_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = log(dir.path());
        let mut out = LineCutter::new(Stream::Stdout);
        let mut scratch = Vec::new();
        log.write(&mut out, b"old\n", 0, &mut scratch);
        std::fs::rename(dir.path().join("0.log"), dir.path().join("0.log.1")).unwrap();
        log.write(&mut out, b"older\n", 0, &mut scratch);
        log.reopen().unwrap();
        log.write(&mut out, b"new\n", 0, &mut scratch);
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("0.log.1").lines().count(), 2);
        assert!(read("0.log").ends_with("F new\n"));
        assert_eq!(read("0.log").lines().count(), 1);
    }

    #[test]
    fn a_log_is_a_regular_file_and_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        LogFile::open(&link).unwrap_err();
        LogFile::open(Path::new("/dev/null")).unwrap_err();
        LogFile::open(dir.path()).unwrap_err();
    }
}
