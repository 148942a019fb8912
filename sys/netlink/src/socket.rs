//! A netlink socket that speaks to the kernel: requests, acknowledgements, dumps.

use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART,
    NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
};
use netlink_sys::SocketAddr;
use rustix::io::Errno;
use rustix::net::sockopt;

use crate::error::{NetlinkError, Refusal};
use crate::wire::{self, Received, Wire};

/// The kernel answers at once; this only bounds a wait that nothing else would end.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The kernel's dumps come in datagrams of up to 32 KiB.
const RECEIVE_BYTES: usize = 64 * 1024;

/// How often a dump is begun anew when the list changes meanwhile.
const DUMP_ATTEMPTS: u32 = 20;

/// Attributes of an extended acknowledgement (`enum nlmsgerr_attrs`).
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;

#[derive(Debug)]
pub(crate) struct Connection {
    socket: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// What the kernel said of one message.
#[derive(Debug)]
pub(crate) struct Acknowledgement {
    pub(crate) sequence: u32,
    pub(crate) errno: Option<Errno>,
    pub(crate) reason: Option<String>,
    pub(crate) offset: Option<u32>,
}

impl Acknowledgement {
    pub(crate) fn refusal(&self, request: String) -> Option<Refusal> {
        let errno = self.errno?;
        Some(Refusal { request, errno, reason: self.reason.clone(), offset: self.offset })
    }
}

fn socket_error(call: &'static str) -> impl FnOnce(std::io::Error) -> NetlinkError {
    move |source| NetlinkError::Socket { call, source }
}

impl Connection {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize) -> Result<Self, NetlinkError> {
        let socket = netlink_sys::Socket::new(protocol).map_err(socket_error("socket"))?;
        socket.set_cap_ack(true).map_err(socket_error("setsockopt(NETLINK_CAP_ACK)"))?;
        socket.set_ext_ack(true).map_err(socket_error("setsockopt(NETLINK_EXT_ACK)"))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_LIMIT))
            .map_err(|errno| socket_error("setsockopt(SO_RCVTIMEO)")(errno.into()))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; RECEIVE_BYTES] })
    }

    /// Has the kernel check what is asked for in dumps, so that filters are honoured.
    pub(crate) fn check_strictly(&self) -> Result<(), NetlinkError> {
        self.socket
            .set_netlink_get_strict_chk(true)
            .map_err(socket_error("setsockopt(NETLINK_GET_STRICT_CHK)"))
    }

    pub(crate) fn next_sequence(&mut self) -> u32 {
        // Zero is for what the kernel sends unasked.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }

    /// Numbers for `count` messages in a row; returns the first.
    pub(crate) fn reserve_sequences(&mut self, count: u32) -> u32 {
        if let Some(last) = self.sequence.checked_add(count) {
            let first = self.sequence + 1;
            self.sequence = last;
            first
        } else {
            self.sequence = count;
            1
        }
    }

    /// Makes room in the send buffer for one datagram of `length` bytes. The kernel refuses
    /// longer ones with EMSGSIZE.
    pub(crate) fn make_room(&self, length: usize) -> Result<(), NetlinkError> {
        let have = sockopt::socket_send_buffer_size(&self.socket)
            .map_err(|errno| socket_error("getsockopt(SO_SNDBUF)")(errno.into()))?;
        // The kernel keeps some of it for itself.
        let need = length + 4096;
        if have < need {
            sockopt::set_socket_send_buffer_size_force(&self.socket, need)
                .map_err(|errno| socket_error("setsockopt(SO_SNDBUFFORCE)")(errno.into()))?;
        }
        Ok(())
    }

    /// Makes room in the receive buffer for many acknowledgements.
    pub(crate) fn make_receive_room(&self, length: usize) -> Result<(), NetlinkError> {
        sockopt::set_socket_recv_buffer_size_force(&self.socket, length)
            .map_err(|errno| socket_error("setsockopt(SO_RCVBUFFORCE)")(errno.into()))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        let kernel = SocketAddr::new(0, 0);
        loop {
            match self.socket.send_to(bytes, &kernel, 0) {
                Ok(_whole_datagram) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(socket_error("sendto")(error)),
            }
        }
    }

    /// Receives a datagram and hands its messages to `each`.
    pub(crate) fn receive(
        &mut self,
        mut each: impl FnMut(Received<'_>) -> Result<(), NetlinkError>,
    ) -> Result<(), NetlinkError> {
        let length = loop {
            let received = rustix::net::recv(
                &self.socket,
                &mut self.buffer[..],
                rustix::net::RecvFlags::TRUNC,
            );
            match received {
                Ok((_filled, length)) => break length,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(socket_error("recv")(errno.into())),
            }
        };
        let Some(datagram) = self.buffer.get(..length) else {
            return Err(NetlinkError::Malformed {
                request: "recv".to_owned(),
                what: format!("a datagram of {length} bytes"),
            });
        };
        wire::messages(datagram).try_for_each(&mut each)
    }

    /// Sends one request and waits for its acknowledgement.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        flags: u16,
        request: impl Fn() -> String,
        body: impl FnOnce(&mut Wire),
    ) -> Result<(), NetlinkError> {
        self.exchange(kind, flags | NLM_F_ACK, &request, body, |_kind, _answer| Ok(()))
    }

    /// Sends one request whose answer is one message.
    pub(crate) fn query<T>(
        &mut self,
        kind: u16,
        request: impl Fn() -> String,
        body: impl FnOnce(&mut Wire),
        parse: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<T, NetlinkError> {
        let mut answer = None;
        self.exchange(kind, NLM_F_ACK, &request, body, |_kind, bytes| {
            answer = Some(parse(bytes)?);
            Ok(())
        })?;
        answer.ok_or_else(|| NetlinkError::Malformed {
            request: request(),
            what: "there is no answer".to_owned(),
        })
    }

    fn exchange(
        &mut self,
        kind: u16,
        flags: u16,
        request: &impl Fn() -> String,
        body: impl FnOnce(&mut Wire),
        mut each: impl FnMut(u16, &[u8]) -> Result<(), String>,
    ) -> Result<(), NetlinkError> {
        let sequence = self.next_sequence();
        let mut wire = Wire::default();
        wire.message(kind, flags | NLM_F_REQUEST, sequence, body);
        if wire.overflow() {
            return Err(NetlinkError::TooLong { request: request() });
        }
        self.send(wire.bytes())?;
        let mut ended = None;
        while ended.is_none() {
            self.receive(|message| {
                if message.sequence != sequence {
                    return Ok(());
                }
                match acknowledgement(&message) {
                    Some(acknowledgement) => ended = Some(acknowledgement),
                    None => each(message.kind, message.body)
                        .map_err(|what| NetlinkError::Malformed { request: request(), what })?,
                }
                Ok(())
            })?;
        }
        match ended.and_then(|acknowledgement| acknowledgement.refusal(request())) {
            Some(refusal) => Err(NetlinkError::Refused(refusal)),
            None => Ok(()),
        }
    }

    /// Reads a list; begins anew when it changes meanwhile. `start` clears what was gathered.
    pub(crate) fn dump<T>(
        &mut self,
        kind: u16,
        request: impl Fn() -> String,
        body: impl Fn(&mut Wire),
        parse: impl Fn(&[u8]) -> Result<Option<T>, String>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _attempt in 0..DUMP_ATTEMPTS {
            if let Some(list) = self.dump_once(kind, &request, &body, &parse)? {
                return Ok(list);
            }
        }
        Err(NetlinkError::Interrupted { request: request(), attempts: DUMP_ATTEMPTS })
    }

    fn dump_once<T>(
        &mut self,
        kind: u16,
        request: &impl Fn() -> String,
        body: impl Fn(&mut Wire),
        parse: &impl Fn(&[u8]) -> Result<Option<T>, String>,
    ) -> Result<Option<Vec<T>>, NetlinkError> {
        let sequence = self.next_sequence();
        let mut wire = Wire::default();
        wire.message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, body);
        self.send(wire.bytes())?;
        let mut list = Vec::new();
        let mut consistent = true;
        let mut ended = None;
        while ended.is_none() {
            self.receive(|message| {
                if message.sequence != sequence {
                    return Ok(());
                }
                consistent &= message.flags & NLM_F_DUMP_INTR == 0;
                if let Some(acknowledgement) = acknowledgement(&message) {
                    ended = Some(acknowledgement);
                    return Ok(());
                }
                let item = parse(message.body)
                    .map_err(|what| NetlinkError::Malformed { request: request(), what })?;
                list.extend(item);
                // A dump with an answer that is not multipart has no NLMSG_DONE.
                if message.flags & NLM_F_MULTIPART == 0 {
                    ended =
                        Some(Acknowledgement { sequence, errno: None, reason: None, offset: None });
                }
                Ok(())
            })?;
        }
        match ended.and_then(|acknowledgement| acknowledgement.refusal(request())) {
            // nf_tables ends an interrupted dump with this.
            Some(refusal) if refusal.errno == Errno::INTR => Ok(None),
            Some(refusal) => Err(NetlinkError::Refused(refusal)),
            None => Ok(consistent.then_some(list)),
        }
    }
}

