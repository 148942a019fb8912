//! ReplicaSets: as many pods of a template as wanted.

mod rank;
mod status;

use std::sync::Arc;
use std::time::Duration;

use corten_client::{EventType, Informer};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Resource as _};

use crate::claim;
use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, controller, is_deleted, name, namespace, owned_by, uid};
use crate::pods;
use crate::runner::{Controller, Next, Runner, Writes};

/// Pods made or deleted in one go, at most.
const BURST_MAX: usize = 500;

struct ReplicaSetController {
    context: Context,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    writes: Writes<Key>,
}

pub(crate) fn start(context: &Context) {
    let controller = ReplicaSetController {
        context: context.clone(),
        sets: context.informers.get(),
        pods: context.informers.get(),
        writes: Writes::default(),
    };
    let (sets, pods) = (controller.sets.clone(), controller.pods.clone());
    Runner::new(context, controller)
        .watch(sets, |_, set| vec![Key::of(set)])
        .watch(pods, ReplicaSetController::keys_of_pod)
        .start(context.config.concurrent_syncs);
}

impl ReplicaSetController {
    fn keys_of_pod(&self, pod: &Pod) -> Vec<Key> {
        if let Some(owner) = controller(&pod.metadata) {
            let is_set = owner.kind == "ReplicaSet";
            return is_set.then(|| Key::new(namespace(pod), &owner.name)).into_iter().collect();
        }
        let selects = |set: &ReplicaSet| {
            let selector = set.spec.as_ref().and_then(|spec| claim::selector(&spec.selector));
            namespace(set) == namespace(pod)
                && selector.is_some_and(|selector| claim::matches(&selector, pod))
        };
        let sets = self.sets.store().state();
        sets.iter().filter(|set| selects(set)).map(|set| Key::of(&**set)).collect()
    }

    fn pod_api(&self, key: &Key) -> Api<Pod> {
        Api::namespaced(self.context.client(), &key.namespace)
    }

    /// The pods of the set that have not ended; orphans are adopted, others' released, on the way.
    async fn claim(&self, key: &Key, set: &ReplicaSet) -> Result<Option<Vec<Arc<Pod>>>, SyncError> {
        let Some(selector) = set.spec.as_ref().and_then(|s| claim::selector(&s.selector)) else {
            return Ok(None);
        };
        let of_namespace = self.pods.store().state().into_iter();
        let running = of_namespace.filter(|pod| !pods::is_terminal(pod));
        let claims = claim::claims(set, &selector, running);
        let client = self.context.client();
        for pod in &claims.release {
            let released = claim::release(&client, &**pod, uid(set)).await?;
            self.writes.wrote(key, &released);
        }
        let mut mine = claims.mine;
        for pod in &claims.adopt {
            let adopted = claim::adopt(&client, &**pod, owned_by(set)).await?;
            self.writes.wrote(key, &adopted);
            mine.push(Arc::new(adopted));
        }
        Ok(Some(mine))
    }

    /// Makes or deletes pods until there are as many as wanted.
    async fn manage(
        &self,
        key: &Key,
        set: &ReplicaSet,
        active: &[Arc<Pod>],
    ) -> Result<(), SyncError> {
        let wanted = status::wanted(set);
        if active.len() < wanted {
            return self.create(key, set, (wanted - active.len()).min(BURST_MAX)).await;
        }
        let excess = (active.len() - wanted).min(BURST_MAX);
        if excess == 0 {
            return Ok(());
        }
        let siblings = self.siblings(set);
        let now = self.context.clock.now();
        let doomed = rank::first_to_go(active, &siblings, excess, now);
        let deletions = doomed.iter().map(|pod| self.delete(key, set, pod));
        join_all(deletions).await.into_iter().collect()
    }

    /// All active pods of ReplicaSets with the same controller: one per node should stay.
    fn siblings(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let owner = controller(&set.metadata).map(|owner| owner.uid.as_str());
        let related: Vec<Arc<ReplicaSet>> = self
            .sets
            .store()
            .state()
            .into_iter()
            .filter(|other| {
                uid(&**other) == uid(set)
                    || owner.is_some()
                        && controller(&other.metadata).map(|o| o.uid.as_str()) == owner
            })
            .collect();
        let is_related = |pod: &Pod| {
            controller(&pod.metadata)
                .is_some_and(|owner| related.iter().any(|set| uid(&**set) == owner.uid))
        };
        let pods = self.pods.store().state().into_iter();
        pods.filter(|pod| pods::is_active(pod) && is_related(pod)).collect()
    }

