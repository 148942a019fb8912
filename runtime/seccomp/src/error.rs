//! What can be wrong with a profile.

/// A profile that cannot be made a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A field's value makes no sense.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field's path below `linux.seccomp`.
        field: String,
        /// What is wrong.
        reason: String,
    },
    /// The kernel takes no program of this length (`BPF_MAXINSNS`).
    #[error(
        "the filter has {} or more instructions and the kernel takes {}: name fewer system calls \
         or fewer conditions",
        instructions,
        crate::INSTRUCTIONS_MAX
    )]
    TooLong {
        /// How long it would be at least.
        instructions: usize,
    },
}

impl CompileError {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }
}
