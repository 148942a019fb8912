//! Images: whether one must be pulled, with which credentials, and when to try again.

mod credentials;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corten_api_cri::v1;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Container;
use tokio::sync::Semaphore;

pub(crate) use credentials::Credentials;

use crate::cri::Cri;
use crate::pods::backoff::Backoff;
use crate::pods::core::Trouble;

/// Pulls that run at one time; the rest wait their turn.
const PULLS_MAX: usize = 4;
/// When an image that must be here already is looked for again.
const ABSENT_RETRY: SignedDuration = SignedDuration::from_secs(10);

/// The images of the node. Clones share the back-off.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    cri: Cri,
    failures: Arc<Mutex<Failures>>,
    pulls: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Failures {
    backoff: Backoff,
    /// When a key failed last and how.
    last: std::collections::BTreeMap<String, (Timestamp, String)>,
}

/// What the worker tells as events while an image is seen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Present,
    Pulling,
    Pulled { took: Duration, bytes: u64 },
    Failed { reason: &'static str, message: String },
    BackOff,
}

/// Adds the tag that a name without one means.
pub(crate) fn with_default_tag(name: &str) -> Result<String, String> {
    let invalid = |why: &str| {
        Err(format!(
            "Failed to apply default image tag \"{name}\": couldn't parse image name \"{name}\": {why}"
        ))
    };
    let (path, digest) = match name.split_once('@') {
        Some((path, digest)) => (path, Some(digest)),
        None => (name, None),
    };
    let last = path.rsplit('/').next().unwrap_or(path);
    let (repository, tag) = match last.split_once(':') {
        Some((_, tag)) => (&path[..path.len() - tag.len() - 1], Some(tag)),
        None => (path, None),
    };
    let without_host = match repository.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
        _ => repository,
    };
    if without_host.chars().any(|c| c.is_ascii_uppercase()) {
        return invalid("invalid reference format: repository name must be lowercase");
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let good = !without_host.is_empty()
        && without_host.split('/').all(|part| !part.is_empty() && part.chars().all(is_word))
        && tag.is_none_or(|tag| !tag.is_empty() && tag.len() <= 128 && tag.chars().all(is_word))
        && digest.is_none_or(|digest| digest.contains(':'));
    match (good, tag.is_some() || digest.is_some()) {
        (false, _) => invalid("invalid reference format"),
        (true, true) => Ok(name.to_owned()),
        (true, false) => Ok(format!("{name}:latest")),
    }
}

fn pull_policy<'a>(container: &'a Container, name: &str) -> &'a str {
    match container.image_pull_policy.as_deref() {
        Some(policy) if !policy.is_empty() => policy,
        _ if name.ends_with(":latest") => "Always",
        _ => "IfNotPresent",
    }
}

impl Images {
    pub(crate) fn new(cri: Cri) -> Self {
        Self { cri, failures: Arc::default(), pulls: Arc::new(Semaphore::new(PULLS_MAX)) }
    }

