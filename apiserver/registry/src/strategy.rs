//! The shape of a kind, and the table of them.

use corten_api_k8s::field::FieldError;
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::{meta, names};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::duration;
use crate::read::Read;

/// One printed column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading.
    pub name: &'static str,
    /// `string`, `integer` or `date`.
    pub ty: &'static str,
    /// 0 is always shown, 1 only with `-o wide`.
    pub priority: u8,
}

impl Column {
    /// A column of text that is always shown.
    pub const fn text(name: &'static str) -> Self {
        Column { name, ty: "string", priority: 0 }
    }

    /// A column of numbers that is always shown.
    pub const fn integer(name: &'static str) -> Self {
        Column { name, ty: "integer", priority: 0 }
    }

    /// A column of text that `-o wide` shows.
    pub const fn wide(name: &'static str) -> Self {
        Column { name, ty: "string", priority: 1 }
    }
}

/// How an object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// At once (finalizers aside).
    Now,
    /// Marked as being deleted; whoever runs it deletes it within that many seconds.
    Seconds(i64),
}

/// Where a kind keeps what its `scale` subresource shows, as JSON pointers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Wanted replicas.
    pub spec_replicas: &'static str,
    /// Running replicas.
    pub status_replicas: &'static str,
    /// The label selector (object form).
    pub selector: &'static str,
}

const DEFAULT_COLUMNS: &[Column] =
    &[Column::text("Name"), Column { name: "Created At", ty: "date", priority: 0 }];

/// What a kind does beyond its schema. The server does not call these one by one but by way of
/// [`crate::lifecycle`].
pub trait Strategy: Sync {
    /// What is wrong with a name, or (`prefix`) with the part of a generated name.
    fn name_errors(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns1123_subdomain(&unprefixed(name, prefix))
    }

    /// Fills in what the client left out.
    fn default(&self, _object: &mut Value) {}

    /// Whether the client that creates an object may set its status.
    fn keeps_status_on_create(&self) -> bool {
        false
    }

    /// Sets what the server, not the client, decides at creation.
    fn prepare_create(&self, _object: &mut Value) {}

    /// Sets what the server, not the client, decides at an update.
    fn prepare_update(&self, _new: &mut Value, _old: &Value) {}

    /// Whether labels may be changed along with the status.
    fn relabels_with_status(&self) -> bool {
        true
    }

    /// What is wrong with an object, metadata aside.
    fn validate(&self, _object: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with a change, besides what is wrong with the new object.
    fn validate_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// What is wrong with a new status.
    fn validate_status_update(&self, _new: &Value, _old: &Value) -> Vec<FieldError> {
        Vec::new()
    }

    /// The next generation: `None` if the kind has none.
    fn next_generation(&self, _new: &Value, _old: Option<&Value>) -> Option<i64> {
        None
    }

    /// Field selectors besides `metadata.name` and `metadata.namespace`.
    fn fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// The value of a selectable field, with its default where it is absent.
    fn field(&self, object: &Value, path: &str) -> String {
        object.text(&format!("/{}", path.replace('.', "/"))).to_owned()
    }

    /// Printed columns.
    fn columns(&self) -> &'static [Column] {
        DEFAULT_COLUMNS
    }

    /// One cell for each column.
    fn row(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        vec![meta::name(object).into(), object.text("/metadata/creationTimestamp").into()]
    }

    /// Conditions of a printed row: how clients know that an object is done.
    fn row_conditions(&self, _object: &Value) -> Option<Value> {
        None
    }

    /// How an object is deleted if the client wishes that many seconds of grace.
    fn grace(&self, _object: &Value, _wished_seconds: Option<i64>) -> Grace {
        Grace::Now
    }

    /// Where the scale subresource looks.
    fn scale(&self) -> Option<ScalePaths> {
        None
    }
}

/// A generated name ends in a hyphen before the random part, which a name may not.
pub(crate) fn unprefixed(name: &str, prefix: bool) -> String {
    match name.strip_suffix('-') {
        Some(stem) if prefix && !stem.is_empty() => format!("{stem}a"),
        _ => name.to_owned(),
    }
}

