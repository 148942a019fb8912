//! Time and ids, from outside, so that tests can fix them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time of day comes from.
pub(crate) trait Clock: Send + Sync + fmt::Debug {
    /// Nanoseconds since the epoch.
    fn now_ns(&self) -> i64;
}

/// Where ids come from.
pub(crate) trait Ids: Send + Sync + fmt::Debug {
    /// 64 hexadecimal digits that were never given before.
    fn next(&self) -> String;
}

/// The machine's clock.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now_ns(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }
}

/// Ids from the operating system's random numbers.
#[derive(Debug)]
pub(crate) struct RandomIds;

impl Ids for RandomIds {
    fn next(&self) -> String {
        let halves = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
        halves.iter().map(|half| half.simple().to_string()).collect()
    }
}
