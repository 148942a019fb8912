//! A cluster from a seed: pods and nodes come, change and go, bindings fail or get lost, and the
//! watch is behind. Whatever happens, no node is promised more than it has, and once the faults
//! end every pod that can be placed is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::Config;
use crate::engine::{Bound, Decision, Engine};
use crate::pod::uid;

const STEP: Duration = Duration::from_millis(500);

/// What the API server holds, the truth.
struct World {
    rng: StdRng,
    engine: Engine,
    now: Duration,
    nodes: BTreeMap<String, i64>,
    pods: BTreeMap<String, Pod>,
    /// Pods whose change the engine has not been told.
    untold: Vec<String>,
    in_flight: Vec<(Arc<Pod>, String)>,
    made: usize,
    faults: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let config = Config { seed: Some(seed), ..Config::default() };
        Self {
            rng: StdRng::seed_from_u64(seed),
            engine: Engine::new(&config),
            now: Duration::ZERO,
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            untold: Vec::new(),
            in_flight: Vec::new(),
            made: 0,
            faults: true,
        }
    }

    fn node(name: &str, milli_cpu: i64) -> Arc<Node> {
        let node = json!({
            "metadata": { "name": name },
            "status": { "allocatable": { "cpu": format!("{milli_cpu}m"), "pods": "5" } },
        });
        Arc::new(serde_json::from_value(node).unwrap())
    }

    fn add_node(&mut self) {
        let name = format!("n{}", self.nodes.len());
        let milli_cpu = self.rng.random_range(5..20) * 100;
        self.nodes.insert(name.clone(), milli_cpu);
        self.engine.node_applied(Self::node(&name, milli_cpu), self.now);
    }

    fn add_pod(&mut self) {
        self.made += 1;
        let name = format!("p{}", self.made);
        let milli_cpu = self.rng.random_range(1..6) * 100;
        let pod = json!({
            "metadata": { "name": name, "namespace": "default", "uid": name },
            "spec": { "containers": [{ "name": "c",
                "resources": { "requests": { "cpu": format!("{milli_cpu}m") } } }] },
        });
        self.pods.insert(name.clone(), serde_json::from_value(pod).unwrap());
        self.untold.push(name);
    }

    fn remove_pod(&mut self) {
        let Some(at) = self.pick(self.pods.len()) else { return };
        let name = self.pods.keys().nth(at).unwrap().clone();
        let pod = self.pods.remove(&name).unwrap();
        self.untold.retain(|other| *other != name);
        self.engine.pod_deleted(&pod, self.now);
    }

    fn pick(&mut self, below: usize) -> Option<usize> {
        (below > 0).then(|| self.rng.random_range(0..below))
    }

    /// The watch catches up with one change.
    fn tell(&mut self) {
        let Some(at) = self.pick(self.untold.len()) else { return };
        let name = self.untold.remove(at);
        let pod = Arc::new(self.pods[&name].clone());
        self.engine.pod_applied(&pod, self.now);
    }

    fn restart_watch(&mut self) {
        let nodes = self.nodes.iter().map(|(name, cpu)| Self::node(name, *cpu)).collect();
        let pods: Vec<Arc<Pod>> = self.pods.values().cloned().map(Arc::new).collect();
        self.untold.clear();
        self.engine.replace(nodes, &pods, self.now);
    }

    /// Says whether there was something to decide.
    fn decide(&mut self) -> bool {
        let decision = self.engine.next(self.now);
        let decided = decision.is_some();
        if let Some(Decision::Bind { pod, node }) = decision {
            self.in_flight.push((pod, node));
        }
        decided
    }

    /// A binding gets to the API server, or doesn't.
    fn answer(&mut self) {
        let Some(at) = self.pick(self.in_flight.len()) else { return };
        let (pod, node) = self.in_flight.remove(at);
        let fails = self.faults && self.rng.random_range(0..4) == 0;
        let name = pod.metadata.name.clone().unwrap();
        let outcome = match self.pods.get_mut(&name) {
            None => Bound::Overtaken,
            Some(_) if fails => Bound::Failed,
            Some(pod) => {
                pod.spec.as_mut().unwrap().node_name = Some(node);
                self.untold.push(name);
                Bound::Done
            }
        };
        self.engine.bound(&uid(&pod), outcome, self.now);
    }

    fn step(&mut self) {
        match self.rng.random_range(0..20) {
            0 if self.nodes.len() < 6 => self.add_node(),
            0..=5 => self.add_pod(),
            6 => self.remove_pod(),
            7 => self.restart_watch(),
            8..=11 => self.tell(),
            12..=14 => self.answer(),
            15 => self.now += STEP,
            _ => {
                self.decide();
            }
        }
    }

    /// Lets everything come to rest without faults.
    fn settle(&mut self) {
        self.faults = false;
        for _ in 0..2000 {
            self.tell();
            let decided = self.decide();
            self.answer();
            if !decided && self.untold.is_empty() && self.in_flight.is_empty() {
                match self.engine.wake_at() {
                    None if self.engine.waiting() == 0 => break,
                    Some(at) => self.now = self.now.max(at),
                    None => {}
                }
            }
        }
    }

    fn used(&self, node: &str) -> (i64, usize) {
        let on = self
            .pods
            .values()
            .filter(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() == Some(node));
        on.fold((0, 0), |(cpu, count), pod| (cpu + milli_cpu(pod), count + 1))
    }

    fn assert_not_overcommitted(&self) {
        for (node, offered) in &self.nodes {
            let (cpu, count) = self.used(node);
            assert!(cpu <= *offered && count <= 5, "{node}: {cpu}m of {offered}m, {count} pods");
        }
    }

    /// No pod waits that would fit somewhere.
    fn assert_none_forgotten(&self) {
        for pod in self.pods.values() {
            if pod.spec.as_ref().unwrap().node_name.is_some() {
                continue;
            }
            for (node, offered) in &self.nodes {
                let (cpu, count) = self.used(node);
                let fits = cpu + milli_cpu(pod) <= *offered && count < 5;
                assert!(!fits, "{:?} would fit on {node}", pod.metadata.name);
            }
        }
    }
}

