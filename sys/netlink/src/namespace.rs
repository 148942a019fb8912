//! Code in another network namespace.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespace could not be entered.
#[derive(Debug, thiserror::Error)]
#[error("cannot enter the network namespace: {call}")]
pub struct NamespaceError {
    /// The system call.
    pub call: &'static str,
    /// What it says.
    #[source]
    pub source: std::io::Error,
}

/// Runs `work` in the network namespace that `namespace` refers to, on a thread of its own, so
/// that no other code is ever in the wrong namespace, whatever fails. `/proc/sys/net` seen from
/// there is that namespace's.
///
/// # Errors
/// [`NamespaceError`] when the namespace cannot be entered; then `work` has not run.
pub fn in_namespace<T: Send>(
    namespace: impl AsFd,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NamespaceError> {
    let namespace: BorrowedFd<'_> = namespace.as_fd();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, move || {
                move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
                Ok(work())
            })
            .map_err(|source| NamespaceError { call: "clone", source })?;
        match thread.join() {
            Ok(outcome) => outcome.map_err(|errno: rustix::io::Errno| NamespaceError {
                call: "setns(CLONE_NEWNET)",
                source: errno.into(),
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
