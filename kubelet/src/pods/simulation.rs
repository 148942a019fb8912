//! Pod workers without a machine: [`decide`] against a runtime that exists only as data, driven
//! by a seed through crashes, faults, restarts of the kubelet and deletions, in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::core::{Action, Decision, Input, Memory, StopReason, Trouble, decide};
use super::labels::container_hash;
use super::model::{
    self, Life, Observed, ProbeResult, ProbeView, Probes, Role, RuntimeContainer, Sandbox,
};
use super::status::{HostFacts, pod_status};

/// One pod, its runtime and its kubelet.
struct World {
    pod: Pod,
    spec: PodSpec,
    hashes: BTreeMap<String, String>,
    observed: Observed,
    probes: Probes,
    memory: Memory,
    now: Timestamp,
    ids: u32,
    log: Vec<Action>,
    /// Highest attempt seen of each container, to see that none is used twice.
    attempts: BTreeMap<String, u32>,
    deleted_from_api: bool,
    released: bool,
}

fn host() -> HostFacts {
    HostFacts { node_ip: "192.0.2.1".to_owned(), runtime_name: "corten".to_owned() }
}

impl World {
    fn new(spec: &Value) -> Self {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec
        }))
        .unwrap();
        let spec = pod.spec.clone().unwrap();
        let hashes =
            model::containers(&spec).map(|(_, c)| (c.name.clone(), container_hash(c))).collect();
        Self {
            pod,
            spec,
            hashes,
            observed: Observed::default(),
            probes: Probes::new(),
            memory: Memory::default(),
            now: Timestamp::from_second(1_000_000).unwrap(),
            ids: 0,
            log: Vec::new(),
            attempts: BTreeMap::new(),
            deleted_from_api: false,
            released: false,
        }
    }

    fn input(&self) -> Input<'_> {
        Input {
            pod: &self.pod,
            spec: &self.spec,
            observed: &self.observed,
            probes: &self.probes,
            memory: &self.memory,
            hashes: &self.hashes,
            now: self.now,
        }
    }

    fn id(&mut self, kind: &str) -> String {
        self.ids += 1;
        format!("{kind}{}", self.ids)
    }

    fn advance(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// Decides and tells the status, as the worker does.
    fn look(&mut self) -> Decision {
        self.observed.sort();
        let decision = decide(&self.input());
        let status = pod_status(&self.input(), &decision.waiting, &host());
        self.check_status(&status);
        self.memory.last_status = Some(status);
        decision
    }

    fn check_status(&self, status: &PodStatus) {
        let old = self.memory.last_status.as_ref();
        let phase = |s: &PodStatus| s.phase.clone().unwrap_or_default();
        if let Some(old) = old {
            if matches!(phase(old).as_str(), "Succeeded" | "Failed") {
                assert_eq!(phase(old), phase(status), "a final phase is final");
            }
            for container in status.container_statuses.iter().flatten() {
                let before = old.container_statuses.iter().flatten();
                let before = before.filter(|c| c.name == container.name).map(|c| c.restart_count);
                assert!(
                    before.max().unwrap_or(0) <= container.restart_count,
                    "restarts never fall"
                );
            }
        }
        if phase(status) == "Failed" || phase(status) == "Succeeded" {
            assert_eq!(self.observed.alive().count(), 0, "an ended pod runs nothing");
        }
    }

    /// Carries out one action; `fails` makes the runtime refuse it.
    fn perform(&mut self, action: &Action, fails: bool) {
        self.memory.note(action, self.now);
        self.log.push(action.clone());
        match action {
            Action::CreateSandbox { attempt } => {
                assert_eq!(self.observed.alive().count(), 0, "no sandbox beside what runs");
                assert!(self.observed.sandboxes.iter().all(|s| !s.ready));
                if fails {
                    self.memory.pod_trouble = Some(self.trouble("FailedCreatePodSandBox"));
                    return;
                }
                let id = self.id("s");
                self.observed.sandboxes.push(Sandbox {
                    id,
                    attempt: *attempt,
                    created_at: self.now,
                    ready: true,
                    ips: vec!["10.0.0.2".to_owned()],
                    host_network: false,
                });
            }
            Action::StartContainer { name, role, attempt, sandbox_id, .. } => {
                self.check_start(name, *role, *attempt, sandbox_id);
                if fails {
                    let trouble = self.trouble("ErrImagePull");
                    self.memory.troubles.insert(name.clone(), trouble);
                    return;
                }
                self.attempts.insert(name.clone(), *attempt);
                let id = self.id("c");
                self.observed.containers.push(RuntimeContainer {
                    id,
                    sandbox_id: sandbox_id.clone(),
                    name: name.clone(),
                    attempt: *attempt,
                    life: Life::Running,
                    created_at: self.now,
                    started_at: Some(self.now),
                    finished_at: None,
                    exit_code: 0,
                    reason: String::new(),
                    message: String::new(),
                    image: "i".to_owned(),
                    image_ref: "sha256:0".to_owned(),
                    hash: self.hashes[name].clone(),
                });
            }
            Action::StopContainers { stops } => {
                assert!(!stops.is_empty());
                for stop in stops {
                    assert!(stop.grace_seconds >= 0);
                    self.exit(&stop.id, 137);
                }
            }
            Action::StopSandbox { id } => {
                let alive = self.observed.alive().any(|c| c.sandbox_id == *id);
                assert!(!alive, "a sandbox is stopped after its containers");
                self.sandbox_mut(id).ready = false;
            }
            Action::RemoveSandbox { id } => {
                assert!(!self.sandbox_mut(id).ready);
                assert!(self.observed.containers.iter().all(|c| c.sandbox_id != *id));
                self.observed.sandboxes.retain(|s| s.id != *id);
            }
            Action::RemoveContainer { id } => {
                assert!(self.observed.alive().all(|c| c.id != *id), "only the dead are removed");
                self.observed.containers.retain(|c| c.id != *id);
            }
            Action::Release => {
                assert!(self.observed.sandboxes.is_empty() && self.observed.containers.is_empty());
                self.released = true;
                self.memory.released = true;
            }
            Action::DeleteFromApi => {
                assert!(self.released, "the object outlives what it stands for");
                self.deleted_from_api = true;
                self.memory.gone_from_api = true;
            }
        }
    }

    fn trouble(&self, reason: &str) -> Trouble {
        let retry_at = self.now + SignedDuration::from_secs(10);
        Trouble { reason: reason.to_owned(), message: "no".to_owned(), retry_at }
    }

    fn check_start(&self, name: &str, role: Role, attempt: u32, sandbox_id: &str) {
        let sandbox = self.observed.sandboxes.iter().find(|s| s.id == sandbox_id).unwrap();
        assert!(sandbox.ready, "a container needs its sandbox");
        assert!(self.observed.alive().all(|c| c.name != name), "never two of one name");
        assert!(self.attempts.get(name).is_none_or(|a| *a < attempt), "an attempt is used once");
        let alive_roles: BTreeSet<&str> = self.observed.alive().map(|c| c.name.as_str()).collect();
        let roles = |wanted: Role| {
            model::containers(&self.spec)
                .filter(move |(r, _)| *r == wanted)
                .map(|(_, c)| c.name.clone())
        };
        if role != Role::Sidecar {
            let init_runs = roles(Role::Init).any(|n| alive_roles.contains(n.as_str()));
            assert!(!init_runs, "init containers run alone");
        }
        if role == Role::Init {
            let main_runs = roles(Role::Main).any(|n| alive_roles.contains(n.as_str()));
            assert!(!main_runs, "init containers run before the others");
        }
        if role == Role::Main {
            for init in roles(Role::Init) {
                let done = self.observed.newest_in(sandbox_id, &init);
                let main_ran =
                    roles(Role::Main).any(|n| self.observed.newest_in(sandbox_id, &n).is_some());
                assert!(
                    main_ran || done.is_some_and(|c| c.exit_code == 0 && c.life == Life::Exited)
                );
            }
        }
        let before = self.observed.newest(name);
        if let Some(end) = before.and_then(|c| c.finished_at)
            && attempt >= 3
            && self.memory.restarts.wait("", end, self.now).is_none()
        {
            assert!(self.now >= end, "time runs forward");
        }
    }

    fn sandbox_mut(&mut self, id: &str) -> &mut Sandbox {
        self.observed.sandboxes.iter_mut().find(|s| s.id == id).unwrap()
    }

    fn exit(&mut self, id: &str, code: i32) {
        let now = self.now;
        let container = self.observed.containers.iter_mut().find(|c| c.id == id).unwrap();
        if container.life != Life::Exited {
            container.life = Life::Exited;
            container.exit_code = code;
            container.finished_at = Some(now);
        }
    }

    /// Acts until nothing is to be done at this moment.
    fn settle(&mut self, rng: Option<&mut StdRng>) -> Decision {
        let mut rng = rng;
        for _ in 0..100 {
            let decision = self.look();
            if decision.actions.is_empty() {
                return decision;
            }
            for action in &decision.actions {
                let fails = rng.as_mut().is_some_and(|rng| rng.random_ratio(1, 6));
                self.perform(action, fails);
            }
            self.advance(1);
        }
        panic!("does not settle; last actions: {:#?}", &self.log[self.log.len() - 6..]);
    }

    fn running(&self) -> Vec<String> {
        let mut names: Vec<String> = self.observed.alive().map(|c| c.name.clone()).collect();
        names.sort();
        names
    }

    fn end(&mut self, name: &str, code: i32) {
        let id = self.observed.newest(name).unwrap().id.clone();
        self.exit(&id, code);
    }

    fn delete(&mut self, grace: i64) {
        let at = self.now + SignedDuration::from_secs(grace);
        self.pod.metadata.deletion_timestamp = Some(Time(at));
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
    }

    fn status(&self) -> PodStatus {
        self.memory.last_status.clone().unwrap()
    }

    fn waiting_reason(&self, name: &str) -> Option<String> {
        let status = self.status();
        let init = status.init_container_statuses.iter().flatten();
        let mut all = init.chain(status.container_statuses.iter().flatten());
        all.find(|c| c.name == name)?.state.clone()?.waiting?.reason
    }
}

fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "i"}]})
}

fn with_init() -> Value {
    json!({
        "initContainers": [
            {"name": "i1", "image": "i"},
            {"name": "side", "image": "i", "restartPolicy": "Always"},
            {"name": "i2", "image": "i"}],
        "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
    })
}

#[test]
fn a_crash_loop_backs_off_and_says_so() {
    let mut world = World::new(&one("Always"));
    world.settle(None);
    assert_eq!(world.running(), ["a"]);
    let mut delays = Vec::new();
    for _ in 0..6 {
        world.end("a", 1);
        let decision = world.settle(None);
        let Some(waiting) = decision.waiting.first() else {
            delays.push(0);
            continue;
        };
        delays.push(waiting.delay.as_secs());
        assert_eq!(world.waiting_reason("a").as_deref(), Some("CrashLoopBackOff"));
        world.now = decision.wake_at.unwrap();
        world.settle(None);
        assert_eq!(world.running(), ["a"]);
    }
    assert_eq!(delays, [0, 10, 20, 40, 80, 160]);
    let status = world.status().container_statuses.unwrap().remove(0);
    assert_eq!(status.restart_count, 6);
    let last = status.last_state.unwrap().terminated.unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (1, Some("Error")));
    // Ten quiet minutes later the next crash is answered at once.
    world.advance(700);
    world.end("a", 1);
    assert!(world.settle(None).waiting.is_empty());
}