    /// In batches that double: if the template can't be made into a pod, few requests are wasted.
    async fn create(&self, key: &Key, set: &ReplicaSet, count: usize) -> Result<(), SyncError> {
        let pod = new_pod(set);
        let api = self.pod_api(key);
        let (mut left, mut batch) = (count, 1);
        while left > 0 {
            let now = batch.min(left);
            let params = PostParams::default();
            let made = join_all((0..now).map(|_| api.create(&params, &pod))).await;
            let mut failure = None;
            for one in made {
                match one.map_err(on::<Pod>("create", Some(&key.namespace), name(set))) {
                    Ok(pod) => {
                        self.writes.wrote(key, &pod);
                        let message = format!("Created pod: {}", name(&pod));
                        self.tell(set, EventType::Normal, "SuccessfulCreate", message);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            if let Some(error) = failure {
                if error.is_namespace_terminating() {
                    return Ok(());
                }
                let message = format!("Error creating: {}", error.message());
                self.tell(set, EventType::Warning, "FailedCreate", message);
                return Err(error);
            }
            left -= now;
            batch *= 2;
        }
        Ok(())
    }

    async fn delete(&self, key: &Key, set: &ReplicaSet, pod: &Pod) -> Result<(), SyncError> {
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        self.writes.deleting(key, uid(pod));
        let deleted = self.pod_api(key).delete(name(pod), &params).await;
        match deleted.map_err(on::<Pod>("delete", Some(&key.namespace), name(pod))) {
            Ok(_) => {
                let message = format!("Deleted pod: {}", name(pod));
                self.tell(set, EventType::Normal, "SuccessfulDelete", message);
                Ok(())
            }
            // Gone already: the watch will show it.
            Err(error) if error.is_not_found() || error.is_conflict() => {
                self.writes.not_deleted(key, uid(pod));
                Ok(())
            }
            Err(error) => {
                self.writes.not_deleted(key, uid(pod));
                let message = format!("Error deleting: {}", error.message());
                self.tell(set, EventType::Warning, "FailedDelete", message);
                Err(error)
            }
        }
    }

    async fn write_status(
        &self,
        key: &Key,
        set: &ReplicaSet,
        status: k8s_openapi::api::apps::v1::ReplicaSetStatus,
    ) -> Result<(), SyncError> {
        if set.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let mut changed = set.clone();
        changed.status = Some(status);
        let api = Api::<ReplicaSet>::namespaced(self.context.client(), &key.namespace);
        let answer = api
            .replace_status(&key.name, &PostParams::default(), &changed)
            .await
            .map_err(on::<ReplicaSet>("update the status of", Some(&key.namespace), &key.name))?;
        self.writes.wrote(key, &answer);
        Ok(())
    }

    fn tell(&self, set: &ReplicaSet, kind: EventType, reason: &str, message: String) {
        self.context.recorder.event(&set.object_ref(&()), kind, reason, message);
    }
}

/// A pod of the set's template.
fn new_pod(set: &ReplicaSet) -> Pod {
    let template = set.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default();
    let meta = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", name(set))),
            namespace: set.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owned_by(set)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

impl Controller for ReplicaSetController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn all(&self) -> Vec<Key> {
        self.sets.store().state().iter().map(|set| Key::of(&**set)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let Some(set) = self.sets.object(Some(&key.namespace), &key.name) else {
            return Ok(Next::Done);
        };
        let Some(claimed) = self.claim(key, &set).await? else {
            let message =
                "This replica set is selecting all pods. A non-empty selector is required.";
            self.tell(&set, EventType::Warning, "SelectingAll", message.to_owned());
            return Ok(Next::Done);
        };
        let active: Vec<Arc<Pod>> =
            claimed.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
        let managed =
            if is_deleted(&*set) { Ok(()) } else { self.manage(key, &set, &active).await };
        let terminating = claimed.len() - active.len();
        let now = self.context.clock.now();
        let failure = managed.as_ref().err();
        let status = status::compute(&set, &active, terminating, failure, now);
        self.write_status(key, &set, status).await?;
        managed?;
        let soonest = status::next_available(&set, &active, now);
        Ok(soonest.map_or(Next::Done, |wait: Duration| Next::After(wait)))
    }
}
