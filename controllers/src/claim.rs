//! Which objects a controller manages: those that name it, as long as its selector matches them,
//! and orphans that match. Others are let go.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::core::{Selector, SelectorExt as _};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use crate::error::{SyncError, on};
use crate::objects::{controller, is_deleted, name, namespace, uid};

/// The selector, or `None` if it can't be read or selects everything, which is never meant.
pub(crate) fn selector(selector: &LabelSelector) -> Option<Selector> {
    let selector = Selector::try_from(selector.clone()).ok()?;
    (!selector.selects_all()).then_some(selector)
}

pub(crate) fn matches(selector: &Selector, object: &impl Resource) -> bool {
    match &object.meta().labels {
        Some(labels) => selector.matches(labels),
        None => selector.matches(&BTreeMap::new()),
    }
}

/// What is to be done with the objects of a namespace.
#[derive(Debug)]
pub(crate) struct Claims<K> {
    /// Managed, and to stay so.
    pub(crate) mine: Vec<Arc<K>>,
    /// Orphans that match.
    pub(crate) adopt: Vec<Arc<K>>,
    /// Managed, but the selector does not match any more.
    pub(crate) release: Vec<Arc<K>>,
}

/// Sorts `objects` out for a manager, which adopts nothing once it is being deleted.
pub(crate) fn claims<K: Resource<DynamicType = ()>, M: Resource<DynamicType = ()>>(
    manager: &M,
    selector: &Selector,
    objects: impl IntoIterator<Item = Arc<K>>,
) -> Claims<K> {
    let mut claims = Claims { mine: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    for object in objects {
        if namespace(&*object) != namespace(manager) {
            continue;
        }
        let matching = matches(selector, &*object);
        match controller(object.meta()) {
            Some(owner) if owner.uid == uid(manager) && matching => claims.mine.push(object),
            Some(owner) if owner.uid == uid(manager) => {
                if is_deleted(manager) {
                    claims.mine.push(object);
                } else {
                    claims.release.push(object);
                }
            }
            Some(_) => {}
            None if matching && !is_deleted(manager) && !is_deleted(&*object) => {
                claims.adopt.push(object);
            }
            None => {}
        }
    }
    claims
}

/// Makes `owner` manage the object, if it is still the one that is known.
pub(crate) async fn adopt<K>(
    client: &Client,
    object: &K,
    owner: OwnerReference,
) -> Result<K, SyncError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let mut owners = object.meta().owner_references.clone().unwrap_or_default();
    owners.retain(|other| other.uid != owner.uid);
    owners.push(owner);
    set_owners(client, object, owners, "adopt").await
}

/// Takes the owner `uid` off the object, if it is still the one that is known.
pub(crate) async fn release<K>(client: &Client, object: &K, owner: &str) -> Result<K, SyncError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let mut owners = object.meta().owner_references.clone().unwrap_or_default();
    owners.retain(|other| other.uid != owner);
    set_owners(client, object, owners, "release").await
}

async fn set_owners<K>(
    client: &Client,
    object: &K,
    owners: Vec<OwnerReference>,
    verb: &'static str,
) -> Result<K, SyncError>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let patch = serde_json::json!({ "metadata": {
        "uid": uid(object),
        // Refused if the object changed meanwhile: maybe somebody else took it.
        "resourceVersion": object.meta().resource_version,
        "ownerReferences": owners,
    } });
    let api = Api::<K>::namespaced(client.clone(), namespace(object));
    api.patch(name(object), &PatchParams::default(), &Patch::Merge(patch)).await.map_err(on::<K>(
        verb,
        Some(namespace(object)),
        name(object),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    fn pod(name: &str, app: &str, owner: Option<&str>) -> Arc<Pod> {
        let owners: Vec<_> = owner
            .iter()
            .map(|uid| {
                json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": uid, "controller": true })
            })
            .collect();
        let pod = json!({ "metadata": {
            "name": name, "namespace": "n", "labels": { "app": app }, "ownerReferences": owners,
        } });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn objects_are_kept_adopted_released_or_left() {
        let set: ReplicaSet = serde_json::from_value(json!({
            "metadata": { "name": "r", "namespace": "n", "uid": "me" },
            "spec": { "selector": { "matchLabels": { "app": "web" } } },
        }))
        .unwrap();
        let selector = selector(&set.spec.as_ref().unwrap().selector).unwrap();
        let pods = [
            pod("mine", "web", Some("me")),
            pod("orphan", "web", None),
            pod("relabelled", "db", Some("me")),
            pod("others", "web", Some("other")),
            pod("stranger", "db", None),
        ];
        let claims = claims(&set, &selector, pods);
        let names = |pods: &[Arc<Pod>]| -> Vec<String> {
            pods.iter().map(|pod| name(&**pod).to_owned()).collect()
        };
        assert_eq!(names(&claims.mine), ["mine"]);
        assert_eq!(names(&claims.adopt), ["orphan"]);
        assert_eq!(names(&claims.release), ["relabelled"]);
    }

    #[test]
    fn a_selector_of_everything_selects_nothing() {
        assert!(selector(&LabelSelector::default()).is_none());
    }
}