#[test]
fn init_containers_run_in_order_and_sidecars_stay() {
    let mut world = World::new(&with_init());
    world.settle(None);
    assert_eq!(world.running(), ["i1"]);
    assert_eq!(world.waiting_reason("a").as_deref(), Some("PodInitializing"));
    world.end("i1", 1);
    world.settle(None);
    assert_eq!(world.running(), ["i1"], "a failed init container is run again");
    world.end("i1", 0);
    world.settle(None);
    assert_eq!(world.running(), ["i2", "side"]);
    world.end("i2", 0);
    world.settle(None);
    assert_eq!(world.running(), ["a", "b", "side"]);
    assert_eq!(world.status().phase.as_deref(), Some("Running"));
    world.end("side", 3);
    world.settle(None);
    assert_eq!(world.running(), ["a", "b", "side"], "a sidecar is restarted beside the others");
}

#[test]
fn a_deleted_pod_stops_its_sidecars_last() {
    let mut world = World::new(&with_init());
    world.settle(None);
    for name in ["i1", "i2"] {
        world.end(name, 0);
        world.settle(None);
    }
    world.delete(30);
    world.log.clear();
    let decision = world.settle(None);
    assert!(decision.finished && world.deleted_from_api);
    let stops: Vec<Vec<String>> = world
        .log
        .iter()
        .filter_map(|action| {
            let Action::StopContainers { stops } = action else { return None };
            Some(stops.iter().map(|s| s.name.clone()).collect())
        })
        .collect();
    assert_eq!(stops.len(), 2);
    assert_eq!(stops[1], ["side"]);
}

