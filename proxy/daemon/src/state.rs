//! The model, fed by the informers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use corten_client::Change;
use corten_proxy_model::{Model, ServiceName, Warning};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::runtime::reflector::Store;

use crate::convert;

/// What an informer tells.
#[derive(Debug)]
pub(crate) enum Event {
    /// Of Services.
    Service(Change<Service>),
    /// Of EndpointSlices.
    Slice(Change<EndpointSlice>),
}

/// A slice's namespace and name.
type SliceName = (String, String);

/// Everything that is known of the objects.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) model: Model,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    known_services: BTreeSet<ServiceName>,
    /// Of each slice the Service that it is of: the label may change.
    known_slices: BTreeMap<SliceName, ServiceName>,
    warnings: BTreeMap<ServiceName, Vec<Warning>>,
}

impl State {
    /// Reads the stores, which must have been filled.
    pub(crate) fn new(
        node: Option<&str>,
        services: Store<Service>,
        slices: Store<EndpointSlice>,
    ) -> Self {
        let mut state = Self {
            model: Model::new(node),
            services,
            slices,
            known_services: BTreeSet::new(),
            known_slices: BTreeMap::new(),
            warnings: BTreeMap::new(),
        };
        state.read_services();
        state.read_slices();
        state
    }

    pub(crate) fn warnings(&self) -> impl Iterator<Item = &Warning> {
        self.warnings.values().flatten()
    }

    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Service(Change::Applied(service)) => self.set_service(&service),
            Event::Service(Change::Deleted(service)) => {
                self.remove_service(&convert::service_name(&service));
            }
            Event::Service(Change::Restarted) => self.read_services(),
            Event::Slice(Change::Applied(slice)) => self.set_slice(&slice),
            Event::Slice(Change::Deleted(slice)) => self.remove_slice(&slice_name(&slice)),
            Event::Slice(Change::Restarted) => self.read_slices(),
        }
    }

    fn read_services(&mut self) {
        let services: Vec<Arc<Service>> = self.services.state();
        let names: BTreeSet<_> =
            services.iter().map(|service| convert::service_name(service)).collect();
        for gone in self.known_services.difference(&names).cloned().collect::<Vec<_>>() {
            self.remove_service(&gone);
        }
        services.iter().for_each(|service| self.set_service(service));
    }

    fn read_slices(&mut self) {
        let slices: Vec<Arc<EndpointSlice>> = self.slices.state();
        let names: BTreeSet<_> = slices.iter().map(|slice| slice_name(slice)).collect();
        let known: Vec<_> = self.known_slices.keys().cloned().collect();
        for gone in known.iter().filter(|name| !names.contains(name)) {
            self.remove_slice(gone);
        }
        slices.iter().for_each(|slice| self.set_slice(slice));
    }

    fn set_service(&mut self, service: &Service) {
        let name = convert::service_name(service);
        let mut warnings = Vec::new();
        match convert::service(service, &mut warnings) {
            Some(service) => self.model.set_service(&name, service),
            None => self.model.remove_service(&name),
        }
        if warnings.is_empty() {
            self.warnings.remove(&name);
        } else {
            self.warnings.insert(name.clone(), warnings);
        }
        self.known_services.insert(name);
    }

    fn remove_service(&mut self, name: &ServiceName) {
        self.model.remove_service(name);
        self.warnings.remove(name);
        self.known_services.remove(name);
    }

    fn set_slice(&mut self, slice: &EndpointSlice) {
        let name = slice_name(slice);
        let converted = convert::slice(slice);
        let service = converted.as_ref().map(|(service, _slice)| service);
        if self.known_slices.get(&name) != service {
            self.remove_slice(&name);
        }
        if let Some((service, slice)) = converted {
            self.model.set_slice(&service, &name.1, slice);
            self.known_slices.insert(name, service);
        }
    }

    fn remove_slice(&mut self, name: &SliceName) {
        if let Some(service) = self.known_slices.remove(name) {
            self.model.remove_slice(&service, &name.1);
        }
    }
}

fn slice_name(slice: &EndpointSlice) -> SliceName {
    (slice.namespace().unwrap_or_default(), slice.name_any())
}
