//! Starting one container: image, environment, mounts, create, start, postStart hook.

use std::collections::BTreeMap;
use std::time::Duration;

use corten_api_cri::v1;
use corten_client::EventType;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Container;

use super::actor::{Actor, RETRY};
use super::core::Trouble;
use super::cri_config::{self, ContainerPlan};
use super::env::{self, References};
use super::mounts::{self, Sources};
use super::stop::{HookTarget, run_hook};
use super::{hosts, model, security};
use crate::error::chain;
use crate::images::{Credentials, Told};

/// A postStart hook that does not end would keep the container from ever being started.
const POST_START_MAX: Duration = Duration::from_secs(600);

fn config_error(message: String) -> Trouble {
    let retry_at = Timestamp::now() + RETRY;
    Trouble { reason: "CreateContainerConfigError".to_owned(), message, retry_at }
}

impl Actor {
    pub(super) async fn start_container(
        &self,
        name: &str,
        attempt: u32,
        sandbox_id: &str,
    ) -> Result<(), Trouble> {
        let Some((_, container)) = model::container(&self.spec, name) else {
            return Ok(());
        };
        let sandbox_attempt = self.observed.sandbox().map_or(0, |s| s.attempt);
        let cgroup = self.cgroup().await?;
        let sandbox = self.sandbox_config(sandbox_attempt, &cgroup).await;
        let image = Box::pin(self.image(container, sandbox.clone())).await?;
        let outcome = self.configure(container, attempt, &image).await;
        let config = outcome.map_err(|trouble| self.told(name, trouble))?;
        self.make_log_folder(&sandbox, name);
        let created = Box::pin(self.host.cri.create_container(sandbox_id, config, sandbox)).await;
        let id = created.map_err(|error| {
            let retry_at = Timestamp::now() + RETRY;
            let reason = "CreateContainerError".to_owned();
            self.told(name, Trouble { reason, message: error.message(), retry_at })
        })?;
        self.teller.container(name, EventType::Normal, "Created", "Container created");
        if let Err(error) = self.host.cri.start_container(&id).await {
            // The container stays as a record of the try; its age decides when the next is due.
            let reason = "RunContainerError".to_owned();
            let trouble = Trouble { reason, message: error.message(), retry_at: Timestamp::now() };
            return Err(self.told(name, trouble));
        }
        self.teller.container(name, EventType::Normal, "Started", "Container started");
        self.post_start(container, &id).await
    }

    fn told(&self, name: &str, trouble: Trouble) -> Trouble {
        let message = format!("Error: {}", trouble.message);
        self.teller.container(name, EventType::Warning, "Failed", message);
        trouble
    }

    async fn cgroup(&self) -> Result<String, Trouble> {
        let (cgroups, uid) = (self.host.cgroups.clone(), self.uid.clone());
        let spec = std::sync::Arc::clone(&self.spec);
        match tokio::task::spawn_blocking(move || cgroups.create_pod(&uid, &spec)).await {
            Ok(Ok(path)) => Ok(path),
            Ok(Err(error)) => Err(config_error(chain(&error))),
            Err(error) => Err(config_error(error.to_string())),
        }
    }

    fn make_log_folder(&self, sandbox: &v1::PodSandboxConfig, name: &str) {
        let folder = std::path::Path::new(&sandbox.log_directory).join(name);
        if let Err(error) = std::fs::create_dir_all(&folder) {
            // The runtime will say so when it opens the log there.
            tracing::warn!(folder = %folder.display(), %error, "cannot make the log folder");
        }
    }

    async fn image(
        &self,
        container: &Container,
        sandbox: v1::PodSandboxConfig,
    ) -> Result<v1::Image, Trouble> {
        let credentials = self.credentials().await;
        let wanted = container.image.clone().unwrap_or_default();
        let tell = |told: Told| {
            let (kind, reason, message) = match told {
                Told::Present => (
                    EventType::Normal,
                    "Pulled",
                    format!(
                        "Container image \"{wanted}\" already present on machine and can be \
                         accessed by the pod"
                    ),
                ),
                Told::Pulling => {
                    (EventType::Normal, "Pulling", format!("Pulling image \"{wanted}\""))
                }
                Told::Pulled { took, bytes } => {
                    let seconds = took.as_secs_f64();
                    let message = format!(
                        "Successfully pulled image \"{wanted}\" in {seconds:.3}s ({seconds:.3}s \
                         including waiting). Image size: {bytes} bytes."
                    );
                    (EventType::Normal, "Pulled", message)
                }
                Told::Failed { reason, message } => (EventType::Warning, reason, message),
                Told::BackOff => {
                    (EventType::Normal, "BackOff", format!("Back-off pulling image \"{wanted}\""))
                }
            };
            self.teller.container(&container.name, kind, reason, message);
        };
        let ensure =
            self.host.images.ensure(self.uid.as_str(), container, &credentials, sandbox, &tell);
        match self.interrupt.run_until_cancelled(Box::pin(ensure)).await {
            Some(Ok(image)) => Ok(image),
            Some(Err(trouble)) => {
                let message = format!("Error: {}", trouble.reason);
                self.teller.container(&container.name, EventType::Warning, "Failed", message);
                Err(trouble)
            }
            None => {
                let message = "the pod's end was asked for".to_owned();
                let retry_at = Timestamp::now() + SignedDuration::from_secs(1);
                Err(Trouble { reason: "ContainerCreating".to_owned(), message, retry_at })
            }
        }
    }

