//! Records to test with.

use corten_api_cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, LinuxContainerResources, LinuxContainerUser,
    PodSandboxConfig, PodSandboxMetadata,
};

use crate::store::{
    ContainerPhase, ContainerRecord, ImageUse, SandboxPhase, SandboxRecord, VERSION,
};

/// The config of a pod of that name.
pub(crate) fn pod(name: &str) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            uid: format!("uid-of-{name}"),
            namespace: "default".to_owned(),
            attempt: 0,
        }),
        hostname: name.to_owned(),
        log_directory: String::new(),
        ..PodSandboxConfig::default()
    }
}

/// The config of a container of that name.
pub(crate) fn config(name: &str) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(ImageSpec { image: "web:1".to_owned(), ..ImageSpec::default() }),
        command: vec!["/bin/serve".to_owned()],
        ..ContainerConfig::default()
    }
}

pub(crate) fn sandbox(id: &str, name: &str) -> SandboxRecord {
    SandboxRecord {
        version: VERSION,
        id: id.to_owned(),
        phase: SandboxPhase::Ready,
        config: pod(name),
        runtime_handler: String::new(),
        created_at: 7,
        cgroup_parent: "/pods".to_owned(),
        attached: true,
        ips: Vec::new(),
        stopped: false,
    }
}

pub(crate) fn container(id: &str, sandbox_id: &str, name: &str) -> ContainerRecord {
    ContainerRecord {
        version: VERSION,
        id: id.to_owned(),
        sandbox_id: sandbox_id.to_owned(),
        phase: ContainerPhase::Running,
        config: config(name),
        image: ImageUse {
            id: "sha256:1".to_owned(),
            name: "web:1".to_owned(),
            reference: "web@sha256:2".to_owned(),
        },
        log_path: String::new(),
        cgroup_path: format!("/pods/{id}"),
        resources: LinuxContainerResources::default(),
        user: LinuxContainerUser::default(),
        stop_signal: 15,
        pid: Some(42),
        start_error: None,
        created_at: 8,
        started_at: Some(9),
        exit: None,
        oom: false,
    }
}
