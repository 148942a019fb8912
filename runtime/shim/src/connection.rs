//! One client.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use corten_sys_linux::fdpass;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::poller::{READ, WRITE};
use crate::protocol::{
    Decoder, EVENTS_QUEUED_MAX, Event, FDS_PER_FRAME_MAX, Message, Reply, Request, encode,
};

/// Answers that a client has not read yet; with more, no request of its is read.
const REPLIES_QUEUED_MAX: usize = 64;
/// File descriptors that came and belong to no request yet.
const FDS_HELD_MAX: usize = 4 * FDS_PER_FRAME_MAX;
const READ_BYTES: usize = 16 << 10;

/// A client's connection, never blocking.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    fds: VecDeque<OwnedFd>,
    out: VecDeque<Outgoing>,
    events_queued: usize,
    events_missed: u64,
    pub(crate) subscribed: bool,
    interest: EventFlags,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<OwnedFd>,
    is_event: bool,
}

/// The client is gone, or talks nonsense.
#[derive(Debug)]
pub(crate) struct Closed;

/// A request with the descriptors that belong to it.
pub(crate) type Incoming = (Request, Vec<OwnedFd>);

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            fds: VecDeque::new(),
            out: VecDeque::new(),
            events_queued: 0,
            events_missed: 0,
            subscribed: false,
            interest: READ,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Reads once, and gives the requests that are whole by now. What is not understood is answered
    /// here.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> Result<Vec<Incoming>, Closed> {
        buffer.resize(READ_BYTES, 0);
        let received = match fdpass::receive(&self.stream, buffer) {
            Ok(received) if received.bytes == 0 => return Err(Closed),
            Ok(received) => received,
            Err(error) if error.errno == Errno::AGAIN => return Ok(Vec::new()),
            Err(_) => return Err(Closed),
        };
        self.fds.extend(received.fds);
        if self.fds.len() > FDS_HELD_MAX {
            return Err(Closed);
        }
        self.decoder.push(&buffer[..received.bytes]);
        let mut requests = Vec::new();
        loop {
            let parsed = match self.decoder.next_frame() {
                Ok(Some(frame)) => Request::parse(frame),
                Ok(None) => return Ok(requests),
                Err(_) => return Err(Closed),
            };
            match parsed {
                Ok(request) => {
                    let count = fds_of(&request);
                    if count > self.fds.len() {
                        return Err(Closed);
                    }
                    let fds = self.fds.drain(..count).collect();
                    requests.push((request, fds));
                }
                Err(answer) => match *answer {
                    Ok(reply) => self.reply(reply, Vec::new())?,
                    Err(_) => return Err(Closed),
                },
            }
        }
    }

    pub(crate) fn reply(&mut self, reply: Reply, fds: Vec<OwnedFd>) -> Result<(), Closed> {
        self.queue(&Message::Reply(reply), fds, false)
    }

    /// Queues an event; one too many is counted instead.
    pub(crate) fn event(&mut self, event: &Event) -> Result<(), Closed> {
        if !self.subscribed {
            return Ok(());
        }
        if self.events_queued >= EVENTS_QUEUED_MAX || self.events_missed > 0 {
            self.events_missed += 1;
            return Ok(());
        }
        self.queue(&Message::Event(event.clone()), Vec::new(), true)
    }

    fn queue(
        &mut self,
        message: &Message,
        fds: Vec<OwnedFd>,
        is_event: bool,
    ) -> Result<(), Closed> {
        let bytes = encode(message).map_err(|_too_long| Closed)?;
        self.events_queued += usize::from(is_event);
        self.out.push_back(Outgoing { bytes, sent: 0, fds, is_event });
        self.flush()
    }

    /// Sends what can be sent.
    pub(crate) fn flush(&mut self) -> Result<(), Closed> {
        while let Some(next) = self.out.front_mut() {
            let fds: Vec<BorrowedFd<'_>> = next.fds.iter().map(AsFd::as_fd).collect();
            match fdpass::send(&self.stream, &next.bytes[next.sent..], &fds) {
                Ok(count) => {
                    next.sent += count;
                    // They went with the first byte.
                    next.fds.clear();
                    if next.sent == next.bytes.len() {
                        self.events_queued -= usize::from(next.is_event);
                        self.out.pop_front();
                    }
                }
                Err(error) if error.errno == Errno::AGAIN => return Ok(()),
                Err(_) => return Err(Closed),
            }
        }
        if self.events_missed > 0 {
            let missed = std::mem::take(&mut self.events_missed);
            return self.queue(&Message::Event(Event::Lagged { missed }), Vec::new(), true);
        }
        Ok(())
    }

    /// What to wait for, if that has changed.
    pub(crate) fn new_interest(&mut self) -> Option<EventFlags> {
        let mut interest = EventFlags::empty();
        if self.out.len() - self.events_queued < REPLIES_QUEUED_MAX {
            interest |= READ;
        }
        if !self.out.is_empty() {
            interest |= WRITE;
        }
        (interest != self.interest).then(|| {
            self.interest = interest;
            interest
        })
    }
}

