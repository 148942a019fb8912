//! Events about one pod.

use corten_client::{EventType, Recorder};
use k8s_openapi::api::core::v1::{ObjectReference, Pod};

use super::model;

/// Tells events about one pod and its containers. Clones tell of the same.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    recorder: Recorder,
    pod: ObjectReference,
    init: Vec<String>,
}

impl Teller {
    pub(crate) fn new(recorder: Recorder, pod: &Pod) -> Self {
        let meta = &pod.metadata;
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            field_path: None,
        };
        let init = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
        Self { recorder, pod: reference, init: init.map(|c| c.name.clone()).collect() }
    }

    /// About the pod as a whole.
    pub(crate) fn pod(&self, kind: EventType, reason: &str, message: impl Into<String>) {
        self.recorder.event(&self.pod, kind, reason, message);
    }

    /// About one container.
    pub(crate) fn container(
        &self,
        name: &str,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let list =
            if self.init.iter().any(|i| i == name) { "initContainers" } else { "containers" };
        let mut about = self.pod.clone();
        about.field_path = Some(format!("spec.{list}{{{name}}}"));
        self.recorder.event(&about, kind, reason, message);
    }

    /// Keeps up with the object, so that events name its newest version.
    pub(crate) fn update(&mut self, pod: &Pod) {
        debug_assert_eq!(self.pod.uid.as_deref(), Some(model::uid(pod).as_str()));
        self.pod.resource_version.clone_from(&pod.metadata.resource_version);
    }
}