fn milli_cpu(pod: &Pod) -> i64 {
    crate::resources::PodRequests::of(pod.spec.as_ref().unwrap()).unwrap().fit.milli_cpu
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn never_overcommits_and_forgets_no_pod(seed: u64) {
        let mut world = World::new(seed);
        world.add_node();
        for _ in 0..400 {
            world.step();
            world.assert_not_overcommitted();
        }
        world.settle();
        world.assert_not_overcommitted();
        world.assert_none_forgotten();
    }
}

#[test]
fn a_gated_pod_is_told_once_and_placed_when_the_gates_are_gone() {
    let mut world = World::new(1);
    world.nodes.insert("n".to_owned(), 1000);
    world.engine.node_applied(World::node("n", 1000), world.now);
    let pod = |gates: serde_json::Value| -> Arc<Pod> {
        let pod = json!({
            "metadata": { "name": "p", "namespace": "default", "uid": "p" },
            "spec": { "containers": [], "schedulingGates": gates },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    };
    world.engine.pod_applied(&pod(json!([{ "name": "example.com/wait" }])), world.now);
    let told = world.engine.next(world.now);
    assert!(matches!(told, Some(Decision::Reject { reason: "SchedulingGated", .. })));
    assert!(world.engine.next(world.now).is_none());
    world.engine.pod_applied(&pod(json!([])), world.now);
    assert!(matches!(world.engine.next(world.now), Some(Decision::Bind { .. })));
}

#[test]
fn pods_of_other_schedulers_and_finished_pods_are_left_alone() {
    let mut world = World::new(1);
    world.engine.node_applied(World::node("n", 1000), world.now);
    let pods = [
        json!({ "spec": { "containers": [], "schedulerName": "other" } }),
        json!({ "spec": { "containers": [] }, "status": { "phase": "Failed" } }),
        json!({ "spec": { "containers": [] },
            "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } }),
    ];
    for pod in pods {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        world.engine.pod_applied(&Arc::new(pod), world.now);
        assert!(world.engine.next(world.now).is_none());
    }
}

#[test]
fn a_pod_that_ends_makes_room_for_the_next() {
    let mut world = World::new(1);
    world.engine.node_applied(World::node("n", 300), world.now);
    let pod = |name: &str, node: Option<&str>, phase: &str| -> Arc<Pod> {
        let container = json!({ "name": "c", "resources": { "requests": { "cpu": "200m" } } });
        let pod = json!({
            "metadata": { "name": name, "namespace": "default", "uid": name },
            "spec": { "containers": [container], "nodeName": node },
            "status": { "phase": phase },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    };
    world.engine.pod_applied(&pod("first", Some("n"), "Running"), world.now);
    world.engine.pod_applied(&pod("second", None, "Pending"), world.now);
    let Some(Decision::Reject { message, .. }) = world.engine.next(world.now) else {
        panic!("placed on a full node")
    };
    assert!(message.starts_with("0/1 nodes are available: 1 Insufficient cpu."), "{message}");
    world.now += Duration::from_secs(5);
    world.engine.pod_applied(&pod("first", Some("n"), "Succeeded"), world.now);
    assert!(matches!(world.engine.next(world.now), Some(Decision::Bind { .. })));
}
