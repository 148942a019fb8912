//! The printed row: above all, one word for how a pod is.

use corten_api_k8s::{meta, time};
use jiff::Timestamp;
use serde_json::Value;

use crate::duration;
use crate::read::Read;
use crate::strategy::{Column, age, or_none};

pub(super) const COLUMNS: &[Column] = &[
    Column::text("Name"),
    Column::text("Ready"),
    Column::text("Status"),
    Column::text("Restarts"),
    Column::text("Age"),
    Column::wide("IP"),
    Column::wide("Node"),
    Column::wide("Nominated Node"),
    Column::wide("Readiness Gates"),
];

pub(super) fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let restarts = match summary.last_restart {
        Some(at) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, duration::since(Some(at), now))
        }
        _ => summary.restarts.to_string(),
    };
    let ip = match pod.text("/status/podIPs/0/ip") {
        "" => pod.text("/status/podIP"),
        ip => ip,
    };
    vec![
        meta::name(pod).into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        or_none(ip),
        or_none(pod.text("/spec/nodeName")),
        or_none(pod.text("/status/nominatedNodeName")),
        readiness_gates(pod).into(),
    ]
}

fn condition<'a>(pod: &'a Value, ty: &str) -> Option<&'a Value> {
    pod.items("/status/conditions").iter().find(|c| c.text("/type") == ty)
}

fn is_true(pod: &Value, ty: &str) -> bool {
    condition(pod, ty).is_some_and(|c| c.text("/status") == "True")
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.items("/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let met = gates.iter().filter(|g| is_true(pod, g.text("/conditionType"))).count();
    format!("{met}/{}", gates.len())
}

#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = pod.text("/status/phase");
        let mut summary = Summary {
            total: pod.items("/spec/containers").len()
                + pod.items("/spec/initContainers").iter().filter(|c| is_sidecar(c)).count(),
            reason: match pod.text("/status/reason") {
                "" => phase.to_owned(),
                reason => reason.to_owned(),
            },
            ..Summary::default()
        };
        let gated = "SchedulingGated";
        if condition(pod, "PodScheduled").is_some_and(|c| c.text("/reason") == gated) {
            summary.reason = gated.to_owned();
        }
        let (initializing, sidecars) = summary.init_containers(pod);
        if !initializing || is_true(pod, "Initialized") {
            (summary.restarts, summary.last_restart) = sidecars;
            summary.containers(pod);
        }
        if meta::deletion_timestamp(pod).is_some() {
            if pod.text("/status/reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += status.int("/restartCount").unwrap_or_default();
        self.last_restart = self.last_restart.max(finished(status));
    }

    /// Whether the pod is still initializing, and the restarts of its sidecars.
    fn init_containers(&mut self, pod: &Value) -> (bool, (i64, Option<Timestamp>)) {
        let specs = pod.items("/spec/initContainers");
        let mut sidecars = (0, None);
        for (i, status) in pod.items("/status/initContainerStatuses").iter().enumerate() {
            self.count_restarts(status);
            let name = status.text("/name");
            let sidecar = specs.iter().any(|c| c.text("/name") == name && is_sidecar(c));
            if sidecar {
                sidecars.0 += status.int("/restartCount").unwrap_or_default();
                sidecars.1 = sidecars.1.max(finished(status));
            }
            let terminated = status.at("/state/terminated");
            let waiting = status.text("/state/waiting/reason");
            if terminated.is_object() && terminated.int("/exitCode").unwrap_or_default() == 0 {
                continue;
            }
            if sidecar && status.flag("/started") {
                self.ready += usize::from(status.flag("/ready"));
                continue;
            }
            self.reason = if terminated.is_object() {
                format!("Init:{}", ended(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{i}/{}", specs.len())
            };
            return (true, sidecars);
        }
        (false, sidecars)
    }

    fn containers(&mut self, pod: &Value) {
        let mut running = false;
        let mut failure = None;
        for status in pod.items("/status/containerStatuses").iter().rev() {
            self.count_restarts(status);
            let waiting = status.text("/state/waiting/reason");
            let terminated = status.at("/state/terminated");
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if terminated.is_object() {
                self.reason = ended(terminated);
                if terminated.int("/exitCode").unwrap_or_default() != 0 {
                    failure = Some(self.reason.clone());
                }
            } else if status.flag("/ready") && status.has("/state/running") {
                running = true;
                self.ready += 1;
            }
        }
        // One container is done, but others are not.
        if self.reason == "Completed" {
            if running && is_true(pod, "Ready") {
                self.reason = "Running".to_owned();
            } else if let Some(failure) = failure {
                self.reason = failure;
            } else if running {
                self.reason = "NotReady".to_owned();
            }
        }
    }
}

fn is_sidecar(container: &Value) -> bool {
    container.text("/restartPolicy") == "Always"
}

fn finished(status: &Value) -> Option<Timestamp> {
    time::parse(status.text("/lastState/terminated/finishedAt"))
}

fn ended(terminated: &Value) -> String {
    match (terminated.text("/reason"), terminated.int("/signal").unwrap_or_default()) {
        ("", 0) => format!("ExitCode:{}", terminated.int("/exitCode").unwrap_or_default()),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
