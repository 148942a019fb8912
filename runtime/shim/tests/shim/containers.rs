//! The life of containers.

use std::io::Write as _;
use std::path::Path;

use corten_runtime_shim::protocol::{
    Answer, ContainerState, ContainerStatus, Event, Exited, FaultCode, Op, PidNamespace,
};
use serde_json::json;

use crate::bundle::{create, run, run_with, write};
use crate::client::{Client, Pod, eventually};
use crate::isolated;
use crate::sandbox::{alive, assert_nothing_left};

fn id(name: &str) -> String {
    name.to_owned()
}

fn state(client: &mut Client) -> Vec<ContainerState> {
    match client.call(Op::State) {
        Ok(Answer::State { containers }) => containers,
        other => panic!("state: {other:?}"),
    }
}

fn delete(client: &mut Client, name: &str) {
    assert_eq!(client.call(Op::Delete { container_id: id(name) }), Ok(Answer::Done));
}

fn end(pod: &Pod, client: &mut Client, force: bool) {
    assert_eq!(client.call(Op::Shutdown { force }), Ok(Answer::Done));
    eventually("the shim's end", || (!alive(pod.pid)).then_some(()));
    assert_nothing_left(pod);
}

#[test]
fn a_container_lives_and_ends_and_is_known_at_every_step() {
    isolated(|| {
        let pod = Pod::start("shim-life", |_| ());
        let mut client = pod.client();
        client.call(Op::Subscribe).unwrap();
        let bundle = write(&pod, "c1", "echo out; echo err >&2; exit 3", |_| ());
        let Ok(Answer::Created { pid, fds: 0 }) = client.call(create(&pod, "c1", bundle.clone()))
        else {
            panic!("create");
        };
        let states = state(&mut client);
        assert_eq!(states.len(), 1);
        assert_eq!((states[0].status, states[0].pid), (ContainerStatus::Created, Some(pid)));
        assert_eq!(states[0].started_at_ns, None);
        let again = client.call(create(&pod, "c1", bundle)).unwrap_err();
        assert_eq!(again.code, FaultCode::Exists);
        let early = client.call(Op::Delete { container_id: id("c1") }).unwrap_err();
        assert_eq!(early.code, FaultCode::State);

        let Ok(Answer::Started { at_ns }) = client.call(Op::Start { container_id: id("c1") })
        else {
            panic!("start");
        };
        let exited = client.wait("c1", None);
        assert_eq!((exited.code, exited.signal, exited.oom_killed), (3, None, false));
        assert!(exited.at_ns >= at_ns);
        let event = Event::Exit { container_id: id("c1"), exec_id: None, exited };
        assert_eq!(client.event(), event);
        let record = std::fs::read(pod.dir().join("exits/c1")).unwrap();
        assert_eq!(serde_json::from_slice::<Exited>(&record).unwrap(), exited);
        let states = state(&mut client);
        assert_eq!((states[0].status, states[0].pid), (ContainerStatus::Stopped, None));
        assert_eq!(states[0].exited, Some(exited));
        let twice = client.call(Op::Start { container_id: id("c1") }).unwrap_err();
        assert_eq!(twice.code, FaultCode::State);

        // All its output is in the log by the time its end is told.
        let log = std::fs::read_to_string(pod.log("c1")).unwrap();
        assert!(log.contains(" stdout F out\n") && log.contains(" stderr F err\n"), "{log}");

        delete(&mut client, "c1");
        assert_eq!(state(&mut client), []);
        assert!(!pod.dir().join("exits/c1").exists());
        end(&pod, &mut client, false);
    });
}

#[test]
fn a_program_that_is_not_there_is_named_and_leaves_nothing() {
    isolated(|| {
        let pod = Pod::start("shim-noprog", |_| ());
        let mut client = pod.client();
        let bundle = write(&pod, "c1", "", |spec| spec["process"]["args"] = json!(["/no/such"]));
        let fault = client
            .call(create(&pod, "c1", bundle))
            .and_then(|_| client.call(Op::Start { container_id: id("c1") }))
            .unwrap_err();
        assert!(fault.to_string().contains("/no/such"), "{fault}");
        if !state(&mut client).is_empty() {
            client.wait("c1", None);
            delete(&mut client, "c1");
        }
        // The id is free again.
        run(&pod, &mut client, "c1", "exit 0");
        assert_eq!(client.wait("c1", None).code, 0);
        end(&pod, &mut client, true);
    });
}

