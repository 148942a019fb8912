//! Clients that watch a container's output and write to its input.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use corten_runtime_shim::protocol::{Answer, FaultCode, Op};
use serde_json::json;

use crate::bundle::{run, write};
use crate::client::{Client, Pod, eventually};
use crate::isolated;

fn id() -> String {
    "c1".to_owned()
}

/// Makes and starts a container with standard input.
fn start(pod: &Pod, client: &mut Client, script: &str, terminal: bool, stdin_once: bool) {
    let bundle = write(pod, "c1", script, |spec| spec["process"]["terminal"] = json!(terminal));
    let log_path = Some(pod.log("c1"));
    let stdin = true;
    client
        .call(Op::Create { container_id: id(), bundle, log_path, terminal, stdin, stdin_once })
        .unwrap();
    client.call(Op::Start { container_id: id() }).unwrap();
}

/// Attaches; the request's number and the pipes for what was asked for.
fn attach(client: &mut Client, stdout: bool, stderr: bool) -> (u64, Vec<PipeReader>) {
    let (mut readers, mut writers) = (Vec::new(), Vec::new());
    for _ in 0..usize::from(stdout) + usize::from(stderr) {
        let (reader, writer) = std::io::pipe().unwrap();
        readers.push(reader);
        writers.push(writer);
    }
    let fds: Vec<BorrowedFd<'_>> = writers.iter().map(|writer| writer.as_fd()).collect();
    let request = client.send(Op::Attach { container_id: id(), stdout, stderr }, &fds);
    // Answered in order: from here on output is copied.
    client.call(Op::Hello).unwrap();
    (request, readers)
}

fn stdin(client: &mut Client) -> File {
    let answer = client.call(Op::OpenStdin { container_id: id() }).unwrap();
    assert_eq!(answer, Answer::Stdin { fds: 1 });
    client.take_fd().into()
}

fn read_until(reader: &mut PipeReader, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        assert_eq!(reader.read(&mut byte).unwrap(), 1, "ended after {text:?}");
        text.push(byte[0].into());
    }
    text
}

#[test]
fn clients_come_and_go_and_all_hear_the_same() {
    isolated(|| {
        let pod = Pod::start("shim-attach", |_| ());
        let mut client = pod.client();
        let script = "while read word; do echo $word; echo $word >&2; done; echo over";
        start(&pod, &mut client, script, false, true);
        let (first, mut first_pipes) = attach(&mut client, true, true);
        let mut input = stdin(&mut client);
        input.write_all(b"one\n").unwrap();
        assert_eq!(read_until(&mut first_pipes[0], "\n"), "one\n");
        assert_eq!(read_until(&mut first_pipes[1], "\n"), "one\n");
        drop((input, first_pipes));

        // Nobody listens, which the shim sees when it writes.
        stdin(&mut client).write_all(b"lost\n").unwrap();
        assert_eq!(client.reply(first), Ok(Answer::Detached { cut_off: false }));
        let (second, mut pipes) = attach(&mut client, true, false);
        stdin(&mut client).write_all(b"two\n").unwrap();
        assert_eq!(read_until(&mut pipes[0], "\n"), "two\n");

        client.call(Op::CloseStdin { container_id: id() }).unwrap();
        let mut rest = String::new();
        pipes[0].read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "over\n");
        assert_eq!(client.reply(second), Ok(Answer::Detached { cut_off: false }));
        assert_eq!(client.wait("c1", None).code, 0);
        let fault = client.call(Op::OpenStdin { container_id: id() }).unwrap_err();
        assert_eq!(fault.code, FaultCode::State);
        let log = std::fs::read_to_string(pod.log("c1")).unwrap();
        assert_eq!(log.matches("one").count() + log.matches("two").count(), 4, "{log}");
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

/// A client that sleeps must cost neither the container nor the log anything.
#[test]
fn a_client_that_does_not_read_is_cut_off() {
    isolated(|| {
        let pod = Pod::start("shim-attach-slow", |_| ());
        let mut client = pod.client();
        start(
            &pod,
            &mut client,
            "read go; head -c 1000000 /dev/zero; echo; echo done",
            false,
            false,
        );
        let (request, pipes) = attach(&mut client, true, false);
        stdin(&mut client).write_all(b"go\n").unwrap();
        assert_eq!(client.wait("c1", None).code, 0);
        assert_eq!(client.reply(request), Ok(Answer::Detached { cut_off: true }));
        let log = || std::fs::read_to_string(pod.log("c1")).unwrap();
        eventually("all of the log", || log().ends_with("F done\n").then_some(()));
        drop(pipes);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

#[test]
fn a_terminal_is_written_to_and_resized() {
    isolated(|| {
        let pod = Pod::start("shim-attach-tty", |_| ());
        let mut client = pod.client();
        start(&pod, &mut client, "stty -echo; echo ready; read a; stty size; echo $a", true, true);
        let refused = attach_refused(&mut client);
        assert_eq!(refused, FaultCode::Invalid, "a terminal has no stderr");
        eventually("the program is ready", || {
            std::fs::read_to_string(pod.log("c1")).unwrap().contains("ready").then_some(())
        });
        let (request, mut pipes) = attach(&mut client, true, false);
        client
            .call(Op::Resize { container_id: id(), exec_id: None, width: 101, height: 33 })
            .unwrap();
        stdin(&mut client).write_all(b"typed\n").unwrap();
        let mut text = String::new();
        pipes[0].read_to_string(&mut text).unwrap();
        assert_eq!(text, "33 101\r\ntyped\r\n");
        assert_eq!(client.reply(request), Ok(Answer::Detached { cut_off: false }));
        assert_eq!(client.wait("c1", None).code, 0);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

/// More than may be attached at a time, one after the other, to a container that writes nothing.
#[test]
fn clients_that_left_take_no_room() {
    isolated(|| {
        let pod = Pod::start("shim-attach-many", |_| ());
        let mut client = pod.client();
        run(&pod, &mut client, "c1", "sleep 600");
        for _ in 0..2 * corten_runtime_shim::protocol::ATTACHED_MAX {
            let (_request, pipes) = attach(&mut client, true, true);
            drop(pipes);
        }
        let (request, _pipes) = attach(&mut client, true, true);
        let op = Op::Kill { container_id: id(), exec_id: None, signal: 9, all: false };
        client.call(op).unwrap();
        assert_eq!(client.reply(request), Ok(Answer::Detached { cut_off: false }));
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}

fn attach_refused(client: &mut Client) -> FaultCode {
    let (_reader, writer) = std::io::pipe().unwrap();
    let op = Op::Attach { container_id: id(), stdout: false, stderr: true };
    let request = client.send(op, &[writer.as_fd()]);
    client.reply(request).unwrap_err().code
}

#[test]
fn what_has_no_input_or_has_ended_is_refused() {
    isolated(|| {
        let pod = Pod::start("shim-attach-none", |_| ());
        let mut client = pod.client();
        run(&pod, &mut client, "c1", "true");
        assert_eq!(client.wait("c1", None).code, 0);
        assert_eq!(attach_refused(&mut client), FaultCode::State);
        let fault = client.call(Op::OpenStdin { container_id: id() }).unwrap_err();
        assert_eq!(fault.code, FaultCode::State);
        let fault = client.call(Op::OpenStdin { container_id: "c2".to_owned() }).unwrap_err();
        assert_eq!(fault.code, FaultCode::NotFound);
        client.call(Op::Shutdown { force: true }).unwrap();
    });
}
