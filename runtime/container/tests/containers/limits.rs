//! What a container may use.

use corten_sys_linux::pidfd::Exit;
use serde_json::json;

use crate::world::{World, need_containers};

#[test]
fn past_its_memory_limit_a_program_is_killed() {
    need_containers!();
    let mut world = World::new("");
    world.spec["process"]["args"] =
        json!(["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
    world.spec["linux"]["resources"]["memory"] = json!({ "limit": 32 << 20 });
    assert_eq!(world.run().1, Exit::Signal(9));
}

#[test]
fn within_its_memory_limit_it_is_not() {
    need_containers!();
    let mut world = World::new("");
    world.spec["process"]["args"] =
        json!(["dd", "if=/dev/zero", "of=/dev/null", "bs=8M", "count=1"]);
    world.spec["linux"]["resources"]["memory"] = json!({ "limit": 32 << 20 });
    assert_eq!(world.run().1, Exit::Code(0));
}

#[test]
fn a_fork_bomb_stops_at_the_pids_limit() {
    need_containers!();
    let mut world = World::new("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done");
    world.spec["linux"]["resources"]["pids"] = json!({ "limit": 6 });
    let (output, exit) = world.run();
    assert_eq!(exit, Exit::Code(2), "{output}");
    assert!(output.contains("can't fork"), "{output}");
}

#[test]
fn limits_hold_for_an_exec_as_well() {
    need_containers!();
    let mut world = World::new("sleep 1000");
    world.spec["linux"]["resources"]["memory"] = json!({ "limit": 32 << 20 });
    let _first = world.begin();
    let (_, exit) = world.exec("dd if=/dev/zero of=/dev/null bs=64M count=1", |_| ());
    assert_eq!(exit, Exit::Signal(9));
}

/// A container may make device nodes; opening one that is not its own must fail all the same.
#[test]
fn a_device_node_that_is_not_allowed_cannot_be_opened() {
    need_containers!();
    let world = World::new(
        "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk; mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem; \
         mknod /tmp/zero c 1 5 && head -c 1 /tmp/zero | grep -c .",
    );
    let (output, _) = world.run();
    assert_eq!(output.matches("Operation not permitted").count(), 2, "{output}");
    assert!(output.ends_with("1\n"), "{output}");
}
