//! Control groups, v2 and v1, on file descriptors.
//!
//! A machine mounts every controller either on the one v2 hierarchy or on a v1 hierarchy.
//! [`Hierarchies::probe`] finds out which is where, once; a [`Cgroup`] is one path in all of them,
//! held open. Each controller (`controller/*.rs`) speaks both versions, so a limit holds on a pure
//! v2 host, on a hybrid one and on a legacy one alike. A limit whose controller is nowhere
//! available is an error that names controller and field, never silence; [`Resources::allow_missing`]
//! turns it into a [`Warning`].
//!
//! Entry types: [`Hierarchies`], [`CgroupPath`], [`Cgroup`], [`Resources`], [`Stats`], [`OomWatch`].
//!
//! Where systemd rules the tree, [`Systemd`] has it make a cgroup as a [`Unit`]'s; what is done with
//! it then is the same.
//!
//! Non-goals: what a limit should be (that is the caller's policy).
//!
//! Privileges: write access to the hierarchies' mounts, so root, or a delegated subtree.
//!
//! Facts from the kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/*.rst`.

mod cgroup;
mod controller;
mod details;
mod error;
mod file;
mod hierarchy;
mod kill;
mod oom;
mod path;
mod remove;
mod resources;
mod stats;
mod systemd;

pub use cgroup::{Cgroup, TasksFile};
pub use controller::cpu::{shares_from_weight, weight_from_shares};
pub use error::Error;
pub use hierarchy::{Hierarchies, Mode, Version};
pub use oom::{OomInterest, OomWatch};
pub use path::CgroupPath;
pub use remove::Removal;
pub use resources::{
    Cpu, DeviceAccess, DeviceKind, DeviceRule, HugepageLimit, Io, IoRate, IoThrottle, IoWeight,
    Limit, Memory, Network, Pids, RdmaLimit, Resources, Warning,
};
pub use stats::{
    Counter, CpuStats, CpusetStats, Details, HugepageStats, IoStats, MemoryStats, PidsStats,
    Pressure, PressureLine, RdmaStats, Stats,
};
pub use systemd::{BusError, Systemd, Unit};