/// It takes a process that joins the pod's namespaces to make the one that stays; the shim reaps both.
#[test]
fn a_container_has_a_user_namespace_beside_the_pods_namespaces() {
    isolated(|| {
        let pod = Pod::start("shim-userns", |_| ());
        let mut client = pod.client();
        let bundle = write(&pod, "c1", "cat /proc/self/uid_map; exit 7", |spec| {
            let map = json!([{ "containerID": 0, "hostID": 0, "size": 4242 }]);
            let linux = &mut spec["linux"];
            linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            linux["uidMappings"] = map.clone();
            linux["gidMappings"] = map;
            // The kernel makes none of these for namespaces that are the host's.
            let mounts = spec["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| mount["type"] != "mqueue");
        });
        let answer = client.call(create(&pod, "c1", bundle));
        let Ok(Answer::Created { pid, .. }) = answer else { panic!("create: {answer:?}") };
        let map = std::fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
        assert!(map.contains("4242"), "{map}");
        client.call(Op::Start { container_id: id("c1") }).unwrap();
        assert_eq!(client.wait("c1", None).code, 7);
        delete(&mut client, "c1");
        // No process of the making is left, not even as a zombie.
        let children = format!("/proc/{0}/task/{0}/children", pod.pid);
        eventually("the reaping of all children", || {
            std::fs::read_to_string(&children)
                .is_ok_and(|text| text.trim().is_empty())
                .then_some(())
        });
        end(&pod, &mut client, true);
    });
}

#[test]
fn hooks_run_and_a_start_waits_for_them() {
    isolated(|| {
        let pod = Pod::start("shim-hooks", |_| ());
        let mut client = pod.client();
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let hook = |word: &str| {
            let script = format!("echo {word} >> {}", log.display());
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"] }])
        };
        let bundle = write(&pod, "c1", "while :; do sleep 1; done", |spec| {
            spec["hooks"] = json!({
                "createRuntime": hook("runtime"), "createContainer": hook("container"),
                "poststart": hook("poststart"), "poststop": hook("poststop"),
            });
        });
        client.call(create(&pod, "c1", bundle)).unwrap();
        let logged = || std::fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(logged(), "runtime\ncontainer\n");
        client.call(Op::Start { container_id: id("c1") }).unwrap();
        assert_eq!(logged(), "runtime\ncontainer\npoststart\n");
        let kill = Op::Kill { container_id: id("c1"), exec_id: None, signal: 9, all: false };
        client.call(kill).unwrap();
        client.wait("c1", None);
        delete(&mut client, "c1");
        assert!(logged().ends_with("poststart\npoststop\n"), "{}", logged());

        let bundle = write(&pod, "c2", "while :; do sleep 1; done", |spec| {
            spec["hooks"] = json!({ "poststart": [{ "path": "/bin/false" }] });
        });
        client.call(create(&pod, "c2", bundle)).unwrap();
        let fault = client.call(Op::Start { container_id: id("c2") }).unwrap_err();
        assert!(fault.to_string().contains("hooks.poststart[0]"), "{fault}");
        assert_eq!(client.wait("c2", None).signal, Some(9));
        delete(&mut client, "c2");
        end(&pod, &mut client, true);
    });
}

#[test]
fn a_bundle_that_makes_no_sense_is_refused_by_field() {
    isolated(|| {
        let pod = Pod::start("shim-badspec", |_| ());
        let mut client = pod.client();
        let bundle = write(&pod, "c1", "", |spec| spec["root"] = json!({"path": ""}));
        let fault = client.call(create(&pod, "c1", bundle)).unwrap_err();
        assert_eq!(fault.code, FaultCode::Invalid);
        assert!(fault.message.contains("root.path"), "{fault}");
        let fault = client.call(create(&pod, "../c", "/nowhere".into())).unwrap_err();
        assert_eq!(fault.code, FaultCode::Invalid);
        let fault = client.call(create(&pod, "c2", "/nowhere".into())).unwrap_err();
        assert!(fault.to_string().contains("/nowhere"), "{fault}");
        assert_eq!(state(&mut client), []);
        end(&pod, &mut client, false);
    });
}

#[test]
fn signals_reach_the_first_process_or_all() {
    isolated(|| {
        let pod = Pod::start("shim-kill", |_| ());
        let mut client = pod.client();
        let kill = |signal, all| Op::Kill { container_id: id("c1"), exec_id: None, signal, all };
        run(
            &pod,
            &mut client,
            "c1",
            "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done",
        );
        eventually("the trap", || {
            std::fs::read_to_string(pod.log("c1")).unwrap().contains("ready").then_some(())
        });
        assert_eq!(client.call(kill(65, false)).unwrap_err().code, FaultCode::Invalid);
        assert_eq!(client.call(kill(15, false)), Ok(Answer::Done));
        assert_eq!(client.wait("c1", None).code, 7);
        assert_eq!(client.call(kill(15, false)).unwrap_err().code, FaultCode::State);
        delete(&mut client, "c1");

        run(&pod, &mut client, "c1", "sleep 600 & sleep 600");
        assert_eq!(client.call(kill(9, true)), Ok(Answer::Done));
        let exited = client.wait("c1", None);
        assert_eq!((exited.code, exited.signal, exited.oom_killed), (137, Some(9), false));
        end(&pod, &mut client, true);
    });
}

#[test]
fn past_its_memory_limit_a_container_ends_oom_killed() {
    isolated(|| {
        let pod = Pod::start("shim-oom", |_| ());
        let mut client = pod.client();
        client.call(Op::Subscribe).unwrap();
        let neighbour = run(&pod, &mut client, "neighbour", "sleep 600");
        let eat = "x=0123456789abcdef; while :; do x=$x$x; done";
        run_with(&pod, &mut client, "eater", eat, |spec| {
            let limit = 24 << 20;
            spec["linux"]["resources"] = json!({"memory": {"limit": limit, "swap": limit}});
        });
        let exited = client.wait("eater", None);
        assert_eq!((exited.code, exited.oom_killed), (137, true));
        assert_eq!(client.event(), Event::Oom { container_id: id("eater") });
        let event = Event::Exit { container_id: id("eater"), exec_id: None, exited };
        assert_eq!(client.event(), event);
        assert!(alive(neighbour));
        end(&pod, &mut client, true);
    });
}

#[test]
fn a_new_client_finds_everything_as_it_is() {
    isolated(|| {
        let pod = Pod::start("shim-again", |_| ());
        let mut first = pod.client();
        let pid =
            run(&pod, &mut first, "c1", "while [ ! -e /tmp/go ]; do sleep 0.05; done; exit 4");
        run(&pod, &mut first, "c2", "exit 5");
        assert_eq!(first.wait("c2", None).code, 5);
        // A wait that nobody will read.
        first.send(Op::Wait { container_id: id("c1"), exec_id: None }, &[]);
        drop(first);

        let mut second = pod.client();
        let states = state(&mut second);
        let brief: Vec<_> = states.iter().map(|s| (s.id.as_str(), s.status, s.pid)).collect();
        let expected =
            [("c1", ContainerStatus::Running, Some(pid)), ("c2", ContainerStatus::Stopped, None)];
        assert_eq!(brief, expected);
        assert_eq!(states[1].exited.map(|exited| exited.code), Some(5));
        second.call(Op::Subscribe).unwrap();
        std::fs::write(pod.base.path().join("bundles/c1/rootfs/tmp/go"), "").unwrap();
        assert_eq!(second.wait("c1", None).code, 4);
        assert!(matches!(second.event(), Event::Exit { container_id, .. } if container_id == "c1"));
        end(&pod, &mut second, true);
    });
}

#[test]
fn in_a_shared_pid_namespace_nothing_outlives_its_container() {
    isolated(|| {
        let pod = Pod::start("shim-pidns", |spec| spec.namespaces.pid = PidNamespace::Pod);
        let mut client = pod.client();
        let other = run(&pod, &mut client, "other", "sleep 600");
        run(&pod, &mut client, "c1", "sleep 601 & cat /proc/1/comm; exit 0");
        assert_eq!(client.wait("c1", None).code, 0);
        let log = std::fs::read_to_string(pod.log("c1")).unwrap();
        assert!(log.contains(" stdout F reaper\n"), "{log}");
        let group = format!("{}/c1", pod.spec.cgroup_parent);
        let left = || {
            let hierarchies = corten_runtime_cgroup::Hierarchies::probe().unwrap();
            let path = corten_runtime_cgroup::CgroupPath::new(&group).unwrap();
            corten_runtime_cgroup::Cgroup::open(&hierarchies, &path).unwrap().pids().unwrap().len()
        };
        eventually("the end of what was left", || (left() == 0).then_some(()));
        assert!(alive(other));
        end(&pod, &mut client, true);
    });
}

#[test]
fn a_forced_shutdown_ends_all_and_leaves_nothing() {
    isolated(|| {
        let pod = Pod::start("shim-force", |spec| spec.namespaces.pid = PidNamespace::Pod);
        let mut client = pod.client();
        let pids: Vec<i32> = (0..5)
            .map(|n| run(&pod, &mut client, &format!("c{n}"), "trap '' TERM; sleep 600 & wait"))
            .collect();
        let bundle = write(&pod, "made", "exit 0", |_| ());
        client.call(create(&pod, "made", bundle)).unwrap();
        let refused = client.call(Op::Shutdown { force: false }).unwrap_err();
        assert_eq!(refused.code, FaultCode::State);
        end(&pod, &mut client, true);
        assert!(!pids.into_iter().any(alive));
    });
}

#[test]
fn what_a_killed_shim_leaves_is_cleaned_up() {
    isolated(|| {
        let pod = Pod::start("shim-killed", |spec| spec.namespaces.pid = PidNamespace::Pod);
        let mut client = pod.client();
        let alive_still = run(&pod, &mut client, "c1", "sleep 600");
        run(&pod, &mut client, "c2", "exit 1");
        client.wait("c2", None);
        let refused = pod.clean_up();
        assert!(!refused.status.success());
        let said = String::from_utf8(refused.stdout).unwrap();
        assert!(said.contains("its shim lives"), "{said}");
        assert!(alive(alive_still));

        let shim = rustix::process::Pid::from_raw(pod.pid).unwrap();
        rustix::process::kill_process(shim, rustix::process::Signal::KILL).unwrap();
        eventually("the shim's end", || (!alive(pod.pid)).then_some(()));
        assert!(alive(alive_still), "containers outlive their shim");
        let record = std::fs::read(pod.dir().join("exits/c2")).unwrap();
        assert_eq!(serde_json::from_slice::<Exited>(&record).unwrap().code, 1);
        for _again in 0..2 {
            let cleaned = pod.clean_up();
            assert!(cleaned.status.success(), "{cleaned:?}");
            assert!(!alive(alive_still));
            assert_nothing_left(&pod);
        }
    });
}

#[test]
fn standard_input_comes_through_a_fifo_until_it_is_closed() {
    isolated(|| {
        let pod = Pod::start("shim-stdin", |_| ());
        let mut client = pod.client();
        let bundle = write(&pod, "c1", "cat; echo end", |_| ());
        let op = Op::Create {
            container_id: id("c1"),
            bundle,
            log_path: Some(pod.log("c1")),
            terminal: false,
            stdin: true,
            stdin_once: true,
        };
        client.call(op).unwrap();
        client.call(Op::Start { container_id: id("c1") }).unwrap();
        let fifo = pod.dir().join("stdin/c1");
        for text in ["one\n", "two\n"] {
            // Each writer leaves, and the container sees no end of it.
            let mut writer = std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
        }
        let log = || std::fs::read_to_string(pod.log("c1")).unwrap();
        eventually("what was written", || log().contains("F two\n").then_some(()));
        assert_eq!(state(&mut client)[0].status, ContainerStatus::Running);
        client.call(Op::CloseStdin { container_id: id("c1") }).unwrap();
        assert_eq!(client.wait("c1", None).code, 0);
        assert!(log().ends_with("F end\n"), "{}", log());
        assert!(!Path::new(&fifo).exists());
        end(&pod, &mut client, true);
    });
}

#[test]
fn nonsense_costs_its_sender_the_connection_and_nobody_else() {
    isolated(|| {
        use std::io::Read as _;
        let pod = Pod::start("shim-nonsense", |_| ());
        let mut client = pod.client();
        run(&pod, &mut client, "c1", "sleep 600");
        let socket = pod.dir().join("shim.sock");
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0, 0, 0, 0], &[0xff; 64], b"\x02\0\0\0{}"] {
            let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
            stream.set_read_timeout(Some(crate::client::PATIENCE)).unwrap();
            stream.write_all(bytes).unwrap();
            let ended = stream.read(&mut [0; 16]);
            let reset =
                |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(
                ended.as_ref().is_ok_and(|count| *count == 0) || ended.is_err_and(|e| reset(&e))
            );
        }
        // Half a frame, left lying.
        let mut idle = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        idle.write_all(&[10, 0, 0]).unwrap();
        assert_eq!(state(&mut client).len(), 1);
        end(&pod, &mut client, true);
    });
}
