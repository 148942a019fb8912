//! The system call filter, in the shape that the kernel takes.

use corten_runtime_seccomp::{CompileError, Filter, Listener, NATIVE, compile};
use corten_sys_linux::seccomp::{Instruction, instruction};
use oci_spec::runtime::Linux;

use super::Process;
use crate::PlanError;

/// When a process loads its filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// Before it gives its privileges up: without `no_new_privs` loading is one of them. The program
    /// gets a filter that has to allow the rest of the way to it.
    Privileged,
    /// When it is ready, while its parent still listens and can pass the listener on.
    Ready,
    /// As its last step before the program: nothing but `execve` has to be allowed.
    Last,
}

/// A filter to load.
#[derive(Debug)]
pub(crate) struct Seccomp {
    program: Vec<Instruction>,
    filter: Filter,
}

impl Seccomp {
    /// Compiles what the specification asks for.
    pub(super) fn new(linux: &Linux) -> Result<Option<Self>, PlanError> {
        const FIELD: &str = "linux.seccomp";
        let Some(profile) = linux.seccomp() else { return Ok(None) };
        let filter = compile(profile, NATIVE).map_err(|error| match error {
            CompileError::Invalid { field, reason } => {
                PlanError::invalid(format!("{FIELD}.{field}"), reason)
            }
            long @ CompileError::TooLong { .. } => PlanError::invalid(FIELD, long.to_string()),
        })?;
        for name in &filter.unknown {
            tracing::debug!(name, "seccomp rule for an unknown system call has no effect");
        }
        Ok(Some(Self::of(filter)))
    }

    pub(crate) fn of(filter: Filter) -> Self {
        let program =
            filter.program.iter().map(|one| instruction(one.code, one.jt, one.jf, one.k)).collect();
        Self { program, filter }
    }

    /// What is kept for later processes of the container.
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(crate) fn program(&self) -> &[Instruction] {
        &self.program
    }

    pub(crate) fn flags(&self) -> u32 {
        self.filter.flags
    }

    pub(crate) fn listener(&self) -> Option<&Listener> {
        self.filter.listener.as_ref()
    }

    /// When `process` loads it.
    pub(crate) fn load(&self, process: &Process) -> Load {
        match (process.no_new_privs, self.listener()) {
            (false, _) => Load::Privileged,
            (true, Some(_)) => Load::Ready,
            (true, None) => Load::Last,
        }
    }
}
