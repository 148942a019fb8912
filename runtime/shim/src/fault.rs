//! Faults out of errors.

use std::error::Error;
use std::path::Path;

use corten_sys_linux::SysError;

use crate::protocol::{Fault, FaultCode};

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

pub(crate) fn internal(step: &str, object: impl Into<String>, error: &dyn Error) -> Fault {
    Fault::new(FaultCode::Internal, step, object, chain(error))
}

pub(crate) fn io(step: &str, path: &Path, error: &std::io::Error) -> Fault {
    internal(step, path.display().to_string(), error)
}

pub(crate) fn errno(step: &str, object: impl Into<String>, errno: rustix::io::Errno) -> Fault {
    internal(step, object, &errno)
}

pub(crate) fn sys(step: &str, error: &SysError) -> Fault {
    internal(step, error.call, error)
}

pub(crate) fn invalid(step: &str, object: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault::new(FaultCode::Invalid, step, object, message)
}
