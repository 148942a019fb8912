//! Changes of objects in, changes of the kernel out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use corten_proxy_model::{
    Endpoint, EndpointPort, EndpointSlice, Frontend, FrontendKey, Model, Plan, Protocol, Service,
    ServiceName, ServicePort, Target, TrafficPolicy,
};
use expect_test::{Expect, expect};
use proptest::prelude::*;

fn web() -> ServiceName {
    ServiceName::new("default", "web")
}

fn service(protocol: Protocol) -> Service {
    Service {
        cluster_ips: vec!["10.43.0.9".parse().unwrap()],
        ports: vec![ServicePort {
            name: "http".into(),
            protocol,
            port: 80,
            node_port: Some(30080),
        }],
        ..Service::default()
    }
}

fn endpoint(number: u8, state: &str, node: &str) -> Endpoint {
    Endpoint {
        address: [10, 42, 0, number].into(),
        ready: state == "ready",
        serving: state != "broken",
        terminating: state != "ready",
        node: Some(node.to_owned()),
    }
}

fn slice(protocol: Protocol, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        ports: vec![EndpointPort { name: "http".into(), protocol, port: 8080 }],
        endpoints,
    }
}

fn show(frontend: Option<&Frontend>) -> String {
    let Some(frontend) = frontend else { return "nothing".to_owned() };
    let mut text = match &frontend.target {
        Target::Endpoints(slots) => {
            let slots: Vec<_> = slots.iter().map(ToString::to_string).collect();
            slots.join(" ")
        }
        Target::Reject => "reject".to_owned(),
        Target::Drop => "drop".to_owned(),
    };
    if let Some(affinity_s) = frontend.affinity_s {
        write!(text, " affinity {affinity_s}s").unwrap();
    }
    if frontend.masquerade {
        text.push_str(" masquerade");
    }
    text
}

fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for change in &plan.changes {
        let (old, new) = (show(change.old.as_ref()), show(change.new.as_ref()));
        writeln!(text, "{} [{}]: {old} -> {new}", change.key, change.service).unwrap();
    }
    writeln!(text, "local +{:?} -{:?}", plan.local_added, plan.local_removed).unwrap();
    for flow in plan.stale_flows() {
        writeln!(text, "stale {flow:?}").unwrap();
    }
    for warning in &plan.warnings {
        let (service, reason) = (&warning.service, warning.reason);
        writeln!(text, "warn {service} {reason}: {}", warning.message).unwrap();
    }
    text
}

fn commit(model: &mut Model, expected: &Expect) {
    let plan = model.plan();
    expected.assert_eq(&text(&plan));
    model.commit(plan);
    assert!(model.plan().is_empty());
}

#[test]
fn the_life_of_a_service() {
    let mut model = Model::new(Some("n1"));
    model.set_service(&web(), service(Protocol::Tcp));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: nothing -> reject
        node port 30080 TCP (IPv4) [default/web]: nothing -> reject
        local +[] -[]
    "#]],
    );
    let two = vec![endpoint(1, "ready", "n1"), endpoint(2, "ready", "n2")];
    model.set_slice(&web(), "a", slice(Protocol::Tcp, two));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: reject -> 10.42.0.1:8080 10.42.0.2:8080
        node port 30080 TCP (IPv4) [default/web]: reject -> 10.42.0.1:8080 10.42.0.2:8080 masquerade
        local +[10.42.0.1] -[]
    "#]],
    );
    let one = vec![endpoint(1, "terminating", "n1"), endpoint(2, "ready", "n2")];
    model.set_slice(&web(), "a", slice(Protocol::Tcp, one));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: 10.42.0.1:8080 10.42.0.2:8080 -> 10.42.0.2:8080
        node port 30080 TCP (IPv4) [default/web]: 10.42.0.1:8080 10.42.0.2:8080 masquerade -> 10.42.0.2:8080 masquerade
        local +[] -[]
    "#]],
    );
    // The last resort.
    let last = vec![endpoint(1, "terminating", "n1"), endpoint(2, "broken", "n2")];
    model.set_slice(&web(), "a", slice(Protocol::Tcp, last));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: 10.42.0.2:8080 -> 10.42.0.1:8080
        node port 30080 TCP (IPv4) [default/web]: 10.42.0.2:8080 masquerade -> 10.42.0.1:8080 masquerade
        local +[] -[]
    "#]],
    );
    model.remove_service(&web());
    model.remove_slice(&web(), "a");
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: 10.42.0.1:8080 -> nothing
        node port 30080 TCP (IPv4) [default/web]: 10.42.0.1:8080 masquerade -> nothing
        local +[] -[10.42.0.1]
    "#]],
    );
}

