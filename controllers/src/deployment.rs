//! Deployments: a ReplicaSet per revision, and the change from one to the next.
//!
//! [`plan`] holds all the decisions; this module carries them out.

mod plan;
mod revision;
mod rollout;
mod scale;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use corten_client::{EventType, Informer};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource as _};
use serde_json::json;

use crate::claim;
use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{
    Key, annotation, controller, is_controlled_by, is_deleted, name, namespace, owned_by, uid,
};
use crate::pods;
use crate::runner::{Controller, Next, Runner, Writes};
use plan::{Observed, Plan, Step};

/// The label that tells the pods and ReplicaSets of one revision from those of another.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

struct DeploymentController {
    context: Context,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    writes: Writes<Key>,
}

pub(crate) fn start(context: &Context) {
    let controller = DeploymentController {
        context: context.clone(),
        deployments: context.informers.get(),
        sets: context.informers.get(),
        pods: context.informers.get(),
        writes: Writes::default(),
    };
    let (deployments, sets, pods) =
        (controller.deployments.clone(), controller.sets.clone(), controller.pods.clone());
    Runner::new(context, controller)
        .watch(deployments, |_, deployment| vec![Key::of(deployment)])
        .watch(sets, DeploymentController::keys_of_set)
        .watch(pods, DeploymentController::keys_of_pod)
        .start(context.config.concurrent_syncs);
}

impl DeploymentController {
    fn keys_of_set(&self, set: &ReplicaSet) -> Vec<Key> {
        if let Some(owner) = controller(&set.metadata) {
            let is_deployment = owner.kind == "Deployment";
            return is_deployment
                .then(|| Key::new(namespace(set), &owner.name))
                .into_iter()
                .collect();
        }
        // An orphan may be adopted by whoever selects it.
        let selects = |deployment: &Deployment| {
            let selector = deployment.spec.as_ref().and_then(|s| claim::selector(&s.selector));
            namespace(deployment) == namespace(set)
                && selector.is_some_and(|selector| claim::matches(&selector, set))
        };
        let deployments = self.deployments.store().state();
        deployments.iter().filter(|one| selects(one)).map(|one| Key::of(&**one)).collect()
    }

    /// Only `Recreate` waits for pods to be gone; all else is told by the ReplicaSets' status.
    fn keys_of_pod(&self, pod: &Pod) -> Vec<Key> {
        let Some(owner) = controller(&pod.metadata).filter(|owner| owner.kind == "ReplicaSet")
        else {
            return Vec::new();
        };
        let set = self.sets.object(Some(namespace(pod)), &owner.name);
        let deployment = set
            .as_deref()
            .and_then(|set| controller(&set.metadata))
            .and_then(|owner| self.deployments.object(Some(namespace(pod)), &owner.name));
        let recreates = deployment.filter(|deployment| plan::recreates(deployment));
        recreates.iter().map(|deployment| Key::of(&**deployment)).collect()
    }

    fn api(&self, key: &Key) -> Api<Deployment> {
        Api::namespaced(self.context.client(), &key.namespace)
    }

    fn set_api(&self, key: &Key) -> Api<ReplicaSet> {
        Api::namespaced(self.context.client(), &key.namespace)
    }

    /// The ReplicaSets of the deployment; orphans are adopted, others' released, on the way.
    async fn claim(
        &self,
        key: &Key,
        deployment: &Deployment,
    ) -> Result<Option<Vec<Arc<ReplicaSet>>>, SyncError> {
        let Some(selector) = deployment.spec.as_ref().and_then(|s| claim::selector(&s.selector))
        else {
            return Ok(None);
        };
        let claims = claim::claims(deployment, &selector, self.sets.store().state());
        let client = self.context.client();
        for set in &claims.release {
            let released = claim::release(&client, &**set, uid(deployment)).await?;
            self.writes.wrote(key, &released);
        }
        let mut mine = claims.mine;
        for set in &claims.adopt {
            let adopted = claim::adopt(&client, &**set, owned_by(deployment)).await?;
            self.writes.wrote(key, &adopted);
            mine.push(Arc::new(adopted));
        }
        Ok(Some(mine))
    }

