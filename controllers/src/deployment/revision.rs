//! Revisions: which ReplicaSet has the wanted template, and how they are numbered.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest as _, Sha256};

use super::POD_TEMPLATE_HASH;
use crate::objects::{annotation, name};

/// The number of the revision, on ReplicaSets and on the Deployment; `kubectl rollout` reads it.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Earlier numbers of a revision that was returned to.
pub(super) const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The Deployment's replicas when the ReplicaSet was last scaled.
pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge added.
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of the Deployment that say nothing about its ReplicaSets.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
];

/// How long the list of earlier revisions may become, in bytes.
const HISTORY_BYTES_MAX: usize = 2000;

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    let meta = template.metadata.get_or_insert_default();
    // Not part of what is compared: the API server may add it.
    meta.creation_timestamp = None;
    if let Some(labels) = &mut meta.labels {
        labels.remove(POD_TEMPLATE_HASH);
    }
    if meta.labels.as_ref().is_some_and(BTreeMap::is_empty) {
        meta.labels = None;
    }
    template
}

/// Whether the ReplicaSet was made for the Deployment's present template.
pub(super) fn same_template(set: &ReplicaSet, deployment: &Deployment) -> bool {
    let have = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    let want = deployment.spec.as_ref().map(|spec| &spec.template);
    match (have, want) {
        (Some(have), Some(want)) => without_hash(have) == without_hash(want),
        (None, _) | (_, None) => false,
    }
}

/// By age, the oldest first.
pub(super) fn by_age(a: &Arc<ReplicaSet>, b: &Arc<ReplicaSet>) -> Ordering {
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.clone();
    created(a).cmp(&created(b)).then_with(|| name(&**a).cmp(name(&**b)))
}

/// The ReplicaSet of the present template, if it exists: of several, the oldest.
pub(super) fn newest<'a>(
    deployment: &Deployment,
    sets: &'a [Arc<ReplicaSet>],
) -> Option<&'a Arc<ReplicaSet>> {
    sets.iter().filter(|set| same_template(set, deployment)).min_by(|a, b| by_age(a, b))
}

/// The number of a ReplicaSet's revision; 0 if it has none.
pub(super) fn number(set: &ReplicaSet) -> i64 {
    annotation(set, REVISION).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A short text that differs between templates, safe in names: no vowels, so no words.
fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut digest = Sha256::new();
    // Maps are ordered, so equal templates give equal text.
    digest.update(serde_json::to_vec(template).unwrap_or_default());
    if let Some(collisions) = collisions {
        digest.update(collisions.to_le_bytes());
    }
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    digest.finalize().iter().take(10).map(letter).collect()
}

/// The annotations that the ReplicaSet of the present template should have, if they differ from
/// those it has: `revision` is one more than that of all others.
pub(super) fn annotations(
    deployment: &Deployment,
    set: Option<&ReplicaSet>,
    revision: i64,
) -> Option<BTreeMap<String, String>> {
    let before = set.and_then(|set| set.metadata.annotations.clone()).unwrap_or_default();
    let mut after = before.clone();
    for (key, value) in deployment.metadata.annotations.iter().flatten() {
        if !NOT_COPIED.contains(&key.as_str()) {
            after.insert(key.clone(), value.clone());
        }
    }
    let old = set.map(number).unwrap_or_default();
    if old < revision {
        after.insert(REVISION.to_owned(), revision.to_string());
        if let Some(old) = before.get(REVISION) {
            let history = before.get(REVISION_HISTORY).map(String::as_str).unwrap_or_default();
            after.insert(REVISION_HISTORY.to_owned(), with_history(history, old));
        }
    }
    (after != before).then_some(after)
}

/// Adds a number to the list, dropping the oldest if it would become too long.
fn with_history(history: &str, old: &str) -> String {
    let mut numbers: Vec<&str> = history.split(',').filter(|one| !one.is_empty()).collect();
    numbers.push(old);
    let mut from = 0;
    while numbers[from..].join(",").len() > HISTORY_BYTES_MAX && from + 1 < numbers.len() {
        from += 1;
    }
    numbers[from..].join(",")
}

/// Annotations that tell, at the next change, from where the replicas were scaled.
pub(super) fn scale_annotations(desired: i32, max: i32) -> BTreeMap<String, String> {
    BTreeMap::from([
        (DESIRED_REPLICAS.to_owned(), desired.to_string()),
        (MAX_REPLICAS.to_owned(), max.to_string()),
    ])
}

/// A ReplicaSet for the present template. Its owner is still to be set.
pub(super) fn make(
    deployment: &Deployment,
    collisions: Option<i32>,
    annotations: BTreeMap<String, String>,
    replicas: i32,
) -> Option<ReplicaSet> {
    let spec = deployment.spec.as_ref()?;
    let hash = hash(&spec.template, collisions);
    let mut template = spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = spec.selector.clone();
    let wanted = selector.match_labels.get_or_insert_default();
    wanted.insert(POD_TEMPLATE_HASH.to_owned(), hash.clone());
    Some(ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", name(deployment))),
            namespace: deployment.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    })
}