#[test]
fn policies_and_affinity() {
    let mut model = Model::new(Some("n1"));
    let mut local = service(Protocol::Tcp);
    local.external_policy = TrafficPolicy::Local;
    local.affinity_s = Some(60);
    model.set_service(&web(), local.clone());
    let two = vec![endpoint(1, "ready", "n1"), endpoint(2, "ready", "n2")];
    model.set_slice(&web(), "a", slice(Protocol::Tcp, two));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: nothing -> 10.42.0.1:8080 10.42.0.2:8080 affinity 60s
        node port 30080 TCP (IPv4) [default/web]: nothing -> 10.42.0.1:8080 affinity 60s
        local +[10.42.0.1] -[]
    "#]],
    );
    local.internal_policy = TrafficPolicy::Local;
    model.set_service(&web(), local);
    let other = vec![endpoint(2, "ready", "n2")];
    model.set_slice(&web(), "a", slice(Protocol::Tcp, other));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: 10.42.0.1:8080 10.42.0.2:8080 affinity 60s -> drop
        node port 30080 TCP (IPv4) [default/web]: 10.42.0.1:8080 affinity 60s -> drop
        local +[] -[10.42.0.1]
    "#]],
    );
}

#[test]
fn datagrams_do_not_go_to_endpoints_that_are_gone() {
    let mut model = Model::new(None);
    model.set_service(&web(), service(Protocol::Udp));
    let plan = model.plan();
    model.commit(plan);
    model.set_slice(&web(), "a", slice(Protocol::Udp, vec![endpoint(1, "ready", "n1")]));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 UDP [default/web]: reject -> 10.42.0.1:8080
        node port 30080 UDP (IPv4) [default/web]: reject -> 10.42.0.1:8080 masquerade
        local +[] -[]
        stale Untranslated { key: Address { address: 10.43.0.9, protocol: Udp, port: 80 } }
        stale Untranslated { key: NodePort { ipv6: false, protocol: Udp, port: 30080 } }
    "#]],
    );
    model.set_slice(&web(), "a", slice(Protocol::Udp, vec![endpoint(2, "ready", "n1")]));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 UDP [default/web]: 10.42.0.1:8080 -> 10.42.0.2:8080
        node port 30080 UDP (IPv4) [default/web]: 10.42.0.1:8080 masquerade -> 10.42.0.2:8080 masquerade
        local +[] -[]
        stale Endpoint { key: Address { address: 10.43.0.9, protocol: Udp, port: 80 }, endpoint: 10.42.0.1:8080 }
        stale Endpoint { key: NodePort { ipv6: false, protocol: Udp, port: 30080 }, endpoint: 10.42.0.1:8080 }
    "#]],
    );
}

#[test]
fn a_port_that_is_taken_stays_with_its_service() {
    let mut model = Model::new(None);
    let other = ServiceName::new("default", "a-web");
    model.set_service(&web(), service(Protocol::Tcp));
    let plan = model.plan();
    model.commit(plan);
    let mut second = service(Protocol::Tcp);
    second.cluster_ips = vec!["10.43.0.10".parse().unwrap()];
    model.set_service(&other, second);
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.10:80 TCP [default/a-web]: nothing -> reject
        local +[] -[]
        warn default/a-web AddressTaken: node port 30080 TCP (IPv4) leads to Service default/web already; give it another one
    "#]],
    );
    model.remove_service(&web());
    let plan = model.plan();
    let node_port = plan.changes.iter().find(|it| matches!(it.key, FrontendKey::NodePort { .. }));
    // Nothing changes in the kernel: both had no endpoints.
    assert_eq!(node_port, None);
}

