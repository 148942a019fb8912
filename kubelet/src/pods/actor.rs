//! Carries out what [`super::core::decide`] names, one action after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use corten_api_cri::v1;
use corten_client::EventType;
use corten_task::CancellationToken;
use futures::future;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};
use tokio::sync::Mutex;

use super::core::{Action, Stop, Trouble};
use super::cri_config::{self, SandboxPlan};
use super::model::{self, Observed, PodUid};
use super::tell::Teller;
use super::{dns, logs, stop};
use crate::error::chain;
use crate::host::Host;
use crate::volumes::{self, Ready};

/// When a container that could not be made is tried again.
pub(super) const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// When the sandbox or a volume is: what was missing may be there any moment.
const POD_RETRY: SignedDuration = SignedDuration::from_secs(3);

/// Volumes of the pod by name, once they were made by this process.
pub(super) type Volumes = Arc<Mutex<Option<BTreeMap<String, Ready>>>>;

/// What an action needs to know; a snapshot, so that the worker stays free to look and to tell.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    pub(super) host: Arc<Host>,
    pub(super) pod: Arc<Pod>,
    pub(super) spec: Arc<PodSpec>,
    pub(super) uid: PodUid,
    pub(super) observed: Arc<Observed>,
    pub(super) volumes: Volumes,
    pub(super) teller: Teller,
    /// Cancelled when the pod's end was asked for: waits are given up, calls are finished.
    pub(super) interrupt: CancellationToken,
}

/// How an action ended.
#[derive(Debug)]
pub(super) enum Done {
    Ok,
    /// A container could not be started.
    Container(String, Trouble),
    /// The pod as a whole cannot go on for now.
    Pod(Trouble),
    /// To be asked again soon.
    Again(String),
    Released,
    GoneFromApi,
    Interrupted,
}

impl Actor {
    pub(super) async fn perform(&self, action: &Action) -> Done {
        let again = |result: Result<(), crate::cri::CriError>| match result {
            Ok(()) => Done::Ok,
            Err(error) => Done::Again(chain(&error)),
        };
        match action {
            Action::StopContainers { stops } => self.stop_containers(stops).await,
            Action::StopSandbox { id } => again(self.host.cri.stop_sandbox(id).await),
            Action::RemoveSandbox { id } => again(self.host.cri.remove_sandbox(id).await),
            Action::RemoveContainer { id } => again(self.host.cri.remove_container(id).await),
            Action::CreateSandbox { attempt } => {
                match Box::pin(self.create_sandbox(*attempt)).await {
                    Ok(()) => Done::Ok,
                    Err(trouble) => Done::Pod(trouble),
                }
            }
            Action::StartContainer { name, attempt, sandbox_id, .. } => {
                if self.interrupt.is_cancelled() {
                    return Done::Interrupted;
                }
                match Box::pin(self.start_container(name, *attempt, sandbox_id)).await {
                    Ok(()) => Done::Ok,
                    Err(trouble) => Done::Container(name.clone(), trouble),
                }
            }
            Action::Release => self.release().await,
            Action::DeleteFromApi => self.delete_from_api().await,
        }
    }

    async fn stop_containers(&self, stops: &[Stop]) -> Done {
        let ip = self.observed.sandbox().and_then(|s| s.ips.first()).map(String::as_str);
        let one = |wanted| stop::stop(&self.host.cri, &self.pod, wanted, ip, &self.teller);
        let all = future::join_all(stops.iter().map(one));
        let Some(results) = self.interrupt.run_until_cancelled(all).await else {
            return Done::Interrupted;
        };
        let failures: Vec<String> =
            results.into_iter().filter_map(Result::err).map(|error| chain(&error)).collect();
        if failures.is_empty() { Done::Ok } else { Done::Again(failures.join("; ")) }
    }

    fn trouble(reason: &str, message: String) -> Trouble {
        Trouble { reason: reason.to_owned(), message, retry_at: Timestamp::now() + POD_RETRY }
    }

    /// Folders, cgroup, volumes, then the sandbox.
    async fn create_sandbox(&self, attempt: u32) -> Result<(), Trouble> {
        let (cgroups, uid, spec) =
            (self.host.cgroups.clone(), self.uid.clone(), Arc::clone(&self.spec));
        let made = tokio::task::spawn_blocking(move || cgroups.create_pod(&uid, &spec)).await;
        let cgroup = match made {
            Ok(Ok(path)) => path,
            Ok(Err(error)) => return Err(self.failed("FailedCreatePodContainer", chain(&error))),
            Err(error) => return Err(self.failed("FailedCreatePodContainer", error.to_string())),
        };
        self.make_volumes(false).await?;
        let config = self.sandbox_config(attempt, &cgroup).await;
        if let Err(error) = std::fs::create_dir_all(&config.log_directory) {
            let message = format!("cannot make {}: {error}", config.log_directory);
            return Err(self.failed("FailedCreatePodSandBox", message));
        }
        // A pod with a RuntimeClass was refused at admission.
        let handler = "";
        match Box::pin(self.host.cri.run_sandbox(config, handler)).await {
            Ok(_id) => Ok(()),
            Err(error) => {
                let message = format!("Failed to create pod sandbox: {}", error.message());
                Err(self.failed("FailedCreatePodSandBox", message))
            }
        }
    }

