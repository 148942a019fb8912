//! A namespace that is deleted is emptied, pods first, and then let go.

mod conditions;

use std::collections::BTreeMap;
use std::time::Duration;

use corten_client::Informer;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use kube::discovery::{ApiCapabilities, ApiResource, Discovery, Scope, verbs};
use kube::{Api, Client};

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, namespace};
use crate::runner::{Controller, Next, Runner, Writes};
use conditions::Remains;

/// What keeps a namespace until this controller is done.
const FINALIZER: &str = "kubernetes";
/// When to look again at what has not gone yet; the end of a pod is told by the watch.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

struct NamespaceController {
    context: Context,
    namespaces: Informer<Namespace>,
    writes: Writes<Key>,
}

pub(crate) fn start(context: &Context) {
    let controller = NamespaceController {
        context: context.clone(),
        namespaces: context.informers.get(),
        writes: Writes::default(),
    };
    let namespaces = controller.namespaces.clone();
    Runner::new(context, controller)
        .watch(namespaces, |_, namespace| vec![Key::of(namespace)])
        .watch(context.informers.get::<Pod>(), NamespaceController::keys_of_pod)
        .start(context.config.concurrent_syncs);
}

/// A kind of the API server and what can be done with it.
type Kind = (ApiResource, ApiCapabilities);

/// The kinds of which objects are in namespaces and can be deleted; pods first.
async fn kinds(client: Client) -> Result<Vec<Kind>, kube::Error> {
    let discovery = Discovery::new(client).run_aggregated().await?;
    let mut kinds: Vec<Kind> = discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::resources_by_stability)
        .filter(|(_, can)| can.scope == Scope::Namespaced)
        .filter(|(_, can)| can.supports_operation(verbs::DELETE))
        .filter(|(_, can)| can.supports_operation(verbs::LIST))
        .collect();
    kinds.sort_by_key(|(kind, _)| !is_pods(kind));
    Ok(kinds)
}

fn is_pods(kind: &ApiResource) -> bool {
    kind.group.is_empty() && kind.plural == "pods"
}

impl NamespaceController {
    fn keys_of_pod(&self, pod: &Pod) -> Vec<Key> {
        let of_pod = self.namespaces.object(None, namespace(pod));
        let of_pod = of_pod.filter(|of_pod| is_deleted(&**of_pod));
        of_pod.iter().map(|of_pod| Key::of(&**of_pod)).collect()
    }

    /// Deletes what is in the namespace; tells what is still there.
    async fn empty(&self, key: &Key) -> Remains {
        let mut remains = Remains::default();
        let kinds = match kinds(self.context.client()).await {
            Ok(kinds) => kinds,
            Err(error) => {
                remains.discovery_failure = Some(error.to_string());
                return remains;
            }
        };
        for (kind, can) in kinds {
            if !is_pods(&kind) && !remains.counts.is_empty() && remains.has_pods {
                // What pods need while they end stays as long as they do.
                break;
            }
            if let Err(error) = self.empty_of(key, &kind, &can, &mut remains).await {
                remains.failures.push(format!("{}: {error}", kind.plural));
            }
        }
        remains
    }

    async fn empty_of(
        &self,
        key: &Key,
        kind: &ApiResource,
        can: &ApiCapabilities,
        remains: &mut Remains,
    ) -> Result<(), kube::Error> {
        let api = Api::<DynamicObject>::namespaced_with(self.context.client(), &key.name, kind);
        let all = ListParams::default();
        let there = api.list_metadata(&all).await?;
        if there.items.is_empty() {
            return Ok(());
        }
        let params = DeleteParams::background();
        if can.supports_operation(verbs::DELETE_COLLECTION) {
            api.delete_collection(&params, &all).await?;
        } else {
            for object in &there.items {
                let name = object.metadata.name.as_deref().unwrap_or_default();
                match api.delete(name, &params).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let left = api.list_metadata(&all).await?;
        if left.items.is_empty() {
            return Ok(());
        }
        remains.has_pods |= is_pods(kind);
        let plural = match kind.group.as_str() {
            "" => kind.plural.clone(),
            group => format!("{}.{group}", kind.plural),
        };
        remains.counts.insert(plural, left.items.len());
        for finalizer in left.items.iter().flat_map(|o| o.metadata.finalizers.iter().flatten()) {
            *remains.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        Ok(())
    }

    async fn tell(&self, key: &Key, of: &Namespace, remains: &Remains) -> Result<(), SyncError> {
        let now = self.context.clock.time();
        let Some(status) = conditions::changed(of, remains, &now) else { return Ok(()) };
        let mut changed = of.clone();
        changed.status = Some(status);
        let answer = Api::<Namespace>::all(self.context.client())
            .replace_status(&key.name, &PostParams::default(), &changed)
            .await
            .map_err(on::<Namespace>("update the status of", None, &key.name))?;
        self.writes.wrote(key, &answer);
        Ok(())
    }

    async fn let_go(&self, key: &Key, of: &Namespace) -> Result<(), SyncError> {
        let mut finalized = of.clone();
        let finalizers = finalized.spec.get_or_insert_default().finalizers.get_or_insert_default();
        finalizers.retain(|finalizer| finalizer != FINALIZER);
        let api = Api::<Namespace>::all(self.context.client());
        let params = PostParams::default();
        let answer = api.replace_subresource("finalize", &key.name, &params, &finalized).await;
        match answer.map_err(on::<Namespace>("finalize", None, &key.name)) {
            Ok(_) => {
                tracing::info!(namespace = key.name, "emptied");
                Ok(())
            }
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Controller for NamespaceController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn all(&self) -> Vec<Key> {
        let namespaces = self.namespaces.store().state();
        namespaces.iter().filter(|one| is_deleted(&***one)).map(|one| Key::of(&**one)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let Some(of) = self.namespaces.object(None, &key.name).filter(|of| is_deleted(&**of))
        else {
            return Ok(Next::Done);
        };
        let finalizers = of.spec.as_ref().and_then(|spec| spec.finalizers.as_deref());
        if !finalizers.unwrap_or_default().iter().any(|finalizer| finalizer == FINALIZER) {
            return Ok(Next::Done);
        }
        let remains = self.empty(key).await;
        if remains.is_nothing() {
            self.let_go(key, &of).await?;
            return Ok(Next::Done);
        }
        tracing::debug!(namespace = key.name, ?remains, "not empty yet");
        self.tell(key, &of, &remains).await?;
        Ok(Next::After(LOOK_AGAIN))
    }
}

/// Counts by name, as text.
fn listed(counts: &BTreeMap<String, usize>, join: &str, noun: &str) -> String {
    let texts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name}{join}{count} {noun}")).collect();
    texts.join(", ")
}