/// How many descriptors came with a request. What it says is checked where it is dealt with.
fn fds_of(request: &Request) -> usize {
    match &request.op {
        crate::protocol::Op::Exec { stdio, .. } => usize::from(*stdio).min(FDS_PER_FRAME_MAX),
        crate::protocol::Op::Attach { stdout, stderr, .. } => {
            usize::from(*stdout) + usize::from(*stderr)
        }
        crate::protocol::Op::Hello
        | crate::protocol::Op::Create { .. }
        | crate::protocol::Op::Start { .. }
        | crate::protocol::Op::Kill { .. }
        | crate::protocol::Op::Wait { .. }
        | crate::protocol::Op::State
        | crate::protocol::Op::Delete { .. }
        | crate::protocol::Op::ReopenLog { .. }
        | crate::protocol::Op::Resize { .. }
        | crate::protocol::Op::CloseStdin { .. }
        | crate::protocol::Op::OpenStdin { .. }
        | crate::protocol::Op::Subscribe
        | crate::protocol::Op::Shutdown { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Exited, Op, decode};

    fn pair() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        (Connection::new(ours), theirs)
    }

    fn exec(id: u64, stdio: u8) -> Vec<u8> {
        let op = Op::Exec {
            container_id: "c".to_owned(),
            exec_id: "e".to_owned(),
            process: serde_json::Value::Null,
            stdio,
            timeout_ms: None,
        };
        encode(&Request::new(id, op)).unwrap()
    }

    fn messages(stream: &UnixStream, decoder: &mut Decoder) -> Vec<Message> {
        use std::io::Read as _;
        let mut buffer = [0; 65536];
        let count = (&mut &*stream).read(&mut buffer).unwrap();
        decoder.push(&buffer[..count]);
        let mut all = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            all.push(decode(frame).unwrap());
        }
        all
    }

    #[test]
    fn descriptors_go_with_their_own_request() {
        let (mut connection, client) = pair();
        let mut buffer = Vec::new();
        let file = tempfile::tempfile().unwrap();
        let three = [file.as_fd(); 3];
        fdpass::send(&client, &encode(&Request::new(1, Op::State)).unwrap(), &[]).unwrap();
        fdpass::send(&client, &exec(2, 3), &three).unwrap();
        fdpass::send(&client, &exec(3, 0), &[]).unwrap();
        let mut all = Vec::new();
        while all.len() < 3 {
            all.extend(connection.read(&mut buffer).unwrap());
        }
        let counts: Vec<(u64, usize)> = all.iter().map(|(r, fds)| (r.id, fds.len())).collect();
        assert_eq!(counts, [(1, 0), (2, 3), (3, 0)]);
    }

    #[test]
    fn descriptors_that_do_not_come_or_nobody_asked_for_end_the_connection() {
        let (mut connection, client) = pair();
        fdpass::send(&client, &exec(1, 3), &[]).unwrap();
        connection.read(&mut Vec::new()).unwrap_err();

        let (mut connection, client) = pair();
        let file = tempfile::tempfile().unwrap();
        let state = encode(&Request::new(1, Op::State)).unwrap();
        let mut ended = false;
        for _ in 0..8 {
            fdpass::send(&client, &state, &[file.as_fd(); 3]).unwrap();
            ended = connection.read(&mut Vec::new()).is_err();
            if ended {
                break;
            }
        }
        assert!(ended);
    }

    #[test]
    fn a_slow_subscriber_costs_little_and_learns_that_it_missed_something() {
        let (mut connection, client) = pair();
        connection.subscribed = true;
        let exited =
            Exited { code: 0, signal: None, at_ns: 0, oom_killed: false, timed_out: false };
        let event = Event::Exit { container_id: "c".repeat(200), exec_id: None, exited };
        let sent = 20_000_u64;
        for _ in 0..sent {
            connection.event(&event).unwrap();
        }
        assert!(connection.out.len() <= EVENTS_QUEUED_MAX);
        let mut decoder = Decoder::default();
        let (mut got, mut missed) = (0, 0);
        while got + missed < sent {
            for message in messages(&client, &mut decoder) {
                match message {
                    Message::Event(Event::Lagged { missed: count }) => missed += count,
                    Message::Event(_) => got += 1,
                    Message::Reply(_) => panic!("no reply was sent"),
                }
            }
            connection.flush().unwrap();
        }
        assert!(missed > 0);
        assert_eq!(got + missed, sent);
    }

    #[test]
    fn a_client_that_does_not_read_is_not_read_from() {
        let (mut connection, _client) = pair();
        let mut interest = READ;
        for id in 0..10_000 {
            let fault = crate::fault::invalid("x", "y", "z".repeat(1000));
            connection.reply(Reply { id, result: Err(fault) }, Vec::new()).unwrap();
            interest = connection.new_interest().unwrap_or(interest);
            if interest == WRITE {
                return;
            }
        }
        panic!("still reads: {interest:?}");
    }
}
