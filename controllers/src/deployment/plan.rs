//! What is to be done about a Deployment. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;

use super::revision::{self, scale_annotations};
use super::status::{self, Progress};
use super::{rollout, scale};
use crate::objects::{annotation, is_deleted, uid};

/// What is known.
#[derive(Debug)]
pub(super) struct Observed<'a> {
    pub(super) deployment: &'a Deployment,
    /// All ReplicaSets it manages.
    pub(super) sets: &'a [Arc<ReplicaSet>],
    /// Whether pods of old revisions have not ended.
    pub(super) old_pods_run: bool,
    pub(super) now: Timestamp,
}

/// What is to be done, in this order: the steps, the annotation, the status.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// The number of the present revision, to be noted on the Deployment.
    pub(super) revision: Option<String>,
    pub(super) status: DeploymentStatus,
    /// When time alone changes something.
    pub(super) look_again: Option<Duration>,
}

/// A change of a ReplicaSet.
#[derive(Debug)]
pub(super) enum Step {
    Create(Box<ReplicaSet>),
    Scale {
        set: Arc<ReplicaSet>,
        to: i32,
        annotations: BTreeMap<String, String>,
    },
    Annotate {
        set: Arc<ReplicaSet>,
        annotations: BTreeMap<String, String>,
        min_ready_seconds: Option<i32>,
    },
    Delete(Arc<ReplicaSet>),
}

/// The numbers that a rolling update keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) replicas: i32,
    /// How many pods there may be above `replicas`.
    pub(super) surge: i32,
    /// How many of `replicas` may be missing.
    pub(super) unavailable: i32,
}

impl Bounds {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let spec = deployment.spec.as_ref();
        let replicas = spec.and_then(|spec| spec.replicas).unwrap_or(1).max(0);
        if recreates(deployment) {
            return Self { replicas, surge: 0, unavailable: 0 };
        }
        let rolling = spec
            .and_then(|spec| spec.strategy.as_ref())
            .and_then(|strategy| strategy.rolling_update.as_ref());
        let quarter = IntOrString::String("25%".to_owned());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref()).unwrap_or(&quarter);
        let missing =
            rolling.and_then(|rolling| rolling.max_unavailable.as_ref()).unwrap_or(&quarter);
        let surge = share(surge, replicas, true);
        let mut unavailable = share(missing, replicas, false);
        if surge == 0 && unavailable == 0 {
            // Shares of few replicas can both round to nothing; then nothing could ever change.
            unavailable = 1;
        }
        Self { replicas, surge, unavailable: unavailable.min(replicas) }
    }

    pub(super) fn max_total(self) -> i32 {
        if self.replicas == 0 { 0 } else { self.replicas.saturating_add(self.surge) }
    }
}

fn share(value: &IntOrString, of: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent = text.trim_end_matches('%').parse::<i64>().unwrap_or_default().max(0);
            let hundredfold = percent.saturating_mul(i64::from(of));
            let share = if round_up { hundredfold.saturating_add(99) } else { hundredfold } / 100;
            i32::try_from(share).unwrap_or(i32::MAX)
        }
    }
}

/// Whether its strategy stops all old pods before it starts new ones.
pub(super) fn recreates(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

pub(super) fn is_paused(deployment: &Deployment) -> bool {
    deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true)
}

/// How many replicas a ReplicaSet should have.
pub(super) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// How many of its replicas are available.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
}

pub(super) fn total(sets: &[Arc<ReplicaSet>], of: fn(&ReplicaSet) -> i32) -> i32 {
    sets.iter().map(|set| of(set)).sum()
}

/// A step that scales, or brings the annotations about the scale up to date; none if both are.
pub(super) fn scale_to(set: &Arc<ReplicaSet>, to: i32, bounds: Bounds) -> Option<Step> {
    let annotations = scale_annotations(bounds.replicas, bounds.max_total());
    let noted = annotations.iter().all(|(key, value)| annotation(&**set, key) == Some(value));
    let is_there = replicas(set) == to && noted;
    (!is_there).then(|| Step::Scale { set: Arc::clone(set), to, annotations })
}

