//! Pods that really run: the service on its socket, with shims, the project's network plugins, the
//! image store and cgroups, in namespaces of the test's own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

mod image;
mod lab;
mod streams;

use std::fs;

use corten_api_cri::v1::runtime_service_client::RuntimeServiceClient;
use corten_api_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerState, ContainerStatsRequest, ContainerStatus,
    ContainerStatusRequest, CreateContainerRequest, ExecSyncRequest, ImageSpec,
    LinuxContainerConfig, LinuxContainerResources, LinuxPodSandboxConfig, ListContainersRequest,
    ListPodSandboxRequest, PodSandboxConfig, PodSandboxMetadata, PodSandboxState,
    PodSandboxStatusRequest, RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest,
    StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
};
use tonic::Code;
use tonic::transport::Channel;

use lab::{Lab, eventually};

type Client = RuntimeServiceClient<Channel>;

fn pod(lab: &Lab, name: &str) -> PodSandboxConfig {
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            uid: name.to_owned(),
            attempt: 0,
        }),
        hostname: name.to_owned(),
        log_directory: lab.path("logs").display().to_string(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: lab.cgroup(),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

fn shell(name: &str, script: &str) -> ContainerConfig {
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: 0 }),
        image: Some(ImageSpec { image: image::NAME.to_owned(), ..ImageSpec::default() }),
        command: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
        log_path: format!("{name}.log"),
        ..ContainerConfig::default()
    }
}

async fn run(client: &mut Client, config: PodSandboxConfig) -> String {
    let request = RunPodSandboxRequest { config: Some(config), runtime_handler: String::new() };
    client.run_pod_sandbox(request).await.unwrap().into_inner().pod_sandbox_id
}

async fn create(client: &mut Client, pod: &str, config: ContainerConfig) -> String {
    let request = CreateContainerRequest {
        pod_sandbox_id: pod.to_owned(),
        config: Some(config),
        sandbox_config: None,
    };
    client.create_container(request).await.unwrap().into_inner().container_id
}

async fn start(client: &mut Client, id: &str) {
    client.start_container(StartContainerRequest { container_id: id.to_owned() }).await.unwrap();
}

async fn status(client: &mut Client, id: &str) -> ContainerStatus {
    let request = ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    client.container_status(request).await.unwrap().into_inner().status.unwrap()
}

async fn exited(client: &mut Client, id: &str) -> ContainerStatus {
    eventually("the container exits", async || {
        let status = status(client, id).await;
        (status.state() == ContainerState::ContainerExited).then_some(status)
    })
    .await
}

async fn remove(client: &mut Client, pod: &str) {
    let request = StopPodSandboxRequest { pod_sandbox_id: pod.to_owned() };
    client.stop_pod_sandbox(request).await.unwrap();
    let request = RemovePodSandboxRequest { pod_sandbox_id: pod.to_owned() };
    client.remove_pod_sandbox(request).await.unwrap();
}

#[test]
fn a_pod_runs_and_goes_without_a_trace() {
    Lab::run(async |lab| {
        let before = lab.traces();
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "web")).await;
        assert_eq!(run(&mut client, pod(lab, "web")).await, pod_id);
        let script = "echo out; echo err >&2; hostname; printf unfinished; sleep 1000";
        let id = create(&mut client, &pod_id, shell("main", script)).await;
        start(&mut client, &id).await;
        let log = lab.path("logs/main.log");
        let lines = eventually("the log is written", async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            // Without the time that each line starts with.
            let cut = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
            let lines: Vec<_> = text.lines().filter_map(cut).collect();
            (lines.len() >= 3).then_some(lines)
        })
        .await;
        for line in ["stdout F out", "stderr F err", "stdout F web"] {
            assert!(lines.iter().any(|one| one == line), "{line} is not in {lines:?}");
        }

        let request = ExecSyncRequest {
            container_id: id.clone(),
            cmd: ["sh", "-c", "echo hi; ip -4 addr show eth0 >&2; exit 7"]
                .map(str::to_owned)
                .into(),
            timeout: 20,
        };
        let answer = client.exec_sync(request).await.unwrap().into_inner();
        assert_eq!((answer.exit_code, answer.stdout.as_slice()), (7, b"hi\n".as_slice()));
        let request = PodSandboxStatusRequest { pod_sandbox_id: pod_id.clone(), verbose: true };
        let answered = client.pod_sandbox_status(request).await.unwrap().into_inner();
        let pod_status = answered.status.unwrap();
        assert_eq!(pod_status.state(), PodSandboxState::SandboxReady);
        let ip = pod_status.network.unwrap().ip;
        assert!(String::from_utf8_lossy(&answer.stderr).contains(&ip), "{ip} is not eth0's");

        let request = ContainerStatsRequest { container_id: id.clone() };
        let stats = client.container_stats(request).await.unwrap().into_inner().stats.unwrap();
        assert!(stats.memory.unwrap().working_set_bytes.unwrap().value > 0);

        let request = StopContainerRequest { container_id: id.clone(), timeout: 20 };
        client.stop_container(request).await.unwrap();
        assert_eq!(exited(&mut client, &id).await.exit_code, 143);
        client.remove_container(RemoveContainerRequest { container_id: id.clone() }).await.unwrap();
        let request = ContainerStatusRequest { container_id: id, verbose: false };
        assert_eq!(client.container_status(request).await.unwrap_err().code(), Code::NotFound);
        remove(&mut client, &pod_id).await;
        remove(&mut client, &pod_id).await;
        assert_eq!(lab.traces(), before);
    });
}

