//! Stopping and removing a sandbox.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use corten_api_cri::v1::PodSandboxConfig;

use super::{Sandbox, run};
use crate::container;
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::service::Service;
use crate::shim::ShimError;
use crate::store::{SandboxPhase, SandboxRecord};

/// The names that namespaces are pinned under.
const NAMESPACES: [&str; 5] = ["net", "ipc", "uts", "pid", "user"];

/// Stops all containers and gives back what the sandbox holds; fine when that was done before.
pub(crate) async fn stop(service: &Arc<Service>, sandbox: &Arc<Sandbox>) -> Outcome<()> {
    let _operation = sandbox.operation.lock().await;
    stop_locked(service, sandbox).await
}

async fn stop_locked(service: &Arc<Service>, sandbox: &Arc<Sandbox>) -> Outcome<()> {
    let record = sandbox.record();
    if record.stopped {
        return Ok(());
    }
    if record.phase == SandboxPhase::Ready {
        // From here on no container can be made or started in it.
        service.change_sandbox(sandbox, |record| record.phase = SandboxPhase::NotReady).await?;
    }
    for container in service.containers_of(&sandbox.id) {
        container::stop(service, &container, Duration::ZERO).await?;
    }
    take_down(service, sandbox).await?;
    service.change_sandbox(sandbox, |record| record.stopped = true).await?;
    tracing::info!(sandbox = sandbox.id, pod = record.metadata().name, "pod sandbox stopped");
    Ok(())
}

/// Removes a sandbox and its containers, by force if they run.
pub(crate) async fn remove(service: &Arc<Service>, sandbox: &Arc<Sandbox>) -> Outcome<()> {
    let _operation = sandbox.operation.lock().await;
    if service.sandboxes.get(&sandbox.id).is_none() {
        return Ok(());
    }
    stop_locked(service, sandbox).await?;
    service.change_sandbox(sandbox, |record| record.phase = SandboxPhase::Removing).await?;
    for container in service.containers_of(&sandbox.id) {
        container::remove(service, &container).await?;
    }
    service.forget_sandbox(sandbox).await?;
    container::emit_removed_sandbox(service, sandbox);
    Ok(())
}

/// Takes down a sandbox of which nothing but its id is known.
pub(crate) async fn take_down_unknown(service: &Service, id: &str) -> Outcome<()> {
    let record = SandboxRecord {
        version: crate::store::VERSION,
        id: id.to_owned(),
        phase: SandboxPhase::Removing,
        config: PodSandboxConfig::default(),
        runtime_handler: String::new(),
        created_at: 0,
        cgroup_parent: service.config.cgroup_root.clone(),
        // Its addresses are collected with those of all that are gone.
        attached: false,
        ips: Vec::new(),
        stopped: false,
    };
    take_down(service, &Sandbox::new(record)).await
}

/// Undoes, in reverse, whatever of `run.rs` was done. Every step is tried; all failures are told.
pub(crate) async fn take_down(service: &Service, sandbox: &Sandbox) -> Outcome<()> {
    let record = sandbox.record();
    let mut failures = Vec::new();
    if record.attached {
        let attachment = run::attachment(service, &record);
        let removed = service
            .blocking("remove a network", move |parts| parts.network.remove(&attachment))
            .await?;
        match removed {
            Ok(()) => {
                let cleared = service.change_sandbox(sandbox, |record| record.attached = false);
                if let Err(error) = cleared.await {
                    failures.push(chain(&error));
                }
            }
            Err(error) => failures.push(format!("network: {}", chain(&error))),
        }
    }
    if let Err(error) = end_shim(service, sandbox).await {
        failures.push(format!("shim: {}", chain(&error)));
    }
    let cgroup = format!("{}/shim-{}", record.cgroup_parent, record.id);
    let pins = service.config.namespace_dir(&record.id);
    let shim_dir = service.config.shim_dir(&record.id);
    let files = service.config.sandbox_dir(&record.id);
    let left = service
        .blocking("give back a sandbox's files", move |parts| {
            let mut failures = Vec::new();
            if let Err(error) = parts.cgroups.destroy(&cgroup) {
                failures.push(format!("cgroup {cgroup}: {error}"));
            }
            let mut mounts: Vec<PathBuf> = NAMESPACES.iter().map(|name| pins.join(name)).collect();
            mounts.push(shim_dir.join("shm"));
            for mount in &mounts {
                note(&mut failures, mount, unmount(mount));
            }
            for dir in [&pins, &shim_dir, &files] {
                note(&mut failures, dir, remove_dir(dir));
            }
            failures
        })
        .await?;
    failures.extend(left);
    if failures.is_empty() {
        return Ok(());
    }
    Err(OperationError::Teardown { kind: Kind::Sandbox, id: sandbox.id.clone(), failures })
}

fn note(failures: &mut Vec<String>, path: &Path, result: io::Result<()>) {
    if let Err(error) = result {
        failures.push(format!("{}: {error}", path.display()));
    }
}

async fn end_shim(service: &Service, sandbox: &Sandbox) -> Result<(), ShimError> {
    let shim = match sandbox.shim() {
        Some(shim) => shim,
        None => {
            // One that was started and never spoken to.
            let dir = service.config.shim_dir(&sandbox.id);
            match service.parts.shims.attach(&dir).await {
                Ok(connection) => connection.shim,
                Err(error) if error.is_gone() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    };
    // Cleared first, so that its end is not taken for an accident.
    sandbox.set_shim(None);
    match shim.shutdown().await {
        Err(error) if !error.is_gone() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Lets go of a mount; fine when there is none.
fn unmount(path: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    let flags = rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW;
    match rustix::mount::unmount(path, flags) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a folder of ours; nothing is mounted in it any more, and no container can see it.
pub(crate) fn remove_dir(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
