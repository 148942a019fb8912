//! The verbs of the protocol.

use std::fmt;
use std::str::FromStr;

/// What a plugin is asked to do: the value of `CNI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Attach a container to the network, or change an attachment.
    Add,
    /// Undo an `Add`.
    Del,
    /// Say whether an attachment is still as `Add` left it.
    Check,
    /// Collect what attachments that no longer exist left behind.
    Gc,
    /// Say whether an `Add` could be served.
    Status,
    /// Say which versions are spoken.
    Version,
}

/// Text that is none of the verbs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown CNI_COMMAND {text:?}: expected ADD, DEL, CHECK, GC, STATUS or VERSION")]
pub struct ParseCommandError {
    /// What was given.
    pub text: String,
}

impl Command {
    /// The verb as it is written in `CNI_COMMAND`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Command {
    type Err = ParseCommandError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ADD" => Ok(Self::Add),
            "DEL" => Ok(Self::Del),
            "CHECK" => Ok(Self::Check),
            "GC" => Ok(Self::Gc),
            "STATUS" => Ok(Self::Status),
            "VERSION" => Ok(Self::Version),
            _ => Err(ParseCommandError { text: text.to_owned() }),
        }
    }
}
