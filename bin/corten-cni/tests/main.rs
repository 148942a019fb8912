//! The plugins as the real binary, driven by the runtime's side, with real packets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "main/bridge.rs"]
mod bridge;
#[path = "main/gc.rs"]
mod gc;
#[path = "main/kill.rs"]
mod kill;
#[path = "main/lab.rs"]
mod lab;
#[path = "main/loopback.rs"]
mod loopback;
#[path = "main/meta.rs"]
mod meta;
#[path = "main/peers.rs"]
mod peers;
#[path = "main/portmap.rs"]
mod portmap;
#[path = "main/protocol.rs"]
mod protocol;
#[path = "main/single.rs"]
mod single;
