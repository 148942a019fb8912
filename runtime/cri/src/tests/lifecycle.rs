//! What callers rely on when they make, stop and remove pods and containers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corten_api_cri::v1::ContainerEventType;
use corten_task::Tasks;

use super::fakes::{Machine, World, until};
use super::records::{config, pod};
use crate::container;
use crate::error::{OperationError, chain};
use crate::sandbox;
use crate::service::Service;
use crate::store::{ContainerPhase, SandboxPhase};

async fn run(service: &Arc<Service>, name: &str) -> Result<String, OperationError> {
    let (owned, config) = (Arc::clone(service), pod(name));
    let run = async move { sandbox::run(&owned, config, String::new()).await };
    service.detached("run", run).await
}

async fn create(
    service: &Arc<Service>,
    sandbox: &str,
    name: &str,
) -> Result<String, OperationError> {
    let sandbox = service.sandbox(sandbox)?;
    container::create(service, sandbox, config(name)).await
}

async fn started(service: &Arc<Service>, sandbox: &str, name: &str) -> String {
    let id = create(service, sandbox, name).await.unwrap();
    let container = service.container(&id).unwrap();
    container::start(service, &container).await.unwrap();
    id
}

fn files_below(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path.display().to_string());
        }
    }
    files
}

#[tokio::test]
async fn a_retry_gets_the_same_sandbox() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let (first, second) = tokio::join!(run(&service, "web"), run(&service, "web"));
    let id = first.unwrap();
    assert_eq!(second.unwrap(), id);
    assert_eq!(run(&service, "web").await.unwrap(), id);
    assert_eq!(machine.world().shims_started, 1);
    assert_ne!(run(&service, "db").await.unwrap(), id);

    let mut other = pod("web");
    other.hostname = "another".to_owned();
    let error = sandbox::run(&service, other, String::new()).await.unwrap_err();
    assert!(matches!(error, OperationError::Exists { .. }), "{error}");
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_a_sandbox_that_its_retry_gets() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    machine.gate.forget_permits(usize::MAX);
    {
        let call = run(&service, "web");
        tokio::pin!(call);
        let hung_up = tokio::time::timeout(Duration::from_millis(50), &mut call).await;
        hung_up.unwrap_err();
    }
    let id = service.sandboxes.all()[0].id.clone();
    machine.gate.add_permits(1);
    assert_eq!(run(&service, "web").await.unwrap(), id);
    assert_eq!(machine.world().shims_started, 1);
}

#[tokio::test]
async fn a_sandbox_that_gets_no_network_leaves_nothing_behind() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    machine.world().network_fails = true;
    let error = run(&service, "web").await.unwrap_err();
    assert!(chain(&error).ends_with("no address is free"), "{}", chain(&error));
    {
        let world = machine.world();
        assert!(world.shims.is_empty());
        assert!(world.attached.is_empty());
        assert_eq!(world.network_calls, ["add web", "remove web"]);
    }
    assert!(service.sandboxes.all().is_empty());
    assert_eq!(files_below(machine.dir.path()), Vec::<String>::new());

    machine.world().network_fails = false;
    run(&service, "web").await.unwrap();
}

#[tokio::test]
async fn a_container_lives_from_creation_to_removal() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let pod = run(&service, "web").await.unwrap();
    let id = create(&service, &pod, "nginx").await.unwrap();
    assert_eq!(create(&service, &pod, "nginx").await.unwrap(), id);
    let entry = service.container(&id[..10]).unwrap();
    assert_eq!(entry.phase(), ContainerPhase::Created);
    assert_eq!(entry.record().user.uid, 1000);

    let mut events = service.events.subscribe();
    container::start(&service, &entry).await.unwrap();
    container::start(&service, &entry).await.unwrap();
    assert_eq!(entry.phase(), ContainerPhase::Running);
    assert_eq!(entry.record().started_at, Some(500));

    machine.world().end(&id, World::exited(137, true));
    until(|| entry.phase() == ContainerPhase::Exited).await;
    let status = container::status(&entry.record());
    assert_eq!((status.exit_code, status.reason.as_str()), (137, "OOMKilled"));
    let error = create(&service, &pod, "nginx").await.unwrap_err();
    assert!(matches!(error, OperationError::Exists { .. }), "{error}");

    container::stop(&service, &entry, Duration::from_secs(30)).await.unwrap();
    container::remove(&service, &entry).await.unwrap();
    container::remove(&service, &entry).await.unwrap();
    service.container(&id).unwrap_err();
    assert!(machine.world().mounted.is_empty());
    assert!(!service.config.bundle_dir(&id).exists());
    let mut kinds = Vec::new();
    while let Ok(event) = events.try_recv() {
        assert_eq!(event.container_id, id);
        kinds.push(event.container_event_type());
    }
    assert_eq!(
        kinds,
        [
            ContainerEventType::ContainerStartedEvent,
            ContainerEventType::ContainerStoppedEvent,
            ContainerEventType::ContainerDeletedEvent,
        ]
    );
}

#[tokio::test]
async fn a_process_that_ends_before_its_start_is_told_has_started_and_ended() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    machine.world().ends_at_once = true;
    let pod = run(&service, "web").await.unwrap();
    let id = started(&service, &pod, "job").await;
    let entry = service.container(&id).unwrap();
    until(|| entry.phase() == ContainerPhase::Exited).await;
    let status = container::status(&entry.record());
    assert_eq!((status.started_at, status.finished_at), (500, 1_000_000));
    assert_eq!(status.reason, "Completed");
}

