//! From single outcomes to a result: thresholds.

use k8s_openapi::api::core::v1::Probe;

use super::Outcome;
use crate::pods::model::ProbeResult;

/// Counts how often the same outcome came in a row.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    result: ProbeResult,
    last: Option<bool>,
    run: i32,
    failures_needed: i32,
    successes_needed: i32,
}

impl Counter {
    pub(super) fn new(probe: &Probe, result: ProbeResult) -> Self {
        Self {
            result,
            last: None,
            run: 0,
            failures_needed: probe.failure_threshold.filter(|t| *t > 0).unwrap_or(3),
            successes_needed: probe.success_threshold.filter(|t| *t > 0).unwrap_or(1),
        }
    }

    /// The new result, if this outcome changes it.
    pub(super) fn record(&mut self, outcome: &Outcome) -> Option<ProbeResult> {
        let success = match outcome {
            Outcome::Success => true,
            Outcome::Failure(_) => false,
            // Says nothing either way.
            Outcome::Error(_) => return None,
        };
        self.run = if self.last == Some(success) { self.run.saturating_add(1) } else { 1 };
        self.last = Some(success);
        let needed = if success { self.successes_needed } else { self.failures_needed };
        let result = if success { ProbeResult::Success } else { ProbeResult::Failure };
        if self.run < needed || self.result == result {
            return None;
        }
        self.result = result;
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(first: ProbeResult, failures: i32, successes: i32, outcomes: &str) -> String {
        let probe = Probe {
            failure_threshold: Some(failures),
            success_threshold: Some(successes),
            ..Probe::default()
        };
        let mut counter = Counter::new(&probe, first);
        let told = |outcome: char| match outcome {
            '+' => Outcome::Success,
            '-' => Outcome::Failure(String::new()),
            _ => Outcome::Error(String::new()),
        };
        outcomes
            .chars()
            .map(|outcome| match counter.record(&told(outcome)) {
                Some(ProbeResult::Success) => 'S',
                Some(ProbeResult::Failure) => 'F',
                Some(ProbeResult::Unknown) | None => '.',
            })
            .collect()
    }

    #[test]
    fn thresholds_count_in_a_row() {
        use ProbeResult::{Failure, Success, Unknown};
        assert_eq!(results(Success, 3, 1, "--+---"), ".....F");
        assert_eq!(results(Failure, 3, 2, "+-++--?-"), "...S...F");
        assert_eq!(results(Unknown, 2, 1, "-?-"), "..F");
        assert_eq!(results(Unknown, 2, 1, "-+"), ".S");
    }
}
