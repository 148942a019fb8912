//! One shape for every failed system call.

use rustix::io::Errno;

/// A system call that failed: which, with what, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{call}({args})")]
pub struct SysError {
    /// The call's name, as in section 2 of the manual.
    pub call: &'static str,
    /// Its arguments, as a reader needs them to find the cause.
    pub args: String,
    /// What the kernel answered.
    #[source]
    pub errno: Errno,
}

impl SysError {
    /// For `map_err`: `SysError::of("openat2", || format!("{path:?}"))`.
    pub fn of<A: Into<String>>(
        call: &'static str,
        args: impl FnOnce() -> A,
    ) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { call, args: args().into(), errno }
    }
}

impl From<SysError> for std::io::Error {
    fn from(error: SysError) -> Self {
        Self::new(std::io::Error::from(error.errno).kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_call_and_arguments_and_its_source_the_errno() {
        let error = SysError::of("openat2", || "\"/etc\"")(Errno::NOENT);
        assert_eq!(error.to_string(), "openat2(\"/etc\")");
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.to_string().contains("No such file"));
    }
}
