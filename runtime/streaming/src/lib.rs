//! Exec, attach and port-forward: the streams between a client and a container.
//!
//! A CRI runtime answers such a request with a URL; whoever asked then connects there and upgrades
//! the connection to SPDY/3.1 or to WebSocket. Entry points: [`bind`] gives the [`Urls`] to hand
//! out and the [`Listener`] that answers them, with a [`Backend`] that reaches the containers.
//!
//! `spdy/` is the codec, without IO; `session.rs` multiplexes streams over one connection with it;
//! `websocket/` does the same with Kubernetes' channel protocols, and carries SPDY in a tunnel;
//! `remotecommand/` and `port_forward/` are the two conversations that are led over either.
//!
//! Non-goals: who may do what (a URL holds a secret that works once), containers, Kubernetes
//! objects, TLS.
//!
//! Privileges: none.

mod backend;
mod channel;
mod port_forward;
mod remotecommand;
mod request;
mod server;
mod session;
pub mod spdy;
mod tokens;
mod websocket;

pub use backend::{Backend, Failure};
pub use channel::{Gone, Input, Output};
pub use remotecommand::{Resizes, Streams, TerminalSize};
pub use request::{Attach, Exec, PortForward, StreamFlags};
pub use server::{Config, Listener, bind};
pub use session::{Opened, Role, Session};
pub use tokens::{TooMany, Urls};
