//! What must be true of a change beyond its own validity, and what is filled in on the way: one
//! plugin after the other, in this order.

mod default_toleration_seconds;
mod namespace_lifecycle;
mod priority;
mod service_account;

use corten_api_k8s::kinds::Kind;
use corten_api_k8s::status::Status;
use serde_json::Value;

use crate::state::Api;
use crate::user::User;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// A change that asks to be admitted.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) api: &'a Api,
    pub(crate) user: &'a User,
    pub(crate) kind: &'static Kind,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) operation: Operation,
}

impl Request<'_> {
    /// Whether this creates a pod.
    fn creates_pod(&self) -> bool {
        self.operation == Operation::Create && self.is("", "pods")
    }

    fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && self.kind.group == group && self.kind.plural == plural
    }
}

/// One rule of admission.
struct Plugin {
    name: &'static str,
    /// Changes the object or refuses the request. The second object is the current one.
    admit: fn(&Request<'_>, &mut Value, Option<&Value>) -> Result<(), Status>,
}

const PLUGINS: &[Plugin] = &[
    namespace_lifecycle::PLUGIN,
    service_account::PLUGIN,
    priority::PLUGIN,
    default_toleration_seconds::PLUGIN,
];

/// Runs every plugin.
pub(crate) fn admit(
    request: &Request<'_>,
    object: &mut Value,
    current: Option<&Value>,
) -> Result<(), Status> {
    for plugin in PLUGINS {
        (plugin.admit)(request, object, current).inspect_err(|status| {
            tracing::debug!(
                plugin = plugin.name,
                user = request.user.name,
                cause = %status,
                "a request was not admitted"
            );
        })?;
    }
    Ok(())
}
