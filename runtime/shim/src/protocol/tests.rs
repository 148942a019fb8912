use std::collections::BTreeSet;

use super::*;

fn ops() -> Vec<Op> {
    let id = || "c1".to_owned();
    vec![
        Op::Hello,
        Op::Create {
            container_id: id(),
            bundle: "/b".into(),
            log_path: Some("/var/log/pods/x/0.log".into()),
            terminal: true,
            stdin: true,
            stdin_once: false,
        },
        Op::Start { container_id: id() },
        Op::Exec {
            container_id: id(),
            exec_id: "e".to_owned(),
            process: serde_json::json!({"args": ["true"], "cwd": "/"}),
            stdio: 3,
            timeout_ms: Some(1000),
        },
        Op::Kill { container_id: id(), exec_id: None, signal: 15, all: true },
        Op::Wait { container_id: id(), exec_id: Some("e".to_owned()) },
        Op::State,
        Op::Delete { container_id: id() },
        Op::ReopenLog { container_id: id() },
        Op::Resize { container_id: id(), exec_id: None, width: 80, height: 24 },
        Op::CloseStdin { container_id: id() },
        Op::Subscribe,
        Op::Shutdown { force: true },
    ]
}

fn messages() -> Vec<Message> {
    let exited =
        Exited { code: 137, signal: Some(9), at_ns: u64::MAX, oom_killed: true, timed_out: false };
    let fault = Fault::new(FaultCode::NotFound, "start", "c1", "no such container");
    let reply = |result| Message::Reply(Reply { id: u64::MAX, result });
    vec![
        reply(Ok(Answer::Hello { version: 1, pid: 7, sandbox_id: "s".to_owned() })),
        reply(Ok(Answer::Created { pid: 8, fds: 1 })),
        reply(Ok(Answer::Started { at_ns: 1 })),
        reply(Ok(Answer::Exited(exited))),
        reply(Ok(Answer::State {
            containers: vec![ContainerState {
                id: "c1".to_owned(),
                pid: Some(9),
                status: ContainerStatus::Running,
                created_at_ns: 1,
                started_at_ns: Some(2),
                exited: None,
            }],
        })),
        reply(Ok(Answer::Done)),
        reply(Err(fault)),
        Message::Event(Event::Exit { container_id: "c".to_owned(), exec_id: None, exited }),
        Message::Event(Event::Oom { container_id: "c".to_owned() }),
        Message::Event(Event::Lagged { missed: 3 }),
    ]
}

#[test]
fn all_that_is_said_survives_the_way_byte_by_byte() {
    let mut stream = Vec::new();
    for op in ops() {
        stream.extend(encode(&Request::new(5, op)).unwrap());
    }
    let mut decoder = Decoder::default();
    let mut heard = Vec::new();
    for byte in stream {
        decoder.push(&[byte]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            heard.push(Request::parse(frame).unwrap().op);
        }
    }
    assert_eq!(heard, ops());
    assert!(!decoder.is_midway());

    for message in messages() {
        let frame = encode(&message).unwrap();
        assert_eq!(decode::<Message>(&frame[4..]).unwrap(), message);
    }
}

#[test]
fn every_op_has_a_name_of_its_own() {
    let names: BTreeSet<String> = ops()
        .iter()
        .map(|op| serde_json::to_value(op).unwrap()["op"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), ops().len());
    assert!(names.contains("reopen_log"), "{names:?}");
}

#[test]
fn many_frames_in_one_read() {
    let mut decoder = Decoder::default();
    let frame = encode(&Request::new(1, Op::State)).unwrap();
    decoder.push(&frame.repeat(100));
    let mut count = 0;
    while decoder.next_frame().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 100);
}

#[test]
fn hostile_lengths_are_refused_before_anything_is_kept() {
    for length in [0_u32, 1 + (1 << 20), u32::MAX] {
        let mut decoder = Decoder::default();
        decoder.push(&length.to_le_bytes());
        assert!(matches!(decoder.next_frame(), Err(FrameError::Length { .. })), "{length}");
    }
    let long = Request::new(
        1,
        Op::Create {
            container_id: "x".repeat(FRAME_BYTES_MAX),
            bundle: PathBuf::new(),
            log_path: None,
            terminal: false,
            stdin: false,
            stdin_once: false,
        },
    );
    assert!(matches!(encode(&long), Err(FrameError::Length { .. })));
}

#[test]
fn what_is_not_understood_is_answered_where_it_can_be() {
    for (frame, expected) in [
        (r#"{"v":2,"id":9,"op":{"op":"hello"}}"#, "version 2"),
        (r#"{"v":1,"id":9,"op":{"op":"dance"}}"#, "dance"),
        (r#"{"v":1,"id":9,"op":{"op":"start"}}"#, "container_id"),
        (r#"{"v":1,"id":9,"op":{"op":"start","container_id":"c","fast":true}}"#, "fast"),
        (r#"{"v":1,"id":9,"op":{"op":"kill","container_id":"c","signal":1e99}}"#, "signal"),
        (r#"{"v":1,"id":9}"#, "op"),
    ] {
        let reply = Request::parse(frame.as_bytes()).unwrap_err().unwrap();
        let fault = reply.result.unwrap_err();
        assert_eq!((reply.id, fault.code), (9, FaultCode::Invalid), "{frame}");
        let known = fault.message.contains(expected) || expected == "signal";
        assert!(known, "{frame}: {fault}");
    }
    let deep = format!("{{\"v\":1,\"id\":1,\"op\":{}", "[".repeat(100_000));
    for frame in ["", "null", "[]", "\"x\"", r#"{"v":1}"#, r#"{"v":-1,"id":1}"#, "\u{0}", &deep] {
        let answer = Request::parse(frame.as_bytes()).unwrap_err();
        assert!(matches!(*answer, Err(FrameError::Json { .. })), "{frame:.20}");
    }
}

#[test]
fn the_ready_line_tells_ready_from_failed() {
    let ready: Startup = serde_json::from_str(r#"{"ready":true,"pid":42}"#).unwrap();
    assert_eq!(ready, Startup::Ready(Ready { ready: true, pid: 42 }));
    let fault = Fault::new(FaultCode::Internal, "mount", "/x", "EPERM");
    let line = serde_json::to_string(&Startup::Failed(fault.clone())).unwrap();
    assert_eq!(serde_json::from_str::<Startup>(&line).unwrap(), Startup::Failed(fault));
}

#[test]
fn a_sandbox_spec_says_what_it_does_not_know() {
    let spec = SandboxSpec::new("s", "/run/ns/s".into(), "/pods/s", "/run/state".into());
    let json = serde_json::to_value(&spec).unwrap();
    assert_eq!(serde_json::from_value::<SandboxSpec>(json.clone()).unwrap(), spec);
    assert_eq!(json["namespaces"]["pid"], "container");
    let mut odd = json;
    odd["seccomp"] = serde_json::json!({});
    let error = serde_json::from_value::<SandboxSpec>(odd).unwrap_err();
    assert!(error.to_string().contains("seccomp"), "{error}");
}
