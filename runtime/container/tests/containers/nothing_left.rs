//! What is made goes again.

use corten_runtime_container::{ContainerId, Plan, PlanOptions, StateError, delete};
use serde_json::json;

use crate::world::{World, need_containers};

fn assert_nothing_left(world: &World) {
    assert_eq!(world.cgroup_folders(), Vec::<std::path::PathBuf>::new());
    assert!(!world.states.container(&world.id).exists());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(world.dir.path().to_str().unwrap()), "{mounts}");
}

#[test]
fn delete_leaves_nothing_not_even_of_children() {
    need_containers!();
    let mut world = World::new("sleep 1000 & sleep 1000 & exec sleep 1000");
    // Without a pid namespace, children outlive the first process.
    world.spec["linux"]["namespaces"].as_array_mut().unwrap().remove(0);
    let _first = world.begin();
    while world.exec("ps | grep -c 'sleep 1000'", |_| ()).0.trim() < "3" {}
    assert!(!world.cgroup_folders().is_empty());
    delete(&world.states, &world.id, true).unwrap();
    assert_nothing_left(&world);
}

#[test]
fn a_create_that_fails_leaves_nothing() {
    need_containers!();
    type Edit = fn(&mut World);
    let cases: [(Edit, &str); 6] = [
        (|w| w.spec["process"]["args"] = json!(["absent"]), "not found in $PATH"),
        (|w| w.bind("absent", "/mnt", &["bind"]), "mounts[7].source"),
        (|w| w.spec["root"]["path"] = json!("absent"), "root.path"),
        (|w| w.spec["linux"]["namespaces"][1]["path"] = json!("/absent"), "linux.namespaces (net)"),
        (|w| w.spec["linux"]["resources"]["unified"] = json!({ "absent.max": "1" }), "absent"),
        (
            |w| w.spec["linux"]["sysctl"] = json!({ "net.ipv4.absent": "1" }),
            "write /proc/ \"sys/net/ipv4/absent\"",
        ),
    ];
    for (edit, expected) in cases {
        let mut world = World::new("true");
        edit(&mut world);
        let error = world.create_error();
        assert!(error.contains(expected), "{expected:?} in {error}");
        assert_nothing_left(&world);
    }
}

#[test]
fn an_id_is_one_containers() {
    need_containers!();
    let world = World::new("sleep 1000");
    let _first = world.begin();
    let error = world.create_error();
    assert!(error.contains("already exists"), "{error}");
    // The first one is unharmed.
    assert!(world.states.load(&world.id).unwrap().process().is_some());
}

#[test]
fn a_cgroup_is_one_containers() {
    need_containers!();
    let one = World::new("sleep 1000");
    let _first = one.begin();
    let mut two = World::new("true");
    two.spec["linux"]["cgroupsPath"] = json!(format!("/{}", one.id));
    let error = two.create_error();
    assert!(error.contains("already holds processes"), "{error}");
    assert!(one.states.load(&one.id).unwrap().process().is_some());
    assert!(!one.cgroup_folders().is_empty());
}

#[test]
fn what_is_unknown_is_said_to_be() {
    need_containers!();
    let world = World::new("true");
    let id = ContainerId::new("absent").unwrap();
    assert!(matches!(world.states.load(&id).unwrap_err(), StateError::NotFound { .. }));
    delete(&world.states, &id, false).unwrap_err();
    delete(&world.states, &id, true).unwrap();
    let spec = serde_json::from_value(world.spec.clone()).unwrap();
    Plan::new(&world.id, &spec, &PlanOptions::new("relative".as_ref())).unwrap_err();
}
