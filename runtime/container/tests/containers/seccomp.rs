//! System call filters, in the kernel.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use corten_runtime_container::start;
use corten_runtime_seccomp::{NATIVE, runtime_default};
use corten_sys_linux::fdpass;
use corten_sys_linux::pidfd::{Exit, Pidfd};
use serde_json::{Value, json};

use crate::world::{World, chain, need_containers};

const ENOSYS: i32 = 38;
const EPERM: i32 = 1;
const SIGSYS: i32 = 31;

/// Makes the call that its argument says; ends with its errno.
const CALLER: &str = r"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	return argc == 2 && syscall(atol(argv[1]), 0, 0, 0, 0, 0, 0) == -1 ? errno : 0;
}
";

/// Answers one notification on its standard input with EDQUOT, and ends with the call's number.
const AGENT: &str = r"
#include <errno.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
int main(void)
{
	struct seccomp_notif asked = { 0 };
	struct seccomp_notif_resp answer = { 0 };
	if (ioctl(0, SECCOMP_IOCTL_NOTIF_RECV, &asked))
		return 254;
	answer.id = asked.id;
	answer.error = -EDQUOT;
	if (ioctl(0, SECCOMP_IOCTL_NOTIF_SEND, &answer))
		return 255;
	return asked.data.nr;
}
";

/// A small C program, compiled once.
fn program(name: &str, source: &str) -> PathBuf {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
    std::fs::write(folder.join("source.c"), source).unwrap();
    let built = Command::new("cc")
        .args(["-static", "-Wall", "-Werror", "-o", name, "source.c"])
        .current_dir(&folder)
        .status()
        .unwrap();
    assert!(built.success(), "needs cc (Debian packages gcc, libc6-dev)");
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::rename(folder.join(name), &kept).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    kept
}

fn caller() -> &'static Path {
    static CALLER_PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    CALLER_PROGRAM.get_or_init(|| program("caller", CALLER))
}

fn agent() -> &'static Path {
    static AGENT_PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    AGENT_PROGRAM.get_or_init(|| program("agent", AGENT))
}

/// A container with a profile, with `no_new_privs` or without.
fn world(script: &str, no_new_privs: bool, profile: &Value) -> World {
    let mut world = World::new(script);
    world.spec["process"]["noNewPrivileges"] = json!(no_new_privs);
    world.spec["linux"]["seccomp"] = profile.clone();
    world
}

fn denies(names: &[&str], action: &str) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": names, "action": action }],
    })
}

const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

#[test]
fn a_denied_call_fails_with_the_profiles_errno() {
    need_containers!();
    let mut profile = denies(&MKDIR, "SCMP_ACT_ERRNO");
    profile["syscalls"][0]["errnoRet"] = json!(122);
    for no_new_privs in [true, false] {
        let script = "mkdir /tmp/x; grep Seccomp: /proc/self/status";
        let output = world(script, no_new_privs, &profile).output_of_run();
        assert!(output.contains("quota exceeded"), "{output}");
        assert!(output.contains("Seccomp:\t2"), "{output}");
    }
}

#[test]
fn a_killed_process_dies_of_it() {
    need_containers!();
    for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL", "SCMP_ACT_TRAP"] {
        let world = world("exec mkdir /tmp/x", true, &denies(&MKDIR, action));
        assert_eq!(world.run().1, Exit::Signal(SIGSYS), "{action}");
        assert!(!world.rootfs().join("tmp/x").exists());
    }
}

/// Not even what comes before the program is allowed but for its execution.
#[test]
fn the_filter_comes_last() {
    need_containers!();
    let names = ["read", "write", "close", "prctl", "capset", "rt_sigaction", "close_range"];
    let mut world = world("true", true, &denies(&names, "SCMP_ACT_KILL_PROCESS"));
    // 39 is getpid.
    std::fs::hard_link(caller(), world.rootfs().join("bin/caller")).unwrap();
    world.spec["process"]["args"] = json!(["caller", "39"]);
    assert_eq!(world.run().1, Exit::Code(0));
    assert!(world.states.load(&world.id).unwrap().seccomp);
}

#[test]
fn a_call_that_no_profile_knows_does_not_exist() {
    need_containers!();
    let profile = runtime_default(&std::collections::HashSet::new(), NATIVE);
    let profile = serde_json::to_value(profile).unwrap();
    for no_new_privs in [true, false] {
        let script = "caller 1000; echo $?; caller 250; echo $?; caller 39; echo $?";
        let world = world(script, no_new_privs, &profile);
        std::fs::hard_link(caller(), world.rootfs().join("bin/caller")).unwrap();
        // 250 is keyctl, 39 getpid.
        assert_eq!(world.output_of_run(), format!("{ENOSYS}\n{EPERM}\n0\n"));
    }
}