#[test]
fn what_the_kernel_has_is_kept_or_removed() {
    let mut model = Model::new(None);
    let key = |address: &str| FrontendKey::Address {
        address: address.parse().unwrap(),
        protocol: Protocol::Tcp,
        port: 80,
    };
    let found = Frontend {
        target: Target::Endpoints(vec!["10.42.0.2:8080".parse().unwrap()]),
        affinity_s: None,
        masquerade: false,
    };
    let frontends = [(key("10.43.0.9"), found.clone()), (key("10.43.0.77"), found)];
    model.adopt(frontends, ["10.42.0.5".parse().unwrap()]);
    let mut cluster_ip = service(Protocol::Tcp);
    cluster_ip.ports[0].node_port = None;
    model.set_service(&web(), cluster_ip);
    let two = vec![endpoint(1, "ready", "n1"), endpoint(2, "ready", "n1")];
    model.set_slice(&web(), "a", slice(Protocol::Tcp, two));
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: 10.42.0.2:8080 -> 10.42.0.2:8080 10.42.0.1:8080
        10.43.0.77:80 TCP [/]: 10.42.0.2:8080 -> nothing
        local +[] -[10.42.0.5]
    "#]],
    );
    model.forget_committed();
    commit(
        &mut model,
        &expect![[r#"
        10.43.0.9:80 TCP [default/web]: nothing -> 10.42.0.1:8080 10.42.0.2:8080
        local +[] -[]
    "#]],
    );
}

/// Something done to one of few objects.
#[derive(Debug, Clone)]
enum Step {
    Service(u8, Option<(u8, bool, bool)>),
    Slice(u8, u8, Option<Vec<u8>>),
    Plan,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let service = (0..3_u8, prop::option::of((0..3_u8, any::<bool>(), any::<bool>())));
    let endpoints = prop::option::of(prop::collection::vec(0..6_u8, 0..5));
    let step = prop_oneof![
        service.prop_map(|(name, what)| Step::Service(name, what)),
        (0..3_u8, 0..2_u8, endpoints)
            .prop_map(|(name, slice, what)| Step::Slice(name, slice, what)),
        Just(Step::Plan),
    ];
    prop::collection::vec(step, 1..40)
}

fn apply(model: &mut Model, step: &Step) {
    let name = |number: &u8| ServiceName::new("default", &format!("s{number}"));
    match step {
        Step::Service(number, None) => model.remove_service(&name(number)),
        Step::Service(number, Some((address, affinity, local))) => {
            let mut wanted = service(Protocol::Tcp);
            wanted.cluster_ips = vec![[10, 43, 0, *address].into()];
            wanted.ports[0].node_port = None;
            wanted.affinity_s = affinity.then_some(60);
            if *local {
                wanted.internal_policy = TrafficPolicy::Local;
            }
            model.set_service(&name(number), wanted);
        }
        Step::Slice(number, slice, None) => {
            model.remove_slice(&name(number), &slice.to_string());
        }
        Step::Slice(number, slice_number, Some(endpoints)) => {
            let endpoints = endpoints
                .iter()
                .map(|it| endpoint(*it, "ready", if it % 2 == 0 { "n1" } else { "n2" }))
                .collect();
            let slice = slice(Protocol::Tcp, endpoints);
            model.set_slice(&name(number), &slice_number.to_string(), slice);
        }
        Step::Plan => {
            let plan = model.plan();
            model.commit(plan);
        }
    }
}

/// The frontends that plans have built, without the order of slots.
fn kernel(plans: &[Plan]) -> Vec<(FrontendKey, Frontend)> {
    let mut kernel = std::collections::BTreeMap::new();
    for change in plans.iter().flat_map(|plan| &plan.changes) {
        assert_eq!(kernel.get(&change.key), change.old.as_ref());
        match &change.new {
            Some(frontend) => kernel.insert(change.key, frontend.clone()),
            None => kernel.remove(&change.key),
        };
    }
    let sorted = |(key, mut frontend): (FrontendKey, Frontend)| {
        if let Target::Endpoints(slots) = &mut frontend.target {
            slots.sort();
            slots.dedup();
        }
        (key, frontend)
    };
    kernel.into_iter().map(sorted).collect()
}

proptest! {
    /// However the way was, the end is that of a model which only saw the last state; but for
    /// addresses that two Services want, where the first to come keeps it.
    #[test]
    fn many_small_plans_are_one_large_plan(steps in steps()) {
        let mut model = Model::new(Some("n1"));
        let mut plans = Vec::new();
        for step in &steps {
            if matches!(step, Step::Plan) {
                let plan = model.plan();
                plans.push(plan.clone());
                model.commit(plan);
            } else {
                apply(&mut model, step);
            }
        }
        let plan = model.plan();
        let conflict = plan.warnings.len();
        plans.push(plan.clone());
        model.commit(plan);
        prop_assert!(model.plan().is_empty());

        let mut whole = Model::new(Some("n1"));
        steps.iter().filter(|step| !matches!(step, Step::Plan)).for_each(|step| {
            apply(&mut whole, step);
        });
        let whole_plan = whole.plan();
        if conflict == 0 && whole_plan.warnings.is_empty() {
            prop_assert_eq!(kernel(&plans), kernel(&[whole_plan]));
        }
    }
}
