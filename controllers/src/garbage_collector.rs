//! Deletes what nobody owns any more, lets owners wait for their dependents (foreground) or part
//! from them (orphan). Only metadata is watched, of every kind that the API server has.

mod graph;

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use corten_client::EventType;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::PartialObjectMeta;
use kube::discovery::{ApiGroup, ApiResource, Discovery, Scope, verbs};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::json;
use tokio::sync::watch;

use crate::context::Context;
use crate::error::SyncError;
use crate::runner::{Controller, Feed, Next, Runner, Writes};
use graph::{Decision, FOREGROUND, Graph, Identity, Node, ORPHAN, OwnerState, Uid, decide};

/// How long to wait before the kinds are asked for again if they could not be read.
const DISCOVERY_RETRY: Duration = Duration::from_secs(1);
/// The longest such wait.
const DISCOVERY_RETRY_MAX: Duration = Duration::from_secs(30);

struct GarbageCollector {
    context: Context,
    /// Set once, before anything is watched.
    kinds: OnceLock<Vec<Kind>>,
    graph: Mutex<Graph>,
    writes: Writes<Identity>,
}

#[derive(Clone, Debug)]
struct Kind {
    resource: ApiResource,
    namespaced: bool,
}

pub(crate) fn start(context: &Context) {
    let controller = GarbageCollector {
        context: context.clone(),
        kinds: OnceLock::new(),
        graph: Mutex::default(),
        writes: Writes::default(),
    };
    let runner = Runner::new(context, controller);
    let (controller, feed) = (runner.controller(), runner.feed());
    let (tell_complete, complete) = watch::channel(false);
    let tasks = context.tasks.clone();
    context.tasks.spawn("garbage collector", async move {
        let kinds = controller.discover().await;
        let count = controller.kinds.get_or_init(|| kinds).len();
        let (done, mut told) = tokio::sync::mpsc::channel(count.max(1));
        for kind in 0..count {
            let watch = Arc::clone(&controller).watch(kind, feed.clone(), done.clone());
            tasks.spawn("garbage collector watch", watch);
        }
        drop(done);
        for _ in 0..count {
            if told.recv().await.is_none() {
                return;
            }
        }
        tracing::debug!(kinds = count, "the graph of owners is complete");
        tell_complete.send_replace(true);
        // Held until the end, so that nobody takes its end for completeness.
        std::future::pending::<()>().await;
    });
    let workers = context.config.concurrent_syncs;
    runner.after(wait_for(complete)).start(workers);
}

async fn wait_for(mut complete: watch::Receiver<bool>) {
    if complete.wait_for(|complete| *complete).await.is_err() {
        std::future::pending::<()>().await;
    }
}

impl GarbageCollector {
    /// The kinds that can own or be owned: all that can be listed, watched and deleted, except
    /// events, which are many, short-lived and nobody's.
    async fn discover(&self) -> Vec<Kind> {
        let mut wait = DISCOVERY_RETRY;
        loop {
            match Discovery::new(self.context.client()).run_aggregated().await {
                Ok(discovery) => {
                    let all = discovery.groups().flat_map(ApiGroup::resources_by_stability);
                    let can = |(_, can): &(ApiResource, kube::discovery::ApiCapabilities)| {
                        [verbs::LIST, verbs::WATCH, verbs::DELETE]
                            .iter()
                            .all(|verb| can.supports_operation(verb))
                    };
                    return all
                        .filter(can)
                        .filter(|(resource, _)| resource.plural != "events")
                        .map(|(resource, can)| Kind {
                            namespaced: can.scope == Scope::Namespaced,
                            resource,
                        })
                        .collect();
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the kinds of the API server can't be read");
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(DISCOVERY_RETRY_MAX);
        }
    }

    fn kinds(&self) -> &[Kind] {
        self.kinds.get().map(Vec::as_slice).unwrap_or_default()
    }

    fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the graph up to date about a kind; tells `done` once it is complete.
    async fn watch(
        self: Arc<Self>,
        kind: usize,
        feed: Feed<Identity>,
        done: tokio::sync::mpsc::Sender<()>,
    ) {
        let Some(resource) = self.kinds().get(kind).map(|kind| kind.resource.clone()) else {
            return;
        };
        let api =
            Api::<PartialObjectMeta<DynamicObject>>::all_with(self.context.client(), &resource);
        let watched = watcher(api, watcher::Config::default()).default_backoff();
        let mut events = pin!(watched);
        let mut listed = HashSet::new();
        let mut done = Some(done);
        while let Some(event) = events.next().await {
            let look_at = match event {
                Ok(watcher::Event::Init) => {
                    listed.clear();
                    Vec::new()
                }
                Ok(watcher::Event::InitApply(object)) => {
                    listed.insert(object.metadata.uid.clone().unwrap_or_default());
                    self.graph().apply(Node::new(kind, &object.metadata))
                }
                Ok(watcher::Event::InitDone) => {
                    let gone = self.graph().retain(kind, &listed);
                    listed = HashSet::new();
                    if let Some(done) = done.take() {
                        // Nobody listens any more when the controllers are ending.
                        done.send(()).await.unwrap_or_default();
                    }
                    gone
                }
                Ok(watcher::Event::Apply(object)) => {
                    self.graph().apply(Node::new(kind, &object.metadata))
                }
                Ok(watcher::Event::Delete(object)) => {
                    self.graph().remove(object.metadata.uid.as_deref().unwrap_or_default())
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(kind = resource.kind, error, "watch failed");
                    Vec::new()
                }
            };
            feed.add_all(look_at);
        }
    }

    fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        let client = self.context.client();
        if kind.namespaced {
            Api::namespaced_with(client, namespace, &kind.resource)
        } else {
            Api::all_with(client, &kind.resource)
        }
    }

    fn kind_of_owner(&self, owner: &OwnerReference) -> Option<&Kind> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        self.kinds()
            .iter()
            .find(|kind| kind.resource.group == group && kind.resource.kind == owner.kind)
    }

