//! Rollouts, step by step: the plan is applied, then pods become ready, and so on.

use std::fmt::Write as _;
use std::sync::Arc;

use expect_test::{Expect, expect};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, ReplicaSetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::plan::{Bounds, Observed, Step, available, plan, replicas};
use super::revision::{self, number};
use crate::objects::{name, uid};

/// A Deployment, its ReplicaSets and a kubelet that makes every pod ready at once.
struct Cluster {
    deployment: Deployment,
    sets: Vec<Arc<ReplicaSet>>,
    now: Timestamp,
    made: usize,
    /// Pods of images of this name never become ready.
    broken: &'static str,
}

impl Cluster {
    fn new(replicas: i32, strategy: Value) -> Self {
        let deployment = json!({
            "metadata": { "name": "web", "namespace": "n", "uid": "d", "generation": 1 },
            "spec": {
                "replicas": replicas,
                "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 2,
                "selector": { "matchLabels": { "app": "web" } },
                "strategy": strategy,
                "template": {
                    "metadata": { "labels": { "app": "web" } },
                    "spec": { "containers": [{ "name": "c", "image": "v1" }] },
                },
            },
        });
        Self {
            deployment: serde_json::from_value(deployment).unwrap(),
            sets: Vec::new(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            made: 0,
            broken: "broken",
        }
    }

    fn image(&mut self, image: &str) {
        let spec = self.deployment.spec.as_mut().unwrap();
        spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned());
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn replicas(&mut self, replicas: i32) {
        self.deployment.spec.as_mut().unwrap().replicas = Some(replicas);
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn image_of(set: &ReplicaSet) -> &str {
        let template = set.spec.as_ref().unwrap().template.as_ref().unwrap();
        template.spec.as_ref().unwrap().containers[0].image.as_deref().unwrap()
    }

    /// Applies the plan once; tells what was done.
    fn reconcile(&mut self) -> Vec<String> {
        let observed = Observed {
            deployment: &self.deployment,
            sets: &self.sets,
            old_pods_run: false,
            now: self.now,
        };
        let plan = plan(&observed);
        let mut told = Vec::new();
        for step in plan.steps {
            match step {
                Step::Create(set) => {
                    let mut set = *set;
                    self.made += 1;
                    let minutes = SignedDuration::from_mins(i64::try_from(self.made).unwrap());
                    let created = Time(self.now.checked_add(minutes).unwrap());
                    set.metadata.uid = Some(format!("rs{}", self.made));
                    set.metadata.creation_timestamp = Some(created);
                    set.metadata.generation = Some(1);
                    told.push(format!("create {} {}", Self::image_of(&set), replicas(&set)));
                    self.sets.push(Arc::new(set));
                }
                Step::Scale { set, to, annotations } => {
                    told.push(format!("{} {}->{to}", Self::image_of(&set), replicas(&set)));
                    self.change(&set, |set| {
                        set.spec.as_mut().unwrap().replicas = Some(to);
                        let all = set.metadata.annotations.get_or_insert_default();
                        all.extend(annotations.clone());
                    });
                }
                Step::Annotate { set, annotations, min_ready_seconds } => {
                    self.change(&set, |set| {
                        set.spec.as_mut().unwrap().min_ready_seconds = min_ready_seconds;
                        let all = set.metadata.annotations.get_or_insert_default();
                        all.extend(annotations.clone());
                    });
                    told.push(format!("annotate {}", Self::image_of(&set)));
                }
                Step::Delete(set) => {
                    told.push(format!("delete {}", Self::image_of(&set)));
                    self.sets.retain(|other| uid(&**other) != uid(&*set));
                }
            }
        }
        if let Some(revision) = plan.revision {
            let annotations = self.deployment.metadata.annotations.get_or_insert_default();
            annotations.insert(revision::REVISION.to_owned(), revision);
        }
        self.deployment.status = Some(plan.status);
        told
    }

    fn change(&mut self, which: &ReplicaSet, change: impl Fn(&mut ReplicaSet)) {
        for set in &mut self.sets {
            if uid(&**set) == uid(which) {
                let mut changed = (**set).clone();
                change(&mut changed);
                *set = Arc::new(changed);
            }
        }
    }

    /// All pods that can become ready do.
    fn run_pods(&mut self) {
        for set in &mut self.sets {
            let mut changed = (**set).clone();
            let count = replicas(set);
            let ready = if Self::image_of(set) == self.broken { 0 } else { count };
            changed.status = Some(ReplicaSetStatus {
                replicas: count,
                ready_replicas: Some(ready),
                available_replicas: Some(ready),
                observed_generation: changed.metadata.generation,
                ..ReplicaSetStatus::default()
            });
            *set = Arc::new(changed);
        }
    }

    /// Goes on until nothing changes; tells each step, and checks the bounds after each.
    fn settle(&mut self) -> String {
        let mut told = String::new();
        for _ in 0..50 {
            let before = self.deployment.status.clone();
            let steps = self.reconcile();
            let total: i32 = self.sets.iter().map(|set| replicas(set)).sum();
            let up: i32 = self.sets.iter().map(|set| available(set).min(replicas(set))).sum();
            let is_over = steps.is_empty() && before == self.deployment.status;
            if !steps.is_empty() {
                writeln!(told, "{} [{total} pods, {up} available]", steps.join(", ")).unwrap();
            }
            self.run_pods();
            if is_over {
                return told;
            }
        }
        panic!("no end: {told}")
    }

    fn condition(&self, kind: &str) -> String {
        let status = self.deployment.status.as_ref().unwrap();
        let conditions = status.conditions.as_ref().unwrap();
        let one = conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        format!("{} {}", one.status, one.reason.as_deref().unwrap())
    }
}

fn rolling(surge: Value, unavailable: Value) -> Value {
    let rolling = json!({ "maxSurge": surge, "maxUnavailable": unavailable });
    json!({ "type": "RollingUpdate", "rollingUpdate": rolling })
}

fn check_update(replicas: i32, strategy: Value, expected: &Expect) {
    let mut cluster = Cluster::new(replicas, strategy);
    cluster.settle();
    cluster.image("v2");
    expected.assert_eq(&cluster.settle());
    assert_eq!(cluster.condition("Progressing"), "True NewReplicaSetAvailable");
    assert_eq!(cluster.condition("Available"), "True MinimumReplicasAvailable");
}

#[test]
fn surge_and_unavailable_are_resolved_as_upstream_does() {
    let bounds = |replicas, surge: &str, unavailable: &str| {
        let cluster = Cluster::new(replicas, rolling(json!(surge), json!(unavailable)));
        let bounds = Bounds::of(&cluster.deployment);
        (bounds.surge, bounds.unavailable)
    };
    assert_eq!(bounds(3, "25%", "25%"), (1, 0));
    assert_eq!(bounds(10, "25%", "25%"), (3, 2));
    assert_eq!(bounds(1, "0%", "0%"), (0, 1));
    assert_eq!(bounds(2, "0%", "10%"), (0, 1));
    assert_eq!(bounds(4, "100%", "100%"), (4, 4));
    let numbers = Cluster::new(2, rolling(json!(3), json!(5)));
    let bounds = Bounds::of(&numbers.deployment);
    assert_eq!((bounds.surge, bounds.unavailable), (3, 2));
}

#[test]
fn a_rolling_update_stays_within_its_bounds() {
    check_update(
        3,
        rolling(json!("25%"), json!("25%")),
        &expect![[r#"
            create v2 1 [4 pods, 3 available]
            v1 3->2 [3 pods, 3 available]
            v2 1->2 [4 pods, 3 available]
            v1 2->1 [3 pods, 3 available]
            v2 2->3 [4 pods, 3 available]
            v1 1->0 [3 pods, 3 available]
        "#]],
    );
    check_update(
        4,
        rolling(json!(0), json!(2)),
        &expect![[r#"
            create v2 0 [4 pods, 4 available]
            v1 4->2 [2 pods, 2 available]
            v2 0->2 [4 pods, 2 available]
            v1 2->0 [2 pods, 2 available]
            v2 2->4 [4 pods, 2 available]
        "#]],
    );
    check_update(
        2,
        rolling(json!("100%"), json!(0)),
        &expect![[r#"
            create v2 2 [4 pods, 2 available]
            v1 2->0 [2 pods, 2 available]
        "#]],
    );
}

#[test]
fn recreate_stops_all_before_it_starts_any() {
    check_update(
        3,
        json!({ "type": "Recreate" }),
        &expect![[r#"
            v1 3->0 [0 pods, 0 available]
            create v2 3 [3 pods, 0 available]
        "#]],
    );
}

#[test]
fn an_update_that_never_gets_ready_keeps_the_old_pods_and_times_out() {
    let mut cluster = Cluster::new(4, rolling(json!(1), json!(1)));
    cluster.settle();
    cluster.image("broken");
    expect![[r#"
        create broken 1 [5 pods, 4 available]
        v1 4->3 [4 pods, 3 available]
        broken 1->2 [5 pods, 3 available]
    "#]]
    .assert_eq(&cluster.settle());
    assert_eq!(cluster.condition("Progressing"), "True ReplicaSetUpdated");
    cluster.now = cluster.now.checked_add(SignedDuration::from_secs(601)).unwrap();
    cluster.settle();
    assert_eq!(cluster.condition("Progressing"), "False ProgressDeadlineExceeded");
    assert_eq!(cluster.condition("Available"), "True MinimumReplicasAvailable");
    // A third revision first removes what does not serve.
    cluster.image("v3");
    expect![[r#"
        broken 2->0, v1 3->3 [3 pods, 3 available]
    "#]];
    cluster.settle();
    assert_eq!(cluster.condition("Progressing"), "True NewReplicaSetAvailable");
    let running: Vec<(&str, i32)> =
        cluster.sets.iter().map(|set| (Cluster::image_of(set), replicas(set))).collect();
    assert_eq!(running, [("v1", 0), ("broken", 0), ("v3", 4)]);
}

#[test]
fn going_back_reuses_the_old_revision_under_a_new_number() {
    let mut cluster = Cluster::new(1, rolling(json!(1), json!(0)));
    cluster.settle();
    cluster.image("v2");
    cluster.settle();
    cluster.image("v1");
    expect![[r#"
        annotate v1 [1 pods, 1 available]
        v1 0->1 [2 pods, 1 available]
        v2 1->0 [1 pods, 1 available]
    "#]]
    .assert_eq(&cluster.settle());
    let numbers: Vec<(&str, i64)> =
        cluster.sets.iter().map(|set| (Cluster::image_of(set), number(set))).collect();
    assert_eq!(numbers, [("v1", 3), ("v2", 2)]);
    let annotation = |key| crate::objects::annotation(&*cluster.sets[0], key);
    assert_eq!(annotation(revision::REVISION_HISTORY), Some("1"));
    assert_eq!(crate::objects::annotation(&cluster.deployment, revision::REVISION), Some("3"));
}

#[test]
fn old_revisions_beyond_the_limit_are_deleted() {
    let mut cluster = Cluster::new(1, rolling(json!(1), json!(0)));
    for image in ["v1", "v2", "v3", "v4", "v5"] {
        cluster.image(image);
        cluster.settle();
    }
    let images: Vec<&str> = cluster.sets.iter().map(|set| Cluster::image_of(set)).collect();
    assert_eq!(images, ["v3", "v4", "v5"]);
}

#[test]
fn scaling_is_no_new_revision() {
    let mut cluster = Cluster::new(2, rolling(json!("25%"), json!("25%")));
    cluster.settle();
    cluster.replicas(5);
    expect![[r#"
        v1 2->5 [5 pods, 2 available]
    "#]]
    .assert_eq(&cluster.settle());
    cluster.replicas(0);
    expect![[r#"
        v1 5->0 [0 pods, 0 available]
    "#]]
    .assert_eq(&cluster.settle());
    assert_eq!(number(&cluster.sets[0]), 1);
}

#[test]
fn scaling_amid_an_update_keeps_the_shares() {
    let mut cluster = Cluster::new(10, rolling(json!(3), json!(2)));
    cluster.settle();
    cluster.image("broken");
    cluster.settle();
    let sizes = |cluster: &Cluster| -> Vec<(String, i32)> {
        let of = |set: &Arc<ReplicaSet>| (Cluster::image_of(set).to_owned(), replicas(set));
        cluster.sets.iter().map(of).collect()
    };
    assert_eq!(sizes(&cluster), [("v1".to_owned(), 8), ("broken".to_owned(), 5)]);
    cluster.replicas(15);
    cluster.reconcile();
    assert_eq!(sizes(&cluster), [("v1".to_owned(), 11), ("broken".to_owned(), 7)]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut cluster = Cluster::new(2, rolling(json!(1), json!(0)));
    cluster.settle();
    cluster.deployment.spec.as_mut().unwrap().paused = Some(true);
    cluster.image("v2");
    assert_eq!(cluster.settle(), "");
    assert_eq!(cluster.condition("Progressing"), "Unknown DeploymentPaused");
    cluster.replicas(3);
    expect![[r#"
        v1 2->3 [3 pods, 2 available]
    "#]]
    .assert_eq(&cluster.settle());
    cluster.deployment.spec.as_mut().unwrap().paused = Some(false);
    cluster.settle();
    let last = cluster.sets.last().unwrap();
    assert_eq!((Cluster::image_of(last), replicas(last)), ("v2", 3));
}

#[test]
fn a_deployment_that_is_deleted_changes_nothing() {
    let mut cluster = Cluster::new(2, rolling(json!(1), json!(0)));
    cluster.settle();
    cluster.image("v2");
    cluster.deployment.metadata.deletion_timestamp = Some(Time(cluster.now));
    assert_eq!(cluster.settle(), "");
}

#[test]
fn a_new_replica_set_is_labelled_and_named_by_its_template() {
    let mut cluster = Cluster::new(1, rolling(json!(1), json!(0)));
    cluster.settle();
    let set = &cluster.sets[0];
    let hash = name(&**set).strip_prefix("web-").unwrap().to_owned();
    let labels = |value: Value| -> String {
        value["pod-template-hash"].as_str().unwrap_or_default().to_owned()
    };
    let whole = serde_json::to_value(&**set).unwrap();
    assert_eq!(labels(whole["metadata"]["labels"].clone()), hash);
    assert_eq!(labels(whole["spec"]["selector"]["matchLabels"].clone()), hash);
    assert_eq!(labels(whole["spec"]["template"]["metadata"]["labels"].clone()), hash);
    assert_eq!(whole["spec"]["template"]["metadata"]["labels"]["app"], "web");
}
