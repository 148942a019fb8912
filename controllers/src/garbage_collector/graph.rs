//! Who owns whom. Pure: changes go in, the objects to look at come out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// On an object that waits for its dependents to be deleted first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// On an object whose dependents are to be kept.
pub(super) const ORPHAN: &str = "orphan";

/// The `metadata.uid` of an object.
pub(super) type Uid = String;

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Identity {
    /// Which kind, as an index into the kinds that are watched.
    pub(super) kind: usize,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: Uid,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} ({})", self.namespace, self.name, self.uid)
    }
}

/// What is kept of an object.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) identity: Identity,
    pub(super) owners: Vec<OwnerReference>,
    pub(super) is_deleted: bool,
    /// Deleted, and its dependents go first.
    pub(super) is_foreground: bool,
    /// Deleted, and its dependents stay.
    pub(super) is_orphaning: bool,
}

impl Node {
    pub(super) fn new(kind: usize, meta: &ObjectMeta) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let is_deleted = meta.deletion_timestamp.is_some();
        let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|one| one == finalizer);
        Self {
            identity: Identity {
                kind,
                namespace: text(&meta.namespace),
                name: text(&meta.name),
                uid: text(&meta.uid),
            },
            owners: meta.owner_references.clone().unwrap_or_default(),
            is_deleted,
            is_foreground: is_deleted && has(FOREGROUND),
            is_orphaning: is_deleted && has(ORPHAN),
        }
    }

    pub(super) fn reference_to(&self, uid: &str) -> Option<&OwnerReference> {
        self.owners.iter().find(|owner| owner.uid == uid)
    }

    fn blocks(&self, owner: &str) -> bool {
        let reference = self.reference_to(owner);
        reference.is_some_and(|reference| reference.block_owner_deletion == Some(true))
    }
}

/// All objects that are known.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Node>,
    /// By owner, which need not be known.
    dependents: HashMap<Uid, BTreeSet<Uid>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name this one as owner.
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Node> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get(uid))
    }

    /// The dependents without whose end the foreground deletion of this object is not complete.
    pub(super) fn blocking(&self, uid: &str) -> impl Iterator<Item = &Node> {
        self.dependents(uid).filter(move |dependent| dependent.blocks(uid))
    }

    /// An object is new or changed. Returns the objects to look at.
    pub(super) fn apply(&mut self, node: Node) -> Vec<Identity> {
        let uid = node.identity.uid.clone();
        let before = self.nodes.insert(uid.clone(), node.clone());
        let mut look_at = Vec::new();
        let owners = |node: &Node| -> HashSet<Uid> {
            node.owners.iter().map(|owner| owner.uid.clone()).collect()
        };
        let had = before.as_ref().map(owners).unwrap_or_default();
        let has = owners(&node);
        for owner in has.difference(&had) {
            self.dependents.entry(owner.clone()).or_default().insert(uid.clone());
        }
        for owner in had.difference(&has) {
            self.detach(owner, &uid);
        }
        let became = |is: fn(&Node) -> bool| is(&node) && !before.as_ref().is_some_and(is);
        let is_unowned = has.iter().any(|owner| match self.nodes.get(owner) {
            None => true,
            Some(owner) => owner.is_foreground,
        });
        let owners_changed = before.is_none() || had != has;
        if owners_changed && is_unowned {
            look_at.push(node.identity.clone());
        }
        if became(|node| node.is_foreground) {
            look_at.push(node.identity.clone());
            look_at.extend(self.dependents(&uid).map(|one| one.identity.clone()));
        }
        if became(|node| node.is_orphaning) {
            look_at.push(node.identity.clone());
        }
        // An owner may have waited for this one, and doesn't have to any more.
        if let Some(before) = before {
            let waited = before.owners.iter().filter(|owner| before.blocks(&owner.uid));
            for owner in waited.filter(|owner| !node.blocks(&owner.uid)) {
                look_at.extend(self.waiting(&owner.uid));
            }
        }
        look_at
    }

    /// An object is gone. Returns the objects to look at.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<Identity> {
        let mut look_at: Vec<Identity> =
            self.dependents(uid).map(|one| one.identity.clone()).collect();
        let Some(node) = self.nodes.remove(uid) else { return look_at };
        for owner in &node.owners {
            self.detach(&owner.uid, uid);
            look_at.extend(self.waiting(&owner.uid));
        }
        look_at
    }

    /// All objects of a kind are these; others are gone.
    pub(super) fn retain(&mut self, kind: usize, there: &HashSet<Uid>) -> Vec<Identity> {
        let of_kind = self.nodes.values().filter(|node| node.identity.kind == kind);
        let gone: Vec<Uid> = of_kind
            .filter(|node| !there.contains(&node.identity.uid))
            .map(|node| node.identity.uid.clone())
            .collect();
        gone.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    /// All objects that there may be something to do about.
    pub(super) fn all(&self) -> Vec<Identity> {
        let concerned = self
            .nodes
            .values()
            .filter(|node| !node.owners.is_empty() || node.is_foreground || node.is_orphaning);
        concerned.map(|node| node.identity.clone()).collect()
    }

    fn waiting(&self, owner: &str) -> Option<Identity> {
        let owner = self.nodes.get(owner)?;
        owner.is_foreground.then(|| owner.identity.clone())
    }

    fn detach(&mut self, owner: &str, uid: &str) {
        if let Some(dependents) = self.dependents.get_mut(owner) {
            dependents.remove(uid);
            if dependents.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }
}

/// What an owner is to one of its dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnerState {
    /// It is there.
    Solid,
    /// It is there, and waits for its dependents to go.
    Waiting,
    /// It is gone.
    Dangling,
}

