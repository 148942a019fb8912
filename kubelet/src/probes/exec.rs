//! `exec`: a command in the container, healthy if it exits with 0.

use std::time::Duration;

use super::Outcome;
use crate::cri::Cri;

/// Bytes of output that an event may show.
const OUTPUT_BYTES_MAX: usize = 10 * 1024;

pub(super) async fn probe(
    cri: &Cri,
    container_id: &str,
    command: &[String],
    timeout: Duration,
) -> Outcome {
    match cri.exec(container_id, command, timeout).await {
        Ok(done) if done.exit_code == 0 => Outcome::Success,
        Ok(done) => {
            let shown = &done.output[..done.output.len().min(OUTPUT_BYTES_MAX)];
            Outcome::Failure(String::from_utf8_lossy(shown).into_owned())
        }
        // KEP-1972: a probe that does not end in time has failed.
        Err(error) if error.is_timeout() => {
            Outcome::Failure(format!("command timed out after {}s", timeout.as_secs()))
        }
        Err(error) => Outcome::Error(error.message()),
    }
}
