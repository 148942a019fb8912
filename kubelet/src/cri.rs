//! The container runtime behind its CRI socket: every call with a time-out and a named error.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use corten_api_cri::MESSAGE_BYTES_MAX;
use corten_api_cri::v1::image_service_client::ImageServiceClient;
use corten_api_cri::v1::runtime_service_client::RuntimeServiceClient;
use corten_api_cri::v1::{self};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// Calls that only look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls that make or remove something (`runtimeRequestTimeout` of upstream).
const CHANGE_TIMEOUT: Duration = Duration::from_secs(120);
/// A pull makes progress or fails on its own; this only bounds what nobody ends.
const PULL_TIMEOUT: Duration = Duration::from_secs(3600);

/// A call to the runtime failed.
#[derive(Debug, thiserror::Error)]
#[error("{call} of {subject:?} failed")]
pub(crate) struct CriError {
    pub(crate) call: &'static str,
    pub(crate) subject: String,
    #[source]
    pub(crate) source: Box<Status>,
}

impl CriError {
    /// What is shown to users, in the words that they know.
    pub(crate) fn message(&self) -> String {
        format!("rpc error: code = {:?} desc = {}", self.source.code(), self.source.message())
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.source.code() == Code::NotFound
    }

    pub(crate) fn is_timeout(&self) -> bool {
        self.source.code() == Code::DeadlineExceeded
    }
}

/// The runtime. Clones share the connection.
#[derive(Clone, Debug)]
pub(crate) struct Cri {
    runtime: RuntimeServiceClient<Channel>,
    image: ImageServiceClient<Channel>,
}

/// The outcome of a command that a container ran.
#[derive(Clone, Debug)]
pub(crate) struct ExecOutcome {
    pub(crate) exit_code: i32,
    pub(crate) output: Vec<u8>,
}

async fn timed<T>(
    call: &'static str,
    subject: &str,
    limit: Duration,
    future: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CriError> {
    // A call's future holds its whole request; boxed, it does not swell every future around it.
    let future = Box::pin(future);
    let failed =
        |source: Status| CriError { call, subject: subject.to_owned(), source: Box::new(source) };
    match tokio::time::timeout(limit, future).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(failed(status)),
        Err(_elapsed) => {
            Err(failed(Status::deadline_exceeded(format!("no answer within {limit:?}"))))
        }
    }
}

/// Gone already is as good as removed.
fn or_gone(result: Result<(), CriError>) -> Result<(), CriError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

