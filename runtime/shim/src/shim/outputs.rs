//! What containers write.

use rustix::io::Errno;

use super::{Shim, now_ns};
use crate::container::Container;
use crate::poller::Token;

/// Read at a time; a container that floods takes turns with all else.
const READ_BYTES: usize = 32 << 10;
/// Read at most after a container's end, while others may still write to its pipes: more than a
/// pipe holds.
const DRAIN_BYTES_MAX: usize = 1 << 20;

/// How a read went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Some(usize),
    Nothing,
    End,
}

impl Shim {
    pub(super) fn on_output(&mut self, container_id: &str, token: Token) {
        match self.read_output(container_id, token) {
            Read::Some(_) | Read::Nothing => {}
            Read::End => self.close_output(container_id, token),
        }
    }

    /// Takes what is still in the pipes of a container that has ended.
    pub(super) fn drain_outputs(&mut self, container_id: &str) {
        let Some(container) = self.containers.get(container_id) else { return };
        let tokens: Vec<Token> = container.outputs.iter().map(|output| output.token).collect();
        for token in tokens {
            let mut drained = 0;
            while drained < DRAIN_BYTES_MAX {
                match self.read_output(container_id, token) {
                    Read::Some(count) => drained += count,
                    Read::Nothing => break,
                    Read::End => {
                        self.close_output(container_id, token);
                        break;
                    }
                }
            }
        }
    }

    fn read_output(&mut self, container_id: &str, token: Token) -> Read {
        let Some(container) = self.containers.get_mut(container_id) else { return Read::Nothing };
        let Container { outputs, log, .. } = container;
        let Some(output) = outputs.iter_mut().find(|output| output.token == token) else {
            return Read::Nothing;
        };
        self.buffer.resize(READ_BYTES, 0);
        let count = match rustix::io::read(&output.fd, &mut self.buffer[..]) {
            Ok(0) => return Read::End,
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Read::Nothing,
            // EIO: nobody has a terminal's other end open any more.
            Err(_) => return Read::End,
        };
        if let Some(log) = log {
            let bytes = &self.buffer[..count];
            if let Some(cause) = log.write(&mut output.cutter, bytes, now_ns(), &mut self.scratch) {
                self.journal.note(&format!("log of {container_id}: {cause}; output is lost"));
            }
        }
        let stream = output.cutter.stream();
        self.copy_to_attached(container_id, stream, count);
        Read::Some(count)
    }

    /// The stream has ended.
    fn close_output(&mut self, container_id: &str, token: Token) {
        let Some(container) = self.containers.get_mut(container_id) else { return };
        let Some(at) = container.outputs.iter().position(|output| output.token == token) else {
            return;
        };
        let mut output = container.outputs.remove(at);
        if let Some(log) = &mut container.log
            && let Some(cause) = log.finish(&mut output.cutter, now_ns(), &mut self.scratch)
        {
            self.journal.note(&format!("log of {container_id}: {cause}; output is lost"));
        }
        self.unwatch(&output.fd, token);
        self.end_attached(container_id, output.cutter.stream());
    }

    /// Ends all streams of a container that is being removed.
    pub(super) fn close_outputs(&mut self, container_id: &str) {
        let Some(container) = self.containers.get(container_id) else { return };
        let tokens: Vec<Token> = container.outputs.iter().map(|output| output.token).collect();
        for token in tokens {
            self.close_output(container_id, token);
        }
    }
}
