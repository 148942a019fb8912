//! Making a container: it then waits to be started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_api_cri::v1::{ContainerConfig, LinuxContainerUser, PodSandboxConfig};

use super::{Container, ContainerName, bundle, emit, remove};
use crate::error::{Kind, OperationError, Outcome, chain};
use crate::images::ImageInfo;
use crate::refuse;
use crate::sandbox::{self, Sandbox};
use crate::service::Service;
use crate::shim::NewContainer;
use crate::signal;
use crate::store::{ContainerPhase, ContainerRecord, ImageUse, Reserved, SandboxPhase};

/// Retries of a container that was removed between its name being found and its turn coming.
const ATTEMPTS: usize = 5;

/// Makes the container, or finds the one that an earlier call of the same request made.
pub(crate) async fn create(
    service: &Arc<Service>,
    sandbox: Arc<Sandbox>,
    config: ContainerConfig,
) -> Outcome<String> {
    let pod = sandbox.record().config;
    refuse::container(&config, &pod, &service.host)?;
    need_ready(&sandbox)?;
    let image = find_image(service, &config).await?;
    let record = new_record(service, &sandbox, &config, &pod, &image)?;
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        let reserved = service.containers.reserve(ContainerName::from(&record), || {
            let id = service.parts.ids.next();
            let mut record = record.clone();
            record.cgroup_path = format!("{}/{id}", sandbox.record().cgroup_parent);
            record.id.clone_from(&id);
            (id, Container::new(record))
        });
        let (Reserved::New(container) | Reserved::Existing(container)) = reserved;
        let _operation = container.operation.lock().await;
        if service.containers.get(&container.id).is_none() {
            last.clone_from(&container.id);
            continue;
        }
        let known = container.record();
        if known.config != config {
            return Err(exists(&container, "was made from another config"));
        }
        match known.phase {
            ContainerPhase::Creating => make(service, &sandbox, &container, &image).await?,
            ContainerPhase::Created | ContainerPhase::Running => {}
            ContainerPhase::Exited => return Err(exists(&container, "has exited")),
            ContainerPhase::Removing => return Err(exists(&container, "is being removed")),
        }
        return Ok(container.id.clone());
    }
    Err(OperationError::Gone { kind: Kind::Container, id: last })
}

fn exists(container: &Container, reason: &'static str) -> OperationError {
    OperationError::Exists { kind: Kind::Container, id: container.id.clone(), reason }
}

pub(super) fn need_ready(sandbox: &Sandbox) -> Outcome<()> {
    if sandbox.phase() == SandboxPhase::Ready {
        return Ok(());
    }
    Err(OperationError::State {
        kind: Kind::Sandbox,
        id: sandbox.id.clone(),
        state: "not ready",
        wanted: "containers need one that is",
    })
}

async fn find_image(service: &Service, config: &ContainerConfig) -> Outcome<ImageInfo> {
    let name = config.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
    let wanted = name.clone();
    let found =
        service.blocking("look up an image", move |parts| parts.images.resolve(&wanted)).await?;
    match found {
        Ok(Some(image)) => Ok(image),
        Ok(None) => Err(OperationError::not_found(Kind::Image, &name)),
        Err(source) => Err(OperationError::Image { doing: "look up", image: name, source }),
    }
}

fn new_record(
    service: &Service,
    sandbox: &Sandbox,
    config: &ContainerConfig,
    pod: &PodSandboxConfig,
    image: &ImageInfo,
) -> Outcome<ContainerRecord> {
    let log_path = if pod.log_directory.is_empty() || config.log_path.is_empty() {
        String::new()
    } else {
        Path::new(&pod.log_directory).join(&config.log_path).to_string_lossy().into_owned()
    };
    let resources = config.linux.as_ref().and_then(|linux| linux.resources.clone());
    let reference = image.repo_digests.first().unwrap_or(&image.id).clone();
    Ok(ContainerRecord {
        version: crate::store::VERSION,
        // Both are set when the name is free.
        id: String::new(),
        cgroup_path: String::new(),
        sandbox_id: sandbox.id.clone(),
        phase: ContainerPhase::Creating,
        config: config.clone(),
        image: ImageUse { id: image.id.clone(), name: image_name(config, image), reference },
        log_path,
        resources: resources.unwrap_or_default(),
        user: LinuxContainerUser::default(),
        stop_signal: stop_signal(config, image)?,
        pid: None,
        start_error: None,
        created_at: service.now(),
        started_at: None,
        exit: None,
        oom: false,
    })
}

/// A kubelet asks for an image by its id, and says beside it what the pod called it.
fn image_name(config: &ContainerConfig, image: &ImageInfo) -> String {
    let spec = config.image.clone().unwrap_or_default();
    if !image.id.ends_with(&spec.image) {
        return spec.image;
    }
    let called = format!("/{}", spec.user_specified_image);
    let mut tags = image.repo_tags.iter();
    let meant = tags.find(|tag| tag.ends_with(&called) || tag[..] == called[1..]);
    meant.or(image.repo_tags.first()).unwrap_or(&image.id).clone()
}

