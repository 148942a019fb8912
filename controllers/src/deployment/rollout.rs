//! From one revision to the next.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};

use super::plan::{Bounds, Observed, Step, available, replicas, scale_to, total};
use super::revision::{self, by_age, scale_annotations};

/// One step of a rolling update: the new revision grows as far as the surge allows; if it can't,
/// old ones shrink as far as enough pods stay available.
pub(super) fn rolling(
    deployment: &Deployment,
    newest: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
    number: i64,
) -> Vec<Step> {
    let bounds = Bounds::of(deployment);
    let old_total = total(old, replicas);
    let Some(newest) = newest else {
        let to = grown(bounds, 0, old_total);
        return create(deployment, bounds, number, to);
    };
    let to = if replicas(newest) > bounds.replicas {
        bounds.replicas
    } else {
        grown(bounds, replicas(newest), old_total + replicas(newest))
    };
    if to != replicas(newest) {
        return scale_to(newest, to, bounds).into_iter().collect();
    }
    shrink(bounds, newest, old)
}

/// How large the new revision may be now.
fn grown(bounds: Bounds, now: i32, total_now: i32) -> i32 {
    let room = bounds.replicas.saturating_add(bounds.surge) - total_now;
    if room <= 0 { now } else { now + room.min(bounds.replicas - now).max(0) }
}

fn create(deployment: &Deployment, bounds: Bounds, number: i64, to: i32) -> Vec<Step> {
    let mut annotations = revision::annotations(deployment, None, number).unwrap_or_default();
    annotations.extend(scale_annotations(bounds.replicas, bounds.max_total()));
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let set = revision::make(deployment, collisions, annotations, to);
    set.map(|set| Step::Create(Box::new(set))).into_iter().collect()
}

fn shrink(bounds: Bounds, newest: &Arc<ReplicaSet>, old: &[Arc<ReplicaSet>]) -> Vec<Step> {
    if total(old, replicas) == 0 {
        return Vec::new();
    }
    let least = bounds.replicas - bounds.unavailable;
    let all = total(old, replicas) + replicas(newest);
    // Pods of the new revision that aren't available yet count as missing already.
    let removable = all - least - (replicas(newest) - available(newest));
    if removable <= 0 {
        return Vec::new();
    }
    let mut oldest_first = old.to_vec();
    oldest_first.sort_by(by_age);
    // First those that don't serve anyway: nothing is lost with them, and they may block.
    let mut left = removable;
    let mut sizes: Vec<i32> = oldest_first.iter().map(|set| replicas(set)).collect();
    for (size, set) in sizes.iter_mut().zip(&oldest_first) {
        let broken = (*size - available(set)).clamp(0, left.max(0));
        *size -= broken;
        left -= broken;
    }
    let available_now = total(old, available) + available(newest);
    let mut spare = (available_now - least).max(0);
    for size in &mut sizes {
        let dropped = (*size).min(spare);
        *size -= dropped;
        spare -= dropped;
    }
    let changed = oldest_first.iter().zip(sizes).filter(|(set, size)| replicas(set) != *size);
    changed.filter_map(|(set, size)| scale_to(set, size, bounds)).collect()
}

/// One step of a replacement: all old pods end, then the new ones start.
pub(super) fn recreate(
    observed: &Observed<'_>,
    newest: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
    number: i64,
) -> Vec<Step> {
    let bounds = Bounds::of(observed.deployment);
    let active = old.iter().filter(|set| replicas(set) > 0);
    let stop: Vec<Step> = active.filter_map(|set| scale_to(set, 0, bounds)).collect();
    if !stop.is_empty() {
        return stop;
    }
    if observed.old_pods_run {
        return Vec::new();
    }
    match newest {
        None => create(observed.deployment, bounds, number, bounds.replicas),
        Some(set) if replicas(set) != bounds.replicas => {
            scale_to(set, bounds.replicas, bounds).into_iter().collect()
        }
        Some(_) => Vec::new(),
    }
}
