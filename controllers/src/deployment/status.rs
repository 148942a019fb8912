//! The status of a Deployment.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::plan::{Bounds, available, is_paused, total};
use crate::objects::name;

const AVAILABLE: &str = "Available";
const PROGRESSING: &str = "Progressing";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// What kind of change the status is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing about a rollout: it is paused, scaled or being deleted.
    Unchanged,
    /// The ReplicaSet of the present template is being made.
    Created,
    /// It was there already.
    Found,
    /// A rollout may go on.
    Rollout,
}

/// The status, and when it changes by time alone.
pub(super) fn compute(
    deployment: &Deployment,
    newest: Option<&Arc<ReplicaSet>>,
    sets: &[Arc<ReplicaSet>],
    progress: Progress,
    now: Timestamp,
) -> (DeploymentStatus, Option<Duration>) {
    let mut status = counts(deployment, newest, sets);
    let time = Time(now);
    set_available(deployment, &mut status, &time);
    let spec = deployment.spec.as_ref();
    let deadline = spec.and_then(|spec| spec.progress_deadline_seconds).filter(|s| *s != i32::MAX);
    let Some(deadline) = deadline else {
        remove(&mut status, PROGRESSING);
        set_replica_failure(&mut status, newest, sets);
        return (status, None);
    };
    set_paused(deployment, &mut status, &time);
    let reason = get(&status, PROGRESSING).and_then(|one| one.reason.clone());
    let subject = subject(deployment, newest);
    match progress {
        Progress::Unchanged => {}
        Progress::Created => {
            let message = "Created new replica set".to_owned();
            set(&mut status, PROGRESSING, "True", "NewReplicaSetCreated", message, &time);
        }
        Progress::Found => {
            if reason.is_none() {
                let message =
                    format!("Found new replica set {:?}", newest.map_or("", |s| name(&**s)));
                set(&mut status, PROGRESSING, "True", "FoundNewReplicaSet", message, &time);
            }
        }
        Progress::Rollout => {
            roll(deployment, &mut status, &subject, deadline, &time);
        }
    }
    set_replica_failure(&mut status, newest, sets);
    let look_again = match progress {
        Progress::Unchanged => None,
        Progress::Created | Progress::Found | Progress::Rollout => {
            until_deadline(deployment, &status, deadline, now)
        }
    };
    (status, look_again)
}

/// All pods are of the present revision and available.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = Bounds::of(deployment).replicas;
    let is = |count: Option<i32>| count.unwrap_or_default() == wanted;
    is(status.updated_replicas) && is(status.replicas) && is(status.available_replicas)
}

/// Says that the ReplicaSet could not be made.
pub(super) fn set_create_failed(
    deployment: &Deployment,
    status: &mut DeploymentStatus,
    message: &str,
    now: Time,
) {
    if deployment.spec.as_ref().is_some_and(|spec| spec.progress_deadline_seconds.is_some()) {
        let message = format!("Failed to create new replica set: {message}");
        set(status, PROGRESSING, "False", "ReplicaSetCreateError", message, &now);
    }
}

fn counts(
    deployment: &Deployment,
    newest: Option<&Arc<ReplicaSet>>,
    sets: &[Arc<ReplicaSet>],
) -> DeploymentStatus {
    let of = |set: &ReplicaSet, get: fn(&ReplicaSetStatus) -> i32| {
        set.status.as_ref().map(get).unwrap_or_default()
    };
    let sum =
        |get: fn(&ReplicaSetStatus) -> i32| -> i32 { sets.iter().map(|set| of(set, get)).sum() };
    let before = deployment.status.clone().unwrap_or_default();
    let replicas = sum(|status| status.replicas);
    let available = total(sets, available);
    let wanted: i32 = sets.iter().map(|set| super::plan::replicas(set)).sum();
    // Upstream's typed status leaves zeros out.
    let some = |count: i32| (count != 0).then_some(count);
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(replicas),
        updated_replicas: newest.and_then(|set| some(of(set, |status| status.replicas))),
        ready_replicas: some(sum(|status| status.ready_replicas.unwrap_or_default())),
        available_replicas: some(available),
        unavailable_replicas: some((wanted - available).max(0)),
        terminating_replicas: Some(sum(|status| status.terminating_replicas.unwrap_or_default())),
        collision_count: before.collision_count,
        conditions: before.conditions,
    }
}

fn set_available(deployment: &Deployment, status: &mut DeploymentStatus, now: &Time) {
    let bounds = Bounds::of(deployment);
    let least = bounds.replicas - bounds.unavailable;
    if status.available_replicas.unwrap_or_default() >= least {
        let message = "Deployment has minimum availability.".to_owned();
        set(status, AVAILABLE, "True", "MinimumReplicasAvailable", message, now);
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        set(status, AVAILABLE, "False", "MinimumReplicasUnavailable", message, now);
    }
}

fn set_paused(deployment: &Deployment, status: &mut DeploymentStatus, now: &Time) {
    let reason = get(status, PROGRESSING).and_then(|one| one.reason.clone());
    let reason = reason.as_deref();
    if reason == Some(TIMED_OUT) {
        // Told already; that it is paused doesn't make it untrue.
        return;
    }
    let paused = is_paused(deployment);
    if paused && reason != Some("DeploymentPaused") {
        let message = "Deployment is paused".to_owned();
        set(status, PROGRESSING, "Unknown", "DeploymentPaused", message, now);
    } else if !paused && reason == Some("DeploymentPaused") {
        let message = "Deployment is resumed".to_owned();
        set(status, PROGRESSING, "Unknown", "DeploymentResumed", message, now);
    }
}

