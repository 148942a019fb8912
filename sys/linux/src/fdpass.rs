//! Descriptors over unix sockets (`SCM_RIGHTS`), bounded on both sides.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::SysError;

/// How many descriptors one message may carry.
pub const FDS_MAX: usize = 16;

const SPACE: usize = rustix::cmsg_space!(ScmRights(16));

/// Sends `bytes`, with `fds` travelling on the first of them; returns how many bytes went.
///
/// # Errors
/// `EINVAL` for no bytes or more than [`FDS_MAX`] descriptors; else what `sendmsg(2)` says
/// (`EPIPE` without a signal when the peer is gone).
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<usize, SysError> {
    let describe = || format!("{} bytes, {} descriptors", bytes.len(), fds.len());
    if bytes.is_empty() || fds.len() > FDS_MAX {
        return Err(SysError::of("sendmsg", describe)(Errno::INVAL));
    }
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(SysError::of("sendmsg", describe)(Errno::INVAL));
    }
    let iov = [IoSlice::new(bytes)];
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(socket.as_fd(), &iov, &mut control, SendFlags::NOSIGNAL)
    })
    .map_err(SysError::of("sendmsg", describe))
}

/// What [`receive`] got.
#[derive(Debug)]
pub struct Received {
    /// How many bytes of the buffer were filled; zero is the end of the stream.
    pub bytes: usize,
    /// The descriptors that came with them, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Receives into `buffer`. Descriptors beyond [`FDS_MAX`] never enter this process: the message is
/// refused and those that did arrive are closed.
///
/// # Errors
/// `EMSGSIZE` for too many descriptors; else what `recvmsg(2)` says.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Received, SysError> {
    let length = buffer.len();
    let describe = || format!("up to {length} bytes");
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut iov = [IoSliceMut::new(buffer)];
    let message = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket.as_fd(), &mut iov, &mut control, RecvFlags::CMSG_CLOEXEC)
    })
    .map_err(SysError::of("recvmsg", describe))?;
    let mut fds = Vec::new();
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = item {
            fds.extend(rights);
        }
    }
    if message.flags.contains(rustix::net::ReturnFlags::CTRUNC) || fds.len() > FDS_MAX {
        return Err(SysError::of("recvmsg", || "more descriptors than allowed")(Errno::MSGSIZE));
    }
    Ok(Received { bytes: message.bytes, fds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_arrives_with_the_first_byte() {
        let (one, two) = UnixStream::pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        send(&one, b"x", &[write.as_fd()]).unwrap();
        let mut buffer = [0; 8];
        let got = receive(&two, &mut buffer).unwrap();
        assert_eq!((got.bytes, got.fds.len()), (1, 1));
        rustix::io::write(&got.fds[0], b"through").unwrap();
        let mut out = [0; 16];
        assert_eq!(rustix::io::read(&read, &mut out).unwrap(), 7);
    }

    /// CVE-2021-43784's class: a length from the peer is never trusted.
    #[test]
    fn more_descriptors_than_allowed_are_refused_on_both_sides() {
        let (one, two) = UnixStream::pair().unwrap();
        let (read, _write) = rustix::pipe::pipe().unwrap();
        let many = vec![read.as_fd(); FDS_MAX + 1];
        assert_eq!(send(&one, b"x", &many).unwrap_err().errno, Errno::INVAL);

        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
        rustix::net::sendmsg(&one, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())
            .unwrap();
        let error = receive(&two, &mut [0; 8]).unwrap_err();
        assert_eq!(error.errno, Errno::MSGSIZE);
    }
}
