//! Making a sandbox.

use std::sync::Arc;

use corten_api_cri::v1::{NamespaceMode, PodSandboxConfig};

use super::{Sandbox, SandboxName, files, hostname, on_node_network, security, shims, stop};
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::network::{Attachment, host_ports};
use crate::refuse;
use crate::service::Service;
use crate::shim::{PidSharing, SandboxPlan, Sharing};
use crate::store::{Reserved, SandboxPhase, SandboxRecord};

/// Retries of a sandbox that was removed between its name being found and its turn coming.
const ATTEMPTS: usize = 5;

/// Makes the sandbox, or finds the one that an earlier call of the same request made.
pub(crate) async fn run(
    service: &Arc<Service>,
    config: PodSandboxConfig,
    handler: String,
) -> Outcome<String> {
    refuse::sandbox(&config, &handler)?;
    host_ports(&config.port_mappings)
        .map_err(|(field, reason)| OperationError::invalid(field, reason))?;
    let name = SandboxName::from(&config.metadata.clone().unwrap_or_default());
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let reserved = service.sandboxes.reserve(name.clone(), || {
            let record = new_record(service, config.clone(), handler.clone());
            (record.id.clone(), Sandbox::new(record))
        });
        let (Reserved::New(sandbox) | Reserved::Existing(sandbox)) = reserved;
        let operation = sandbox.operation.lock().await;
        if service.sandboxes.get(&sandbox.id).is_none() {
            last.clone_from(&sandbox.id);
            continue;
        }
        let record = sandbox.record();
        if record.config != config || record.runtime_handler != handler {
            return Err(exists(&sandbox, "was made from another config"));
        }
        match record.phase {
            SandboxPhase::Creating => make(service, &sandbox).await?,
            SandboxPhase::Ready => {}
            SandboxPhase::NotReady => return Err(exists(&sandbox, "is stopped")),
            SandboxPhase::Removing => return Err(exists(&sandbox, "is being removed")),
        }
        drop(operation);
        return Ok(sandbox.id.clone());
    }
    Err(OperationError::Gone { kind: Kind::Sandbox, id: last })
}

fn exists(sandbox: &Sandbox, reason: &'static str) -> OperationError {
    OperationError::Exists { kind: Kind::Sandbox, id: sandbox.id.clone(), reason }
}

fn new_record(service: &Service, config: PodSandboxConfig, handler: String) -> SandboxRecord {
    let parent = config.linux.as_ref().map(|linux| linux.cgroup_parent.as_str());
    let cgroup_parent = match parent {
        None | Some("") => service.config.cgroup_root.clone(),
        Some(path) => path.trim_end_matches('/').to_owned(),
    };
    SandboxRecord {
        version: crate::store::VERSION,
        id: service.parts.ids.next(),
        phase: SandboxPhase::Creating,
        config,
        runtime_handler: handler,
        created_at: service.now(),
        cgroup_parent,
        attached: false,
        ips: Vec::new(),
        stopped: false,
    }
}

/// All steps, or none: what was done is undone when a later step fails.
async fn make(service: &Arc<Service>, sandbox: &Arc<Sandbox>) -> Outcome<()> {
    let made = steps(service, sandbox).await;
    let Err(cause) = made else { return Ok(()) };
    let undone = stop::take_down(service, sandbox).await;
    let gone = match undone {
        Ok(()) => service.forget_sandbox(sandbox).await,
        Err(left) => Err(left),
    };
    if let Err(left) = gone {
        // It stays in the lists as not ready, so that whoever removes it tries again.
        tracing::warn!(sandbox = sandbox.id, cause = chain(&left), "half a sandbox is left");
        service.change_sandbox(sandbox, |record| record.phase = SandboxPhase::NotReady).await?;
    }
    Err(cause)
}

async fn steps(service: &Arc<Service>, sandbox: &Arc<Sandbox>) -> Outcome<()> {
    service.change_sandbox(sandbox, |_| ()).await?;
    let record = sandbox.record();
    write_files(service, &record).await?;
    let plan = plan(service, &record);
    let connection =
        service.parts.shims.start(plan).await.map_err(|source| OperationError::Shim {
            doing: "start the shim",
            kind: Kind::Sandbox,
            id: sandbox.id.clone(),
            source,
        })?;
    sandbox.set_shim(Some(connection.shim));
    if !on_node_network(&record) {
        attach(service, sandbox, &record).await?;
    }
    service.change_sandbox(sandbox, |record| record.phase = SandboxPhase::Ready).await?;
    shims::watch(service, sandbox, connection.events);
    tracing::info!(sandbox = sandbox.id, pod = record.metadata().name, "pod sandbox runs");
    Ok(())
}

async fn write_files(service: &Service, record: &SandboxRecord) -> Outcome<()> {
    let dir = service.config.sandbox_dir(&record.id);
    let path = dir.clone();
    let dns = record.config.dns_config.clone();
    let name = hostname(record);
    let written = service
        .blocking("write a sandbox's files", move |_| files::write(&dir, dns.as_ref(), &name))
        .await?;
    written.map_err(|source| OperationError::File { doing: "write the files in", path, source })
}

fn plan(service: &Service, record: &SandboxRecord) -> SandboxPlan {
    let options = security(record).namespace_options.unwrap_or_default();
    let sharing = |mode: NamespaceMode| match mode {
        NamespaceMode::Node => Sharing::Host,
        NamespaceMode::Pod | NamespaceMode::Container | NamespaceMode::Target => Sharing::Pod,
    };
    let net = sharing(options.network());
    let name = hostname(record);
    let linux = record.config.linux.clone().unwrap_or_default();
    SandboxPlan {
        sandbox_id: record.id.clone(),
        dir: service.config.shim_dir(&record.id),
        namespace_dir: service.config.namespace_dir(&record.id),
        // Without a network of its own a pod has the node's name too, as Kubernetes wants it.
        hostname: (net == Sharing::Pod && !name.is_empty()).then_some(name),
        net,
        ipc: sharing(options.ipc()),
        uts: net,
        pid: match options.pid() {
            NamespaceMode::Pod => PidSharing::Pod,
            NamespaceMode::Node => PidSharing::Host,
            NamespaceMode::Container | NamespaceMode::Target => PidSharing::Container,
        },
        sysctls: linux.sysctls.into_iter().collect(),
        cgroup_parent: record.cgroup_parent.clone(),
    }
}

/// What the network plugins are told of the sandbox.
pub(super) fn attachment(service: &Service, record: &SandboxRecord) -> Attachment {
    let metadata = record.metadata();
    Attachment {
        sandbox_id: record.id.clone(),
        namespace: service.config.namespace_dir(&record.id).join("net"),
        pod_name: metadata.name,
        pod_namespace: metadata.namespace,
        pod_uid: metadata.uid,
        // Checked when the sandbox was asked for.
        port_mappings: host_ports(&record.config.port_mappings).unwrap_or_default(),
    }
}

async fn attach(service: &Service, sandbox: &Sandbox, record: &SandboxRecord) -> Outcome<()> {
    // Written down first: a plugin may have done half of its work when we are killed.
    service.change_sandbox(sandbox, |record| record.attached = true).await?;
    let attachment = attachment(service, record);
    let added =
        service.blocking("add a network", move |parts| parts.network.add(&attachment)).await?;
    let ips = added.map_err(|source| OperationError::Network {
        doing: "set up",
        id: sandbox.id.clone(),
        source,
    })?;
    // Kept with the phase that comes next.
    sandbox.change(|record| record.ips = ips);
    Ok(())
}
