//! Hands the listener of a filter that notifies to whoever decides (config-linux.md, "Seccomp" and
//! "The Container Process State").

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use corten_runtime_seccomp::Listener;
use corten_sys_linux::{SysError, fdpass};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use serde::Serialize;

use crate::CreateError;
use crate::hooks::Told;
use crate::plan::Seccomp;

const FIELD: &str = "linux.seccomp.listenerPath";
/// How long the agent may take to accept and to read.
const PATIENCE: Duration = Duration::from_secs(10);

/// The agent, and what it is told.
pub(super) struct Agent<'a> {
    listener: &'a Listener,
    state: Told<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a Told<'a>,
}

impl<'a> Agent<'a> {
    /// `None` for a filter that asks nobody.
    pub(super) fn of(
        seccomp: Option<&'a Seccomp>,
        state: impl FnOnce() -> Told<'a>,
    ) -> Option<Self> {
        Some(Self { listener: seccomp?.listener()?, state: state() })
    }

    /// Sends the descriptor that has this number in the child. One connection for each process.
    pub(super) fn hand_over(
        &self,
        child: BorrowedFd<'_>,
        pid: i32,
        number: i32,
    ) -> Result<(), CreateError> {
        let listener = pidfd_getfd(child, number, PidfdGetfdFlags::empty())
            .map_err(SysError::of("pidfd_getfd", || "the seccomp listener"))
            .map_err(error)?;
        let told = ProcessState {
            oci_version: self.state.oci_version,
            fds: ["seccompFd"],
            pid,
            metadata: self.listener.metadata.as_deref(),
            state: &self.state,
        };
        // Strings and numbers only: there is nothing in it that could not be written.
        let text = serde_json::to_vec(&told).unwrap_or_default();
        let socket = self.connect()?;
        let mut sent = fdpass::send(&socket, &text, &[listener.as_fd()]).map_err(error)?;
        while sent < text.len() {
            sent += fdpass::send(&socket, &text[sent..], &[]).map_err(error)?;
        }
        Ok(())
    }

    fn connect(&self) -> Result<OwnedFd, CreateError> {
        let path = &self.listener.path;
        let describe = || path.display().to_string();
        let connected = || {
            let address = SocketAddrUnix::new(path)?;
            let socket =
                socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
            connect(&socket, &address)?;
            Ok(socket)
        };
        connected().map_err(SysError::of("connect", describe)).map_err(error)
    }
}

fn error(source: SysError) -> CreateError {
    CreateError::Prepare { field: FIELD.to_owned(), source }
}
