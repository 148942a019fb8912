//! Exec, attach and port-forward, as a client over SPDY has them.

use std::fs;

use bytes::Bytes;
use corten_api_cri::v1::{AttachRequest, ContainerConfig, ExecRequest, PortForwardRequest};
use corten_runtime_streaming::spdy::Headers;
use corten_runtime_streaming::{Input, Output, Role, Session};
use corten_task::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use super::lab::{Lab, eventually};
use super::{create, exited, pod, remove, run, shell, start};

/// Upgrades a connection to the URL.
async fn connect(url: &str, protocol: &str, tasks: &Tasks) -> Session {
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /{path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\
         X-Stream-Protocol-Version: {protocol}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    Session::start(stream, Role::Client, tasks)
}

async fn open(session: &Session, kind: &str) -> (Input, Output) {
    session.open(Headers::new().with("streamType", kind)).await.unwrap()
}

async fn all(mut input: Input) -> String {
    let mut bytes = Vec::new();
    while let Some(piece) = input.read().await {
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).unwrap()
}

async fn until(input: &mut Input, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let piece = input.read().await.unwrap_or_else(|| panic!("ended after {text:?}"));
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    text
}

fn exec(container: &str, script: &str, tty: bool) -> ExecRequest {
    ExecRequest {
        container_id: container.to_owned(),
        cmd: ["sh", "-c", script].map(str::to_owned).into(),
        tty,
        stdin: true,
        stdout: true,
        stderr: !tty,
    }
}

const V4: &str = "v4.channel.k8s.io";

#[test]
fn a_command_has_its_streams_its_terminal_and_its_exit_code() {
    Lab::run(async |lab| {
        let tasks = Tasks::new();
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "exec")).await;
        let id = create(&mut client, &pod_id, shell("main", "sleep 1000")).await;
        start(&mut client, &id).await;

        let request = exec(&id, "cat; echo err >&2; exit 3", false);
        let url = client.exec(request).await.unwrap().into_inner().url;
        let session = connect(&url, V4, &tasks).await;
        let (status, _) = open(&session, "error").await;
        let (_, stdin) = open(&session, "stdin").await;
        let (stdout, _) = open(&session, "stdout").await;
        let (stderr, _) = open(&session, "stderr").await;
        // More than all queues and pipes on the way hold.
        let much = "x".repeat(3_000_000);
        let writing = async {
            for piece in much.as_bytes().chunks(30_000) {
                stdin.write(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            stdin.end().await;
        };
        let (said, (), errors) = futures::join!(all(stdout), writing, all(stderr));
        assert_eq!((said == much, errors.as_str()), (true, "err\n"));
        let status: serde_json::Value = serde_json::from_str(&all(status).await).unwrap();
        assert_eq!(status["details"]["causes"][0]["message"], "3");

        let request = exec(&id, "stty -echo; echo ready; read line; stty size; echo $line", true);
        let url = client.exec(request).await.unwrap().into_inner().url;
        let session = connect(&url, V4, &tasks).await;
        let (status, _) = open(&session, "error").await;
        let (_, stdin) = open(&session, "stdin").await;
        let (mut stdout, _) = open(&session, "stdout").await;
        let (_, resize) = open(&session, "resize").await;
        until(&mut stdout, "ready\r\n").await;
        resize.write(Bytes::from_static(b"{\"Width\":99,\"Height\":22}")).await.unwrap();
        // The shim has done it before it answers to what is asked next.
        eventually("the terminal has its size", async || {
            let request = exec(&id, "stty size < /dev/pts/0", false);
            let url = client.clone().exec(request).await.unwrap().into_inner().url;
            let session = connect(&url, V4, &tasks).await;
            let (_status, _) = open(&session, "error").await;
            let (_, _stdin) = open(&session, "stdin").await;
            let (stdout, _) = open(&session, "stdout").await;
            let (_stderr, _) = open(&session, "stderr").await;
            (all(stdout).await == "22 99\n").then_some(())
        })
        .await;
        stdin.write(Bytes::from_static(b"typed\n")).await.unwrap();
        assert_eq!(until(&mut stdout, "typed\r\n").await, "22 99\r\ntyped\r\n");
        assert!(all(status).await.contains("\"Success\""));

        let request = ExecRequest { stderr: true, ..exec(&id, "true", true) };
        assert_eq!(client.exec(request).await.unwrap_err().code(), Code::InvalidArgument);
        remove(&mut client, &pod_id).await;
    });
}

#[test]
fn a_container_is_attached_to_and_its_input_ends_with_its_only_client() {
    Lab::run(async |lab| {
        let tasks = Tasks::new();
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "attach")).await;
        let config = ContainerConfig {
            stdin: true,
            stdin_once: true,
            ..shell("main", "while read word; do echo got $word; done; echo over; exit 4")
        };
        let id = create(&mut client, &pod_id, config).await;
        start(&mut client, &id).await;
        let request = AttachRequest {
            container_id: id.clone(),
            stdin: true,
            tty: false,
            stdout: true,
            stderr: true,
        };
        let wrong = AttachRequest { tty: true, stderr: false, ..request.clone() };
        assert_eq!(client.attach(wrong).await.unwrap_err().code(), Code::InvalidArgument);
        let url = client.attach(request).await.unwrap().into_inner().url;
        let session = connect(&url, V4, &tasks).await;
        let (status, _) = open(&session, "error").await;
        let (_, stdin) = open(&session, "stdin").await;
        let (mut stdout, _) = open(&session, "stdout").await;
        let (_stderr, _) = open(&session, "stderr").await;
        // What is written before the shim copies would be in the log alone.
        stdin.write(Bytes::from_static(b"one\n")).await.unwrap();
        let log = lab.path("logs/main.log");
        eventually("the container has read it", async || {
            fs::read_to_string(&log).unwrap_or_default().contains("got one").then_some(())
        })
        .await;
        stdin.write(Bytes::from_static(b"two\n")).await.unwrap();
        until(&mut stdout, "got two\n").await;
        stdin.end().await;
        assert_eq!(all(stdout).await, "over\n");
        assert!(all(status).await.contains("\"Success\""));
        assert_eq!(exited(&mut client, &id).await.exit_code, 4);
        remove(&mut client, &pod_id).await;
    });
}

#[test]
fn a_port_within_a_pod_is_reached() {
    Lab::run(async |lab| {
        let tasks = Tasks::new();
        let mut client = lab.client().await;
        let pod_id = run(&mut client, pod(lab, "web")).await;
        let script = "nc -ll -p 8080 -e cat";
        let id = create(&mut client, &pod_id, shell("main", script)).await;
        start(&mut client, &id).await;
        let request = PortForwardRequest { pod_sandbox_id: pod_id.clone(), port: vec![8080] };
        let url = client.port_forward(request).await.unwrap().into_inner().url;
        let session = connect(&url, "portforward.k8s.io", &tasks).await;
        let headers = |kind: &str, request: u32| {
            let headers = Headers::new().with("streamType", kind).with("port", "8080");
            headers.with("requestID", request.to_string())
        };
        let mut request = 0;
        let said = eventually("the server answers", async || {
            request += 1;
            let (error, _) = session.open(headers("error", request)).await.unwrap();
            let (data, to_pod) = session.open(headers("data", request)).await.unwrap();
            to_pod.write(Bytes::from_static(b"hello")).await.unwrap();
            to_pod.end().await;
            let said = all(data).await;
            all(error).await.is_empty().then_some(said)
        })
        .await;
        assert_eq!(said, "hello");
        remove(&mut client, &pod_id).await;
    });
}
