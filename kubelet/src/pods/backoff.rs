//! Growing delays between attempts at one thing, as upstream's `flowcontrol.Backoff` reckons them:
//! 10 s doubling to 300 s, forgotten after twice the cap without an attempt.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// First delay.
pub(crate) const INITIAL: SignedDuration = SignedDuration::from_secs(10);
/// Longest delay.
pub(crate) const MAX: SignedDuration = SignedDuration::from_secs(300);

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: SignedDuration,
    last_update: Timestamp,
}

/// Delays by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    entries: BTreeMap<String, Entry>,
}

impl Backoff {
    /// How long the key must still wait when its last attempt ended at `event`.
    pub(crate) fn wait(
        &self,
        key: &str,
        event: Timestamp,
        now: Timestamp,
    ) -> Option<(SignedDuration, Timestamp)> {
        let entry = self.entries.get(key)?;
        if expired(entry, event) {
            return None;
        }
        let until = event + entry.delay;
        (now < until).then_some((entry.delay, until))
    }

    /// Notes a new attempt whose predecessor ended at `event`; the next one waits longer.
    pub(crate) fn attempt(&mut self, key: &str, event: Timestamp, now: Timestamp) {
        let delay = match self.entries.get(key) {
            Some(entry) if !expired(entry, event) => (entry.delay * 2).min(MAX),
            _ => INITIAL,
        };
        self.entries.insert(key.to_owned(), Entry { delay, last_update: now });
    }

    /// Forgets a key, after success.
    pub(crate) fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

fn expired(entry: &Entry, event: Timestamp) -> bool {
    event.duration_since(entry.last_update) > MAX * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn delays_double_to_the_cap() {
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        let mut now = at(0);
        for _ in 0..7 {
            let wait = backoff.wait("a", now, now);
            delays.push(wait.map_or(0, |(delay, _)| delay.as_secs()));
            now = wait.map_or(now, |(_, until)| until);
            assert_eq!(backoff.wait("a", now - SignedDuration::from_secs(600), now), None);
            backoff.attempt("a", now, now);
        }
        assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300]);
    }

    #[test]
    fn ten_quiet_minutes_reset_it() {
        let mut backoff = Backoff::default();
        backoff.attempt("a", at(0), at(0));
        backoff.attempt("a", at(10), at(10));
        assert_eq!(backoff.wait("a", at(600), at(600)).unwrap().0.as_secs(), 20);
        assert_eq!(backoff.wait("a", at(611), at(611)), None);
        backoff.attempt("a", at(611), at(611));
        assert_eq!(backoff.wait("a", at(612), at(612)).unwrap().0.as_secs(), 10);
    }
}
