//! Creating the default roles and bindings, and mending them at each start: what is missing from
//! them is added, what was added to them stays.

use std::sync::Arc;

use corten_api_k8s::kinds::{self, Kind};
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_store::{Expect, Op};
use serde_json::Value;

use super::roles;
use super::rules::Rule;
use crate::rest::{self, storage};
use crate::state::Api;

/// Opting out of the mending.
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

pub(crate) async fn reconcile(api: &Api) -> Result<(), Status> {
    let kind = |name: &str| {
        kinds::by_gvk("rbac.authorization.k8s.io", "v1", name)
            .ok_or_else(|| status::internal(&format!("{name} is not served")))
    };
    for role in roles::roles() {
        ensure(api, kind("ClusterRole")?, role).await?;
    }
    for binding in roles::bindings() {
        ensure(api, kind("ClusterRoleBinding")?, binding).await?;
    }
    aggregate(api, kind("ClusterRole")?).await
}

async fn ensure(api: &Api, kind: &'static Kind, wanted: Value) -> Result<(), Status> {
    let key = storage::key(kind, "", meta::name(&wanted));
    let Some(entry) = api.store.get(&key) else {
        return rest::create_internal(api, kind, wanted).await;
    };
    let current = storage::parsed(&entry);
    if meta::annotation(&current, AUTOUPDATE) == Some("false") {
        return Ok(());
    }
    let mut mended = current.as_ref().clone();
    if wanted.get("aggregationRule").is_none() {
        add_rules(&mut mended, &wanted);
    }
    add_items(&mut mended, &wanted, "subjects");
    if mended == *current {
        return Ok(());
    }
    put(api, kind, &key, &mended, entry.modified()).await
}

fn add_rules(role: &mut Value, wanted: &Value) {
    let own = Rule::parse_all(role);
    let missing = Rule::parse_all(wanted)
        .into_iter()
        .filter(|rule| !rule.singles().iter().all(|s| own.iter().any(|o| o.covers(s))))
        .map(|rule| rule.to_value());
    let missing: Vec<Value> = missing.collect();
    if let (Some(rules), false) =
        (role.get_mut("rules").and_then(Value::as_array_mut), missing.is_empty())
    {
        rules.extend(missing);
    }
}

fn add_items(object: &mut Value, wanted: &Value, field: &str) {
    let wanted = wanted.get(field).and_then(Value::as_array);
    let Some(own) = object.get_mut(field).and_then(Value::as_array_mut) else { return };
    for item in wanted.into_iter().flatten() {
        if !own.contains(item) {
            own.push(item.clone());
        }
    }
}

async fn put(
    api: &Api,
    kind: &'static Kind,
    key: &str,
    object: &Value,
    revision: u64,
) -> Result<(), Status> {
    let op = Op::Put {
        key: Arc::from(key),
        value: storage::encode(object)?,
        expect: Expect::Revision(revision),
    };
    match api.store.txn(vec![op]).await {
        Ok(_) => Ok(()),
        Err(failed) => Err(crate::error::from_txn(kind, meta::name(object), &failed)),
    }
}

/// Writes into each aggregating role the rules that it takes in, for whoever reads the role.
/// (Decisions are made on the rules as they are, not on this copy.)
pub(crate) async fn aggregate(api: &Api, kind: &'static Kind) -> Result<(), Status> {
    let prefix = storage::prefix(kind, "");
    let range = corten_apiserver_store::Range { prefix: &prefix, ..Default::default() };
    let found = api.store.range(&range).map_err(|c| crate::error::from_compacted(&c))?;
    let objects: Vec<Arc<Value>> = found.items.iter().map(|e| storage::parsed(e)).collect();
    let all: Vec<&Arc<Value>> = objects.iter().collect();
    for (entry, role) in found.items.iter().zip(&objects) {
        if role.get("aggregationRule").is_none_or(Value::is_null) {
            continue;
        }
        let rules = super::snapshot::aggregated(role, &all);
        let rules: Vec<Value> = rules.iter().map(Rule::to_value).collect();
        let mut updated = role.as_ref().clone();
        updated["rules"] = Value::Array(rules);
        if updated != **role {
            match put(api, kind, entry.key(), &updated, entry.modified()).await {
                // Somebody else changed the role: that change is an event, so this comes again.
                Err(status) if status.code == 409 => {}
                outcome => outcome?,
            }
        }
    }
    Ok(())
}
