//! What a service finds that is started after another was killed.

use std::sync::Arc;

use corten_task::Tasks;

use super::fakes::{Machine, World, until};
use super::records::{config, pod};
use crate::container;
use crate::recover::recover;
use crate::sandbox;
use crate::service::Service;
use crate::store::{ContainerPhase, SandboxPhase, Store};

async fn pod_with(service: &Arc<Service>, name: &str, containers: &[&str]) -> Vec<String> {
    let id = sandbox::run(service, pod(name), String::new()).await.unwrap();
    let mut ids = vec![id.clone()];
    for container in containers {
        let sandbox = service.sandbox(&id).unwrap();
        let made = container::create(service, sandbox, config(container)).await.unwrap();
        container::start(service, &service.container(&made).unwrap()).await.unwrap();
        ids.push(made);
    }
    ids
}

/// The service is gone at once: its tasks end wherever they are.
fn kill(machine: &Machine, tasks: &Tasks) -> Tasks {
    tasks.cancel();
    machine.world().hang_up();
    Tasks::new()
}

#[tokio::test]
async fn containers_run_on_and_what_ended_meanwhile_is_told() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let ids = pod_with(&service, "web", &["runs", "ends"]).await;
    let tasks = kill(&machine, &tasks);
    machine.world().end(&ids[2], World::exited(3, false));

    let service = machine.service(&tasks);
    recover(&service).await.unwrap();
    assert_eq!(service.sandbox(&ids[0]).unwrap().phase(), SandboxPhase::Ready);
    assert_eq!(service.sandbox(&ids[0]).unwrap().record().ips.len(), 1);
    let runs = service.container(&ids[1]).unwrap();
    assert_eq!(runs.phase(), ContainerPhase::Running);
    let ends = service.container(&ids[2]).unwrap().record();
    assert_eq!(ends.phase, ContainerPhase::Exited);
    assert_eq!(ends.exit.unwrap().code, 3);
    assert_eq!(machine.world().shims_started, 1);

    // And all is managed again.
    machine.world().end(&ids[1], World::exited(0, false));
    until(|| runs.phase() == ContainerPhase::Exited).await;
    sandbox::remove(&service, &service.sandbox(&ids[0]).unwrap()).await.unwrap();
    assert!(machine.world().shims.is_empty());
}

#[tokio::test]
async fn what_was_half_done_is_undone_or_finished() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let half_made = pod_with(&service, "half-made", &[]).await;
    let half_removed = pod_with(&service, "half-removed", &["one"]).await;
    let whole = pod_with(&service, "whole", &["made", "half"]).await;
    let tasks = kill(&machine, &tasks);
    let store = Store::open(&machine.config().root).unwrap();
    let set_sandbox = |id: &str, phase| {
        let mut records = store.sandboxes().unwrap();
        let record = records.iter_mut().find(|record| record.id == id).unwrap();
        record.phase = phase;
        store.save_sandbox(record).unwrap();
    };
    set_sandbox(&half_made[0], SandboxPhase::Creating);
    set_sandbox(&half_removed[0], SandboxPhase::Removing);
    let mut containers = store.containers().unwrap();
    let half = containers.iter_mut().find(|record| record.id == whole[2]).unwrap();
    half.phase = ContainerPhase::Creating;
    store.save_container(half).unwrap();

    let service = machine.service(&tasks);
    recover(&service).await.unwrap();
    let left: Vec<_> = service.sandboxes.all().iter().map(|pod| pod.id.clone()).collect();
    assert_eq!(left, [whole[0].clone()]);
    let left: Vec<_> = service.containers.all().iter().map(|one| one.id.clone()).collect();
    assert_eq!(left, [whole[1].clone()]);
    let world = machine.world();
    assert_eq!(world.shims.len(), 1);
    assert_eq!(world.attached.iter().cloned().collect::<Vec<_>>(), [whole[0].clone()]);
    assert_eq!(world.mounted.iter().cloned().collect::<Vec<_>>(), [whole[1].clone()]);
}

#[tokio::test]
async fn after_a_reboot_pods_are_dead_and_can_be_removed() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let ids = pod_with(&service, "web", &["one"]).await;
    let tasks = kill(&machine, &tasks);
    machine.world().kill_shims();
    std::fs::remove_dir_all(machine.config().run_dir).unwrap();
    machine.world().mounted.clear();

    let service = machine.service(&tasks);
    recover(&service).await.unwrap();
    let entry = service.sandbox(&ids[0]).unwrap();
    assert_eq!(entry.phase(), SandboxPhase::NotReady);
    let exit = service.container(&ids[1]).unwrap().record().exit.unwrap();
    assert_eq!((exit.code, exit.reason.as_str()), (255, "Unknown"));
    sandbox::remove(&service, &entry).await.unwrap();
    assert!(machine.world().attached.is_empty());
}

#[tokio::test]
async fn shims_and_addresses_that_nobody_knows_of_are_taken_away() {
    let (machine, tasks) = (Machine::new(), Tasks::new());
    let service = machine.service(&tasks);
    let lost = pod_with(&service, "lost", &[]).await;
    let kept = pod_with(&service, "kept", &[]).await;
    let tasks = kill(&machine, &tasks);
    Store::open(&machine.config().root).unwrap().delete_sandbox(&lost[0]).unwrap();

    let service = machine.service(&tasks);
    recover(&service).await.unwrap();
    let world = machine.world();
    let dirs: Vec<_> = world.shims.keys().cloned().collect();
    assert_eq!(dirs, [service.config.shim_dir(&kept[0])]);
    assert_eq!(world.attached.iter().cloned().collect::<Vec<_>>(), [kept[0].clone()]);
    assert!(!service.config.sandbox_dir(&lost[0]).exists());
}