/// The request's, else the image's, else SIGTERM.
fn stop_signal(config: &ContainerConfig, image: &ImageInfo) -> Outcome<i32> {
    if let Some(number) = signal::from_cri(config.stop_signal()) {
        return Ok(number);
    }
    match image.config.stop_signal.as_deref() {
        None | Some("") => Ok(signal::TERM),
        Some(text) => signal::parse(text).ok_or_else(|| {
            OperationError::invalid("image.stopSignal", format!("{text:?} is no signal"))
        }),
    }
}

/// All steps, or none: what was done is undone when a later step fails.
async fn make(
    service: &Arc<Service>,
    sandbox: &Arc<Sandbox>,
    container: &Arc<Container>,
    image: &ImageInfo,
) -> Outcome<()> {
    let made = steps(service, sandbox, container, image).await;
    let Err(cause) = made else { return Ok(()) };
    let gone = match remove::take_down(service, container).await {
        Ok(()) => service.forget_container(container).await,
        Err(left) => Err(left),
    };
    if let Err(left) = gone {
        tracing::warn!(container = container.id, cause = chain(&left), "half a container is left");
        let exit = crate::store::ExitRecord {
            code: 128,
            at: service.now(),
            reason: "CreateError".to_owned(),
            message: chain(&cause),
        };
        service
            .change_container(container, |record| {
                record.phase = ContainerPhase::Exited;
                record.exit = Some(exit);
            })
            .await?;
    }
    Err(cause)
}

async fn steps(
    service: &Arc<Service>,
    sandbox: &Arc<Sandbox>,
    container: &Arc<Container>,
    image: &ImageInfo,
) -> Outcome<()> {
    // Asked again now that the name is taken: a sandbox that stops later finds the container.
    need_ready(sandbox)?;
    service.change_container(container, |_| ()).await?;
    let record = container.record();
    let user = write_bundle(service, sandbox, &record, image).await?;
    let shim = sandbox.need_shim()?;
    let config = &record.config;
    let new = NewContainer {
        id: container.id.clone(),
        bundle: service.config.bundle_dir(&container.id),
        log_path: (!record.log_path.is_empty()).then(|| PathBuf::from(&record.log_path)),
        terminal: config.tty,
        stdin: config.stdin,
        stdin_once: config.stdin_once,
    };
    let ordered = container.ordered.lock().await;
    let (pid, start_error) = match shim.create(new).await {
        Ok(pid) => (Some(pid), None),
        // To Kubernetes a program that cannot be run is a container that fails to start, and is
        // started again, later and later; the runtime only happens to see it earlier.
        Err(source) if source.is_of_program() => (None, Some(chain(&source))),
        Err(source) => {
            return Err(OperationError::Shim {
                doing: "creation",
                kind: Kind::Container,
                id: container.id.clone(),
                source,
            });
        }
    };
    let at = service.now();
    service
        .change_container(container, |record| {
            record.phase = ContainerPhase::Created;
            record.pid = pid;
            record.start_error = start_error;
            record.user = user;
            record.created_at = at;
        })
        .await?;
    drop(ordered);
    emit(service, container, corten_api_cri::v1::ContainerEventType::ContainerCreatedEvent);
    tracing::info!(
        container = container.id,
        sandbox = sandbox.id,
        name = record.metadata().name,
        "container created"
    );
    Ok(())
}

/// Mounts the root file system and writes the bundle; who the container will run as.
async fn write_bundle(
    service: &Service,
    sandbox: &Sandbox,
    record: &ContainerRecord,
    image: &ImageInfo,
) -> Outcome<LinuxContainerUser> {
    let pod = sandbox.record();
    let request = bundle::Request {
        dir: service.config.bundle_dir(&record.id),
        namespace_dir: service.config.namespace_dir(&pod.id),
        sandbox_dir: service.config.sandbox_dir(&pod.id),
        shm: service.config.shim_dir(&pod.id).join("shm"),
        hostname: sandbox::hostname(&pod),
        sandbox: pod.config,
        container: record.clone(),
        image: image.clone(),
        host: service.host.clone(),
    };
    service.blocking("write a bundle", move |parts| bundle::write(&parts.images, &request)).await?
}

#[cfg(test)]
mod tests {
    use corten_api_cri::v1::ImageSpec;

    use super::*;

    #[test]
    fn an_image_is_shown_by_the_name_that_people_know() {
        let image = ImageInfo {
            id: "sha256:0123".to_owned(),
            repo_tags: vec!["docker.io/library/a:1".to_owned(), "registry/b:2".to_owned()],
            ..ImageInfo::default()
        };
        let shown = |asked: &str, called: &str| {
            let spec = ImageSpec {
                image: asked.to_owned(),
                user_specified_image: called.to_owned(),
                ..ImageSpec::default()
            };
            image_name(&ContainerConfig { image: Some(spec), ..Default::default() }, &image)
        };
        assert_eq!(shown("registry/b:2", ""), "registry/b:2");
        assert_eq!(shown("sha256:0123", "registry/b:2"), "registry/b:2");
        assert_eq!(shown("sha256:0123", "b:2"), "registry/b:2");
        assert_eq!(shown("sha256:0123", ""), "docker.io/library/a:1");
        assert_eq!(shown("0123", "gone:3"), "docker.io/library/a:1");
    }
}