#[test]
fn restart_policies() {
    for (policy, code, runs, phase) in [
        ("Never", 0, false, "Succeeded"),
        ("Never", 1, false, "Failed"),
        ("OnFailure", 0, false, "Succeeded"),
        ("OnFailure", 1, true, "Running"),
        ("Always", 0, true, "Running"),
    ] {
        let mut world = World::new(&one(policy));
        world.settle(None);
        world.end("a", code);
        world.settle(None);
        assert_eq!(!world.running().is_empty(), runs, "{policy} {code}");
        assert_eq!(world.status().phase.as_deref(), Some(phase), "{policy} {code}");
    }
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let mut spec = with_init();
    spec["restartPolicy"] = json!("Never");
    let mut world = World::new(&spec);
    world.settle(None);
    world.end("i1", 2);
    world.settle(None);
    assert_eq!(world.running(), Vec::<String>::new());
    assert_eq!(world.status().phase.as_deref(), Some("Failed"));
}

#[test]
fn a_failed_liveness_probe_restarts_with_its_reason() {
    let mut spec = one("Always");
    spec["containers"][0]["livenessProbe"] =
        json!({"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 3});
    let mut world = World::new(&spec);
    world.settle(None);
    let id = world.observed.newest("a").unwrap().id.clone();
    world.probes.insert(
        "a".to_owned(),
        ProbeView {
            container_id: id,
            startup: None,
            liveness: Some(ProbeResult::Failure),
            readiness: None,
        },
    );
    let decision = world.look();
    let [Action::StopContainers { stops }] = decision.actions.as_slice() else {
        panic!("{decision:?}")
    };
    assert_eq!((stops[0].reason, stops[0].grace_seconds), (StopReason::Liveness, 3));
    world.settle(None);
    assert_eq!(world.observed.newest("a").unwrap().attempt, 1);
    assert_eq!(world.running(), ["a"], "the old result does not hit the new container");
}

#[test]
fn readiness_follows_the_probe_at_once() {
    let mut spec = one("Always");
    spec["containers"][0]["readinessProbe"] = json!({"tcpSocket": {"port": 1}});
    let mut world = World::new(&spec);
    world.settle(None);
    let id = world.observed.newest("a").unwrap().id.clone();
    let ready = |world: &mut World, result| {
        let view = ProbeView {
            container_id: id.clone(),
            startup: None,
            liveness: None,
            readiness: Some(result),
        };
        world.probes.insert("a".to_owned(), view);
        assert!(world.look().actions.is_empty());
        let conditions = world.status().conditions.unwrap();
        let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
        (ready.status.clone(), ready.message.clone())
    };
    assert_eq!(ready(&mut world, ProbeResult::Success).0, "True");
    let (status, message) = ready(&mut world, ProbeResult::Failure);
    assert_eq!(status, "False");
    assert_eq!(message.as_deref(), Some("containers with unready status: [a]"));
}

#[test]
fn a_lost_sandbox_is_replaced_with_all_that_ran_in_it() {
    let mut world = World::new(&with_init());
    world.settle(None);
    for name in ["i1", "i2"] {
        world.end(name, 0);
        world.settle(None);
    }
    world.observed.sandboxes[0].ready = false;
    world.settle(None);
    assert_eq!(world.running(), ["i1"], "initialisation begins anew in the new sandbox");
    assert_eq!(world.observed.sandbox().unwrap().attempt, 1);
    let never = json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]});
    let mut world = World::new(&never);
    world.settle(None);
    world.observed.sandboxes[0].ready = false;
    world.settle(None);
    assert_eq!(world.status().phase.as_deref(), Some("Failed"));
    assert_eq!(world.observed.sandboxes.len(), 1, "what never restarts gets no second sandbox");
}

