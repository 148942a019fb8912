//! A change of the number of replicas while no revision is to change, or several are there: each
//! gets its share.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::plan::{Bounds, Step, available, recreates, replicas, scale_to, total};
use super::revision::{self, by_age};
use crate::objects::annotation;

/// The steps that bring all revisions to their share of the Deployment's replicas.
pub(super) fn steps(
    deployment: &Deployment,
    newest: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
) -> Vec<Step> {
    let bounds = Bounds::of(deployment);
    if let Some(only) = active_or_latest(newest, old) {
        return scale_to(only, bounds.replicas, bounds).into_iter().collect();
    }
    if newest.is_some_and(|newest| is_saturated(newest, bounds)) {
        let active = old.iter().filter(|set| replicas(set) > 0);
        return active.filter_map(|set| scale_to(set, 0, bounds)).collect();
    }
    if recreates(deployment) {
        return Vec::new();
    }
    let active: Vec<Arc<ReplicaSet>> =
        newest.into_iter().chain(old).filter(|set| replicas(set) > 0).cloned().collect();
    proportional(deployment, active, bounds)
}

/// The one that is to be scaled, unless several have replicas.
fn active_or_latest<'a>(
    newest: Option<&'a Arc<ReplicaSet>>,
    old: &'a [Arc<ReplicaSet>],
) -> Option<&'a Arc<ReplicaSet>> {
    let mut active = newest.into_iter().chain(old).filter(|set| replicas(set) > 0);
    match (active.next(), active.next()) {
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => None,
        (None, _) => newest.or_else(|| old.iter().max_by(|a, b| by_age(a, b))),
    }
}

/// Whether the newest revision has taken over completely.
fn is_saturated(newest: &ReplicaSet, bounds: Bounds) -> bool {
    let noted = annotation(newest, revision::DESIRED_REPLICAS);
    replicas(newest) == bounds.replicas
        && noted.and_then(|text| text.parse().ok()) == Some(bounds.replicas)
        && available(newest) == bounds.replicas
}

fn proportional(
    deployment: &Deployment,
    mut active: Vec<Arc<ReplicaSet>>,
    bounds: Bounds,
) -> Vec<Step> {
    let to_add = bounds.max_total() - total(&active, replicas);
    // The largest first; among equals the newest when growing, the oldest when shrinking.
    active.sort_by(|a, b| {
        let ages = if to_add > 0 { by_age(b, a) } else { by_age(a, b) };
        replicas(b).cmp(&replicas(a)).then(ages)
    });
    let mut added = 0;
    let mut sizes = Vec::new();
    for set in &active {
        let share = if to_add == 0 { 0 } else { fraction(deployment, set, bounds) };
        let left = to_add - added;
        let share = if to_add > 0 { share.min(left).max(0) } else { share.max(left).min(0) };
        added += share;
        sizes.push(replicas(set) + share);
    }
    if let Some(first) = sizes.first_mut() {
        // What rounding left over.
        *first = (*first + to_add - added).max(0);
    }
    let steps = active.iter().zip(sizes);
    steps.filter_map(|(set, size)| scale_to(set, size, bounds)).collect()
}

/// How many replicas the ReplicaSet gains or loses if it keeps its share of the whole.
fn fraction(deployment: &Deployment, set: &ReplicaSet, bounds: Bounds) -> i32 {
    if bounds.replicas == 0 {
        return -replicas(set);
    }
    let noted = annotation(set, revision::MAX_REPLICAS).and_then(|text| text.parse::<i64>().ok());
    let before = noted.unwrap_or_else(|| {
        let status = deployment.status.as_ref();
        i64::from(status.and_then(|status| status.replicas).unwrap_or_default())
    });
    if before <= 0 {
        return 0;
    }
    let now = i64::from(replicas(set));
    let scaled = now * i64::from(bounds.max_total()) * 2 + before;
    let rounded = scaled / (before * 2);
    i32::try_from(rounded - now).unwrap_or_default()
}
