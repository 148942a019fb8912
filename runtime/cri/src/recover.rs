//! What an earlier service left: it may have been killed at any moment, and the machine may have
//! been restarted since.
//!
//! Sandboxes whose shims run are taken over. What was left half done is undone or finished. What
//! nobody knows of is taken away.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::container::{self, Container, ContainerName};
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::sandbox::{self, Sandbox, SandboxName};
use crate::service::Service;
use crate::store::{ContainerPhase, SandboxPhase};

/// Reads all records and reconciles them with what runs. Failures of single sandboxes are told
/// and do not keep the service from starting.
pub(crate) async fn recover(service: &Arc<Service>) -> Outcome<()> {
    load(service).await?;
    let mut sandboxes = service.sandboxes.all();
    sandboxes.sort_by_key(|sandbox| sandbox.record().created_at);
    for sandbox in &sandboxes {
        if let Err(error) = recover_sandbox(service, sandbox).await {
            tracing::error!(sandbox = sandbox.id, cause = chain(&error), "not recovered");
        }
    }
    for container in service.containers.all() {
        if let Err(error) = recover_container(service, &container).await {
            tracing::error!(container = container.id, cause = chain(&error), "not recovered");
        }
    }
    sweep(service).await?;
    tracing::info!(
        sandboxes = service.sandboxes.all().len(),
        containers = service.containers.all().len(),
        "pods of before taken over"
    );
    Ok(())
}

async fn load(service: &Arc<Service>) -> Outcome<()> {
    let store = service.store.clone();
    let loaded = service
        .blocking("read the records", move |_| (store.sandboxes(), store.containers()))
        .await?;
    let failed =
        |kind: Kind| move |source| OperationError::Store { kind, id: "all".to_owned(), source };
    for record in loaded.0.map_err(failed(Kind::Sandbox))? {
        let name = SandboxName::from(&record.metadata());
        let id = record.id.clone();
        service.sandboxes.reserve(name, || (id, Sandbox::new(record)));
    }
    for record in loaded.1.map_err(failed(Kind::Container))? {
        let id = record.id.clone();
        service.containers.reserve(ContainerName::from(&record), || (id, Container::new(record)));
    }
    Ok(())
}

async fn recover_sandbox(service: &Arc<Service>, sandbox: &Arc<Sandbox>) -> Outcome<()> {
    match sandbox.phase() {
        SandboxPhase::Creating => {
            tracing::info!(sandbox = sandbox.id, "half a sandbox is taken down");
            sandbox::take_down(service, sandbox).await?;
            service.forget_sandbox(sandbox).await
        }
        SandboxPhase::Removing => sandbox::remove(service, sandbox).await,
        SandboxPhase::NotReady => Ok(()),
        SandboxPhase::Ready => {
            let dir = service.config.shim_dir(&sandbox.id);
            let taken = match service.parts.shims.attach(&dir).await {
                Ok(connection) => sandbox::take_over(service, sandbox, connection).await,
                Err(error) => Err(error),
            };
            match taken {
                Ok(events) => sandbox::watch(service, sandbox, events),
                Err(error) => {
                    tracing::warn!(sandbox = sandbox.id, cause = chain(&error), "no shim");
                    sandbox::mark_dead(service, sandbox).await;
                }
            }
            Ok(())
        }
    }
}

async fn recover_container(service: &Arc<Service>, container: &Arc<Container>) -> Outcome<()> {
    if service.sandboxes.get(&container.sandbox_id).is_none() {
        return container::remove(service, container).await;
    }
    match container.phase() {
        ContainerPhase::Creating => {
            tracing::info!(container = container.id, "half a container is taken down");
            container::take_down(service, container).await?;
            service.forget_container(container).await
        }
        ContainerPhase::Removing => container::remove(service, container).await,
        // Those of a sandbox that lives were asked after with it; others cannot run.
        ContainerPhase::Created | ContainerPhase::Running => {
            let sandbox = service.sandboxes.get(&container.sandbox_id);
            if sandbox.is_none_or(|sandbox| sandbox.shim().is_none()) {
                container::orphaned(service, container).await;
            }
            Ok(())
        }
        ContainerPhase::Exited => Ok(()),
    }
}

/// Takes away what belongs to no sandbox that is known: shims, pins, files, addresses.
async fn sweep(service: &Arc<Service>) -> Outcome<()> {
    let known: BTreeSet<String> =
        service.sandboxes.all().iter().map(|sandbox| sandbox.id.clone()).collect();
    let run_dir = service.config.run_dir.clone();
    let names = service
        .blocking("look for leftovers", move |_| {
            let mut names = BTreeSet::new();
            for folder in ["shim", "ns", "sandboxes"] {
                names.extend(ids_in(&run_dir.join(folder)));
            }
            names
        })
        .await?;
    for id in names.difference(&known) {
        tracing::warn!(sandbox = id, "a sandbox that nobody knows of is taken down");
        if let Err(error) = sandbox::take_down_unknown(service, id).await {
            tracing::error!(sandbox = id, cause = chain(&error), "leftovers stay");
        }
    }
    let valid: BTreeSet<String> = service
        .sandboxes
        .all()
        .iter()
        .filter(|sandbox| sandbox.record().attached)
        .map(|sandbox| sandbox.id.clone())
        .collect();
    let collected = service
        .blocking("collect networks", move |parts| {
            // Without a network configuration there is nothing that could be collected.
            parts.network.ready().and_then(|()| parts.network.collect(&valid))
        })
        .await?;
    if let Err(error) = collected {
        tracing::warn!(cause = chain(&error), "addresses of pods that are gone may be left");
    }
    Ok(())
}

/// The folders in `dir` that are named as ours are.
fn ids_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .collect()
}
