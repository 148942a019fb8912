//! The certificates that pods verify the API server with, as a ConfigMap in every namespace.

use std::collections::BTreeMap;

use corten_client::Informer;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use crate::context::Context;
use crate::error::{SyncError, on};
use crate::objects::{Key, is_deleted, namespace};
use crate::runner::{Controller, Next, Runner, Writes};

/// The name that projected volumes refer to.
const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";

struct RootCaPublisher {
    context: Context,
    namespaces: Informer<Namespace>,
    maps: Informer<ConfigMap>,
    writes: Writes<Key>,
}

pub(crate) fn start(context: &Context) {
    if context.config.root_ca_pem.is_empty() {
        tracing::warn!("no rootCaPem is set: pods get no certificates to verify the API server");
        return;
    }
    let controller = RootCaPublisher {
        context: context.clone(),
        namespaces: context.informers.get(),
        maps: context.informers.select(&format!("metadata.name={NAME}")),
        writes: Writes::default(),
    };
    let (namespaces, maps) = (controller.namespaces.clone(), controller.maps.clone());
    Runner::new(context, controller)
        .watch(namespaces, |_, namespace| vec![Key::of(namespace)])
        .watch(maps, |_, map| vec![Key::new("", namespace(map))])
        .start(1);
}

/// The map as it should be, or `None` if it is.
fn wanted(namespace: &str, pem: &str, existing: Option<&ConfigMap>) -> Option<ConfigMap> {
    let data = BTreeMap::from([(FILE.to_owned(), pem.to_owned())]);
    if existing.is_some_and(|map| map.data.as_ref() == Some(&data) && map.binary_data.is_none()) {
        return None;
    }
    let mut map = existing.cloned().unwrap_or_default();
    let description = "Certificates that the API server's certificate can be verified with, on \
                       its internal addresses such as kubernetes.default.svc.";
    let metadata = ObjectMeta {
        name: Some(NAME.to_owned()),
        namespace: Some(namespace.to_owned()),
        ..map.metadata
    };
    map.metadata = metadata;
    let annotations = map.metadata.annotations.get_or_insert_default();
    annotations.insert(DESCRIPTION.to_owned(), description.to_owned());
    Some(ConfigMap { data: Some(data), binary_data: None, ..map })
}

impl Controller for RootCaPublisher {
    type Key = Key;

    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn all(&self) -> Vec<Key> {
        self.namespaces.store().state().iter().map(|one| Key::of(&**one)).collect()
    }

    fn writes(&self) -> &Writes<Key> {
        &self.writes
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, SyncError> {
        let namespace = self.namespaces.object(None, &key.name);
        if namespace.is_none_or(|namespace| is_deleted(&*namespace)) {
            return Ok(Next::Done);
        }
        let existing = self.maps.object(Some(&key.name), NAME);
        let pem = &self.context.config.root_ca_pem;
        let Some(map) = wanted(&key.name, pem, existing.as_deref()) else {
            return Ok(Next::Done);
        };
        let api = Api::<ConfigMap>::namespaced(self.context.client(), &key.name);
        let written = match existing {
            None => api.create(&PostParams::default(), &map).await,
            Some(_) => api.replace(NAME, &PostParams::default(), &map).await,
        };
        match written.map_err(on::<ConfigMap>("write", Some(&key.name), NAME)) {
            Ok(written) => self.writes.wrote(key, &written),
            Err(error) if error.is_already_exists() || error.is_namespace_terminating() => {}
            Err(error) => return Err(error),
        }
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_made_mended_and_left_alone() {
        let made = wanted("n", "PEM", None).unwrap();
        assert_eq!(made.metadata.namespace.as_deref(), Some("n"));
        assert_eq!(wanted("n", "PEM", Some(&made)), None);
        let mended = wanted("n", "NEW", Some(&made)).unwrap();
        assert_eq!(mended.data.unwrap()[FILE], "NEW");
    }
}
