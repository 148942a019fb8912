//! After a shim that was killed: its containers have lost their parent, and nobody undoes what it
//! made. `corten-run shim --dir DIR --cleanup` does.

use std::path::Path;

use corten_runtime_cgroup::CgroupPath;

use crate::builder;
use crate::fault::{chain, invalid, io};
use crate::protocol::{EXITS, Fault, FaultCode, SOCKET, SandboxSpec};
use crate::sandbox::Sandbox;

/// Ends what is left of the pod and removes all that its shim made; the folder itself, the spec and
/// the log stay. Every step is tried; the first failure is returned, the others within it.
pub(crate) fn clean_up(dir: &Path, spec: &SandboxSpec) -> Result<(), Fault> {
    let socket = dir.join(SOCKET);
    if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        let message = "its shim lives: ask it to shut down";
        return Err(Fault::new(FaultCode::State, "clean up", dir.display().to_string(), message));
    }
    let mut sandbox = Sandbox::left_behind(dir, spec)?;
    let parent = CgroupPath::new(&spec.cgroup_parent)
        .map_err(|error| invalid("check", "cgroup_parent", chain(&error)))?;
    let mut faults = Vec::new();
    match builder::containers_below(&spec.state_dir, &parent) {
        Ok(ids) => {
            faults.extend(ids.iter().filter_map(|id| builder::delete(&spec.state_dir, id).err()));
        }
        Err(fault) => faults.push(fault),
    }
    faults.extend(sandbox.teardown());
    for (path, is_dir) in [(socket, false), (dir.join(EXITS), true), (dir.join("stdin"), true)] {
        let removed =
            if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                faults.push(io("remove", &path, &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let mut faults = faults.into_iter();
    let Some(mut first) = faults.next() else { return Ok(()) };
    for also in faults {
        first.message = format!("{}; also: {also}", first.message);
    }
    Err(first)
}
