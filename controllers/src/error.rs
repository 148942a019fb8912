//! Why a reconciliation did not succeed. It is logged and tried again with back-off.

use kube::Resource;

/// A request to the API server failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} {kind} {name}")]
pub(crate) struct SyncError {
    /// What was to be done, such as `create`.
    pub(crate) verb: &'static str,
    /// The kind of the object.
    pub(crate) kind: String,
    /// Its name, with its namespace if it has one.
    pub(crate) name: String,
    /// What the API server or the way to it said.
    #[source]
    pub(crate) source: Box<kube::Error>,
}

impl SyncError {
    /// What the API server answered, if it did.
    fn status(&self) -> Option<&kube::core::Status> {
        match &*self.source {
            kube::Error::Api(status) => Some(status),
            _ => None,
        }
    }

    /// The object is gone.
    pub(crate) fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// Another object has the name.
    pub(crate) fn is_already_exists(&self) -> bool {
        self.status().is_some_and(|status| status.reason == "AlreadyExists")
    }

    /// The object was changed meanwhile, or is another one by now.
    pub(crate) fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.code == 409 && status.reason != "AlreadyExists")
    }

    /// Nothing can be created as the namespace is going away.
    pub(crate) fn is_namespace_terminating(&self) -> bool {
        self.status().is_some_and(|status| {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
                || status.code == 403 && status.message.contains("is being terminated")
        })
    }

    /// What users are shown in events and conditions.
    pub(crate) fn message(&self) -> String {
        match self.status() {
            Some(status) => status.message.clone(),
            None => self.source.to_string(),
        }
    }
}

/// Makes the error of a request about an object.
pub(crate) fn on<K: Resource<DynamicType = ()>>(
    verb: &'static str,
    namespace: Option<&str>,
    name: &str,
) -> impl FnOnce(kube::Error) -> SyncError {
    let kind = K::kind(&()).into_owned();
    let name = match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    move |source| SyncError { verb, kind, name, source: Box::new(source) }
}
