//! The shim's end.

use super::Shim;
use crate::container::{Asker, Life};
use crate::fault::io;
use crate::protocol::{Answer, EXITS, Fault, FaultCode, SOCKET};

impl Shim {
    pub(super) fn shutdown(&mut self, asker: Asker, force: bool) -> Result<(), Fault> {
        let refused = |message: String| {
            Err(Fault::new(FaultCode::State, "shutdown", self.spec.sandbox_id.as_str(), message))
        };
        if self.ending.is_some() {
            return refused("is under way".to_owned());
        }
        if !self.containers.is_empty() && !force {
            return refused(format!("{} containers are left", self.containers.len()));
        }
        self.ending = Some(Some(asker));
        Ok(())
    }

    /// Does what can be done next for the end, if that was asked for.
    pub(super) fn advance_ending(&mut self) {
        if self.ending.is_none() || self.ended {
            return;
        }
        let ids: Vec<String> = self.containers.keys().cloned().collect();
        for id in ids {
            let Some(container) = self.containers.get(&id) else { continue };
            match &container.life {
                Life::Making => {}
                Life::Alive(process) => {
                    // ESRCH: it has just ended by itself.
                    process.pidfd.send_signal(9).unwrap_or_default();
                    self.kill_cgroup(&id);
                }
                Life::Ended(_) if container.deleting => {}
                Life::Ended(_) => {
                    if let Err(fault) = self.start_delete(&id, None) {
                        self.note("delete", &fault);
                    }
                }
            }
        }
        if self.containers.is_empty() && self.jobs.is_empty() {
            self.end();
        }
    }

    fn end(&mut self) {
        let mut faults = self.sandbox.teardown();
        self.listener = None;
        for (path, is_dir) in
            [(self.dir.join(SOCKET), false), (self.dir.join(EXITS), true), (self.stdin_dir(), true)]
        {
            let removed =
                if is_dir { std::fs::remove_dir(&path) } else { std::fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    faults.push(io("remove", &path, &error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        for fault in &faults {
            self.journal.note(&format!("end: {fault}"));
        }
        self.journal.note("ends");
        if let Some(Some(asker)) = self.ending {
            let result = if faults.is_empty() {
                Ok(Answer::Done)
            } else {
                let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
                let object = self.spec.sandbox_id.as_str();
                Err(Fault::new(FaultCode::Internal, "shutdown", object, all.join("; ")))
            };
            self.answer(asker, result);
        }
        self.ended = true;
    }
}