fn subject(deployment: &Deployment, newest: Option<&Arc<ReplicaSet>>) -> String {
    match newest {
        Some(set) => format!("ReplicaSet {:?}", name(&**set)),
        None => format!("Deployment {:?}", name(deployment)),
    }
}

fn roll(
    deployment: &Deployment,
    status: &mut DeploymentStatus,
    subject: &str,
    deadline: i32,
    now: &Time,
) {
    let reason = get(status, PROGRESSING).and_then(|one| one.reason.clone());
    let is_rolled_out = status.replicas == status.updated_replicas;
    if is_rolled_out && reason.as_deref() == Some(COMPLETE) {
        // A completed rollout stays so when its pods come and go later.
        return;
    }
    if is_complete(deployment, status) {
        let message = format!("{subject} has successfully progressed.");
        set(status, PROGRESSING, "True", COMPLETE, message, now);
    } else if has_progressed(deployment, status) {
        let message = format!("{subject} is progressing.");
        let was_true = get(status, PROGRESSING).filter(|one| one.status == "True");
        let since = was_true.and_then(|one| one.last_transition_time.clone());
        remove(status, PROGRESSING);
        set(status, PROGRESSING, "True", "ReplicaSetUpdated", message, now);
        if let (Some(since), Some(conditions)) = (since, &mut status.conditions)
            && let Some(one) = conditions.iter_mut().find(|one| one.type_ == PROGRESSING)
        {
            one.last_transition_time = Some(since);
        }
    } else if is_timed_out(status, deadline, now.0) {
        let message = format!("{subject} has timed out progressing.");
        set(status, PROGRESSING, "False", TIMED_OUT, message, now);
    }
}

fn has_progressed(deployment: &Deployment, now: &DeploymentStatus) -> bool {
    let none = DeploymentStatus::default();
    let before = deployment.status.as_ref().unwrap_or(&none);
    let updated = |status: &DeploymentStatus| status.updated_replicas.unwrap_or_default();
    let old = |status: &DeploymentStatus| status.replicas.unwrap_or_default() - updated(status);
    updated(now) > updated(before)
        || old(now) < old(before)
        || now.ready_replicas.unwrap_or_default() > before.ready_replicas.unwrap_or_default()
        || now.available_replicas.unwrap_or_default()
            > before.available_replicas.unwrap_or_default()
}

fn is_timed_out(status: &DeploymentStatus, deadline: i32, now: Timestamp) -> bool {
    let Some(condition) = get(status, PROGRESSING) else { return false };
    match condition.reason.as_deref() {
        Some(COMPLETE | "DeploymentPaused") => false,
        Some(TIMED_OUT) => true,
        Some(_) | None => deadline_of(condition, deadline).is_some_and(|at| now > at),
    }
}

fn deadline_of(condition: &DeploymentCondition, deadline: i32) -> Option<Timestamp> {
    let from = condition.last_update_time.as_ref()?;
    from.0.checked_add(SignedDuration::from_secs(i64::from(deadline))).ok()
}

/// How long until the rollout counts as stuck, if it is still going on.
fn until_deadline(
    deployment: &Deployment,
    status: &DeploymentStatus,
    deadline: i32,
    now: Timestamp,
) -> Option<Duration> {
    let condition = get(status, PROGRESSING)?;
    let is_over = matches!(condition.reason.as_deref(), Some(COMPLETE | TIMED_OUT));
    if is_over || is_paused(deployment) || is_complete(deployment, status) {
        return None;
    }
    let left = deadline_of(condition, deadline)?.duration_since(now);
    // A second more, so that it is over by then although times are kept in whole seconds.
    let left = left.checked_add(SignedDuration::from_secs(1)).unwrap_or(left);
    Some(Duration::try_from(left).unwrap_or(Duration::from_secs(1)))
}

fn set_replica_failure(
    status: &mut DeploymentStatus,
    newest: Option<&Arc<ReplicaSet>>,
    sets: &[Arc<ReplicaSet>],
) {
    let failure = |set: &Arc<ReplicaSet>| {
        let conditions = set.status.as_ref().and_then(|status| status.conditions.clone());
        conditions.into_iter().flatten().find(|one| one.type_ == REPLICA_FAILURE)
    };
    let found = match newest.and_then(failure) {
        Some(found) => Some(found),
        None => sets.iter().find_map(failure),
    };
    let Some(found) = found else { return remove(status, REPLICA_FAILURE) };
    let since = found.last_transition_time.unwrap_or(Time(Timestamp::UNIX_EPOCH));
    let (reason, message) = (found.reason.unwrap_or_default(), found.message.unwrap_or_default());
    set(status, REPLICA_FAILURE, &found.status, &reason, message, &since);
}

fn get<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a DeploymentCondition> {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

/// Sets a condition; one with the same status and reason stays as it is.
fn set(
    status: &mut DeploymentStatus,
    kind: &str,
    value: &str,
    reason: &str,
    message: String,
    now: &Time,
) {
    let before = get(status, kind).cloned();
    let same =
        |one: &DeploymentCondition| one.status == value && one.reason.as_deref() == Some(reason);
    if before.as_ref().is_some_and(same) {
        return;
    }
    let since = before
        .filter(|one| one.status == value)
        .and_then(|one| one.last_transition_time)
        .unwrap_or_else(|| now.clone());
    remove(status, kind);
    status.conditions.get_or_insert_default().push(DeploymentCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(since),
    });
}