#[test]
fn a_restarted_kubelet_changes_nothing() {
    let mut world = World::new(&with_init());
    world.settle(None);
    for name in ["i1", "i2"] {
        world.end(name, 0);
        world.settle(None);
    }
    world.end("a", 1);
    world.settle(None);
    let before = world.status();
    world.memory = Memory { last_status: Some(before.clone()), ..Memory::default() };
    world.advance(60);
    let decision = world.look();
    assert_eq!(decision.actions, []);
    assert_eq!(world.status(), before);
}

#[test]
fn a_forgotten_container_keeps_its_restart_count() {
    let mut world = World::new(&one("Always"));
    world.settle(None);
    world.end("a", 1);
    world.settle(None);
    // The machine was rebooted: the runtime remembers nothing.
    world.observed = Observed::default();
    world.memory = Memory { last_status: Some(world.status()), ..Memory::default() };
    world.settle(None);
    assert_eq!(world.status().container_statuses.unwrap()[0].restart_count, 2);
}

#[test]
fn a_deadline_ends_the_pod() {
    let mut spec = one("Always");
    spec["activeDeadlineSeconds"] = json!(60);
    let mut world = World::new(&spec);
    let decision = world.settle(None);
    world.now = decision.wake_at.unwrap();
    world.settle(None);
    let status = world.status();
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(world.running(), Vec::<String>::new());
}

#[test]
fn a_refused_pod_fails_without_a_sandbox() {
    let mut world = World::new(&one("Always"));
    world.memory.failed = Some(("FieldNotHonoured".to_owned(), "no".to_owned()));
    world.settle(None);
    assert_eq!(world.log, []);
    assert_eq!(world.status().phase.as_deref(), Some("Failed"));
    assert_eq!(world.status().container_statuses, None);
    world.delete(30);
    assert!(world.settle(None).finished);
}

/// The long way: whatever happens in whatever order, the invariants in [`World::perform`] hold,
/// the worker settles, and a deleted pod is gone.
#[test]
fn seeded_lives() {
    let shapes = [one("Always"), one("OnFailure"), one("Never"), with_init()];
    for seed in 0..400 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::new(&shapes[usize::try_from(seed).unwrap() % shapes.len()]);
        for _ in 0..rng.random_range(1..60) {
            match rng.random_range(0..10) {
                0..=4 => {
                    let alive: Vec<String> = world.observed.alive().map(|c| c.id.clone()).collect();
                    if !alive.is_empty() {
                        let id = alive[rng.random_range(0..alive.len())].clone();
                        let code = rng.random_range(0..3);
                        world.exit(&id, code);
                    }
                }
                5 => {
                    if let Some(sandbox) = world.observed.sandboxes.first_mut() {
                        sandbox.ready = false;
                    }
                }
                6 => {
                    let known = world.memory.last_status.take();
                    world.memory = Memory { last_status: known, ..Memory::default() };
                }
                7 => {
                    if let Some(container) = world.observed.containers.first_mut()
                        && container.life == Life::Running
                    {
                        container.life = Life::Unknown;
                    }
                }
                _ => world.advance(rng.random_range(1..400)),
            }
            world.settle(Some(&mut rng));
        }
        world.delete(rng.random_range(0..60));
        let decision = world.settle(None);
        assert!(decision.finished && world.deleted_from_api, "seed {seed}");
        assert_eq!(world.look().actions, [], "seed {seed}");
    }
}

#[test]
fn a_container_that_is_made_but_not_started_has_not_ended() {
    let mut world = World::new(&one("Never"));
    world.settle(None);
    world.observed.containers[0].life = Life::Created;
    world.look();
    assert_eq!(world.waiting_reason("a").as_deref(), Some("ContainerCreating"));
    assert_ne!(world.status().phase.as_deref(), Some("Succeeded"));
}
