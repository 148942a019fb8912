//! The systemd driver: systemd makes a unit's cgroup, so that it knows of it; limits go both to
//! systemd, as properties, and into the cgroup's files.
//!
//! systemd owns the tree on machines that run it: a cgroup that it does not know of may be tidied
//! away, and a limit that it was not told of is undone by its next `daemon-reload`. What it has no
//! property for is kept by `Delegate`.
//!
//! A small client of D-Bus, synchronous and over one socket, is all that needs. It talks to
//! `/run/systemd/private` where it may: root's own way to systemd, without the bus daemon, which
//! saturates when many containers come and go.

mod bus;
mod message;
mod properties;
mod unit;

pub use bus::BusError;
pub use unit::{Systemd, Unit};