/// Decides.
pub(super) fn plan(observed: &Observed<'_>) -> Plan {
    let Observed { deployment, sets, now, .. } = *observed;
    let newest = revision::newest(deployment, sets);
    let old: Vec<Arc<ReplicaSet>> = sets
        .iter()
        .filter(|set| newest.is_none_or(|newest| uid(&***set) != uid(&**newest)))
        .cloned()
        .collect();
    let rest = |steps, progress, revision| {
        let (status, look_again) = status::compute(deployment, newest, sets, progress, now);
        Plan { steps, revision, status, look_again }
    };
    if is_deleted(deployment) {
        return rest(Vec::new(), Progress::Unchanged, None);
    }
    let number = old.iter().map(|set| revision::number(set)).max().unwrap_or_default() + 1;
    let revision = newest.map(|set| revision::number(set).max(number).to_string());
    let mut steps: Vec<Step> = annotate(deployment, newest, number).into_iter().collect();
    if !steps.is_empty() {
        // What follows would be refused: the version changes with the annotations.
        return rest(steps, Progress::Found, revision);
    }
    if is_paused(deployment) || is_scaled(deployment, sets) {
        steps = scale::steps(deployment, newest, &old);
        if is_paused(deployment) && steps.is_empty() {
            steps = clean_up(deployment, &old);
        }
        return rest(steps, Progress::Unchanged, revision);
    }
    steps = if recreates(deployment) {
        rollout::recreate(observed, newest, &old, number)
    } else {
        rollout::rolling(deployment, newest, &old, number)
    };
    let created = steps.iter().any(|step| matches!(step, Step::Create(_)));
    let progress = if created { Progress::Created } else { Progress::Rollout };
    let mut plan = rest(steps, progress, revision);
    if plan.steps.is_empty() && status::is_complete(deployment, &plan.status) {
        plan.steps = clean_up(deployment, &old);
    }
    plan
}

fn annotate(
    deployment: &Deployment,
    newest: Option<&Arc<ReplicaSet>>,
    number: i64,
) -> Option<Step> {
    let set = newest?;
    let number = number.max(revision::number(set));
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
    let has = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
    let differs = wanted.unwrap_or_default() != has.unwrap_or_default();
    let annotations = revision::annotations(deployment, Some(set), number);
    if annotations.is_none() && !differs {
        return None;
    }
    Some(Step::Annotate {
        set: Arc::clone(set),
        annotations: annotations.unwrap_or_default(),
        min_ready_seconds: wanted,
    })
}

/// Whether the Deployment's replicas were changed since its ReplicaSets were last scaled.
fn is_scaled(deployment: &Deployment, sets: &[Arc<ReplicaSet>]) -> bool {
    let desired = Bounds::of(deployment).replicas;
    sets.iter().filter(|set| replicas(set) > 0).any(|set| {
        let noted = annotation(&**set, revision::DESIRED_REPLICAS);
        noted.and_then(|text| text.parse::<i32>().ok()).is_some_and(|noted| noted != desired)
    })
}

/// Deletes the oldest revisions beyond the limit that have no pods.
fn clean_up(deployment: &Deployment, old: &[Arc<ReplicaSet>]) -> Vec<Step> {
    let limit = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return Vec::new();
    };
    let mut alive: Vec<_> = old.iter().filter(|set| !is_deleted(&***set)).collect();
    let excess = alive.len().saturating_sub(limit);
    alive.sort_by_key(|set| revision::number(set));
    let is_empty = |set: &&Arc<ReplicaSet>| {
        let status = set.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation).unwrap_or_default();
        status.is_none_or(|status| status.replicas == 0)
            && replicas(set) == 0
            && set.metadata.generation.unwrap_or_default() <= observed
    };
    let oldest = alive.into_iter().take(excess).filter(is_empty);
    oldest.map(|set| Step::Delete(Arc::clone(set))).collect()
}