/// What is to be done with an object because of its owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Keep,
    /// Forget these owners; others are left.
    DropOwners(Vec<Uid>),
    /// Nobody owns it any more.
    Delete,
    /// Its owner waits for it, and it has dependents of its own that go first. If one of those
    /// waits for its dependents too, the object must not wait for its own: `unblock`.
    DeleteForeground {
        unblock: bool,
    },
}

/// Decides from the state of each owner; `dependents` are those of the object.
pub(super) fn decide<'a>(
    owners: &[(Uid, OwnerState)],
    dependents: impl Iterator<Item = &'a Node>,
) -> Decision {
    let of = |state: OwnerState| owners.iter().filter(move |(_, is)| *is == state);
    let useless = || -> Vec<Uid> {
        let gone = owners.iter().filter(|(_, state)| *state != OwnerState::Solid);
        gone.map(|(uid, _)| uid.clone()).collect()
    };
    if owners.is_empty() {
        return Decision::Keep;
    }
    if of(OwnerState::Solid).next().is_some() {
        let useless = useless();
        return if useless.is_empty() { Decision::Keep } else { Decision::DropOwners(useless) };
    }
    if of(OwnerState::Waiting).next().is_some() {
        let mut dependents = dependents.peekable();
        if dependents.peek().is_some() {
            return Decision::DeleteForeground { unblock: dependents.any(|one| one.is_foreground) };
        }
    }
    Decision::Delete
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(uid: &str, owners: &[(&str, bool)], finalizers: &[&str]) -> Node {
        let owners: Vec<_> = owners
            .iter()
            .map(|(uid, block)| {
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": uid, "uid": uid,
                    "blockOwnerDeletion": block })
            })
            .collect();
        let deleted = (!finalizers.is_empty()).then_some("2026-01-01T00:00:00Z");
        let meta: ObjectMeta = serde_json::from_value(json!({
            "name": uid, "uid": uid, "namespace": "n", "ownerReferences": owners,
            "finalizers": finalizers, "deletionTimestamp": deleted,
        }))
        .unwrap();
        Node::new(0, &meta)
    }

    fn names(mut identities: Vec<Identity>) -> Vec<String> {
        identities.sort();
        identities.dedup();
        identities.into_iter().map(|identity| identity.name).collect()
    }

    #[test]
    fn dependents_are_looked_at_when_their_owner_goes() {
        let mut graph = Graph::default();
        assert!(names(graph.apply(node("owner", &[], &[]))).is_empty());
        assert!(names(graph.apply(node("a", &[("owner", false)], &[]))).is_empty());
        assert!(names(graph.apply(node("b", &[("owner", true)], &[]))).is_empty());
        assert_eq!(names(graph.remove("owner")), ["a", "b"]);
    }

    #[test]
    fn a_dependent_of_nobody_known_is_looked_at() {
        let mut graph = Graph::default();
        assert_eq!(names(graph.apply(node("a", &[("gone", false)], &[]))), ["a"]);
        // Nothing new about its owners: no need to look again.
        assert!(names(graph.apply(node("a", &[("gone", false)], &[]))).is_empty());
    }

    #[test]
    fn a_foreground_deletion_looks_at_all_and_again_when_the_last_blocker_goes() {
        let mut graph = Graph::default();
        graph.apply(node("owner", &[], &[]));
        graph.apply(node("a", &[("owner", true)], &[]));
        graph.apply(node("b", &[("owner", false)], &[]));
        assert_eq!(names(graph.apply(node("owner", &[], &[FOREGROUND]))), ["a", "b", "owner"]);
        assert_eq!(names(graph.blocking("owner").map(|n| n.identity.clone()).collect()), ["a"]);
        assert_eq!(names(graph.remove("a")), ["owner"]);
        assert_eq!(graph.blocking("owner").count(), 0);
    }

    #[test]
    fn an_owner_is_looked_at_when_a_dependent_stops_blocking() {
        let mut graph = Graph::default();
        graph.apply(node("owner", &[], &[FOREGROUND]));
        graph.apply(node("a", &[("owner", true)], &[]));
        let look_at = names(graph.apply(node("a", &[("owner", false)], &[])));
        assert_eq!(look_at, ["owner"]);
    }

    #[test]
    fn what_a_restarted_watch_does_not_show_is_gone() {
        let mut graph = Graph::default();
        graph.apply(node("owner", &[], &[]));
        graph.apply(node("a", &[("owner", false)], &[]));
        assert_eq!(names(graph.retain(0, &HashSet::from(["a".to_owned()]))), ["a"]);
        assert!(graph.get("owner").is_none());
    }

    #[test]
    fn decisions() {
        use OwnerState::{Dangling, Solid, Waiting};
        let decide = |owners: &[(&str, OwnerState)], dependents: &[Node]| {
            let owners: Vec<_> = owners.iter().map(|(uid, is)| ((*uid).to_owned(), *is)).collect();
            super::decide(&owners, dependents.iter())
        };
        let none: &[Node] = &[];
        assert_eq!(decide(&[], none), Decision::Keep);
        assert_eq!(decide(&[("a", Solid)], none), Decision::Keep);
        assert_eq!(decide(&[("a", Dangling)], none), Decision::Delete);
        assert_eq!(decide(&[("a", Waiting)], none), Decision::Delete);
        assert_eq!(
            decide(&[("a", Solid), ("b", Dangling), ("c", Waiting)], none),
            Decision::DropOwners(vec!["b".to_owned(), "c".to_owned()])
        );
        let child = node("child", &[("me", true)], &[]);
        let ending = node("ending", &[("me", true)], &[FOREGROUND]);
        assert_eq!(
            decide(&[("a", Waiting)], std::slice::from_ref(&child)),
            Decision::DeleteForeground { unblock: false }
        );
        assert_eq!(
            decide(&[("a", Waiting)], &[child.clone(), ending]),
            Decision::DeleteForeground { unblock: true }
        );
        assert_eq!(decide(&[("a", Dangling)], &[child]), Decision::Delete);
    }
}