impl Cri {
    pub(crate) async fn connect(socket: &Path) -> Result<Self, corten_api_cri::ConnectError> {
        let channel = corten_api_cri::connect(socket).await?;
        Ok(Self {
            runtime: RuntimeServiceClient::new(channel.clone())
                .max_decoding_message_size(MESSAGE_BYTES_MAX),
            image: ImageServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX),
        })
    }

    pub(crate) async fn version(&self) -> Result<v1::VersionResponse, CriError> {
        let request = v1::VersionRequest { version: "0.1.0".to_owned() };
        timed("Version", "", LOOK_TIMEOUT, self.runtime.clone().version(request)).await
    }

    pub(crate) async fn status(&self) -> Result<Vec<v1::RuntimeCondition>, CriError> {
        let request = v1::StatusRequest { verbose: false };
        let answer =
            timed("Status", "", LOOK_TIMEOUT, self.runtime.clone().status(request)).await?;
        Ok(answer.status.map(|s| s.conditions).unwrap_or_default())
    }

    /// Container events from now on.
    pub(crate) async fn events(
        &self,
    ) -> Result<tonic::Streaming<v1::ContainerEventResponse>, CriError> {
        let request = v1::GetEventsRequest {};
        let mut client = self.runtime.clone();
        timed("GetContainerEvents", "", LOOK_TIMEOUT, client.get_container_events(request)).await
    }

    pub(crate) async fn list_sandboxes(
        &self,
        filter: Option<v1::PodSandboxFilter>,
    ) -> Result<Vec<v1::PodSandbox>, CriError> {
        let request = v1::ListPodSandboxRequest { filter };
        let mut client = self.runtime.clone();
        let call = client.list_pod_sandbox(request);
        Ok(timed("ListPodSandbox", "", LOOK_TIMEOUT, call).await?.items)
    }

    pub(crate) async fn list_containers(
        &self,
        filter: Option<v1::ContainerFilter>,
    ) -> Result<Vec<v1::Container>, CriError> {
        let request = v1::ListContainersRequest { filter };
        let mut client = self.runtime.clone();
        Ok(timed("ListContainers", "", LOOK_TIMEOUT, client.list_containers(request))
            .await?
            .containers)
    }

    /// `None` if there is no such sandbox.
    pub(crate) async fn sandbox_status(
        &self,
        id: &str,
    ) -> Result<Option<v1::PodSandboxStatus>, CriError> {
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
        let mut client = self.runtime.clone();
        match timed("PodSandboxStatus", id, LOOK_TIMEOUT, client.pod_sandbox_status(request)).await
        {
            Ok(answer) => Ok(answer.status),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `None` if there is no such container.
    pub(crate) async fn container_status(
        &self,
        id: &str,
    ) -> Result<Option<v1::ContainerStatus>, CriError> {
        let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
        let mut client = self.runtime.clone();
        match timed("ContainerStatus", id, LOOK_TIMEOUT, client.container_status(request)).await {
            Ok(answer) => Ok(answer.status),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn run_sandbox(
        &self,
        config: v1::PodSandboxConfig,
        handler: &str,
    ) -> Result<String, CriError> {
        let subject = config.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
        let request =
            v1::RunPodSandboxRequest { config: Some(config), runtime_handler: handler.to_owned() };
        let mut client = self.runtime.clone();
        let call = client.run_pod_sandbox(request);
        Ok(timed("RunPodSandbox", &subject, CHANGE_TIMEOUT, call).await?.pod_sandbox_id)
    }

    pub(crate) async fn stop_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut client = self.runtime.clone();
        let call = client.stop_pod_sandbox(request);
        or_gone(timed("StopPodSandbox", id, CHANGE_TIMEOUT, call).await.map(drop))
    }

    pub(crate) async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
        let mut client = self.runtime.clone();
        let call = client.remove_pod_sandbox(request);
        or_gone(timed("RemovePodSandbox", id, CHANGE_TIMEOUT, call).await.map(drop))
    }

    pub(crate) async fn create_container(
        &self,
        sandbox_id: &str,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let subject = config.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let mut client = self.runtime.clone();
        let call = client.create_container(request);
        Ok(timed("CreateContainer", &subject, CHANGE_TIMEOUT, call).await?.container_id)
    }

    pub(crate) async fn start_container(&self, id: &str) -> Result<(), CriError> {
        let request = v1::StartContainerRequest { container_id: id.to_owned() };
        let mut client = self.runtime.clone();
        timed("StartContainer", id, CHANGE_TIMEOUT, client.start_container(request)).await.map(drop)
    }

    /// SIGTERM (or the image's own stop signal), and SIGKILL after the grace period.
    pub(crate) async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let timeout = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let request = v1::StopContainerRequest { container_id: id.to_owned(), timeout };
        let limit = grace.saturating_add(CHANGE_TIMEOUT);
        let mut client = self.runtime.clone();
        or_gone(timed("StopContainer", id, limit, client.stop_container(request)).await.map(drop))
    }

    pub(crate) async fn remove_container(&self, id: &str) -> Result<(), CriError> {
        let request = v1::RemoveContainerRequest { container_id: id.to_owned() };
        let mut client = self.runtime.clone();
        let call = client.remove_container(request);
        or_gone(timed("RemoveContainer", id, CHANGE_TIMEOUT, call).await.map(drop))
    }

    /// Runs a command in a container. A time-out is an error with code `DeadlineExceeded`.
    pub(crate) async fn exec(
        &self,
        id: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<ExecOutcome, CriError> {
        // The runtime kills the command at its own time-out; ours only bounds a hung runtime.
        let timeout = i64::try_from(limit.as_secs().max(1)).unwrap_or(i64::MAX);
        let request =
            v1::ExecSyncRequest { container_id: id.to_owned(), cmd: command.to_vec(), timeout };
        let mut client = self.runtime.clone();
        let call = client.exec_sync(request);
        let answer = timed("ExecSync", id, limit + LOOK_TIMEOUT, call).await?;
        let mut output = answer.stdout;
        output.extend_from_slice(&answer.stderr);
        Ok(ExecOutcome { exit_code: answer.exit_code, output })
    }

    pub(crate) async fn reopen_log(&self, id: &str) -> Result<(), CriError> {
        let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
        let mut client = self.runtime.clone();
        let call = client.reopen_container_log(request);
        timed("ReopenContainerLog", id, LOOK_TIMEOUT, call).await.map(drop)
    }

    /// `None` if the image is not here.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<v1::Image>, CriError> {
        let request = v1::ImageStatusRequest { image: Some(image_spec(name)), verbose: false };
        let mut client = self.image.clone();
        Ok(timed("ImageStatus", name, LOOK_TIMEOUT, client.image_status(request)).await?.image)
    }

    pub(crate) async fn images(&self) -> Result<Vec<v1::Image>, CriError> {
        let request = v1::ListImagesRequest { filter: None };
        let mut client = self.image.clone();
        Ok(timed("ListImages", "", LOOK_TIMEOUT, client.list_images(request)).await?.images)
    }

    pub(crate) async fn pull(
        &self,
        name: &str,
        auth: Option<v1::AuthConfig>,
        sandbox: v1::PodSandboxConfig,
    ) -> Result<String, CriError> {
        let request = v1::PullImageRequest {
            image: Some(image_spec(name)),
            auth,
            sandbox_config: Some(sandbox),
        };
        let mut client = self.image.clone();
        Ok(timed("PullImage", name, PULL_TIMEOUT, client.pull_image(request)).await?.image_ref)
    }
}

fn image_spec(name: &str) -> v1::ImageSpec {
    v1::ImageSpec {
        image: name.to_owned(),
        user_specified_image: name.to_owned(),
        ..v1::ImageSpec::default()
    }
}
