//! What is shown while xtask works: plain lines, so that a log of it reads well too.

use std::io::Write as _;

/// A line on standard output.
pub(crate) fn line(text: &str) {
    // Nobody reads it any more: no reason to stop.
    writeln!(std::io::stdout(), "{text}").unwrap_or_default();
}

/// A step begins.
pub(crate) fn step(text: &str) {
    line(&format!("==> {text}"));
}

/// What ended the work, with all its causes.
pub(crate) fn failure(error: &anyhow::Error) {
    writeln!(std::io::stderr(), "error: {error:#}").unwrap_or_default();
}