    /// What an owner is, by the graph or, if it isn't there, by the API server.
    async fn owner_state(
        &self,
        item: &Identity,
        item_kind: &Kind,
        owner: &OwnerReference,
    ) -> Result<OwnerState, SyncError> {
        let known = self.graph().get(&owner.uid).cloned();
        if let Some(node) = known {
            let kind = &self.kinds()[node.identity.kind];
            let is_same = node.identity.name == owner.name
                && kind.resource.kind == owner.kind
                && (!kind.namespaced || node.identity.namespace == item.namespace);
            if is_same {
                let waits = node.is_foreground;
                return Ok(if waits { OwnerState::Waiting } else { OwnerState::Solid });
            }
        }
        let Some(kind) = self.kind_of_owner(owner) else {
            // Of a kind that is not known nothing can be said.
            tracing::debug!(%item, kind = owner.kind, "an owner of an unknown kind");
            return Ok(OwnerState::Solid);
        };
        if kind.namespaced && !item_kind.namespaced {
            let message = format!(
                "ownerRef [{}/{}, namespace: , name: {}, uid: {}] does not exist in namespace \"\"",
                owner.api_version, owner.kind, owner.name, owner.uid
            );
            self.warn(item, item_kind, message);
            return Ok(OwnerState::Solid);
        }
        let api = self.api(kind, &item.namespace);
        let there = api.get_metadata_opt(&owner.name).await;
        let there = there.map_err(failed("get", kind, &item.namespace, &owner.name))?;
        Ok(match there.filter(|there| there.metadata.uid.as_deref() == Some(&owner.uid)) {
            None => OwnerState::Dangling,
            Some(there) if Node::new(0, &there.metadata).is_foreground => OwnerState::Waiting,
            Some(_) => OwnerState::Solid,
        })
    }

    fn warn(&self, item: &Identity, kind: &Kind, message: String) {
        let reference = ObjectReference {
            api_version: Some(kind.resource.api_version.clone()),
            kind: Some(kind.resource.kind.clone()),
            namespace: Some(item.namespace.clone()),
            name: Some(item.name.clone()),
            uid: Some(item.uid.clone()),
            ..ObjectReference::default()
        };
        let warning = EventType::Warning;
        self.context.recorder.event(&reference, warning, "OwnerRefInvalidNamespace", message);
    }

    /// An object that waits for its dependents.
    async fn wait_for_dependents(
        &self,
        item: &Identity,
        kind: &Kind,
        feed_back: &mut Vec<Identity>,
    ) -> Result<(), SyncError> {
        let blocking: Vec<Node> = self.graph().blocking(&item.uid).cloned().collect();
        if blocking.is_empty() {
            return self.remove_finalizer(item, kind, FOREGROUND).await;
        }
        let not_ending = blocking.into_iter().filter(|node| !node.is_deleted);
        feed_back.extend(not_ending.map(|node| node.identity));
        Ok(())
    }

    /// An object that parts from its dependents.
    async fn orphan(&self, item: &Identity, kind: &Kind) -> Result<(), SyncError> {
        let dependents: Vec<Node> = self.graph().dependents(&item.uid).cloned().collect();
        let ours = [item.uid.clone()];
        for dependent in &dependents {
            let kind = &self.kinds()[dependent.identity.kind];
            self.change_owners(&dependent.identity, kind, |owners| {
                owners.retain(|owner| !ours.contains(&owner.uid));
            })
            .await?;
        }
        self.remove_finalizer(item, kind, ORPHAN).await
    }

    async fn remove_finalizer(
        &self,
        item: &Identity,
        kind: &Kind,
        finalizer: &str,
    ) -> Result<(), SyncError> {
        self.change(item, kind, |meta| {
            let mut finalizers = meta.finalizers.clone().unwrap_or_default();
            let before = finalizers.len();
            finalizers.retain(|one| one != finalizer);
            (finalizers.len() != before).then(|| json!({ "finalizers": finalizers }))
        })
        .await
    }

    async fn change_owners(
        &self,
        item: &Identity,
        kind: &Kind,
        change: impl Fn(&mut Vec<OwnerReference>),
    ) -> Result<(), SyncError> {
        self.change(item, kind, |meta| {
            let before = meta.owner_references.clone().unwrap_or_default();
            let mut owners = before.clone();
            change(&mut owners);
            (owners != before).then(|| json!({ "ownerReferences": owners }))
        })
        .await
    }

