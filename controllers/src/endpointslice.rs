//! EndpointSlices: for each Service with a selector, the addresses of its pods, at most 100 in a
//! slice.

mod slices;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use corten_client::Informer;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, name, namespace, uid};
use crate::runner::{Controller, Next, Runner, Writes};
use crate::service_endpoints::{backends, selector, selects};
use slices::{MANAGED_BY, MANAGER, SERVICE_NAME};

struct EndpointSliceController {
    context: Context,
    services: Informer<Service>,
    pods: Informer<Pod>,
    slices: Informer<EndpointSlice>,
    nodes: Informer<Node>,
    writes: Writes<Key>,
    members: Members,
}

/// Which Services selected a pod when it was last seen: when its labels change or it goes, those
/// must drop it.
#[derive(Debug, Default)]
pub(crate) struct Members {
    services: Mutex<HashMap<Key, HashSet<Key>>>,
}

impl Members {
    /// The Services that select the pod, or did until now.
    pub(crate) fn concerned(&self, services: &Informer<Service>, pod: &Pod) -> Vec<Key> {
        let now: HashSet<Key> = services
            .store()
            .state()
            .iter()
            .filter(|service| selects(service, pod))
            .map(|service| Key::of(&**service))
            .collect();
        let mut known = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if now.is_empty() {
            known.remove(&Key::of(pod))
        } else {
            known.insert(Key::of(pod), now.clone())
        };
        before.unwrap_or_default().union(&now).cloned().collect()
    }
}

pub(crate) fn start(context: &Context) {
    let controller = EndpointSliceController {
        context: context.clone(),
        services: context.informers.get(),
        pods: context.informers.get(),
        slices: context.informers.get(),
        nodes: context.informers.get(),
        writes: Writes::default(),
        members: Members::default(),
    };
    let (services, pods) = (controller.services.clone(), controller.pods.clone());
    let (slices, nodes) = (controller.slices.clone(), controller.nodes.clone());
    Runner::new(context, controller)
        .watch(services, |_, service| vec![Key::of(service)])
        .watch(pods, |this, pod| this.members.concerned(&this.services, pod))
        .watch(slices, |_, slice| service_of(slice).into_iter().collect())
        // Read for the zones only; a node is there before its pods are.
        .watch(nodes, |_, _| Vec::new())
        .start(context.config.concurrent_syncs);
}

/// The Service that one of our slices belongs to.
fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let labels = slice.metadata.labels.as_ref()?;
    let is_ours = labels.get(MANAGED_BY).map(String::as_str) == Some(MANAGER);
    let service = labels.get(SERVICE_NAME).filter(|_| is_ours)?;
    Some(Key::new(namespace(slice), service))
}

impl EndpointSliceController {
    fn api(&self, key: &Key) -> Api<EndpointSlice> {
        Api::namespaced(self.context.client(), &key.namespace)
    }

    async fn carry_out(&self, key: &Key, change: slices::Change) -> Result<(), SyncError> {
        match change {
            slices::Change::Create(slice) => {
                let created = self.api(key).create(&PostParams::default(), &slice).await;
                match created.map_err(on::<EndpointSlice>(
                    "create",
                    Some(&key.namespace),
                    &key.name,
                )) {
                    Ok(created) => self.writes.wrote(key, &created),
                    Err(error) if error.is_namespace_terminating() => {}
                    Err(error) => return Err(error),
                }
            }
            slices::Change::Update(slice) => {
                let updated = self
                    .api(key)
                    .replace(name(&*slice), &PostParams::default(), &slice)
                    .await
                    .map_err(on::<EndpointSlice>("update", Some(&key.namespace), name(&*slice)))?;
                self.writes.wrote(key, &updated);
            }
            slices::Change::Delete(slice) => self.delete(key, &slice).await?,
        }
        Ok(())
    }

    async fn delete(&self, key: &Key, slice: &EndpointSlice) -> Result<(), SyncError> {
        let preconditions =
            Preconditions { uid: slice.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        self.writes.deleting(key, uid(slice));
        let deleted = self.api(key).delete(name(slice), &params).await;
        let deleted =
            deleted.map_err(on::<EndpointSlice>("delete", Some(&key.namespace), name(slice)));
        match deleted {
            Ok(_) => Ok(()),
            Err(error) => {
                self.writes.not_deleted(key, uid(slice));
                if error.is_not_found() { Ok(()) } else { Err(error) }
            }
        }
    }
}

impl Controller for EndpointSliceController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn all(&self) -> Vec<Key> {
        // Those of pods are remembered on the way.
        for pod in self.pods.store().state() {
            self.members.concerned(&self.services, &pod);
        }
        let services = self.services.store().state();
        let slices = self.slices.store().state();
        let of_slices = slices.iter().filter_map(|slice| service_of(slice));
        services.iter().map(|service| Key::of(&**service)).chain(of_slices).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let service = self.services.object(Some(&key.namespace), &key.name);
        let slices = self.slices.store().state().into_iter();
        let existing: Vec<Arc<EndpointSlice>> =
            slices.filter(|slice| service_of(slice).as_ref() == Some(key)).collect();
        let Some(service) = service.filter(|service| !is_deleted(&**service)) else {
            // What remains of a deleted Service is collected with it, as it owns its slices.
            return Ok(Next::Done);
        };
        let changes = if selector(&service).is_none() {
            // It had a selector once, if there are any; without one they are the user's own.
            existing.iter().map(|slice| slices::Change::Delete(Arc::clone(slice))).collect()
        } else {
            let backends = backends(&service, self.pods.store().state());
            let zone = |node: &str| {
                let node = self.nodes.object(None, node)?;
                node.metadata.labels.as_ref()?.get("topology.kubernetes.io/zone").cloned()
            };
            slices::changes(&service, &backends, &existing, &zone)
        };
        let done = join_all(changes.into_iter().map(|change| self.carry_out(key, change))).await;
        done.into_iter().collect::<Result<(), SyncError>>()?;
        Ok(Next::Done)
    }
}
