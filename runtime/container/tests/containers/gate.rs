//! Starting through a socket, as the shim does.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use corten_runtime_container::{StartGate, Status, release};
use corten_sys_linux::pidfd::{Exit, Pidfd};
use serde_json::json;

use crate::world::{World, chain, need_containers};

const LONG: Duration = Duration::from_secs(60);

fn gate(world: &World) -> (UnixStream, Pidfd) {
    let (starter, container) = UnixStream::pair().unwrap();
    let gate = StartGate::Socket(OwnedFd::from(container));
    let created = world.create_with(world.to_file(), gate).unwrap();
    (starter, Pidfd::from(created.pidfd))
}

#[test]
fn a_byte_lets_it_go() {
    need_containers!();
    let world = World::new("echo ran");
    let (starter, process) = gate(&world);
    let state = world.states.load(&world.id).unwrap();
    assert_eq!(world.states.status(&state), Status::Created);
    release(starter.as_fd(), LONG).unwrap();
    world.states.mark_started(&world.id).unwrap();
    assert_eq!(process.wait().unwrap(), Exit::Code(0));
    assert_eq!(world.output(), "ran\n");
}

/// The container holds no copy of the starter's end, so a starter that dies takes with it what it
/// has not started.
#[test]
fn a_starter_that_goes_away_ends_it() {
    need_containers!();
    let world = World::new("echo ran");
    let (starter, process) = gate(&world);
    drop(starter);
    assert_eq!(process.wait().unwrap(), Exit::Code(1));
    assert_eq!(world.output(), "");
}

#[test]
fn a_program_that_cannot_be_executed_is_told_to_the_starter() {
    need_containers!();
    let mut world = World::new("");
    world.spec["process"]["args"] = json!(["/bin/garbage"]);
    let (starter, process) = gate(&world);
    let error = chain(&release(starter.as_fd(), LONG).unwrap_err());
    assert!(error.contains("execute \"/bin/garbage\": Exec format error"), "{error}");
    assert_eq!(process.wait().unwrap(), Exit::Code(126));
}

#[test]
fn a_container_that_was_killed_cannot_be_released() {
    need_containers!();
    let world = World::new("echo ran");
    let (starter, process) = gate(&world);
    process.send_signal(9).unwrap();
    process.wait().unwrap();
    // The child of another test may hold a copy of the gate until it has closed what is not its own.
    let error = loop {
        if let Err(error) = release(starter.as_fd(), LONG) {
            break error.to_string();
        }
    };
    assert!(error.contains("before it was started"), "{error}");
}
