//! Clocks of the container's own.

use corten_runtime_container::start;
use corten_sys_linux::pidfd::Pidfd;
use serde_json::json;

use crate::world::{World, need_containers};

const DAY_SECONDS: u64 = 86_400;

fn world(script: &str) -> World {
    let mut world = World::new(script);
    world.spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    world.spec["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1000 * DAY_SECONDS, "nanosecs": 5 }, "monotonic": { "secs": 7 } });
    world
}

fn uptime(text: &str) -> u64 {
    text.split(['.', ' ']).next().unwrap().parse().unwrap()
}

#[test]
fn a_time_namespace_has_its_offsets() {
    need_containers!();
    let host = uptime(&std::fs::read_to_string("/proc/uptime").unwrap());
    let output = world("cat /proc/uptime; cat /proc/self/timens_offsets").output_of_run();
    let shift = uptime(&output) - host;
    assert!((1000 * DAY_SECONDS..1001 * DAY_SECONDS).contains(&shift), "{output}");
    let words: Vec<_> = output.split_ascii_whitespace().skip(2).collect();
    assert_eq!(words, ["monotonic", "7", "0", "boottime", "86400000", "5"]);
}

/// Also one that comes into a container which waits, whose first process is not there yet.
#[test]
fn an_exec_is_in_the_time_namespace() {
    need_containers!();
    let world = world("sleep 1000");
    let created = world.create().unwrap();
    for started in [false, true] {
        if started {
            start(&world.states, &world.id).unwrap();
        }
        let (output, _) = world.exec("cat /proc/uptime", |_| ());
        assert!(uptime(&output) > 1000 * DAY_SECONDS, "{started}: {output}");
    }
    drop(Pidfd::from(created.pidfd));
}

#[test]
fn a_time_namespace_is_joined_by_path() {
    need_containers!();
    let one = world("sleep 1000");
    let _first = one.begin();
    let pid = one.states.load(&one.id).unwrap().pid;
    let mut two = World::new("cat /proc/uptime");
    two.spec["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "type": "time", "path": format!("/proc/{pid}/ns/time") }));
    assert!(uptime(&two.output_of_run()) > 1000 * DAY_SECONDS);
}
