//! The calls about sandboxes and containers.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use corten_api_cri::v1::runtime_service_server::RuntimeService;
use corten_api_cri::v1::*;
use futures::Stream;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;
use tonic::{Request, Response, Status};

use super::{filter, info};
use crate::container;
use crate::error::{OperationError, Outcome};
use crate::sandbox;
use crate::service::Service;
use crate::stats;
use crate::streaming;

/// What a call answers.
pub(super) type Answer<T> = Result<Response<T>, Status>;
/// What a call answers bit by bit.
pub(super) type AnswerStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Serves them.
#[derive(Debug)]
pub(super) struct Runtime {
    service: Arc<Service>,
}

impl Runtime {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service }
    }

    fn sandboxes(&self) -> Vec<PodSandbox> {
        let all = self.service.sandboxes.all();
        all.iter().map(|sandbox| sandbox::list_item(&sandbox.record())).collect()
    }

    fn containers(&self) -> Vec<Container> {
        let all = self.service.containers.all();
        all.iter().map(|container| container::list_item(&container.record())).collect()
    }
}

/// Calls of the interface that this service does not have yet.
pub(super) fn not_there_yet(call: &str) -> Status {
    Status::unimplemented(format!("{call} is not supported by this version of corten"))
}

/// Stopping and removing what is not there has been done already.
fn unless_gone<T>(found: Outcome<T>) -> Outcome<Option<T>> {
    match found {
        Ok(entry) => Ok(Some(entry)),
        Err(OperationError::NotFound { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

#[tonic::async_trait]
impl RuntimeService for Runtime {
    type StreamPodSandboxesStream = AnswerStream<StreamPodSandboxesResponse>;
    type StreamContainersStream = AnswerStream<StreamContainersResponse>;
    type StreamContainerStatsStream = AnswerStream<StreamContainerStatsResponse>;
    type StreamPodSandboxStatsStream = AnswerStream<StreamPodSandboxStatsResponse>;
    type StreamPodSandboxMetricsStream = AnswerStream<StreamPodSandboxMetricsResponse>;
    type GetContainerEventsStream = AnswerStream<ContainerEventResponse>;

    async fn version(&self, _request: Request<VersionRequest>) -> Answer<VersionResponse> {
        Ok(Response::new(info::version()))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Answer<StatusResponse> {
        Ok(Response::new(info::status(&self.service, request.into_inner().verbose).await?))
    }

    async fn runtime_config(
        &self,
        _request: Request<RuntimeConfigRequest>,
    ) -> Answer<RuntimeConfigResponse> {
        Ok(Response::new(info::runtime_config()))
    }

    async fn update_runtime_config(
        &self,
        request: Request<UpdateRuntimeConfigRequest>,
    ) -> Answer<UpdateRuntimeConfigResponse> {
        info::update_runtime_config(&request.into_inner())?;
        Ok(Response::new(UpdateRuntimeConfigResponse {}))
    }

    async fn run_pod_sandbox(
        &self,
        request: Request<RunPodSandboxRequest>,
    ) -> Answer<RunPodSandboxResponse> {
        let RunPodSandboxRequest { config, runtime_handler } = request.into_inner();
        let config = config.ok_or_else(|| OperationError::invalid("config", "missing"))?;
        let service = Arc::clone(&self.service);
        let run = self.service.detached("run pod sandbox", async move {
            sandbox::run(&service, config, runtime_handler).await
        });
        Ok(Response::new(RunPodSandboxResponse { pod_sandbox_id: run.await? }))
    }

    async fn stop_pod_sandbox(
        &self,
        request: Request<StopPodSandboxRequest>,
    ) -> Answer<StopPodSandboxResponse> {
        let found = self.service.sandbox(&request.into_inner().pod_sandbox_id);
        if let Some(sandbox) = unless_gone(found)? {
            let service = Arc::clone(&self.service);
            let stop = self.service.detached("stop pod sandbox", async move {
                sandbox::stop(&service, &sandbox).await
            });
            stop.await?;
        }
        Ok(Response::new(StopPodSandboxResponse {}))
    }

    async fn remove_pod_sandbox(
        &self,
        request: Request<RemovePodSandboxRequest>,
    ) -> Answer<RemovePodSandboxResponse> {
        let found = self.service.sandbox(&request.into_inner().pod_sandbox_id);
        if let Some(sandbox) = unless_gone(found)? {
            let service = Arc::clone(&self.service);
            let remove = self.service.detached("remove pod sandbox", async move {
                sandbox::remove(&service, &sandbox).await
            });
            remove.await?;
        }
        Ok(Response::new(RemovePodSandboxResponse {}))
    }

    async fn pod_sandbox_status(
        &self,
        request: Request<PodSandboxStatusRequest>,
    ) -> Answer<PodSandboxStatusResponse> {
        let PodSandboxStatusRequest { pod_sandbox_id, verbose } = request.into_inner();
        let sandbox = self.service.sandbox(&pod_sandbox_id)?;
        let record = sandbox.record();
        let containers = self.service.containers_of(&sandbox.id);
        Ok(Response::new(PodSandboxStatusResponse {
            status: Some(sandbox::status(&record)),
            info: if verbose { sandbox::info(&self.service, &record) } else { Default::default() },
            containers_statuses: containers
                .iter()
                .map(|container| container::status(&container.record()))
                .collect(),
            timestamp: self.service.now(),
        }))
    }

    async fn list_pod_sandbox(
        &self,
        request: Request<ListPodSandboxRequest>,
    ) -> Answer<ListPodSandboxResponse> {
        let wanted = request.into_inner().filter;
        let mut items = self.sandboxes();
        items.retain(|item| filter::sandbox(wanted.as_ref(), item));
        Ok(Response::new(ListPodSandboxResponse { items }))
    }

    async fn create_container(
        &self,
        request: Request<CreateContainerRequest>,
    ) -> Answer<CreateContainerResponse> {
        // The sandbox's config comes along for runtimes that do not keep it.
        let CreateContainerRequest { pod_sandbox_id, config, .. } = request.into_inner();
        let config = config.ok_or_else(|| OperationError::invalid("config", "missing"))?;
        let sandbox = self.service.sandbox(&pod_sandbox_id)?;
        let service = Arc::clone(&self.service);
        let create = self.service.detached("create container", async move {
            container::create(&service, sandbox, config).await
        });
        Ok(Response::new(CreateContainerResponse { container_id: create.await? }))
    }

    async fn start_container(
        &self,
        request: Request<StartContainerRequest>,
    ) -> Answer<StartContainerResponse> {
        let container = self.service.container(&request.into_inner().container_id)?;
        let service = Arc::clone(&self.service);
        let start = self.service.detached("start container", async move {
            container::start(&service, &container).await
        });
        start.await?;
        Ok(Response::new(StartContainerResponse {}))
    }

    async fn stop_container(
        &self,
        request: Request<StopContainerRequest>,
    ) -> Answer<StopContainerResponse> {
        let StopContainerRequest { container_id, timeout } = request.into_inner();
        if let Some(container) = unless_gone(self.service.container(&container_id))? {
            let grace = Duration::from_secs(u64::try_from(timeout).unwrap_or_default());
            let service = Arc::clone(&self.service);
            let stop = self.service.detached("stop container", async move {
                container::stop(&service, &container, grace).await
            });
            stop.await?;
        }
        Ok(Response::new(StopContainerResponse {}))
    }

    async fn remove_container(
        &self,
        request: Request<RemoveContainerRequest>,
    ) -> Answer<RemoveContainerResponse> {
        let found = self.service.container(&request.into_inner().container_id);
        if let Some(container) = unless_gone(found)? {
            let service = Arc::clone(&self.service);
            let remove = self.service.detached("remove container", async move {
                container::remove(&service, &container).await
            });
            remove.await?;
        }
        Ok(Response::new(RemoveContainerResponse {}))
    }

    async fn list_containers(
        &self,
        request: Request<ListContainersRequest>,
    ) -> Answer<ListContainersResponse> {
        let wanted = request.into_inner().filter;
        let mut containers = self.containers();
        containers.retain(|item| filter::container(wanted.as_ref(), item));
        Ok(Response::new(ListContainersResponse { containers }))
    }

    async fn container_status(
        &self,
        request: Request<ContainerStatusRequest>,
    ) -> Answer<ContainerStatusResponse> {
        let ContainerStatusRequest { container_id, verbose } = request.into_inner();
        let record = self.service.container(&container_id)?.record();
        let info = if verbose {
            container::info(&self.service, &record).await?
        } else {
            Default::default()
        };
        Ok(Response::new(ContainerStatusResponse {
            status: Some(container::status(&record)),
            info,
        }))
    }

    async fn update_container_resources(
        &self,
        request: Request<UpdateContainerResourcesRequest>,
    ) -> Answer<UpdateContainerResourcesResponse> {
        let request = request.into_inner();
        if request.windows.is_some() {
            return Err(OperationError::unsupported("windows", "this node runs Linux").into());
        }
        let container = self.service.container(&request.container_id)?;
        let change = request.linux.unwrap_or_default();
        let service = Arc::clone(&self.service);
        let update = self.service.detached("update container", async move {
            container::update(&service, &container, change).await
        });
        update.await?;
        Ok(Response::new(UpdateContainerResourcesResponse {}))
    }

    async fn reopen_container_log(
        &self,
        request: Request<ReopenContainerLogRequest>,
    ) -> Answer<ReopenContainerLogResponse> {
        let container = self.service.container(&request.into_inner().container_id)?;
        container::reopen_log(&self.service, &container).await?;
        Ok(Response::new(ReopenContainerLogResponse {}))
    }

    async fn exec_sync(&self, request: Request<ExecSyncRequest>) -> Answer<ExecSyncResponse> {
        let ExecSyncRequest { container_id, cmd, timeout } = request.into_inner();
        let container = self.service.container(&container_id)?;
        let response = container::exec_sync(&self.service, &container, cmd, timeout).await?;
        Ok(Response::new(response))
    }

    async fn container_stats(
        &self,
        request: Request<ContainerStatsRequest>,
    ) -> Answer<ContainerStatsResponse> {
        let container = self.service.container(&request.into_inner().container_id)?;
        let stats = stats::container(&self.service, &container).await?;
        Ok(Response::new(ContainerStatsResponse { stats: Some(stats) }))
    }

    async fn list_container_stats(
        &self,
        request: Request<ListContainerStatsRequest>,
    ) -> Answer<ListContainerStatsResponse> {
        let wanted = request.into_inner().filter;
        let mut all = Vec::new();
        for container in self.service.containers.all() {
            let record = container.record();
            let item = container::list_item(&record);
            if stats::measurable(&record) && filter::container_stats(wanted.as_ref(), &item) {
                all.push(stats::container(&self.service, &container).await?);
            }
        }
        Ok(Response::new(ListContainerStatsResponse { stats: all }))
    }

    async fn pod_sandbox_stats(
        &self,
        request: Request<PodSandboxStatsRequest>,
    ) -> Answer<PodSandboxStatsResponse> {
        let sandbox = self.service.sandbox(&request.into_inner().pod_sandbox_id)?;
        let stats = stats::pod(&self.service, &sandbox).await?;
        Ok(Response::new(PodSandboxStatsResponse { stats: Some(stats) }))
    }

    async fn list_pod_sandbox_stats(
        &self,
        request: Request<ListPodSandboxStatsRequest>,
    ) -> Answer<ListPodSandboxStatsResponse> {
        let wanted = request.into_inner().filter;
        let mut all = Vec::new();
        for sandbox in self.service.sandboxes.all() {
            let item = sandbox::list_item(&sandbox.record());
            let ready = item.state == i32::from(PodSandboxState::SandboxReady);
            if ready && filter::sandbox_stats(wanted.as_ref(), &item) {
                all.push(stats::pod(&self.service, &sandbox).await?);
            }
        }
        Ok(Response::new(ListPodSandboxStatsResponse { stats: all }))
    }

    async fn get_container_events(
        &self,
        _request: Request<GetEventsRequest>,
    ) -> Answer<Self::GetContainerEventsStream> {
        let ended = self.service.tasks.token();
        let events = BroadcastStream::new(self.service.events.subscribe()).map(|event| {
            event.map_err(|lagged| {
                Status::data_loss(format!("this subscriber is too slow ({lagged}): list again"))
            })
        });
        // Without this an open stream would keep the server from ending.
        let until_ended = futures::StreamExt::take_until(events, ended.cancelled_owned());
        Ok(Response::new(Box::pin(until_ended)))
    }

    async fn exec(&self, request: Request<ExecRequest>) -> Answer<ExecResponse> {
        let url = streaming::exec_url(&self.service, request.into_inner())?;
        Ok(Response::new(ExecResponse { url }))
    }

    async fn attach(&self, request: Request<AttachRequest>) -> Answer<AttachResponse> {
        let url = streaming::attach_url(&self.service, request.into_inner())?;
        Ok(Response::new(AttachResponse { url }))
    }

    async fn port_forward(
        &self,
        request: Request<PortForwardRequest>,
    ) -> Answer<PortForwardResponse> {
        let url = streaming::port_forward_url(&self.service, request.into_inner())?;
        Ok(Response::new(PortForwardResponse { url }))
    }

    async fn checkpoint_container(
        &self,
        _request: Request<CheckpointContainerRequest>,
    ) -> Answer<CheckpointContainerResponse> {
        Err(not_there_yet("CheckpointContainer"))
    }

    async fn update_pod_sandbox_resources(
        &self,
        _request: Request<UpdatePodSandboxResourcesRequest>,
    ) -> Answer<UpdatePodSandboxResourcesResponse> {
        Err(not_there_yet("UpdatePodSandboxResources"))
    }

    async fn list_metric_descriptors(
        &self,
        _request: Request<ListMetricDescriptorsRequest>,
    ) -> Answer<ListMetricDescriptorsResponse> {
        Err(not_there_yet("ListMetricDescriptors"))
    }

    async fn list_pod_sandbox_metrics(
        &self,
        _request: Request<ListPodSandboxMetricsRequest>,
    ) -> Answer<ListPodSandboxMetricsResponse> {
        Err(not_there_yet("ListPodSandboxMetrics"))
    }

    async fn stream_pod_sandboxes(
        &self,
        _request: Request<StreamPodSandboxesRequest>,
    ) -> Answer<Self::StreamPodSandboxesStream> {
        Err(not_there_yet("StreamPodSandboxes"))
    }

    async fn stream_containers(
        &self,
        _request: Request<StreamContainersRequest>,
    ) -> Answer<Self::StreamContainersStream> {
        Err(not_there_yet("StreamContainers"))
    }

    async fn stream_container_stats(
        &self,
        _request: Request<StreamContainerStatsRequest>,
    ) -> Answer<Self::StreamContainerStatsStream> {
        Err(not_there_yet("StreamContainerStats"))
    }

    async fn stream_pod_sandbox_stats(
        &self,
        _request: Request<StreamPodSandboxStatsRequest>,
    ) -> Answer<Self::StreamPodSandboxStatsStream> {
        Err(not_there_yet("StreamPodSandboxStats"))
    }

    async fn stream_pod_sandbox_metrics(
        &self,
        _request: Request<StreamPodSandboxMetricsRequest>,
    ) -> Answer<Self::StreamPodSandboxMetricsStream> {
        Err(not_there_yet("StreamPodSandboxMetrics"))
    }
}
