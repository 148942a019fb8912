//! Owned, cancellable tasks.
//!
//! Every asynchronous task of a daemon belongs to a [`Tasks`]. Dropping out of scope never leaks a
//! task: the owner cancels them all and waits for them. Nothing here knows what the tasks do.
//!
//! Non-goals: restarting what failed, limiting how many run.
//! Privileges: none.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
pub use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The owner of a group of tasks. Clones share the group.
#[derive(Clone, Debug)]
pub struct Tasks {
    token: CancellationToken,
    tracker: TaskTracker,
}

/// Tasks of a group did not end within the grace period that [`Tasks::shutdown`] was given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} tasks still run after {grace:?}")]
pub struct StillRunning {
    /// How many.
    pub count: usize,
    /// How long they were waited for.
    pub grace: Duration,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// A group without tasks that nothing else can cancel.
    #[must_use]
    pub fn new() -> Self {
        Self { token: CancellationToken::new(), tracker: TaskTracker::new() }
    }

    /// A group that is cancelled with this one and can also be shut down alone.
    ///
    /// Its tasks are not waited for by this group's [`Tasks::shutdown`]: the task that made the
    /// child group shuts it down before it returns.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token(), tracker: TaskTracker::new() }
    }

    /// Becomes cancelled when the group is asked to end.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs `future` in the group. It is dropped at its next await once the group is cancelled; a
    /// panic ends the task alone and is logged with `name`.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        let guarded = AssertUnwindSafe(future).catch_unwind();
        self.tracker.spawn(async move {
            if let Some(Err(panic)) = token.run_until_cancelled(guarded).await {
                tracing::error!(task = name, cause = panic_message(&*panic), "task panicked");
            }
        });
    }

    /// Like [`Tasks::spawn`], but cancellation does not drop the future: it must watch
    /// [`Tasks::token`] itself and end in its own way.
    pub fn spawn_graceful<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guarded = AssertUnwindSafe(future).catch_unwind();
        self.tracker.spawn(async move {
            if let Err(panic) = guarded.await {
                tracing::error!(task = name, cause = panic_message(&*panic), "task panicked");
            }
        });
    }

    /// Asks every task to end, without waiting.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Cancels the group and waits until its tasks have ended.
    ///
    /// # Errors
    /// [`StillRunning`] when some have not ended within `grace`.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), StillRunning> {
        self.token.cancel();
        self.tracker.close();
        match tokio::time::timeout(grace, self.tracker.wait()).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => Err(StillRunning { count: self.tracker.len(), grace }),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "a value that is not text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn shutdown_cancels_and_joins() {
        let tasks = Tasks::new();
        tasks.spawn("forever", std::future::pending());
        assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_tells_of_tasks_that_do_not_end() {
        let tasks = Tasks::new();
        tasks.spawn_graceful("stubborn", std::future::pending());
        let grace = Duration::from_secs(1);
        assert_eq!(tasks.shutdown(grace).await, Err(StillRunning { count: 1, grace }));
    }

    #[tokio::test]
    async fn a_panic_ends_only_its_task() {
        let tasks = Tasks::new();
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        tasks.spawn("panics", async { panic!("on purpose") });
        tasks.spawn_graceful("works", async move { seen.store(true, Ordering::Relaxed) });
        assert_eq!(tasks.shutdown(Duration::from_secs(5)).await, Ok(()));
        assert!(done.load(Ordering::Relaxed));
    }

    #[tokio::test]
    async fn a_child_group_ends_with_its_parent() {
        let tasks = Tasks::new();
        let child = tasks.child();
        tasks.cancel();
        assert!(child.token().is_cancelled());
    }
}
