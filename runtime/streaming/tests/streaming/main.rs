//! Clients as there are, against the server with a backend that echoes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod client;
mod echo;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use corten_runtime_streaming::spdy::Headers;
use corten_runtime_streaming::{
    Attach, Config, Exec, Input, Output, PortForward, Role, Session, StreamFlags, Urls, bind,
};
use corten_task::Tasks;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use client::{WebSocket, frame, upgrade_spdy, upgrade_websocket};
use echo::Echo;

const ALL: StreamFlags = StreamFlags { stdin: true, stdout: true, stderr: true, tty: false };

async fn server() -> (Urls, Tasks) {
    let tasks = Tasks::new();
    let (urls, listener) = bind(Config::default()).await.unwrap();
    listener.serve(Arc::new(Echo), &tasks);
    (urls, tasks)
}

fn exec(command: &[&str], streams: StreamFlags) -> Exec {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    Exec { container_id: "c".to_owned(), command, streams }
}

async fn open(session: &Session, kind: &str) -> (Input, Output) {
    session.open(Headers::new().with("streamType", kind)).await.unwrap()
}

async fn text(mut input: Input) -> String {
    let mut bytes = Vec::new();
    while let Some(piece) = input.read().await {
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_command_over_spdy_has_its_streams_and_its_exit_code() {
    let (urls, tasks) = server().await;
    let url = urls.exec(exec(&["exit", "3"], ALL)).unwrap();
    let (io, protocol) = upgrade_spdy(&url, "v4.channel.k8s.io").await;
    assert_eq!(protocol.as_deref(), Some("v4.channel.k8s.io"));
    let session = Session::start(io, Role::Client, &tasks);
    let (status, _) = open(&session, "error").await;
    let (_, stdin) = open(&session, "stdin").await;
    let (stdout, _) = open(&session, "stdout").await;
    let (stderr, _) = open(&session, "stderr").await;
    stdin.write(Bytes::from_static(b"what is said")).await.unwrap();
    // The command reads until the end of its input, so this is a half-close.
    stdin.end().await;
    assert_eq!(text(stdout).await, "what is said");
    assert_eq!(text(stderr).await, "12 bytes");
    let status: Value = serde_json::from_str(&text(status).await).unwrap();
    assert_eq!(status["details"]["causes"][0]["message"], "3");
}

#[tokio::test]
async fn a_failure_of_the_oldest_protocol_is_text() {
    let (urls, tasks) = server().await;
    let flags = StreamFlags { stdout: true, ..StreamFlags::default() };
    let url = urls.exec(exec(&["fail"], flags)).unwrap();
    let (io, protocol) = upgrade_spdy(&url, "").await;
    assert_eq!(protocol, None);
    let session = Session::start(io, Role::Client, &tasks);
    let (status, _) = open(&session, "error").await;
    let (stdout, _) = open(&session, "stdout").await;
    assert_eq!(text(stdout).await, "");
    assert_eq!(text(status).await, "it was told to fail");
}

#[tokio::test]
async fn a_terminal_has_its_sizes_and_no_stderr() {
    let (urls, tasks) = server().await;
    let streams = StreamFlags { stdin: true, stdout: true, stderr: false, tty: true };
    let attach = Attach { container_id: "c".to_owned(), streams };
    let (io, _) = upgrade_spdy(&urls.attach(attach).unwrap(), "v3.channel.k8s.io").await;
    let session = Session::start(io, Role::Client, &tasks);
    let (_status, _) = open(&session, "error").await;
    let (_, stdin) = open(&session, "stdin").await;
    let (mut stdout, _) = open(&session, "stdout").await;
    let (_, resize) = open(&session, "resize").await;
    resize.write(Bytes::from_static(b"{\"Width\":132,\"Height\":43}\n")).await.unwrap();
    assert_eq!(stdout.read().await.unwrap(), "132x43\n");
    stdin.end().await;
    assert_eq!(stdout.read().await, None);
}

#[tokio::test]
async fn a_command_over_a_websocket_can_have_its_input_ended() {
    let (urls, _tasks) = server().await;
    let url = urls.exec(exec(&["exit", "0"], ALL)).unwrap();
    let mut socket = upgrade_websocket(&url, "v5.channel.k8s.io").await;
    socket.send(frame(0, b"hello")).await;
    socket.send(frame(255, &[0])).await;
    let streams = socket.collect().await;
    assert_eq!(streams.get(&1).unwrap(), b"hello");
    assert_eq!(streams.get(&2).unwrap(), b"5 bytes");
    let status: Value = serde_json::from_slice(streams.get(&3).unwrap()).unwrap();
    assert_eq!(status["status"], "Success");
}

#[tokio::test]
async fn an_unknown_websocket_protocol_is_refused_and_the_url_is_spent() {
    let (urls, _tasks) = server().await;
    let url = urls.exec(exec(&["exit", "0"], ALL)).unwrap();
    assert_eq!(WebSocket::try_upgrade(&url, "v9.channel.k8s.io").await.unwrap_err(), 400);
    assert_eq!(WebSocket::try_upgrade(&url, "v5.channel.k8s.io").await.unwrap_err(), 404);
}

async fn echo_server() -> SocketAddr {
    echo::listen().await
}

async fn forwarded(session: &Session, port: u16, request: &str) -> ((Input, Output), Input) {
    let headers = |kind: &str| {
        Headers::new()
            .with("streamType", kind)
            .with("port", port.to_string())
            .with("requestID", request)
    };
    let (error, no_output) = session.open(headers("error")).await.unwrap();
    no_output.end().await;
    (session.open(headers("data")).await.unwrap(), error)
}

async fn forwards(session: &Session) {
    let port = echo_server().await.port();
    let ((first, to_first), first_error) = forwarded(session, port, "0").await;
    let ((second, to_second), _) = forwarded(session, port, "1").await;
    to_second.write(Bytes::from_static(b"two")).await.unwrap();
    to_second.end().await;
    to_first.write(Bytes::from_static(b"one")).await.unwrap();
    to_first.end().await;
    assert_eq!(text(second).await, "two");
    assert_eq!(text(first).await, "one");
    assert_eq!(text(first_error).await, "");
    let ((nothing, _), error) = forwarded(session, 1, "2").await;
    assert_eq!(text(nothing).await, "");
    let error = text(error).await;
    assert!(error.contains("port 1 ") && error.contains("refused"), "{error}");
}

fn ports(ports: &[u16]) -> PortForward {
    PortForward { sandbox_id: "s".to_owned(), ports: ports.to_vec() }
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy() {
    let (urls, tasks) = server().await;
    let url = urls.port_forward(ports(&[])).unwrap();
    let (io, _) = upgrade_spdy(&url, "portforward.k8s.io").await;
    forwards(&Session::start(io, Role::Client, &tasks)).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy_in_a_websocket() {
    let (urls, tasks) = server().await;
    let url = urls.port_forward(ports(&[])).unwrap();
    let socket = upgrade_websocket(&url, "SPDY/3.1+portforward.k8s.io").await;
    let session = Session::start(socket.into_stream(&tasks), Role::Client, &tasks);
    forwards(&session).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_channels_of_a_websocket() {
    let (urls, _tasks) = server().await;
    let port = echo_server().await.port();
    let url = urls.port_forward(ports(&[port, 1])).unwrap();
    let mut socket = upgrade_websocket(&url, "v4.channel.k8s.io").await;
    socket.send(frame(0, b"bye")).await;
    let streams = socket.collect().await;
    assert_eq!(streams.get(&0).unwrap(), &[&port.to_le_bytes()[..], b"bye"].concat());
    assert_eq!(streams.get(&1).unwrap(), &port.to_le_bytes());
    let error = String::from_utf8_lossy(&streams.get(&3).unwrap()[2..]);
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_stream_that_does_not_belong_is_refused_alone() {
    let (urls, tasks) = server().await;
    let url = urls.port_forward(ports(&[])).unwrap();
    let (io, _) = upgrade_spdy(&url, "portforward.k8s.io").await;
    let session = Session::start(io, Role::Client, &tasks);
    session.open(Headers::new().with("streamType", "data")).await.unwrap_err();
    forwards(&session).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_command() {
    let (urls, tasks) = server().await;
    let url = urls.exec(exec(&["until gone"], StreamFlags::default())).unwrap();
    let (mut io, _) = upgrade_spdy(&url, "v4.channel.k8s.io").await;
    let (near, far) = tokio::io::duplex(1 << 16);
    let session = Session::start(near, Role::Client, &tasks);
    let (mut far_read, mut far_write) = tokio::io::split(far);
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    tasks.spawn("wire", async move {
        let (mut read, mut write) = io.split();
        let both = async {
            tokio::select! {
                copied = tokio::io::copy(&mut read, &mut far_write) => drop(copied),
                copied = tokio::io::copy(&mut far_read, &mut write) => drop(copied),
            }
        };
        tokio::select! {
            () = both => {}
            _ = ended => {}
        }
        write.shutdown().await.unwrap();
        // The server hangs up as well, which it does once the command has ended.
        let mut rest = Vec::new();
        read.read_to_end(&mut rest).await.unwrap();
        echo::TOLD_GONE.notify_one();
    });
    let (_status, _) = open(&session, "error").await;
    drop(done);
    echo::TOLD_GONE.notified().await;
}