    async fn credentials(&self) -> Credentials {
        let mut credentials = Credentials::default();
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        for reference in self.spec.image_pull_secrets.iter().flatten() {
            let name = &reference.name;
            let problem = match self.host.secrets.read(namespace, name).await {
                Ok(Some(secret)) => credentials.add(&secret).err(),
                Ok(None) => Some("there is no such Secret".to_owned()),
                Err(error) => Some(chain(&error)),
            };
            if let Some(problem) = problem {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({name}): {problem}; attempting \
                     to pull the image may not succeed."
                );
                let reason = "FailedToRetrieveImagePullSecret";
                self.teller.pod(EventType::Warning, reason, message);
            }
        }
        credentials
    }

    async fn references(&self, container: &Container) -> Result<References, Trouble> {
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let (config_maps, secrets) = env::referenced(container);
        let mut references = References::default();
        for name in config_maps {
            let read = self.host.config_maps.read(namespace, &name).await;
            let object = read.map_err(|error| config_error(chain(&error)))?;
            references.config_maps.insert(name, object.map(|o| o.data.unwrap_or_default()));
        }
        for name in secrets {
            let read = self.host.secrets.read(namespace, &name).await;
            let object = read.map_err(|error| config_error(chain(&error)))?;
            let bytes = |o: k8s_openapi::api::core::v1::Secret| {
                o.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect()
            };
            references.secrets.insert(name, object.map(bytes));
        }
        Ok(references)
    }

    async fn configure(
        &self,
        container: &Container,
        attempt: u32,
        image: &v1::Image,
    ) -> Result<v1::ContainerConfig, Trouble> {
        security::verify_user(&self.spec, container, image, &self.display_name())
            .map_err(|error| config_error(error.to_string()))?;
        let host_network = self.spec.host_network == Some(true);
        let facts = self.host.downward_facts(&self.observed, host_network);
        let references = self.references(container).await?;
        // Services may be needed by name in this environment: without them it would be wrong.
        let ready = tokio::time::timeout(Duration::from_secs(10), self.host.services.ready()).await;
        if ready.is_err() {
            let message = "services have not yet been read at least once, cannot construct envvars";
            return Err(config_error(message.to_owned()));
        }
        let services = self.host.services.store().state();
        let environment = env::environment(&self.pod, container, &references, &services, &facts)
            .map_err(|error| config_error(error.to_string()))?;
        self.make_volumes(false).await?;
        let volumes = self.volumes.lock().await;
        let empty = BTreeMap::new();
        let (hostname, domain) =
            cri_config::hostname(&self.pod, &self.spec, &self.host.config.cluster_domain);
        let host_file = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
        let known = environment.iter().cloned().collect();
        let sources = Sources {
            folder: &self.host.pod_folder(&self.uid),
            volumes: volumes.as_ref().unwrap_or(&empty),
            environment: &known,
            hosts: hosts::content(&self.spec, &facts.pod_ips, &hostname, &domain, &host_file),
        };
        let mounts = mounts::mounts(container, &sources)
            .await
            .map_err(|error| config_error(error.message()))?;
        let plan = ContainerPlan {
            attempt,
            image_ref: image.id.clone(),
            environment,
            mounts,
            memory_capacity_bytes: self.host.memory_capacity_bytes,
            unified_cgroups: self.host.cgroups.is_unified(),
            seccomp_profiles: self.host.config.seccomp_profiles(),
        };
        Ok(cri_config::container(&self.pod, &self.spec, container, plan))
    }

    async fn post_start(&self, container: &Container, id: &str) -> Result<(), Trouble> {
        let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) else {
            return Ok(());
        };
        let ip = self.observed.sandbox().and_then(|s| s.ips.first()).map(String::as_str);
        let target = HookTarget { cri: &self.host.cri, container, container_id: id, pod_ip: ip };
        let run = tokio::time::timeout(POST_START_MAX, run_hook(target, hook, POST_START_MAX));
        let failure = match self.interrupt.run_until_cancelled(run).await {
            None | Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(message))) => message,
            Some(Err(_elapsed)) => "it did not end in time".to_owned(),
        };
        let message = format!("PostStartHook failed: {failure}");
        let name = &container.name;
        self.teller.container(name, EventType::Warning, "FailedPostStartHook", message.clone());
        let killing = "FailedPostStartHook";
        self.teller.container(name, EventType::Normal, "Killing", killing);
        let grace = u64::try_from(model::spec_grace_seconds(&self.spec)).unwrap_or(0);
        if let Err(error) = self.host.cri.stop_container(id, Duration::from_secs(grace)).await {
            tracing::warn!(
                container = id,
                cause = chain(&error),
                "not stopped after its hook failed"
            );
        }
        let retry_at = Timestamp::now();
        Err(Trouble { reason: "PostStartHookError".to_owned(), message, retry_at })
    }
}
