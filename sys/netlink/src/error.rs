//! Why the kernel did not do as asked.

use rustix::io::Errno;

/// Any failure of this crate's requests.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket itself failed.
    #[error("netlink socket: {call}")]
    Socket {
        /// The system call.
        call: &'static str,
        /// What it says.
        #[source]
        source: std::io::Error,
    },
    /// The kernel refused a request.
    #[error("the kernel refuses: {0}")]
    Refused(Refusal),
    /// The kernel refused a batch; nothing of it was done.
    #[error("the kernel refuses the batch: {}", list(failures))]
    Batch {
        /// Which requests of it, and why.
        failures: Vec<Refusal>,
    },
    /// What the kernel sent cannot be read.
    #[error("the kernel's answer to '{request}' cannot be read: {what}")]
    Malformed {
        /// What was asked.
        request: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The list changed while it was read, again and again.
    #[error("'{request}' was interrupted by changes {attempts} times in a row")]
    Interrupted {
        /// What was asked.
        request: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A request does not fit into netlink's 16-bit attribute lengths.
    #[error("'{request}' is too long for a netlink attribute")]
    TooLong {
        /// What was to be asked.
        request: String,
    },
}

/// One request that the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was asked, with its arguments: "add chain ip corten-proxy services".
    pub request: String,
    /// The error number.
    pub errno: Errno,
    /// The kernel's own words (extended acknowledgement), where it has some.
    pub reason: Option<String>,
    /// Where in the request the culprit is, in bytes from its start, where the kernel tells.
    pub offset: Option<u32>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.request, self.errno)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

fn list(failures: &[Refusal]) -> String {
    const SHOWN: usize = 5;
    let mut text: Vec<_> = failures.iter().take(SHOWN).map(ToString::to_string).collect();
    if failures.len() > SHOWN {
        text.push(format!("and {} more", failures.len() - SHOWN));
    }
    text.join("; ")
}

impl NetlinkError {
    /// Whether the kernel refused with this error number (any request of a batch).
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        match self {
            Self::Refused(refusal) => refusal.errno == errno,
            Self::Batch { failures } => failures.iter().any(|refusal| refusal.errno == errno),
            Self::Socket { source, .. } => Errno::from_io_error(source) == Some(errno),
            Self::Malformed { .. } | Self::Interrupted { .. } | Self::TooLong { .. } => false,
        }
    }
}
