//! epoll, and deadlines.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use crate::fault::errno;
use crate::protocol::Fault;

/// What a source is waited for.
pub(crate) const READ: EventFlags = EventFlags::IN;
/// `memory.events`.
pub(crate) const PRIORITY: EventFlags = EventFlags::PRI;
/// Room in a socket.
pub(crate) const WRITE: EventFlags = EventFlags::OUT;

/// Names a source; never used twice.
pub(crate) type Token = u64;

/// Level-triggered: what is not dealt with comes again.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    next: Token,
}

impl Poller {
    pub(crate) fn new() -> Result<Self, Fault> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|cause| errno("epoll_create1", "the shim's loop", cause))?;
        Ok(Self { epoll, next: 1 })
    }

    pub(crate) fn add(&mut self, source: impl AsFd, interest: EventFlags) -> Result<Token, Fault> {
        let token = self.next;
        self.next += 1;
        epoll::add(&self.epoll, source, EventData::new_u64(token), interest)
            .map_err(|cause| errno("epoll_ctl", "add", cause))?;
        Ok(token)
    }

    pub(crate) fn change(
        &self,
        source: impl AsFd,
        token: Token,
        interest: EventFlags,
    ) -> Result<(), Fault> {
        epoll::modify(&self.epoll, source, EventData::new_u64(token), interest)
            .map_err(|cause| errno("epoll_ctl", "modify", cause))
    }

    /// A closed descriptor leaves by itself, unless a child has inherited a copy: so always by hand.
    pub(crate) fn remove(&self, source: impl AsFd) {
        // One that is not there is what is wanted.
        epoll::delete(&self.epoll, source).unwrap_or_default();
    }

    /// Waits for at most `timeout`; fills `ready` with what came.
    pub(crate) fn wait(
        &self,
        ready: &mut Vec<(Token, EventFlags)>,
        timeout: Option<Duration>,
    ) -> Result<(), Fault> {
        let timespec = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let mut events = Vec::with_capacity(32);
        ready.clear();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timespec.as_ref(),
        ) {
            Ok(_) => {
                ready.extend(events.iter().map(|event| (event.data.u64(), event.flags)));
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(cause) => Err(errno("epoll_wait", "the shim's loop", cause)),
        }
    }
}

/// Names a deadline.
pub(crate) type DeadlineKey = (Instant, u64);

/// Things to do at a time.
#[derive(Debug)]
pub(crate) struct Deadlines<T> {
    by_time: BTreeMap<DeadlineKey, T>,
    next: u64,
}

impl<T> Default for Deadlines<T> {
    fn default() -> Self {
        Self { by_time: BTreeMap::new(), next: 0 }
    }
}

impl<T> Deadlines<T> {
    /// Gives the key to [`Deadlines::cancel`].
    pub(crate) fn add(&mut self, at: Instant, what: T) -> DeadlineKey {
        let key = (at, self.next);
        self.by_time.insert(key, what);
        self.next += 1;
        key
    }

    /// One that is past, or cancelled, is fine.
    pub(crate) fn cancel(&mut self, key: DeadlineKey) {
        self.by_time.remove(&key);
    }

    /// How long until the first.
    pub(crate) fn timeout(&self, now: Instant) -> Option<Duration> {
        let ((at, _), _) = self.by_time.first_key_value()?;
        Some(at.saturating_duration_since(now))
    }

    /// One that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let entry = self.by_time.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_not_early() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.timeout(start), None);
        deadlines.add(start + Duration::from_secs(2), "late");
        deadlines.add(start + Duration::from_secs(1), "early");
        let key = deadlines.add(start + Duration::from_secs(1), "never");
        deadlines.add(start + Duration::from_secs(1), "as early");
        deadlines.cancel(key);
        deadlines.cancel(key);
        assert_eq!(deadlines.timeout(start), Some(Duration::from_secs(1)));
        assert_eq!(deadlines.pop_due(start), None);
        let later = start + Duration::from_secs(1);
        assert_eq!(deadlines.pop_due(later), Some("early"));
        assert_eq!(deadlines.pop_due(later), Some("as early"));
        assert_eq!(deadlines.pop_due(later), None);
        assert_eq!(deadlines.timeout(start + Duration::from_secs(9)), Some(Duration::ZERO));
    }
}