/// The generation of kinds whose spec alone counts.
pub(crate) fn spec_generation(new: &Value, old: Option<&Value>) -> i64 {
    match old {
        None => 1,
        Some(old) if new.get("spec") == old.get("spec") => meta::generation(old),
        Some(old) => meta::generation(old) + 1,
    }
}

/// The age cell.
pub(crate) fn age(object: &Value, now: Timestamp) -> Value {
    duration::since(meta::creation_timestamp(object), now).into()
}

/// `x`, or `<none>` for the empty string.
pub(crate) fn or_none(text: &str) -> Value {
    json!(if text.is_empty() { "<none>" } else { text })
}

/// Every kind's strategy.
static STRATEGIES: &[(&str, &str, &dyn Strategy)] = &[
    ("", "Binding", &crate::bodies::Binding),
    ("", "ConfigMap", &crate::config_map::ConfigMap),
    ("", "Endpoints", &crate::endpoints::Endpoints),
    ("", "Event", &crate::event::Event),
    ("", "Namespace", &crate::namespace::Namespace),
    ("", "Node", &crate::node::Node),
    ("", "Pod", &crate::pod::Pod),
    ("", "Secret", &crate::secret::Secret),
    ("", "Service", &crate::service::Service),
    ("", "ServiceAccount", &crate::service_account::ServiceAccount),
    ("apps", "Deployment", &crate::deployment::Deployment),
    ("apps", "ReplicaSet", &crate::replica_set::ReplicaSet),
    ("authentication.k8s.io", "SelfSubjectReview", &crate::reviews::SelfSubjectReview),
    ("authentication.k8s.io", "TokenRequest", &crate::bodies::TokenRequest),
    ("authentication.k8s.io", "TokenReview", &crate::reviews::TokenReview),
    ("authorization.k8s.io", "LocalSubjectAccessReview", &crate::reviews::LocalSubjectAccessReview),
    ("authorization.k8s.io", "SelfSubjectAccessReview", &crate::reviews::SelfSubjectAccessReview),
    ("authorization.k8s.io", "SelfSubjectRulesReview", &crate::reviews::SelfSubjectRulesReview),
    ("authorization.k8s.io", "SubjectAccessReview", &crate::reviews::SubjectAccessReview),
    ("autoscaling", "Scale", &crate::bodies::Scale),
    ("coordination.k8s.io", "Lease", &crate::lease::Lease),
    ("discovery.k8s.io", "EndpointSlice", &crate::endpoint_slice::EndpointSlice),
    ("events.k8s.io", "Event", &crate::event::EventsV1),
    ("policy", "Eviction", &crate::bodies::Eviction),
    ("rbac.authorization.k8s.io", "ClusterRole", &crate::cluster_role::ClusterRole),
    (
        "rbac.authorization.k8s.io",
        "ClusterRoleBinding",
        &crate::cluster_role_binding::ClusterRoleBinding,
    ),
    ("rbac.authorization.k8s.io", "Role", &crate::role::Role),
    ("rbac.authorization.k8s.io", "RoleBinding", &crate::role_binding::RoleBinding),
];

/// The strategy of a kind.
pub fn strategy(kind: &Kind) -> &'static dyn Strategy {
    /// For a kind that the table does not know: nothing beyond the schema.
    struct Plain;
    impl Strategy for Plain {}
    STRATEGIES
        .iter()
        .find(|(group, name, _)| (*group, *name) == (kind.group, kind.kind))
        .map_or(&Plain, |(_, _, strategy)| *strategy)
}

#[cfg(test)]
mod tests {
    use corten_api_k8s::kinds;

    use super::*;

    #[test]
    fn every_kind_has_a_strategy() {
        for kind in kinds::all() {
            assert!(
                STRATEGIES.iter().any(|(g, k, _)| (*g, *k) == (kind.group, kind.kind)),
                "{} has none",
                kind.qualified_kind()
            );
        }
        assert_eq!(STRATEGIES.len(), kinds::all().len());
    }

    #[test]
    fn rows_have_a_cell_for_each_column() {
        let now = Timestamp::UNIX_EPOCH;
        for (_, name, strategy) in STRATEGIES {
            assert_eq!(strategy.columns().len(), strategy.row(&json!({}), now).len(), "{name}");
        }
    }
}
