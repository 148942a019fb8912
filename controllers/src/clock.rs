//! The wall clock, behind a seam.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time of day.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The time of day at an instant, for clocks that follow the runtime's own (paused) time.
    fixed: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self { fixed: None }
    }

    /// A clock that shows `start` now and goes on with the runtime's time.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self { fixed: Some((start, Instant::now())) }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self.fixed {
            None => Timestamp::now(),
            Some((start, since)) => {
                let elapsed = SignedDuration::try_from(since.elapsed()).unwrap_or_default();
                start.checked_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// The time now, as Kubernetes writes it.
    #[must_use]
    pub fn time(&self) -> Time {
        Time(self.now())
    }
}
