//! OCI containers: `spec → plan → parent → child → state`.
//!
//! The specification is parsed once into a [`Plan`]: everything that can fail or allocates is done
//! before the one `clone3` (cgroup made and limited, sources of mounts opened, strings laid out).
//! The child only walks the plan with system calls, and says what failed as step, object and errno.
//!
//! Non-goals: images, logs, supervising (the shim's), the command line (`corten-run`'s).
//! What of the specification is not honoured is refused by name rather than ignored.
//!
//! Entry types: [`Plan`], [`create`], [`exec`], [`StateDir`], [`kill`], [`delete`]. Privileges:
//! root, or at least `CAP_SYS_ADMIN` and the capabilities that the container gets.

mod child;
mod error;
pub mod features;
mod hooks;
mod id;
mod lifecycle;
mod parent;
mod plan;
mod state;

pub use error::{ChildFailure, CreateError, HookError, LifecycleError, PlanError, StateError};
pub use hooks::{has_poststart, poststart};
pub use id::{ContainerId, IdError};
pub use lifecycle::{delete, kill, start};
pub use parent::{
    Console, Created, ExecOptions, Parenthood, StartGate, Stdio, create, exec, parse_failure,
    release,
};
pub use plan::{Plan, PlanOptions};
pub use state::{State, StateDir, Status, now_rfc3339};