    fn failed(&self, reason: &str, message: String) -> Trouble {
        self.teller.pod(EventType::Warning, reason, message.clone());
        Self::trouble(reason, message)
    }

    pub(super) async fn sandbox_config(&self, attempt: u32, cgroup: &str) -> v1::PodSandboxConfig {
        let config = &self.host.config;
        let resolv = tokio::fs::read_to_string(&config.resolv_conf).await.unwrap_or_default();
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let (dns, warning) = dns::config(
            &self.spec,
            namespace,
            &config.cluster_dns,
            &config.cluster_domain,
            &dns::parse(&resolv),
        );
        if let Some(warning) = warning {
            self.teller.pod(EventType::Warning, "DNSConfigForming", warning);
        }
        let plan = SandboxPlan {
            attempt,
            cgroup_parent: cgroup,
            pod_logs_dir: &config.pod_logs_dir,
            dns,
            domain: &config.cluster_domain,
            seccomp_profiles: &config.seccomp_profiles(),
        };
        cri_config::sandbox(&self.pod, &self.spec, &plan)
    }

    /// Makes the pod's volumes unless they are there; with `refresh`, brings them up to date.
    pub(super) async fn make_volumes(&self, refresh: bool) -> Result<(), Trouble> {
        let mut made = self.volumes.lock().await;
        if made.is_some() && !refresh {
            return Ok(());
        }
        let folder = self.host.pod_folder(&self.uid);
        if let Err(error) = std::fs::create_dir_all(&folder) {
            let message = format!("cannot make {}: {error}", folder.display());
            return Err(self.failed("FailedMount", message));
        }
        let facts = self.host.downward_facts(&self.observed, self.spec.host_network == Some(true));
        let context = volumes::Context {
            pod: &self.pod,
            spec: &self.spec,
            folder: &folder,
            client: &self.host.client,
            config_maps: &self.host.config_maps,
            secrets: &self.host.secrets,
            tokens: &self.host.tokens,
            facts: &facts,
            now: Timestamp::now(),
        };
        let mut ready = BTreeMap::new();
        for volume in self.spec.volumes.iter().flatten() {
            match volumes::set_up(&context, volume).await {
                Ok(volume_ready) => {
                    ready.insert(volume.name.clone(), volume_ready);
                }
                Err(error) => {
                    let message = format!(
                        "MountVolume.SetUp failed for volume \"{}\" : {}",
                        volume.name,
                        error.message()
                    );
                    return Err(self.failed("FailedMount", message));
                }
            }
        }
        *made = Some(ready);
        Ok(())
    }

    /// Gives back what the pod holds on this node outside of the runtime. Its folder goes after
    /// its logs: as long as it is there, a kubelet that was killed in between, or `corten reset`,
    /// knows whose they are.
    async fn release(&self) -> Done {
        *self.volumes.lock().await = None;
        logs::remove(&self.host.config.pod_logs_dir, &self.uid).await;
        if let Err(error) = volumes::tear_down(self.host.pod_folder(&self.uid)).await {
            return Done::Again(error.message());
        }
        self.host.tokens.forget(self.uid.as_str());
        self.host.images.forget_pod(self.uid.as_str());
        let (cgroups, uid) = (self.host.cgroups.clone(), self.uid.clone());
        match tokio::task::spawn_blocking(move || cgroups.remove_pod(&uid)).await {
            Ok(Ok(())) => Done::Released,
            Ok(Err(error)) => Done::Again(chain(&error)),
            Err(error) => Done::Again(error.to_string()),
        }
    }

    async fn delete_from_api(&self) -> Done {
        let meta = &self.pod.metadata;
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let name = meta.name.as_deref().unwrap_or_default();
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(self.uid.as_str().to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let api = Api::<Pod>::namespaced(self.host.client.clone(), namespace);
        match api.delete(name, &params).await {
            Ok(_) => Done::GoneFromApi,
            // 404: gone already; 409: the name belongs to another pod by now.
            Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Done::GoneFromApi,
            Err(error) => Done::Again(chain(&error)),
        }
    }

    /// The pod's name as upstream's messages write it.
    pub(super) fn display_name(&self) -> String {
        let meta = &self.pod.metadata;
        format!(
            "{}_{}({})",
            meta.name.as_deref().unwrap_or_default(),
            meta.namespace.as_deref().unwrap_or_default(),
            model::uid(&self.pod)
        )
    }
}
