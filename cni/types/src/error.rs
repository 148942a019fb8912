//! The error that a plugin prints on its standard output.

use serde::{Deserialize, Serialize};

/// Codes of the specification, and those that the reference implementation adds.
pub mod codes {
    /// The configuration's version is not spoken.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field that is not supported; the message names it and its value.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is unknown or does not exist: there is nothing to clean up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// A variable of the environment is missing or wrong; the message names it.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Reading or writing failed.
    pub const IO: u32 = 5;
    /// What was read could not be decoded.
    pub const DECODE: u32 = 6;
    /// The configuration is not valid.
    pub const INVALID_CONFIG: u32 = 7;
    /// The network namespace is the caller's own (the reference implementation's code).
    pub const INVALID_NETNS: u32 = 8;
    /// Busy for now: try again later.
    pub const TRY_AGAIN: u32 = 11;
    /// STATUS: no ADD can be served.
    pub const NOT_AVAILABLE: u32 = 50;
    /// STATUS: no ADD can be served, and existing containers may have lost their network.
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// Anything else (the reference implementation's code).
    pub const INTERNAL: u32 = 999;
}

/// Why a plugin failed, in the specification's form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", self.text())]
pub struct CniError {
    /// The version of the configuration; empty when that could not be read.
    #[serde(rename = "cniVersion", default, skip_serializing_if = "String::is_empty")]
    pub cni_version: String,
    /// One of [`codes`], or a plugin's own of 100 and up.
    pub code: u32,
    /// What went wrong, in few words.
    pub msg: String,
    /// More about it; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl CniError {
    /// An error without details.
    #[must_use]
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self { cni_version: String::new(), code, msg: msg.into(), details: String::new() }
    }

    /// An error whose details are `cause` and what caused that, outermost first.
    #[must_use]
    pub fn caused(code: u32, msg: impl Into<String>, cause: &dyn std::error::Error) -> Self {
        let mut details = cause.to_string();
        let mut inner = cause.source();
        while let Some(cause) = inner {
            details.push_str(": ");
            details.push_str(&cause.to_string());
            inner = cause.source();
        }
        Self { cni_version: String::new(), code, msg: msg.into(), details }
    }

    fn text(&self) -> String {
        if self.details.is_empty() {
            format!("{} (CNI error {})", self.msg, self.code)
        } else {
            format!("{}: {} (CNI error {})", self.msg, self.details, self.code)
        }
    }
}
