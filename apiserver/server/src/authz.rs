//! Deciding whether who asks may: role-based access control over the objects in the store.

pub(crate) mod bootstrap;
pub(crate) mod escalation;
pub(crate) mod review;
pub(crate) mod roles;
pub(crate) mod rules;
pub(crate) mod snapshot;

use std::sync::{Arc, Mutex, PoisonError};

use corten_api_k8s::status::{Reason, Status};
use corten_apiserver_store::{Store, Watch};

use crate::request::RequestInfo;
use crate::user::{MASTERS, User};
use rules::{Attributes, Rule, Target};
use snapshot::Snapshot;

/// Where RBAC objects lie in the store.
const PREFIX: &str = "/registry/rbac.authorization.k8s.io/";

/// Decides by what the store's roles and bindings say at that moment.
///
/// A snapshot of them is kept, indexed by subject. Before each decision the changes since are
/// taken from a watch; as the store queues an event before it acknowledges the write, whoever
/// wrote a binding finds it in force.
pub(crate) struct Rbac {
    state: Mutex<State>,
}

struct State {
    watch: Option<Watch>,
    snapshot: Arc<Snapshot>,
}

impl std::fmt::Debug for Rbac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rbac").finish_non_exhaustive()
    }
}

impl Rbac {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { watch: None, snapshot: Arc::default() }) }
    }

    /// What is in force now.
    pub(crate) fn current(&self, store: &dyn Store) -> Arc<Snapshot> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stale() {
            // First the watch, then the reading: what changes in between is seen twice, not never.
            state.watch = store.watch(PREFIX, store.revision()).ok();
            state.snapshot = Arc::new(Snapshot::read(store));
        }
        Arc::clone(&state.snapshot)
    }

    /// Whether `user` may do that.
    pub(crate) fn allows(&self, store: &dyn Store, user: &User, wanted: &Attributes<'_>) -> bool {
        user.is_in(MASTERS) || self.current(store).allows(user, wanted)
    }

    /// The rules that apply to `user` in a namespace (and in all).
    pub(crate) fn rules_for(&self, store: &dyn Store, user: &User, namespace: &str) -> Vec<Rule> {
        if user.is_in(MASTERS) {
            return vec![Rule::everything(), Rule::every_url()];
        }
        self.current(store).rules_for(user, namespace).cloned().collect()
    }
}

impl State {
    /// Whether something has changed since the snapshot. Takes everything the watch has.
    fn stale(&mut self) -> bool {
        let Some(watch) = &mut self.watch else { return true };
        let mut stale = false;
        loop {
            match watch.try_next() {
                Ok(Some(_event)) => stale = true,
                Ok(None) => return stale,
                Err(_ended) => return true,
            }
        }
    }
}

/// What a request wants, in the terms of rules.
pub(crate) fn attributes(info: &RequestInfo) -> Attributes<'_> {
    let target = match &info.resource {
        Some(resource) => Target::Resource {
            group: &resource.group,
            namespace: &resource.namespace,
            resource: &resource.resource,
            subresource: &resource.subresource,
            name: &resource.name,
        },
        None => Target::Url(&info.path),
    };
    Attributes { verb: info.verb, target }
}

/// The refusal, worded as clients know it.
pub(crate) fn forbidden(user: &User, wanted: &Attributes<'_>) -> Status {
    let quote = corten_api_k8s::field::go_quote;
    let (subject, why) = match &wanted.target {
        Target::Url(path) => {
            let why =
                format!("User {} cannot {} path {}", quote(&user.name), wanted.verb, quote(path));
            return corten_api_k8s::status::forbidden_path(&why);
        }
        Target::Resource { group, namespace, resource, subresource, name } => {
            let mut full = (*resource).to_owned();
            if !subresource.is_empty() {
                full = format!("{full}/{subresource}");
            }
            let place = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {}", quote(namespace))
            };
            let why = format!(
                "User {} cannot {} resource {} in API group {} {place}",
                quote(&user.name),
                wanted.verb,
                quote(&full),
                quote(group),
            );
            let mut subject = (*resource).to_owned();
            if !group.is_empty() {
                subject = format!("{subject}.{group}");
            }
            if !name.is_empty() {
                subject = format!("{subject} {}", quote(name));
            }
            (subject, why)
        }
    };
    let mut status = Status::failure(Reason::Forbidden, format!("{subject} is forbidden: {why}"));
    if let Target::Resource { group, resource, name, .. } = &wanted.target {
        let details = status.details.get_or_insert_default();
        details.name = (*name).to_owned();
        details.group = (*group).to_owned();
        details.kind = (*resource).to_owned();
    }
    status
}