    /// Whether a pod of a ReplicaSet other than `newest` has not ended.
    fn old_pods_run(&self, sets: &[Arc<ReplicaSet>], newest: Option<&str>) -> bool {
        let old: Vec<&str> =
            sets.iter().map(|set| uid(&**set)).filter(|uid| Some(*uid) != newest).collect();
        let of_old = |pod: &Pod| old.iter().any(|uid| is_controlled_by(&pod.metadata, uid));
        self.pods.store().state().iter().any(|pod| of_old(pod) && !pods::is_terminal(pod))
    }

    async fn carry_out(
        &self,
        key: &Key,
        deployment: &Deployment,
        plan: Plan,
    ) -> Result<Next, SyncError> {
        let mut status = plan.status;
        let mut failure = None;
        for step in plan.steps {
            match self.step(key, deployment, step).await {
                Ok(Outcome::Done) => {}
                Ok(Outcome::HashCollision) => {
                    let count = status.collision_count.unwrap_or_default();
                    status.collision_count = Some(count + 1);
                }
                Ok(Outcome::CreateFailed(error)) => {
                    let now = self.context.clock.time();
                    status::set_create_failed(deployment, &mut status, &error.message(), now);
                    failure = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(revision) = plan.revision {
            self.annotate(key, deployment, &revision).await?;
        }
        if deployment.status.as_ref() != Some(&status) {
            let mut changed = deployment.clone();
            changed.status = Some(status);
            // The revision's annotation, if just written, has changed the version.
            changed.metadata.resource_version = None;
            let answer = self
                .api(key)
                .replace_status(&key.name, &PostParams::default(), &changed)
                .await
                .map_err(on::<Deployment>(
                    "update the status of",
                    Some(&key.namespace),
                    &key.name,
                ))?;
            self.writes.wrote(key, &answer);
        }
        match failure {
            Some(error) if !error.is_namespace_terminating() => Err(error),
            Some(_) | None => Ok(plan.look_again.map_or(Next::Done, Next::After)),
        }
    }

    async fn step(
        &self,
        key: &Key,
        deployment: &Deployment,
        step: Step,
    ) -> Result<Outcome, SyncError> {
        match step {
            Step::Create(set) => self.create(key, deployment, *set).await,
            Step::Scale { set, to, annotations } => {
                self.scale(key, deployment, &set, to, &annotations).await?;
                Ok(Outcome::Done)
            }
            Step::Annotate { set, annotations, min_ready_seconds } => {
                let patch = json!({
                    "metadata": {
                        "resourceVersion": set.metadata.resource_version,
                        "annotations": annotations,
                    },
                    "spec": { "minReadySeconds": min_ready_seconds },
                });
                self.patch_set(key, &set, "annotate", patch).await?;
                Ok(Outcome::Done)
            }
            Step::Delete(set) => {
                self.delete(key, &set).await?;
                Ok(Outcome::Done)
            }
        }
    }

    async fn create(
        &self,
        key: &Key,
        deployment: &Deployment,
        mut set: ReplicaSet,
    ) -> Result<Outcome, SyncError> {
        set.metadata.owner_references = Some(vec![owned_by(deployment)]);
        let replicas = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default();
        let created =
            self.set_api(key).create(&PostParams::default(), &set).await.map_err(on::<ReplicaSet>(
                "create",
                Some(&key.namespace),
                name(&set),
            ));
        match created {
            Ok(created) => {
                self.writes.wrote(key, &created);
                if replicas > 0 {
                    self.tell_scaled(deployment, name(&created), 0, replicas);
                }
                Ok(Outcome::Done)
            }
            Err(error) if error.is_already_exists() => {
                self.taken_name(key, deployment, &set, error).await
            }
            Err(error) => {
                if !error.is_namespace_terminating() {
                    let message = format!(
                        "Failed to create new replica set {:?}: {}",
                        name(&set),
                        error.message()
                    );
                    self.tell(deployment, EventType::Warning, "ReplicaSetCreateError", message);
                }
                Ok(Outcome::CreateFailed(error))
            }
        }
    }

    /// A ReplicaSet of that name exists: it is ours and the cache is behind, or another template
    /// has the same hash.
    async fn taken_name(
        &self,
        key: &Key,
        deployment: &Deployment,
        wanted: &ReplicaSet,
        error: SyncError,
    ) -> Result<Outcome, SyncError> {
        let there = self.set_api(key).get_opt(name(wanted)).await.map_err(on::<ReplicaSet>(
            "get",
            Some(&key.namespace),
            name(wanted),
        ))?;
        let Some(there) = there else { return Err(error) };
        if is_controlled_by(&there.metadata, uid(deployment))
            && revision::same_template(&there, deployment)
        {
            self.writes.wrote(key, &there);
            return Ok(Outcome::Done);
        }
        tracing::info!(deployment = %key, set = name(wanted), "the hash of the template is taken");
        Ok(Outcome::HashCollision)
    }

    async fn scale(
        &self,
        key: &Key,
        deployment: &Deployment,
        set: &ReplicaSet,
        to: i32,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), SyncError> {
        let patch = json!({
            "metadata": {
                "resourceVersion": set.metadata.resource_version,
                "annotations": annotations,
            },
            "spec": { "replicas": to },
        });
        self.patch_set(key, set, "scale", patch).await?;
        let from = plan::replicas(set);
        if from != to {
            self.tell_scaled(deployment, name(set), from, to);
        }
        Ok(())
    }

    async fn patch_set(
        &self,
        key: &Key,
        set: &ReplicaSet,
        verb: &'static str,
        patch: serde_json::Value,
    ) -> Result<(), SyncError> {
        let answer = self
            .set_api(key)
            .patch(name(set), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(on::<ReplicaSet>(verb, Some(&key.namespace), name(set)))?;
        self.writes.wrote(key, &answer);
        Ok(())
    }

    async fn delete(&self, key: &Key, set: &ReplicaSet) -> Result<(), SyncError> {
        let preconditions = Preconditions { uid: set.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::background().preconditions(preconditions);
        self.writes.deleting(key, uid(set));
        let deleted = self.set_api(key).delete(name(set), &params).await;
        match deleted.map_err(on::<ReplicaSet>("delete", Some(&key.namespace), name(set))) {
            Ok(_) => Ok(()),
            Err(error) => {
                self.writes.not_deleted(key, uid(set));
                if error.is_not_found() { Ok(()) } else { Err(error) }
            }
        }
    }

    async fn annotate(
        &self,
        key: &Key,
        deployment: &Deployment,
        revision: &str,
    ) -> Result<(), SyncError> {
        if annotation(deployment, revision::REVISION) == Some(revision) {
            return Ok(());
        }
        let patch = json!({ "metadata": {
            "uid": uid(deployment),
            "annotations": { revision::REVISION: revision },
        } });
        let answer = self
            .api(key)
            .patch(&key.name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(on::<Deployment>("annotate", Some(&key.namespace), &key.name))?;
        self.writes.wrote(key, &answer);
        Ok(())
    }

    fn tell_scaled(&self, deployment: &Deployment, set: &str, from: i32, to: i32) {
        let direction = if to > from { "up" } else { "down" };
        let message = format!("Scaled {direction} replica set {set} from {from} to {to}");
        self.tell(deployment, EventType::Normal, "ScalingReplicaSet", message);
    }

    fn tell(&self, deployment: &Deployment, kind: EventType, reason: &str, message: String) {
        self.context.recorder.event(&deployment.object_ref(&()), kind, reason, message);
    }
}

enum Outcome {
    Done,
    HashCollision,
    CreateFailed(SyncError),
}

impl Controller for DeploymentController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn all(&self) -> Vec<Key> {
        self.deployments.store().state().iter().map(|one| Key::of(&**one)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let Some(deployment) = self.deployments.object(Some(&key.namespace), &key.name) else {
            return Ok(Next::Done);
        };
        let Some(sets) = self.claim(key, &deployment).await? else {
            let message =
                "This deployment is selecting all pods. A non-empty selector is required.";
            self.tell(&deployment, EventType::Warning, "SelectingAll", message.to_owned());
            return Ok(Next::Done);
        };
        if self.writes.is_pending(key) {
            // Something was adopted or released: decide on what the watch will show.
            return Ok(Next::After(Duration::from_millis(100)));
        }
        let newest = revision::newest(&deployment, &sets).map(|set| uid(&**set).to_owned());
        let old_pods_run = plan::recreates(&deployment)
            && !is_deleted(&*deployment)
            && self.old_pods_run(&sets, newest.as_deref());
        let observed = Observed {
            deployment: &deployment,
            sets: &sets,
            old_pods_run,
            now: self.context.clock.now(),
        };
        let plan = plan::plan(&observed);
        self.carry_out(key, &deployment, plan).await
    }
}

#[cfg(test)]
mod tests;