#[tokio::test]
async fn a_container_that_cannot_be_made_leaves_nothing_behind() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let pod = run(&service, "web").await.unwrap();
    let before = files_below(machine.dir.path());
    machine.world().create_fails = true;
    let error = create(&service, &pod, "nginx").await.unwrap_err();
    assert!(chain(&error).contains("/bin/serve: not like this"), "{}", chain(&error));
    assert!(machine.world().mounted.is_empty());
    assert!(service.containers.all().is_empty());
    assert_eq!(files_below(machine.dir.path()), before);
}

#[tokio::test]
async fn a_program_that_is_not_there_ends_the_container() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let pod = run(&service, "web").await.unwrap();
    let id = create(&service, &pod, "nginx").await.unwrap();
    machine.world().start_fails = true;
    let entry = service.container(&id).unwrap();
    let error = container::start(&service, &entry).await.unwrap_err();
    assert!(chain(&error).ends_with("/bin/serve: No such file or directory"), "{}", chain(&error));
    let status = container::status(&entry.record());
    assert_eq!((status.exit_code, status.reason.as_str()), (128, "StartError"));
    container::remove(&service, &entry).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_is_killed() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let pod = run(&service, "web").await.unwrap();
    let polite = service.container(&started(&service, &pod, "polite").await).unwrap();
    container::stop(&service, &polite, Duration::from_secs(30)).await.unwrap();
    assert_eq!(machine.world().signals, [15]);

    machine.world().signals.clear();
    machine.world().stubborn = true;
    let stubborn = service.container(&started(&service, &pod, "stubborn").await).unwrap();
    // A second call with less patience is not held up by the first.
    let (first, second) = tokio::join!(
        container::stop(&service, &stubborn, Duration::from_secs(3600)),
        container::stop(&service, &stubborn, Duration::from_secs(1)),
    );
    first.unwrap();
    second.unwrap();
    assert_eq!(machine.world().signals, [15, 15, 9]);
    assert_eq!(stubborn.record().exit.unwrap().code, 137);
}

#[tokio::test]
async fn a_pod_is_stopped_and_removed_with_all_that_is_in_it() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let id = run(&service, "web").await.unwrap();
    let running = service.container(&started(&service, &id, "one").await).unwrap();
    create(&service, &id, "two").await.unwrap();
    let entry = service.sandbox(&id).unwrap();
    sandbox::stop(&service, &entry).await.unwrap();
    sandbox::stop(&service, &entry).await.unwrap();
    assert_eq!(entry.phase(), SandboxPhase::NotReady);
    assert_eq!(running.phase(), ContainerPhase::Exited);
    assert!(machine.world().shims.is_empty());
    assert!(machine.world().attached.is_empty());
    let error = create(&service, &id, "three").await.unwrap_err();
    assert!(matches!(error, OperationError::State { .. }), "{error}");
    let error = run(&service, "web").await.unwrap_err();
    assert!(matches!(error, OperationError::Exists { .. }), "{error}");

    sandbox::remove(&service, &entry).await.unwrap();
    sandbox::remove(&service, &entry).await.unwrap();
    assert!(service.sandboxes.all().is_empty() && service.containers.all().is_empty());
    assert!(machine.world().mounted.is_empty());
    assert_eq!(files_below(machine.dir.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_pod_whose_shim_is_killed_is_dead() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let pod = run(&service, "web").await.unwrap();
    let known = started(&service, &pod, "known").await;
    let unknown = started(&service, &pod, "unknown").await;
    machine.world().recorded_exits.insert(known.clone(), World::exited(7, false));
    machine.world().kill_shims();
    let entry = service.sandbox(&pod).unwrap();
    until(|| entry.phase() == SandboxPhase::NotReady).await;
    let exit = |id: &str| service.container(id).unwrap().record().exit.unwrap();
    assert_eq!((exit(&known).code, exit(&known).reason.as_str()), (7, "Error"));
    assert_eq!((exit(&unknown).code, exit(&unknown).reason.as_str()), (255, "Unknown"));
    // Whatever of them was left was killed.
    let destroyed = machine.world().destroyed_cgroups.clone();
    assert_eq!(destroyed, [format!("/corten/{known}"), format!("/corten/{unknown}")]);
    sandbox::remove(&service, &entry).await.unwrap();
}

#[tokio::test]
async fn a_command_runs_in_a_container_as_its_first_process_does() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let pod = run(&service, "web").await.unwrap();
    let id = started(&service, &pod, "nginx").await;
    let entry = service.container(&id).unwrap();
    let command = vec!["ls".to_owned(), "/".to_owned()];
    let response = container::exec_sync(&service, &entry, command.clone(), 5).await.unwrap();
    assert_eq!(response.stdout, br#"["ls","/"]"#);
    assert_eq!(response.exit_code, 3);

    container::stop(&service, &entry, Duration::ZERO).await.unwrap();
    let error = container::exec_sync(&service, &entry, command, 5).await.unwrap_err();
    assert!(matches!(error, OperationError::State { .. }), "{error}");
}