    /// Changes the metadata of an object, as it is at the API server, if it is still the same.
    async fn change(
        &self,
        item: &Identity,
        kind: &Kind,
        change: impl Fn(&ObjectMeta) -> Option<serde_json::Value>,
    ) -> Result<(), SyncError> {
        let api = self.api(kind, &item.namespace);
        let there = api.get_metadata_opt(&item.name).await;
        let there = there.map_err(failed("get", kind, &item.namespace, &item.name))?;
        let there = there.filter(|there| there.metadata.uid.as_deref() == Some(&item.uid));
        let Some(mut metadata) = there.as_ref().and_then(|there| change(&there.metadata)) else {
            return Ok(());
        };
        let version = there.and_then(|there| there.metadata.resource_version);
        metadata["resourceVersion"] = json!(version);
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        match api.patch_metadata(&item.name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed("patch", kind, &item.namespace, &item.name)(error)),
        }
    }

    async fn delete(
        &self,
        item: &Identity,
        kind: &Kind,
        meta: &ObjectMeta,
        foreground: bool,
    ) -> Result<(), SyncError> {
        let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|one| one == finalizer);
        // What somebody has asked for already stays as it is.
        let params = if has(ORPHAN) {
            DeleteParams::orphan()
        } else if foreground || has(FOREGROUND) {
            DeleteParams::foreground()
        } else {
            DeleteParams::background()
        };
        // Not if it got another owner just now.
        let preconditions = Preconditions {
            uid: Some(item.uid.clone()),
            resource_version: meta.resource_version.clone(),
        };
        tracing::debug!(%item, kind = kind.resource.kind, foreground, "nobody owns it");
        let api = self.api(kind, &item.namespace);
        match api.delete(&item.name, &params.preconditions(preconditions)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed("delete", kind, &item.namespace, &item.name)(error)),
        }
    }

    async fn collect(&self, item: &Identity, kind: &Kind) -> Result<(), SyncError> {
        let api = self.api(kind, &item.namespace);
        let there = api.get_metadata_opt(&item.name).await;
        let there = there.map_err(failed("get", kind, &item.namespace, &item.name))?;
        let same = there.filter(|there| there.metadata.uid.as_deref() == Some(&item.uid));
        let Some(there) = same else {
            self.graph().remove(&item.uid);
            return Ok(());
        };
        let meta = there.metadata;
        let mut owners: Vec<(Uid, OwnerState)> = Vec::new();
        let mut asked: HashMap<&str, OwnerState> = HashMap::new();
        for owner in meta.owner_references.iter().flatten() {
            let state = match asked.get(owner.uid.as_str()) {
                Some(state) => *state,
                None => self.owner_state(item, kind, owner).await?,
            };
            asked.insert(&owner.uid, state);
            owners.push((owner.uid.clone(), state));
        }
        let decision = decide(&owners, self.graph().dependents(&item.uid));
        match decision {
            Decision::Keep => Ok(()),
            Decision::DropOwners(useless) => {
                self.change_owners(item, kind, |owners| {
                    owners.retain(|owner| !useless.contains(&owner.uid));
                })
                .await
            }
            Decision::Delete => self.delete(item, kind, &meta, false).await,
            Decision::DeleteForeground { unblock } => {
                if unblock {
                    // A ring of owners would wait for itself for ever.
                    self.change_owners(item, kind, |owners| {
                        for owner in owners {
                            owner.block_owner_deletion = Some(false);
                        }
                    })
                    .await?;
                    let meta = ObjectMeta { resource_version: None, ..meta };
                    return self.delete(item, kind, &meta, true).await;
                }
                self.delete(item, kind, &meta, true).await
            }
        }
    }
}

fn failed(
    verb: &'static str,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> impl FnOnce(kube::Error) -> SyncError {
    let (kind, name) = (kind.resource.kind.clone(), format!("{namespace}/{name}"));
    move |source| SyncError { verb, kind, name, source: Box::new(source) }
}

impl Controller for GarbageCollector {
    type Key = Identity;

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn all(&self) -> Vec<Identity> {
        self.graph().all()
    }

    fn writes(&self) -> &Writes<Identity> {
        &self.writes
    }

    async fn reconcile(&self, item: &Identity) -> Result<Next, SyncError> {
        let known = self.graph().get(&item.uid).cloned();
        let (Some(node), Some(kind)) = (known, self.kinds().get(item.kind)) else {
            return Ok(Next::Done);
        };
        if node.is_orphaning {
            self.orphan(item, kind).await?;
        } else if node.is_foreground {
            let mut blocking = Vec::new();
            self.wait_for_dependents(item, kind, &mut blocking).await?;
            for dependent in blocking {
                if let Some(kind) = self.kinds().get(dependent.kind) {
                    self.collect(&dependent, kind).await?;
                }
            }
        } else if !node.is_deleted && !node.owners.is_empty() {
            self.collect(item, kind).await?;
        }
        Ok(Next::Done)
    }
}
