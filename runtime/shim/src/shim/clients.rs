//! Connections: accept, hear, answer, tell.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;

use super::{Shim, Source};
use crate::connection::Connection;
use crate::container::Asker;
use crate::poller::{READ, Token};
use crate::protocol::{Answer, Event, Fault, Reply};

/// Clients at a time.
const CONNECTIONS_MAX: usize = 64;

impl Shim {
    pub(super) fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
            Err(error) => {
                self.journal.note(&format!("accept: {error}"));
                return;
            }
        };
        // The socket's mode keeps others out already; this holds if somebody loosens it.
        let owner = rustix::process::geteuid();
        let allowed =
            rustix::net::sockopt::socket_peercred(&stream).is_ok_and(|peer| peer.uid == owner);
        if !allowed || self.connections.len() >= CONNECTIONS_MAX {
            self.journal.note("a connection was refused: not root's, or one too many");
            return;
        }
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        match self.watch(&stream, READ, Source::Connection) {
            Ok(token) => drop(self.connections.insert(token, Connection::new(stream))),
            Err(fault) => self.note("accept", &fault),
        }
    }

    pub(super) fn on_connection(&mut self, token: Token, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if flags.contains(EventFlags::OUT) && connection.flush().is_err() {
            self.close(token);
            return;
        }
        if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            match connection.read(&mut self.buffer) {
                Ok(requests) => {
                    for (request, fds) in requests {
                        let asker = Asker { connection: token, request: request.id };
                        self.on_request(asker, request.op, fds);
                    }
                }
                Err(_closed) => {
                    self.close(token);
                    return;
                }
            }
        }
        self.adjust(token);
    }

    /// Waits for what the connection now needs.
    fn adjust(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if let Some(interest) = connection.new_interest()
            && let Err(fault) = self.poller.change(connection.fd(), token, interest)
        {
            self.note("connection", &fault);
            self.close(token);
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(connection) = self.connections.remove(&token) {
            self.unwatch(connection.fd(), token);
        }
        // Nobody is there to be answered any more.
        let gone = |asker: &Asker| asker.connection != token;
        for container in self.containers.values_mut() {
            container.waiters.retain(gone);
            container.attached.retain(|client| gone(&client.asker));
            for exec in container.execs.values_mut() {
                exec.waiters.retain(gone);
            }
        }
    }

    pub(super) fn answer(&mut self, asker: Asker, result: Result<Answer, Fault>) {
        self.answer_with(asker, result, Vec::new());
    }

    pub(super) fn answer_with(
        &mut self,
        asker: Asker,
        result: Result<Answer, Fault>,
        fds: Vec<OwnedFd>,
    ) {
        let Some(connection) = self.connections.get_mut(&asker.connection) else { return };
        if connection.reply(Reply { id: asker.request, result }, fds).is_err() {
            self.close(asker.connection);
        } else {
            self.adjust(asker.connection);
        }
    }

    /// Tells all subscribers.
    pub(super) fn publish(&mut self, event: &Event) {
        let tokens: Vec<Token> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.subscribed)
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            let Some(connection) = self.connections.get_mut(&token) else { continue };
            if connection.event(event).is_err() {
                self.close(token);
            } else {
                self.adjust(token);
            }
        }
    }
}
