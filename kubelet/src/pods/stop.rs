//! Stopping a container: its preStop hook, then the runtime's SIGTERM and SIGKILL, all within one
//! grace period.

use std::time::Duration;

use corten_client::EventType;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use super::core::{Stop, StopReason};
use super::tell::Teller;
use crate::cri::{Cri, CriError};
use crate::probes;

/// What SIGTERM is given at least, however long the hook took.
const GRACE_MIN: Duration = Duration::from_secs(2);

/// What a hook needs to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HookTarget<'a> {
    pub(crate) cri: &'a Cri,
    pub(crate) container: &'a Container,
    pub(crate) container_id: &'a str,
    pub(crate) pod_ip: Option<&'a str>,
}

/// Stops one container and waits until it is stopped.
pub(crate) async fn stop(
    cri: &Cri,
    pod: &Pod,
    stop: &Stop,
    pod_ip: Option<&str>,
    teller: &Teller,
) -> Result<(), CriError> {
    let name = &stop.name;
    let why = match stop.reason {
        StopReason::Liveness => {
            format!("Container {name} failed liveness probe, will be restarted")
        }
        StopReason::Startup => format!("Container {name} failed startup probe, will be restarted"),
        StopReason::DefinitionChanged => {
            format!("Container {name} definition changed, will be restarted")
        }
        StopReason::PodEnds | StopReason::SandboxChanged | StopReason::Superfluous => {
            format!("Stopping container {name}")
        }
    };
    teller.container(name, EventType::Normal, "Killing", why);
    let grace = Duration::from_secs(u64::try_from(stop.grace_seconds).unwrap_or(0));
    let container =
        pod.spec.as_ref().and_then(|spec| super::model::container(spec, name)).map(|(_, c)| c);
    let mut left = grace;
    if let Some(container) = container
        && let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref())
    {
        let begin = tokio::time::Instant::now();
        let target = HookTarget { cri, container, container_id: &stop.id, pod_ip };
        let failure = match tokio::time::timeout(grace, run_hook(target, hook, grace)).await {
            Ok(Ok(())) => None,
            Ok(Err(message)) => Some(message),
            Err(_elapsed) => Some("it did not end within the grace period".to_owned()),
        };
        if let Some(message) = failure {
            let message = format!("PreStopHook failed: {message}");
            teller.container(name, EventType::Warning, "FailedPreStopHook", message);
        }
        left = grace.saturating_sub(begin.elapsed()).max(GRACE_MIN);
    }
    cri.stop_container(&stop.id, left).await
}

/// Runs one lifecycle hook to its end.
pub(crate) async fn run_hook(
    target: HookTarget<'_>,
    hook: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    if let Some(exec) = &hook.exec {
        let command = exec.command.clone().unwrap_or_default();
        let done = target.cri.exec(target.container_id, &command, limit).await;
        return match done {
            Ok(done) if done.exit_code == 0 => Ok(()),
            Ok(done) => Err(format!(
                "command {command:?} exited with {}: {}",
                done.exit_code,
                String::from_utf8_lossy(&done.output[..done.output.len().min(512)])
            )),
            Err(error) => Err(error.message()),
        };
    }
    if let Some(sleep) = &hook.sleep {
        let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        return Ok(());
    }
    if let Some(get) = &hook.http_get {
        let given = get.host.as_deref().filter(|host| !host.is_empty());
        let Some(host) = given.or(target.pod_ip) else {
            return Err("the pod has no address".to_owned());
        };
        let Some(port) = probes::port(&get.port, target.container) else {
            return Err("its port is not one of the container's".to_owned());
        };
        return match probes::http_hook(get, host, port, limit).await {
            probes::Outcome::Success => Ok(()),
            probes::Outcome::Failure(message) | probes::Outcome::Error(message) => Err(message),
        };
    }
    Err("it names no handler".to_owned())
}
