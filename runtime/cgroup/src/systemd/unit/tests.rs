//! Against a scripted peer: what systemd would see, and what it might say.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;

use super::super::message::{HEADER_BYTES, Kind};
use super::*;
use crate::{Limit, Pids};

/// One connection: shakes hands, then answers calls until the other side leaves.
struct Peer {
    stream: BufReader<UnixStream>,
}

impl Peer {
    /// Answers each call by what `script` returns; the calls come back when the client has gone.
    fn start(
        path: &Path,
        script: impl Fn(&Message) -> Vec<Message> + Send + 'static,
    ) -> JoinHandle<Vec<Message>> {
        let listener = UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut peer = Self { stream: BufReader::new(stream) };
            peer.handshake();
            let mut calls = Vec::new();
            while let Some(call) = peer.receive() {
                for mut answer in script(&call) {
                    if answer.kind != Kind::Signal {
                        answer.reply_to = call.serial;
                    }
                    peer.stream.get_mut().write_all(&answer.encode()).unwrap();
                }
                calls.push(call);
            }
            calls
        })
    }

    fn handshake(&mut self) {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.starts_with("\0AUTH EXTERNAL "), "{line:?}");
        self.stream.get_mut().write_all(b"OK 0123456789abcdef\r\n").unwrap();
        line.clear();
        self.stream.read_line(&mut line).unwrap();
        assert_eq!(line, "BEGIN\r\n");
    }

    fn receive(&mut self) -> Option<Message> {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).ok()?;
        let mut bytes = header.to_vec();
        bytes.resize(Message::length(&header).unwrap(), 0);
        self.stream.read_exact(&mut bytes[HEADER_BYTES..]).ok()?;
        Message::decode(&bytes)
    }
}

fn returns(texts: &[&str]) -> Message {
    let body = texts.iter().fold(Writer::default(), |body, text| body.text(text));
    let made = Message::call("", "", "", "", body);
    Message { kind: Kind::Return, ..made }
}

fn error(name: &str) -> Message {
    Message { kind: Kind::Error, error: name.to_owned(), ..returns(&["it is so"]) }
}

fn removed(job: &str, result: &str) -> Message {
    let member = "JobRemoved".to_owned();
    Message { kind: Kind::Signal, member, ..returns(&[job, "a.scope", result]) }
}

fn connect(path: &Path) -> Result<Systemd, Error> {
    Systemd::over(Bus::open(path)?)
}

fn start(systemd: &mut Systemd) -> Result<(), Error> {
    let unit = Unit::parse("kube.slice:cri:one", "x")?;
    let wanted = Resources { pids: Pids { max: Some(Limit::Value(7)) }, ..Resources::default() };
    systemd.start(&unit, "a test", rustix::process::getpid(), &Hierarchies::probe()?, &wanted)
}

#[test]
fn a_unit_is_there_when_its_job_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let peer = Peer::start(&path, |call| match call.member.as_str() {
        // Another's job ends first, and ours before its call is answered.
        "StartTransientUnit" => {
            vec![removed("/job/1", "failed"), removed("/job/2", "done"), returns(&["/job/2"])]
        }
        _other => vec![returns(&[])],
    });
    let mut systemd = connect(&path).unwrap();
    start(&mut systemd).unwrap();
    drop(systemd);
    let calls = peer.join().unwrap();
    let members: Vec<&str> = calls.iter().map(|call| call.member.as_str()).collect();
    assert_eq!(members, ["Subscribe", "StartTransientUnit"]);
    assert_eq!(calls[1].signature, "ssa(sv)a(sa(sv))");
    assert_eq!(calls[1].texts()[0], "cri-one.scope");
    let said = String::from_utf8_lossy(&calls[1].body).into_owned();
    for property in ["Slice", "kube.slice", "Delegate", "PIDs", "TasksMax"] {
        assert!(said.contains(property), "{property}");
    }
}

#[test]
fn a_job_that_fails_and_a_refusal_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let peer = Peer::start(&path, |call| match call.member.as_str() {
        "StartTransientUnit" => vec![returns(&["/job/2"]), removed("/job/2", "timeout")],
        "StopUnit" => vec![error("org.freedesktop.DBus.Error.AccessDenied")],
        _other => vec![returns(&[])],
    });
    let mut systemd = connect(&path).unwrap();
    let failed = start(&mut systemd).unwrap_err().to_string();
    assert!(failed.contains("cri-one.scope") && failed.contains("timeout"), "{failed}");
    let refused = systemd.stop(&Unit::named("a.scope")).unwrap_err().to_string();
    assert!(refused.contains("it is so") && refused.contains("AccessDenied"), "{refused}");
    drop(systemd);
    peer.join().unwrap();
}

#[test]
fn what_failed_before_makes_room_and_what_is_gone_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let failed_before = std::sync::atomic::AtomicBool::new(true);
    let peer = Peer::start(&path, move |call| match call.member.as_str() {
        "StartTransientUnit" if failed_before.swap(false, std::sync::atomic::Ordering::Relaxed) => {
            vec![error("org.freedesktop.systemd1.UnitExists")]
        }
        "StartTransientUnit" => vec![returns(&["/job/3"]), removed("/job/3", "done")],
        "StopUnit" => vec![error("org.freedesktop.systemd1.NoSuchUnit")],
        _other => vec![returns(&[])],
    });
    let mut systemd = connect(&path).unwrap();
    start(&mut systemd).unwrap();
    systemd.stop(&Unit::named("a.scope")).unwrap();
    drop(systemd);
    let calls = peer.join().unwrap();
    let members: Vec<&str> = calls.iter().map(|call| call.member.as_str()).collect();
    assert_eq!(
        members,
        ["Subscribe", "StartTransientUnit", "ResetFailedUnit", "StartTransientUnit", "StopUnit"]
    );
}

#[test]
fn a_peer_that_is_no_bus_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"REJECTED\r\n").unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    });
    let refused = connect(&path).unwrap_err().to_string();
    assert!(refused.contains("REJECTED"), "{refused}");
    peer.join().unwrap();
    let absent = connect(&dir.path().join("absent")).unwrap_err().to_string();
    assert!(absent.contains("is it pid 1"), "{absent}");
}

#[test]
fn paths_are_systemds() {
    let path = |text: &str| Unit::parse(text, "id").unwrap().cgroup_path().unwrap().to_string();
    assert_eq!(path("a-b-c.slice:x:y"), "/a.slice/a-b.slice/a-b-c.slice/x-y.scope");
    assert_eq!(path("-.slice::y"), "/y.scope");
    assert_eq!(path(":x:y"), "/system.slice/x-y.scope");
    assert_eq!(path(""), "/system.slice/corten-id.scope");
    assert_eq!(path("a.slice::a-b.slice"), "/a.slice/a-b.slice");
    for text in
        ["/a/b", "a:b", "a:b:c", "a--b.slice:x:y", "a.slice:x/y:z", "a.slice:x:y:z", ".slice:x:y"]
    {
        Unit::parse(text, "id").unwrap_err();
    }
}