    /// Makes sure that the container's image is here, as its pull policy says.
    pub(crate) async fn ensure(
        &self,
        pod_uid: &str,
        container: &Container,
        credentials: &Credentials,
        sandbox: v1::PodSandboxConfig,
        tell: &(dyn Fn(Told) + Sync),
    ) -> Result<v1::Image, Trouble> {
        let wanted = container.image.as_deref().unwrap_or_default();
        let now = Timestamp::now();
        let trouble = |reason: &str, message: String, retry_at| Trouble {
            reason: reason.to_owned(),
            message,
            retry_at,
        };
        let name = with_default_tag(wanted).map_err(|message| {
            tell(Told::Failed { reason: "InspectFailed", message: message.clone() });
            trouble("InvalidImageName", message, now + ABSENT_RETRY)
        })?;
        let present = self.cri.image(&name).await.map_err(|error| {
            let message = format!("Failed to inspect image \"{name}\": {}", error.message());
            tell(Told::Failed { reason: "InspectFailed", message: message.clone() });
            trouble("ImageInspectError", message, now + ABSENT_RETRY)
        })?;
        let policy = pull_policy(container, &name);
        match (present, policy) {
            (Some(image), "IfNotPresent" | "Never") => {
                tell(Told::Present);
                return Ok(image);
            }
            (None, "Never") => {
                let message = format!(
                    "Container image \"{wanted}\" is not present with pull policy of Never"
                );
                tell(Told::Failed { reason: "ErrImageNeverPull", message: message.clone() });
                return Err(trouble("ErrImageNeverPull", message, now + ABSENT_RETRY));
            }
            (_, _) => {}
        }
        let key = format!("{pod_uid}_{name}");
        if let Some((until, cause)) = self.backing_off(&key, now) {
            tell(Told::BackOff);
            let message = format!("Back-off pulling image \"{wanted}\": ErrImagePull: {cause}");
            return Err(trouble("ImagePullBackOff", message, until));
        }
        tell(Told::Pulling);
        Box::pin(self.pull(&name, &key, credentials, sandbox, tell)).await.map_err(|cause| {
            tell(Told::Failed {
                reason: "Failed",
                message: format!("Failed to pull image \"{wanted}\": {cause}"),
            });
            // Asked again soon, it will say that it backs off.
            trouble("ErrImagePull", cause, Timestamp::now() + SignedDuration::from_secs(2))
        })
    }

    fn backing_off(&self, key: &str, now: Timestamp) -> Option<(Timestamp, String)> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, cause) = failures.last.get(key)?;
        let (_, until) = failures.backoff.wait(key, *at, now)?;
        Some((until, cause.clone()))
    }

    async fn pull(
        &self,
        name: &str,
        key: &str,
        credentials: &Credentials,
        sandbox: v1::PodSandboxConfig,
        tell: &(dyn Fn(Told) + Sync),
    ) -> Result<v1::Image, String> {
        let begin = Timestamp::now();
        let result = Box::pin(self.pull_now(name, credentials, sandbox)).await;
        let now = Timestamp::now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(image) => {
                failures.backoff.forget(key);
                failures.last.remove(key);
                let took = Duration::try_from(now.duration_since(begin)).unwrap_or_default();
                tell(Told::Pulled { took, bytes: image.size });
                Ok(image)
            }
            Err(cause) => {
                failures.backoff.attempt(key, now, now);
                failures.last.insert(key.to_owned(), (now, cause.clone()));
                Err(cause)
            }
        }
    }

    async fn pull_now(
        &self,
        name: &str,
        credentials: &Credentials,
        sandbox: v1::PodSandboxConfig,
    ) -> Result<v1::Image, String> {
        let turn = self.pulls.acquire().await.map_err(|closed| closed.to_string())?;
        let mut failure = String::new();
        // Each matching credential is tried, then none: a public image needs none.
        let auths = credentials.matching(name).into_iter().map(Some).chain([None]);
        for auth in auths {
            match Box::pin(self.cri.pull(name, auth, sandbox.clone())).await {
                Ok(reference) => {
                    drop(turn);
                    let found = self.cri.image(&reference).await.map_err(|e| e.message())?;
                    return match found {
                        Some(image) => Ok(image),
                        None => Err(format!("pulled image {reference} is not there")),
                    };
                }
                Err(error) if failure.is_empty() => failure = error.message(),
                Err(_later) => {}
            }
        }
        Err(failure)
    }

    /// Forgets the failures of a pod that is gone.
    pub(crate) fn forget_pod(&self, pod_uid: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let prefix = format!("{pod_uid}_");
        let gone: Vec<String> =
            failures.last.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for key in gone {
            failures.last.remove(&key);
            failures.backoff.forget(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_a_tag() {
        for (name, expected) in [
            ("busybox", "busybox:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(with_default_tag(name).as_deref(), Ok(expected));
        }
        for name in ["", "Busybox", "a b", "a:", "a//b", "a:b c"] {
            let error = with_default_tag(name).unwrap_err();
            assert!(error.contains("invalid reference format"), "{error}");
        }
    }
}
