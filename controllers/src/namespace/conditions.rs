//! What a namespace that is being emptied tells about it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition, NamespaceStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::listed;

/// What is still there, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// Objects, by resource.
    pub(super) counts: BTreeMap<String, usize>,
    /// Objects, by finalizer.
    pub(super) finalizers: BTreeMap<String, usize>,
    pub(super) failures: Vec<String>,
    pub(super) discovery_failure: Option<String>,
    pub(super) has_pods: bool,
}

impl Remains {
    pub(super) fn is_nothing(&self) -> bool {
        self.counts.is_empty() && self.failures.is_empty() && self.discovery_failure.is_none()
    }
}

/// The status as it should be, or `None` if it is.
pub(super) fn changed(of: &Namespace, remains: &Remains, now: &Time) -> Option<NamespaceStatus> {
    let before = of.status.clone().unwrap_or_default();
    let mut conditions = before.conditions.clone().unwrap_or_default();
    for (kind, problem, reasons, fine) in tellings(remains) {
        let told = conditions.iter().position(|condition| condition.type_ == kind);
        let (status, reason, message) = match problem {
            Some(message) => ("True", reasons.0, message),
            None => ("False", reasons.1, fine.to_owned()),
        };
        let condition = NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(now.clone()),
        };
        match told {
            None => conditions.push(condition),
            Some(at) => {
                let old = &mut conditions[at];
                let since = if old.status == condition.status {
                    old.last_transition_time.clone()
                } else {
                    condition.last_transition_time.clone()
                };
                *old = NamespaceCondition { last_transition_time: since, ..condition };
            }
        }
    }
    let after = NamespaceStatus { conditions: Some(conditions), ..before.clone() };
    (after != before).then_some(after)
}

/// Type, what is wrong, the reasons for `True` and `False`, and what is said if all is well.
type Telling = (&'static str, Option<String>, (&'static str, &'static str), &'static str);

fn tellings(remains: &Remains) -> [Telling; 4] {
    let content = (!remains.counts.is_empty()).then(|| {
        let counts = listed(&remains.counts, ". has ", "resource instances");
        format!("Some resources are remaining: {counts}")
    });
    let finalizers = (!remains.finalizers.is_empty()).then(|| {
        let counts = listed(&remains.finalizers, " in ", "resource instances");
        format!("Some content in the namespace has finalizers remaining: {counts}")
    });
    let failures = (!remains.failures.is_empty()).then(|| {
        format!(
            "Failed to delete all resource types, {} remaining: {}",
            remains.failures.len(),
            remains.failures.join(", ")
        )
    });
    [
        (
            "NamespaceDeletionDiscoveryFailure",
            remains.discovery_failure.clone(),
            ("DiscoveryFailed", "ResourcesDiscovered"),
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionContentFailure",
            failures,
            ("ContentDeletionFailed", "ContentDeleted"),
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            content,
            ("SomeResourcesRemain", "ContentRemoved"),
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            finalizers,
            ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
            "All content-preserving finalizers finished",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told_once() {
        let now = Time("2026-01-01T00:00:00Z".parse().unwrap());
        let mut of = Namespace::default();
        let remains = Remains {
            counts: BTreeMap::from([("pods".to_owned(), 2)]),
            finalizers: BTreeMap::from([("example.com/keep".to_owned(), 1)]),
            ..Remains::default()
        };
        of.status = changed(&of, &remains, &now);
        let told: Vec<String> = of
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .map(|one| format!("{}={}: {}", one.type_, one.status, one.message.as_deref().unwrap()))
            .collect();
        expect_test::expect![[r#"
            [
                "NamespaceDeletionDiscoveryFailure=False: All resources successfully discovered",
                "NamespaceDeletionContentFailure=False: All content successfully deleted, may be waiting on finalization",
                "NamespaceContentRemaining=True: Some resources are remaining: pods. has 2 resource instances",
                "NamespaceFinalizersRemaining=True: Some content in the namespace has finalizers remaining: example.com/keep in 1 resource instances",
            ]
        "#]]
        .assert_debug_eq(&told);
        assert_eq!(changed(&of, &remains, &now), None);
    }
}
