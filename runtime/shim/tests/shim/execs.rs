//! More processes in a container.

use std::io::Read as _;
use std::os::fd::AsFd as _;

use corten_runtime_shim::protocol::{Answer, Event, FaultCode, Op};
use serde_json::{Value, json};

use crate::bundle::{run, write};
use crate::client::{Client, Pod};
use crate::isolated;

fn shell(script: &str) -> Value {
    json!({
        "user": {"uid": 0, "gid": 0},
        "args": ["/bin/sh", "-c", script],
        "env": ["PATH=/bin"],
        "cwd": "/",
    })
}

fn op(exec_id: &str, process: Value, stdio: u8, timeout_ms: Option<u64>) -> Op {
    Op::Exec {
        container_id: "c1".to_owned(),
        exec_id: exec_id.to_owned(),
        process,
        stdio,
        timeout_ms,
    }
}

/// Runs a script and gives its status and what it wrote to both outputs.
fn output(client: &mut Client, exec_id: &str, script: &str) -> (i32, String) {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let fds = [null.as_fd(), writer.as_fd(), writer.as_fd()];
    let id = client.send(op(exec_id, shell(script), 3, None), &fds);
    drop(writer);
    assert!(matches!(client.reply(id), Ok(Answer::Created { fds: 0, .. })));
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (client.wait("c1", Some(exec_id)).code, text)
}

#[test]
fn an_exec_is_in_the_container_and_its_end_is_told() {
    isolated(|| {
        let pod = Pod::start("shim-exec", |_| ());
        let mut client = pod.client();
        client.call(Op::Subscribe).unwrap();
        let bundle = write(&pod, "c1", "echo here >/tmp/mark; sleep 600", |_| ());
        client.call(crate::bundle::create(&pod, "c1", bundle)).unwrap();
        let early = client.call(op("e0", shell(":"), 0, None)).unwrap_err();
        assert_eq!(early.code, FaultCode::State);
        client.call(Op::Start { container_id: "c1".to_owned() }).unwrap();

        let (code, text) = output(
            &mut client,
            "e1",
            "while [ ! -e /tmp/mark ]; do :; done; cat /tmp/mark; cat /proc/1/comm; exit 6",
        );
        assert_eq!((code, text.as_str()), (6, "here\nsleep\n"));
        let Event::Exit { container_id, exec_id, exited } = client.event() else { panic!() };
        assert_eq!((container_id.as_str(), exec_id.as_deref()), ("c1", Some("e1")));
        assert_eq!(exited.code, 6);
        // Its end stays known, and its id taken.
        assert_eq!(client.wait("c1", Some("e1")).code, 6);
        let again = client.call(op("e1", shell(":"), 0, None)).unwrap_err();
        assert_eq!(again.code, FaultCode::Exists);

        // Descriptors of the shim's are not in it.
        let (_, open) = output(&mut client, "e2", "echo /proc/self/fd/*");
        assert!(!open.contains("/fd/4"), "{open}");

        let kill = Op::Kill {
            container_id: "c1".to_owned(),
            exec_id: Some("e3".to_owned()),
            signal: 15,
            all: false,
        };
        assert_eq!(client.call(kill.clone()).unwrap_err().code, FaultCode::NotFound);
        client.call(op("e3", shell("exec sleep 600"), 0, None)).unwrap();
        client.call(kill).unwrap();
        assert_eq!(client.wait("c1", Some("e3")).signal, Some(15));

        let missing = json!({"args": ["/no/such"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
        let fault = client.call(op("e4", missing, 0, None)).unwrap_err();
        assert!(fault.to_string().contains("/no/such"), "{fault}");
        let fault = client.call(op("e5", json!({"args": 5}), 0, None)).unwrap_err();
        assert_eq!(fault.code, FaultCode::Invalid);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

#[test]
fn an_exec_ends_when_its_time_is_up_with_what_it_started() {
    isolated(|| {
        let pod = Pod::start("shim-timeout", |_| ());
        let mut client = pod.client();
        run(&pod, &mut client, "c1", "sleep 600");
        let (mut reader, writer) = std::io::pipe().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let fds = [null.as_fd(), writer.as_fd(), writer.as_fd()];
        let script = "trap '' TERM; sleep 300 & sleep 300";
        let id = client.send(op("e1", shell(script), 3, Some(100)), &fds);
        drop(writer);
        client.reply(id).unwrap();
        let exited = client.wait("c1", Some("e1"));
        assert_eq!((exited.code, exited.timed_out, exited.oom_killed), (137, true, false));
        // The end of the pipe: the process in the background is gone as well.
        reader.read_to_end(&mut Vec::new()).unwrap();
        let (code, _) = output(&mut client, "e2", "exit 0");
        assert_eq!(code, 0, "the container goes on");
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

#[test]
fn an_exec_with_a_terminal_gives_the_client_its_other_end() {
    isolated(|| {
        let pod = Pod::start("shim-exec-tty", |_| ());
        let mut client = pod.client();
        run(&pod, &mut client, "c1", "sleep 600");
        let mut process = shell("read line; stty size; echo \"got $line\"");
        process["terminal"] = true.into();
        let fault = client.call(op("e0", process.clone(), 0, None)).map(|_| client.take_fd());
        let mut master = std::fs::File::from(fault.unwrap());
        let resize = Op::Resize {
            container_id: "c1".to_owned(),
            exec_id: Some("e0".to_owned()),
            width: 70,
            height: 20,
        };
        client.call(resize).unwrap();
        std::io::Write::write_all(&mut master, b"hello\n").unwrap();
        let mut text = Vec::new();
        let mut buffer = [0; 256];
        // EIO is how a terminal ends.
        while let Ok(count) = master.read(&mut buffer) {
            if count == 0 {
                break;
            }
            text.extend_from_slice(&buffer[..count]);
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("20 70\r\n") && text.contains("got hello\r\n"), "{text:?}");
        assert_eq!(client.wait("c1", Some("e0")).code, 0);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

#[test]
fn many_at_once_all_end_and_are_told_apart() {
    isolated(|| {
        let pod = Pod::start("shim-many", |_| ());
        let mut client = pod.client();
        run(&pod, &mut client, "c1", "sleep 600");
        let asked: Vec<u64> = (0..30)
            .map(|n| client.send(op(&format!("e{n}"), shell(&format!("exit {n}")), 0, None), &[]))
            .collect();
        for id in asked {
            assert!(matches!(client.reply(id), Ok(Answer::Created { .. })));
        }
        for n in 0..30 {
            assert_eq!(client.wait("c1", Some(&format!("e{n}"))).code, n);
        }
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}
