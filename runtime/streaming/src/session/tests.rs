use std::time::Duration;

use tokio::io::DuplexStream;

use super::*;

fn connected() -> (Session, Session, Tasks) {
    let tasks = Tasks::new();
    let (one, two) = tokio::io::duplex(64 << 10);
    let client = Session::start(one, Role::Client, &tasks);
    (client, Session::start(two, Role::Server, &tasks), tasks)
}

fn named(name: &str) -> Headers {
    Headers::new().with("streamType", name)
}

async fn open_and_accept(
    client: &Session,
    server: &mut Session,
) -> ((Input, Output), (Input, Output)) {
    let (theirs, ours) = futures::join!(client.open(named("data")), async {
        server.next().await.unwrap().accept().await.unwrap()
    });
    (theirs.unwrap(), ours)
}

async fn all(mut input: Input) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = input.read().await {
        bytes.extend_from_slice(&piece);
    }
    bytes
}

#[tokio::test]
async fn streams_go_both_ways_and_end_one_by_one() {
    let (client, mut server, _tasks) = connected();
    let ((from_server, to_server), (mut from_client, to_client)) =
        open_and_accept(&client, &mut server).await;
    to_server.write(Bytes::from_static(b"question")).await.unwrap();
    to_server.end().await;
    assert_eq!(from_client.read().await.unwrap(), "question");
    assert_eq!(from_client.read().await, None);
    // The other direction goes on.
    to_client.write(Bytes::from_static(b"answer")).await.unwrap();
    to_client.end().await;
    assert_eq!(all(from_server).await, b"answer");
    assert!(client.shared.streams().open.is_empty());
    assert!(server.shared.streams().open.is_empty());
}

#[tokio::test]
async fn much_data_arrives_whole_and_in_order() {
    let (client, mut server, tasks) = connected();
    let ((_, to_server), (from_client, _)) = open_and_accept(&client, &mut server).await;
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let copy = content.clone();
    tasks.spawn("writer", async move {
        for piece in copy.chunks(70_000) {
            to_server.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        to_server.end().await;
    });
    assert_eq!(all(from_client).await, content);
}

#[tokio::test]
async fn what_was_sent_last_arrives_before_the_end() {
    let (client, mut server, _tasks) = connected();
    let ((from_server, _to_server), (_, to_client)) = open_and_accept(&client, &mut server).await;
    to_client.write(Bytes::from_static(b"last words")).await.unwrap();
    server.close().await;
    assert_eq!(all(from_server).await, b"last words");
    client.gone().cancelled().await;
}

#[tokio::test]
async fn a_refused_stream_is_told_so() {
    let (client, mut server, _tasks) = connected();
    let (refused, ()) = futures::join!(client.open(named("odd")), async {
        server.next().await.unwrap().refuse().await;
    });
    assert_eq!(refused.unwrap_err(), Gone);
    // The connection itself is fine.
    open_and_accept(&client, &mut server).await;
}

#[tokio::test]
async fn the_end_of_one_side_is_seen_by_the_other() {
    let (client, mut server, _tasks) = connected();
    let (_, (mut input, output)) = open_and_accept(&client, &mut server).await;
    client.close().await;
    assert_eq!(input.read().await, None);
    server.gone().cancelled().await;
    assert_eq!(output.write(Bytes::from_static(b"too late")).await, Err(Gone));
}

/// A peer by hand.
struct Peer {
    io: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
}

impl Peer {
    fn server(tasks: &Tasks) -> (Self, Session) {
        let (io, theirs) = tokio::io::duplex(1 << 20);
        let session = Session::start(theirs, Role::Server, tasks);
        (Self { io, encoder: Encoder::new(), decoder: Decoder::new() }, session)
    }

    async fn send(&mut self, frame: Frame) {
        let (head, content) = self.encoder.encode(frame).unwrap();
        self.io.write_all(&head).await.unwrap();
        self.io.write_all(&content).await.unwrap();
    }

    async fn receive(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return Some(frame);
            }
            let mut buffer = [0; 4096];
            let count = self.io.read(&mut buffer).await.unwrap();
            if count == 0 {
                return None;
            }
            self.decoder.push(&buffer[..count]);
        }
    }

    fn open(stream: StreamId) -> Frame {
        Frame::SynStream {
            stream,
            associated: 0,
            priority: 0,
            fin: false,
            unidirectional: false,
            headers: named("data"),
        }
    }
}

#[tokio::test]
async fn pings_come_back() {
    let tasks = Tasks::new();
    let (mut peer, _session) = Peer::server(&tasks);
    peer.send(Frame::Ping { id: 2 }).await;
    peer.send(Frame::Ping { id: 7 }).await;
    assert_eq!(peer.receive().await, Some(Frame::Ping { id: 7 }));
}

#[tokio::test]
async fn a_peer_that_counts_gets_credit_for_what_was_read() {
    let tasks = Tasks::new();
    let (mut peer, mut session) = Peer::server(&tasks);
    peer.send(Peer::open(1)).await;
    let (mut input, _output) = session.next().await.unwrap().accept().await.unwrap();
    assert!(matches!(peer.receive().await, Some(Frame::SynReply { stream: 1, .. })));
    let bytes = Bytes::from(vec![0; 40 << 10]);
    peer.send(Frame::Data { stream: 1, fin: true, bytes }).await;
    while input.read().await.is_some() {}
    let Some(Frame::WindowUpdate { stream: 1, delta_bytes }) = peer.receive().await else {
        panic!("no credit");
    };
    let for_all = peer.receive().await;
    assert_eq!(for_all, Some(Frame::WindowUpdate { stream: 0, delta_bytes }));
    assert!(delta_bytes >= 32 << 10);
}

#[tokio::test]
async fn streams_beyond_the_bound_are_refused_one_by_one() {
    let tasks = Tasks::new();
    let (mut peer, mut session) = Peer::server(&tasks);
    let mut accepted = Vec::new();
    for number in 0..STREAMS_MAX as u32 {
        peer.send(Peer::open(2 * number + 1)).await;
        accepted.push(session.next().await.unwrap().accept().await.unwrap());
        assert!(matches!(peer.receive().await, Some(Frame::SynReply { .. })));
    }
    let stream = 2 * STREAMS_MAX as u32 + 1;
    peer.send(Peer::open(stream)).await;
    let refusal = Frame::RstStream { stream, status: ResetStatus::REFUSED_STREAM };
    assert_eq!(peer.receive().await, Some(refusal));
    // One that ends makes room.
    peer.send(Frame::RstStream { stream: 1, status: ResetStatus::CANCEL }).await;
    peer.send(Peer::open(stream + 2)).await;
    session.next().await.unwrap().accept().await.unwrap();
}

#[tokio::test]
async fn a_number_that_does_not_rise_ends_the_connection() {
    for wrong in [2, 1] {
        let tasks = Tasks::new();
        let (mut peer, session) = Peer::server(&tasks);
        peer.send(Peer::open(1)).await;
        peer.send(Peer::open(wrong)).await;
        session.gone().cancelled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_happens_ends() {
    let tasks = Tasks::new();
    let (mut peer, session) = Peer::server(&tasks);
    let start = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(3 * 60 * 60)).await;
    peer.send(Frame::Ping { id: 1 }).await;
    peer.receive().await.unwrap();
    session.gone().cancelled().await;
    assert!(start.elapsed() >= Duration::from_secs(7 * 60 * 60));
}