#[test]
fn a_container_past_its_memory_limit_is_killed_and_its_neighbour_is_not() {
    Lab::run(async |lab| {
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "hungry")).await;
        let mut config = shell("eater", "head -c 300000000 /dev/zero | tail");
        config.linux = Some(LinuxContainerConfig {
            resources: Some(LinuxContainerResources {
                memory_limit_in_bytes: 32 << 20,
                ..LinuxContainerResources::default()
            }),
            ..LinuxContainerConfig::default()
        });
        let eater = create(&mut client, &pod_id, config).await;
        let neighbour = create(&mut client, &pod_id, shell("neighbour", "sleep 1000")).await;
        start(&mut client, &neighbour).await;
        start(&mut client, &eater).await;
        let end = exited(&mut client, &eater).await;
        assert_eq!((end.exit_code, end.reason.as_str()), (137, "OOMKilled"));
        let neighbour = status(&mut client, &neighbour).await;
        assert_eq!(neighbour.state(), ContainerState::ContainerRunning);
        remove(&mut client, &pod_id).await;
    });
}

#[test]
fn pods_outlive_the_service() {
    Lab::run(async |lab| {
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "lasting")).await;
        let stays = create(&mut client, &pod_id, shell("stays", "sleep 1000")).await;
        let script = "while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 5";
        let ends = create(&mut client, &pod_id, shell("ends", script)).await;
        start(&mut client, &stays).await;
        start(&mut client, &ends).await;
        drop(client);
        lab.drop_service().await;
        lab.write_into(&ends, "tmp/end");
        lab.wait_for_recorded_exit(&pod_id, &ends).await;

        lab.start_service();
        let mut client = lab.client().await;
        assert_eq!(exited(&mut client, &ends).await.exit_code, 5);
        assert_eq!(status(&mut client, &stays).await.state(), ContainerState::ContainerRunning);
        let request = ExecSyncRequest {
            container_id: stays.clone(),
            cmd: vec!["true".to_owned()],
            timeout: 20,
        };
        assert_eq!(client.exec_sync(request).await.unwrap().into_inner().exit_code, 0);
        remove(&mut client, &pod_id).await;
        let request = ListContainersRequest::default();
        assert_eq!(client.list_containers(request).await.unwrap().into_inner().containers, []);
        let request = ListPodSandboxRequest::default();
        assert_eq!(client.list_pod_sandbox(request).await.unwrap().into_inner().items, []);
    });
}

#[test]
fn a_program_that_is_not_in_the_image_fails_to_start() {
    Lab::run(async |lab| {
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "empty")).await;
        let mut config = shell("main", "");
        config.command = vec!["/no/such/program".to_owned()];
        let id = create(&mut client, &pod_id, config).await;
        let request = StartContainerRequest { container_id: id.clone() };
        let error = client.start_container(request).await.unwrap_err();
        assert!(error.message().contains("/no/such/program: No such file"), "{error}");
        let end = status(&mut client, &id).await;
        assert_eq!((end.exit_code, end.reason.as_str()), (128, "StartError"));
        remove(&mut client, &pod_id).await;
    });
}

#[test]
fn a_killed_shim_leaves_a_dead_pod_and_no_trace_of_it() {
    Lab::run(async |lab| {
        let before = lab.traces();
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "orphan")).await;
        let id = create(&mut client, &pod_id, shell("main", "sleep 1000")).await;
        start(&mut client, &id).await;
        lab.kill_shim(&pod_id);
        assert_eq!(exited(&mut client, &id).await.reason, "Unknown");
        eventually("the pod is not ready", async || {
            let request =
                PodSandboxStatusRequest { pod_sandbox_id: pod_id.clone(), verbose: false };
            let mut client = client.clone();
            let status = client.pod_sandbox_status(request).await.unwrap().into_inner().status;
            (status.unwrap().state() == PodSandboxState::SandboxNotready).then_some(())
        })
        .await;
        remove(&mut client, &pod_id).await;
        assert_eq!(lab.traces(), before);
    });
}