/// Reads NLMSG_ERROR and NLMSG_DONE, which both end an exchange.
pub(crate) fn acknowledgement(message: &Received<'_>) -> Option<Acknowledgement> {
    if ![NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN].contains(&message.kind) {
        return None;
    }
    let code = wire::ne32(message.body, 0).map_or(0, u32::cast_signed);
    let mut acknowledgement = Acknowledgement {
        sequence: message.sequence,
        errno: (code != 0).then(|| Errno::from_raw_os_error(code.saturating_neg())),
        reason: None,
        offset: None,
    };
    if message.flags & NLM_F_ACK_TLVS != 0 {
        // After the code comes the refused message's header, and its body unless it is capped.
        let mut start = 4;
        if message.kind == NLMSG_ERROR {
            let refused = wire::ne32(message.body, 4).unwrap_or(0);
            let capped = message.flags & NLM_F_CAPPED != 0;
            let length = usize::try_from(refused).unwrap_or(usize::MAX);
            start += if capped || code == 0 { wire::HEADER_BYTES } else { length };
        }
        for (kind, value) in wire::attributes(message.body.get(start..).unwrap_or_default()) {
            match kind {
                NLMSGERR_ATTR_MSG => acknowledgement.reason = Some(wire::text_of(value)),
                NLMSGERR_ATTR_OFFS => acknowledgement.offset = wire::ne32(value, 0),
                _ => {}
            }
        }
    }
    Some(acknowledgement)
}