/// What runs later in the container is confined as its first process is.
#[test]
fn exec_gets_the_filter_too() {
    need_containers!();
    let profile = denies(&MKDIR, "SCMP_ACT_ERRNO");
    let world = world("sleep 1000", true, &profile);
    let _first = world.begin();
    for no_new_privs in [true, false] {
        let (output, exit) =
            world.exec("mkdir /tmp/x; grep Seccomp: /proc/self/status", |process| {
                process["noNewPrivileges"] = json!(no_new_privs);
            });
        assert_eq!(exit, Exit::Code(0), "{output}");
        assert!(output.contains("not permitted") && output.contains("Seccomp:\t2"), "{output}");
    }
    // Lost, it is not done without.
    std::fs::remove_file(world.states.container(&world.id).join("seccomp.json")).unwrap();
    let process = world.spec["process"].clone();
    let error = chain(&world.try_exec(process).unwrap_err());
    assert!(error.contains("seccomp.json"), "{error}");
}

/// A profile as it is written for other runtimes: of this one's calls before the program, those that
/// they make as well are all that a container without `no_new_privs` needs.
#[test]
fn a_narrow_profile_loaded_early_lets_the_program_be_reached() {
    need_containers!();
    let mut profile = json!(runtime_default(&std::collections::HashSet::new(), NATIVE));
    let allowed = profile["syscalls"][0]["names"].as_array_mut().unwrap();
    let never = ["close_range", "openat2", "sendmsg", "sendto", "faccessat2", "statx"];
    allowed.retain(|name| !never.contains(&name.as_str().unwrap()));
    assert_eq!(world("echo reached", false, &profile).output_of_run(), "reached\n");
}

struct Heard {
    listener: OwnedFd,
    told: Value,
}

/// What an agent gets on its socket.
fn hear(socket: &UnixListener) -> Heard {
    let (stream, _) = socket.accept().unwrap();
    let mut text = vec![0; 65536];
    let mut got = fdpass::receive(&stream, &mut text).unwrap();
    assert_eq!(got.fds.len(), 1);
    let told = serde_json::from_slice(&text[..got.bytes]).unwrap();
    // The connection carries one state, then ends.
    assert_eq!(fdpass::receive(&stream, &mut text).unwrap().bytes, 0);
    Heard { listener: got.fds.remove(0), told }
}

/// Decides one call.
fn decide(listener: OwnedFd) -> std::process::Child {
    Command::new(agent()).stdin(Stdio::from(listener)).spawn().unwrap()
}

#[test]
fn an_agent_decides_about_calls() {
    need_containers!();
    for no_new_privs in [true, false] {
        let mut world =
            world("mkdir /tmp/x; sleep 1000", no_new_privs, &denies(&MKDIR, "SCMP_ACT_NOTIFY"));
        let path = world.path("agent.sock");
        let socket = UnixListener::bind(&path).unwrap();
        world.spec["linux"]["seccomp"]["listenerPath"] = json!(path);
        world.spec["linux"]["seccomp"]["listenerMetadata"] = json!("meta");
        world.spec["linux"]["seccomp"]["flags"] = json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
        world.spec["annotations"] = json!({ "a": "b" });
        let _first = Pidfd::from(world.create().unwrap().pidfd);
        let Heard { listener, told } = hear(&socket);
        let state = world.states.load(&world.id).unwrap();
        assert_eq!(
            told,
            json!({
                "ociVersion": "1.2.0", "fds": ["seccompFd"], "pid": state.pid, "metadata": "meta",
                "state": {
                    "ociVersion": "1.2.0", "id": world.id.as_str(), "status": "creating",
                    "pid": state.pid, "bundle": world.dir.path(), "annotations": { "a": "b" },
                },
            })
        );
        start(&world.states, &world.id).unwrap();
        assert_eq!(decide(listener).wait().unwrap().code(), Some(83), "mkdir's number");

        let mut process = world.spec["process"].clone();
        process["args"] = json!(["mkdir", "/tmp/y"]);
        let second = Pidfd::from(world.try_exec(process).unwrap().pidfd);
        let Heard { listener, told } = hear(&socket);
        assert_eq!(told["state"]["pid"], json!(state.pid));
        assert_eq!(told["pid"], json!(second.pid().unwrap().as_raw_nonzero().get()));
        assert_eq!(decide(listener).wait().unwrap().code(), Some(83));
        assert_eq!(second.wait().unwrap(), Exit::Code(1));
        let complaints = world.output().matches("quota exceeded").count();
        assert_eq!(complaints, 2, "{}", world.output());
    }
}

#[test]
fn without_an_agent_there_is_no_container() {
    need_containers!();
    let mut world = world("true", true, &denies(&MKDIR, "SCMP_ACT_NOTIFY"));
    world.spec["linux"]["seccomp"]["listenerPath"] = json!(world.path("absent.sock"));
    let error = world.create_error();
    assert!(error.contains("linux.seccomp.listenerPath: connect("), "{error}");
    assert!(world.cgroup_folders().is_empty());
}
