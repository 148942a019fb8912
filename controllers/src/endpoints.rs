//! Endpoints: the older form of EndpointSlices, one object per Service, kept for clients that
//! still read it.

mod subsets;

use corten_client::Informer;
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};

use crate::context::Context;
use crate::endpointslice::Members;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, uid};
use crate::runner::{Controller, Next, Runner, Writes};
use crate::service_endpoints::{backends, selector};

struct EndpointsController {
    context: Context,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
    writes: Writes<Key>,
    members: Members,
}

pub(crate) fn start(context: &Context) {
    let controller = EndpointsController {
        context: context.clone(),
        services: context.informers.get(),
        pods: context.informers.get(),
        endpoints: context.informers.get(),
        writes: Writes::default(),
        members: Members::default(),
    };
    let (services, pods) = (controller.services.clone(), controller.pods.clone());
    let endpoints = controller.endpoints.clone();
    Runner::new(context, controller)
        .watch(services, |_, service| vec![Key::of(service)])
        .watch(pods, |this, pod| this.members.concerned(&this.services, pod))
        .watch(endpoints, |_, endpoints| vec![Key::of(endpoints)])
        .start(context.config.concurrent_syncs);
}

impl EndpointsController {
    fn api(&self, key: &Key) -> Api<Endpoints> {
        Api::namespaced(self.context.client(), &key.namespace)
    }

    /// Endpoints that we made for a Service that is gone.
    async fn delete(&self, key: &Key, endpoints: &Endpoints) -> Result<Next, SyncError> {
        if !subsets::is_ours(endpoints) {
            return Ok(Next::Done);
        }
        let preconditions =
            Preconditions { uid: endpoints.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams::default().preconditions(preconditions);
        self.writes.deleting(key, uid(endpoints));
        let deleted = self.api(key).delete(&key.name, &params).await;
        match deleted.map_err(on::<Endpoints>("delete", Some(&key.namespace), &key.name)) {
            Ok(_) => Ok(Next::Done),
            Err(error) => {
                self.writes.not_deleted(key, uid(endpoints));
                if error.is_not_found() { Ok(Next::Done) } else { Err(error) }
            }
        }
    }
}

impl Controller for EndpointsController {
    type Key = Key;

    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn all(&self) -> Vec<Key> {
        for pod in self.pods.store().state() {
            self.members.concerned(&self.services, &pod);
        }
        let services = self.services.store().state();
        let endpoints = self.endpoints.store().state();
        let of_endpoints = endpoints.iter().map(|endpoints| Key::of(&**endpoints));
        services.iter().map(|service| Key::of(&**service)).chain(of_endpoints).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let existing = self.endpoints.object(Some(&key.namespace), &key.name);
        let service = self.services.object(Some(&key.namespace), &key.name);
        let Some(service) = service.filter(|service| !is_deleted(&**service)) else {
            return match existing {
                Some(existing) => self.delete(key, &existing).await,
                None => Ok(Next::Done),
            };
        };
        if selector(&service).is_none() {
            return Ok(Next::Done);
        }
        let backends = backends(&service, self.pods.store().state());
        let Some(wanted) = subsets::change(&service, &backends, existing.as_deref()) else {
            return Ok(Next::Done);
        };
        let params = PostParams::default();
        let written = match &existing {
            None => self.api(key).create(&params, &wanted).await,
            Some(_) => self.api(key).replace(&key.name, &params, &wanted).await,
        };
        match written.map_err(on::<Endpoints>("write", Some(&key.namespace), &key.name)) {
            Ok(written) => self.writes.wrote(key, &written),
            Err(error) if error.is_namespace_terminating() => {}
            Err(error) => return Err(error),
        }
        Ok(Next::Done)
    }
}
