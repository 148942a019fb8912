//! Nobody may give rights that they do not have.
//!
//! Who writes a role must have every right in it, or the verb `escalate` on it; who writes a
//! binding must have every right of its role, or the verb `bind` on that role.

use corten_api_k8s::field::go_quote;
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use serde_json::Value;

use super::rules::{Attributes, Rule, Target};
use crate::state::Api;
use crate::user::{MASTERS, User};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses the creation or change of an RBAC object that would give more than `user` has.
pub(crate) fn check(
    api: &Api,
    user: &User,
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if kind.group != GROUP || user.is_in(MASTERS) {
        return Ok(());
    }
    match kind.kind {
        "ClusterRole" | "Role" => check_role(api, user, kind, new, old),
        "ClusterRoleBinding" | "RoleBinding" => check_binding(api, user, kind, new, old),
        _ => Ok(()),
    }
}

fn check_role(
    api: &Api,
    user: &User,
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let same = |field: &str| old.is_some_and(|old| old.get(field) == new.get(field));
    if same("rules") && same("aggregationRule") {
        return Ok(());
    }
    if may(api, user, "escalate", kind.plural, meta::namespace(new), meta::name(new)) {
        return Ok(());
    }
    // An aggregating role gives whatever its selectors pick, now and later.
    let mut wanted = Rule::parse_all(new);
    if new.get("aggregationRule").is_some_and(|rule| !rule.is_null()) {
        wanted.extend([Rule::everything(), Rule::every_url()]);
    }
    refuse_excess(api, user, kind, new, &wanted)
}

fn check_binding(
    api: &Api,
    user: &User,
    kind: &Kind,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let same = |field: &str| old.is_some_and(|old| old.get(field) == new.get(field));
    if same("roleRef") && same("subjects") {
        return Ok(());
    }
    let role_ref = &new["roleRef"];
    let name = role_ref.get("name").and_then(Value::as_str).unwrap_or_default();
    let (plural, namespace) = match role_ref.get("kind").and_then(Value::as_str) {
        Some("Role") => ("roles", meta::namespace(new)),
        Some(_) | None => ("clusterroles", ""),
    };
    // A cluster role may be bound in a namespace by who has `bind` in that namespace.
    if may(api, user, "bind", plural, meta::namespace(new), name) {
        return Ok(());
    }
    let snapshot = api.rbac.current(&*api.store);
    let Some(rules) = snapshot.referred(namespace, role_ref) else {
        let kind = if plural == "roles" { "role" } else { "clusterrole" };
        let resource = format!("{kind}s.{GROUP}");
        return Err(Status::failure(
            status::Reason::NotFound,
            format!("{resource} {} not found", go_quote(name)),
        ));
    };
    refuse_excess(api, user, kind, new, &rules)
}

fn may(api: &Api, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let target = Target::Resource { group: GROUP, namespace, resource, subresource: "", name };
    api.rbac.allows(&*api.store, user, &Attributes { verb, target })
}

fn refuse_excess(
    api: &Api,
    user: &User,
    kind: &Kind,
    object: &Value,
    wanted: &[Rule],
) -> Result<(), Status> {
    let own = api.rbac.rules_for(&*api.store, user, meta::namespace(object));
    let missing: Vec<String> = wanted
        .iter()
        .flat_map(Rule::singles)
        .filter(|single| !own.iter().any(|rule| rule.covers(single)))
        .map(|single| describe(&single))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!(
        "user {} (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
        go_quote(&user.name),
        user.groups,
        missing.join("\n")
    );
    Err(status::forbidden(kind, meta::name(object), &why))
}

fn describe(rule: &Rule) -> String {
    let list = |name: &str, items: &[String]| {
        let quoted: Vec<String> = items.iter().map(|item| go_quote(item)).collect();
        (!items.is_empty()).then(|| format!("{name}:[{}]", quoted.join(" ")))
    };
    let parts: Vec<String> = [
        list("APIGroups", &rule.api_groups),
        list("Resources", &rule.resources),
        list("ResourceNames", &rule.resource_names),
        list("NonResourceURLs", &rule.non_resource_urls),
        list("Verbs", &rule.verbs),
    ]
    .into_iter()
    .flatten()
    .collect();
    format!("{{{}}}", parts.join(", "))
}
