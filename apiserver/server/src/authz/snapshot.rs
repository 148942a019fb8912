//! Roles and bindings indexed by whom they are for.

use std::collections::HashMap;
use std::sync::Arc;

use corten_api_k8s::meta;
use corten_api_k8s::selector::{LabelSelector, Selector};
use corten_apiserver_store::{Range, Store};
use serde_json::Value;

use super::PREFIX;
use super::rules::{Attributes, Rule, Target};
use crate::rest::storage;
use crate::user::{User, service_account_name};

type Rules = Arc<Vec<Rule>>;

/// What the roles and bindings of the store say together.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    roles: Roles,
    /// By subject.
    everywhere: HashMap<Subject, Vec<Rules>>,
    /// By namespace, then by subject.
    in_namespace: HashMap<String, HashMap<Subject, Vec<Rules>>>,
}

#[derive(Debug, Default)]
struct Roles {
    cluster: HashMap<String, Rules>,
    namespaced: HashMap<(String, String), Rules>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(String),
    Group(String),
}

impl Snapshot {
    pub(crate) fn read(store: &dyn Store) -> Self {
        // Without a pinned revision nothing can have been compacted away.
        let entries = store
            .range(&Range { prefix: PREFIX, ..Range::default() })
            .map(|result| result.items)
            .unwrap_or_default();
        let objects: Vec<Arc<Value>> = entries.iter().map(|e| storage::parsed(e)).collect();
        let of_kind = |kind: &'static str| {
            objects.iter().filter(move |o| o.get("kind").and_then(Value::as_str) == Some(kind))
        };
        let mut roles = Roles::default();
        let cluster_roles: Vec<&Arc<Value>> = of_kind("ClusterRole").collect();
        for role in &cluster_roles {
            let rules = aggregated(role, &cluster_roles);
            roles.cluster.insert(meta::name(role).to_owned(), Arc::new(rules));
        }
        for role in of_kind("Role") {
            let id = (meta::namespace(role).to_owned(), meta::name(role).to_owned());
            roles.namespaced.insert(id, Arc::new(Rule::parse_all(role)));
        }
        let mut out = Self { roles, ..Self::default() };
        for binding in of_kind("ClusterRoleBinding") {
            if let Some(rules) = out.referred("", &binding["roleRef"]) {
                bind(&mut out.everywhere, "", binding, &rules);
            }
        }
        for binding in of_kind("RoleBinding") {
            let namespace = meta::namespace(binding);
            if let Some(rules) = out.referred(namespace, &binding["roleRef"]) {
                let index = out.in_namespace.entry(namespace.to_owned()).or_default();
                bind(index, namespace, binding, &rules);
            }
        }
        out
    }

    /// The rules of the role that a binding in `namespace` refers to.
    pub(crate) fn referred(&self, namespace: &str, role_ref: &Value) -> Option<Rules> {
        let name = role_ref.get("name").and_then(Value::as_str)?;
        let rules = match role_ref.get("kind").and_then(Value::as_str)? {
            "ClusterRole" => self.roles.cluster.get(name),
            "Role" => self.roles.namespaced.get(&(namespace.to_owned(), name.to_owned())),
            _ => None,
        };
        rules.map(Arc::clone)
    }

    pub(crate) fn allows(&self, user: &User, wanted: &Attributes<'_>) -> bool {
        let namespace = match wanted.target {
            Target::Resource { namespace, .. } => namespace,
            Target::Url(_) => "",
        };
        self.rules_for(user, namespace).any(|rule| rule.allows(wanted))
    }

    /// The rules that apply to a user everywhere and, if given, in a namespace.
    pub(crate) fn rules_for<'a>(
        &'a self,
        user: &User,
        namespace: &str,
    ) -> impl Iterator<Item = &'a Rule> {
        let subjects: Vec<Subject> = std::iter::once(Subject::User(user.name.clone()))
            .chain(user.groups.iter().map(|group| Subject::Group(group.clone())))
            .collect();
        let indexes = std::iter::once(&self.everywhere).chain(self.in_namespace.get(namespace));
        let found: Vec<&'a Rules> = indexes
            .flat_map(|index| subjects.iter().filter_map(|subject| index.get(subject)))
            .flatten()
            .collect();
        found.into_iter().flat_map(|rules| rules.iter())
    }
}

fn bind(
    index: &mut HashMap<Subject, Vec<Rules>>,
    binding_namespace: &str,
    binding: &Value,
    rules: &Rules,
) {
    let subjects = binding.get("subjects").and_then(Value::as_array);
    for subject in subjects.into_iter().flatten() {
        let field = |name: &str| subject.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = field("name");
        let subject = match field("kind") {
            "User" => Subject::User(name.to_owned()),
            "Group" => Subject::Group(name.to_owned()),
            "ServiceAccount" => {
                let own = field("namespace");
                let namespace = if own.is_empty() { binding_namespace } else { own };
                Subject::User(service_account_name(namespace, name))
            }
            _ => continue,
        };
        index.entry(subject).or_default().push(Arc::clone(rules));
    }
}

/// The rules of a cluster role; of an aggregating one, those of the roles that its selectors pick.
pub(crate) fn aggregated(role: &Value, all: &[&Arc<Value>]) -> Vec<Rule> {
    let selectors = role.get("aggregationRule").and_then(|rule| rule.get("clusterRoleSelectors"));
    let Some(selectors) = selectors.and_then(Value::as_array) else {
        return Rule::parse_all(role);
    };
    let selectors = parse(selectors);
    let mut out: Vec<Rule> = Vec::new();
    let picked = all.iter().filter(|other| {
        let labels = meta::labels(other);
        meta::name(other) != meta::name(role) && selectors.iter().any(|s| s.matches(labels))
    });
    for other in picked {
        // An aggregating role that is picked brings what it picks: edit brings view.
        let rules = if other.get("aggregationRule").is_some() {
            aggregated_once(other, all)
        } else {
            Rule::parse_all(other)
        };
        for rule in rules {
            if !out.contains(&rule) {
                out.push(rule);
            }
        }
    }
    out
}

/// One level below an aggregating role. Upstream's chain (admin, edit, view) is no deeper than the
/// direct picks make it, as each of them also labels its own parts.
fn aggregated_once(role: &Value, all: &[&Arc<Value>]) -> Vec<Rule> {
    let selectors = role["aggregationRule"]["clusterRoleSelectors"].as_array();
    let selectors = parse(selectors.map(Vec::as_slice).unwrap_or_default());
    all.iter()
        .filter(|other| selectors.iter().any(|s| s.matches(meta::labels(other))))
        .flat_map(|other| Rule::parse_all(other))
        .collect()
}

fn parse(selectors: &[Value]) -> Vec<Selector> {
    selectors.iter().filter_map(|s| LabelSelector::new(s).to_selector()).collect()
}
