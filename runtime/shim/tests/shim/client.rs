//! A client of one shim, as the CRI service is.

use std::collections::{BTreeMap, VecDeque};
use std::io::BufRead as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use corten_runtime_shim::protocol::{
    Answer, Decoder, Event, Exited, Fault, Message, Op, Request, SANDBOX_SPEC, SOCKET, SandboxSpec,
    Startup, decode, encode,
};
use corten_sys_linux::fdpass;
use corten_tests_harness::TempCgroup;

/// Everything here comes within this, or not at all; emulated machines are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A shim and its folders. Its processes are killed with its cgroup.
pub(crate) struct Pod {
    pub(crate) base: tempfile::TempDir,
    pub(crate) spec: SandboxSpec,
    pub(crate) pid: i32,
    _cgroup: TempCgroup,
}

impl Pod {
    /// Starts a shim; `adjust` changes what it is told.
    pub(crate) fn start(name: &str, adjust: impl FnOnce(&mut SandboxSpec)) -> Self {
        let (pod, startup) = Self::try_start(name, adjust);
        match startup {
            Startup::Ready(ready) => Self { pid: ready.pid, ..pod },
            Startup::Failed(fault) => panic!("the shim did not start: {fault}"),
        }
    }

    pub(crate) fn try_start(name: &str, adjust: impl FnOnce(&mut SandboxSpec)) -> (Self, Startup) {
        let base = tempfile::tempdir().unwrap();
        let cgroup = TempCgroup::new(name).unwrap();
        let ns_dir = base.path().join("ns");
        let state_dir = base.path().join("state");
        let mut spec = SandboxSpec::new(name, ns_dir, &format!("{}/pod", cgroup.path()), state_dir);
        adjust(&mut spec);
        let pod = Self { base, spec, pid: 0, _cgroup: cgroup };
        std::fs::create_dir(pod.dir()).unwrap();
        std::fs::write(pod.dir().join(SANDBOX_SPEC), serde_json::to_vec(&pod.spec).unwrap())
            .unwrap();
        let startup = pod.launch();
        (pod, startup)
    }

    fn launch(&self) -> Startup {
        let mut child = Command::new(program())
            .arg("--dir")
            .arg(self.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("a line from the shim").unwrap();
        assert!(lines.next().is_none(), "one line, and then the shim has closed its output");
        child.wait().unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// What is to be run when a shim has been killed; gives what it says.
    pub(crate) fn clean_up(&self) -> std::process::Output {
        Command::new(program()).arg("--dir").arg(self.dir()).arg("--cleanup").output().unwrap()
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.base.path().join("shim")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.dir().join(SOCKET))
    }

    pub(crate) fn log(&self, id: &str) -> PathBuf {
        self.base.path().join(format!("{id}.log"))
    }

    /// The cgroup folders of this pod that are left.
    pub(crate) fn cgroups_left(&self) -> Vec<PathBuf> {
        let hierarchies = corten_runtime_cgroup::Hierarchies::probe().unwrap();
        let parent = &self.spec.cgroup_parent[1..];
        hierarchies
            .mounts()
            .flat_map(|(mount, _)| std::fs::read_dir(mount.join(parent)).into_iter().flatten())
            .flatten()
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.path())
            .collect()
    }
}

/// The example of this crate, built with its tests.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("examples/shim");
    assert!(program.exists(), "cargo build -p corten-runtime-shim --examples");
    program
}

pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    next: u64,
    fds: VecDeque<OwnedFd>,
    replies: BTreeMap<u64, Result<Answer, Fault>>,
    events: VecDeque<Event>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream,
            decoder: Decoder::default(),
            next: 1,
            fds: VecDeque::new(),
            replies: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    pub(crate) fn send(&mut self, op: Op, fds: &[BorrowedFd<'_>]) -> u64 {
        let id = self.next;
        self.next += 1;
        let frame = encode(&Request::new(id, op)).unwrap();
        let sent = fdpass::send(&self.stream, &frame, fds).unwrap();
        assert_eq!(sent, frame.len());
        id
    }

    pub(crate) fn reply(&mut self, id: u64) -> Result<Answer, Fault> {
        loop {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            self.hear();
        }
    }

    pub(crate) fn call(&mut self, op: Op) -> Result<Answer, Fault> {
        let id = self.send(op, &[]);
        self.reply(id)
    }

    pub(crate) fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.hear();
        }
    }

    pub(crate) fn take_fd(&mut self) -> OwnedFd {
        self.fds.pop_front().expect("a descriptor came with the answer")
    }

    fn hear(&mut self) {
        let mut buffer = [0; 65536];
        let received = fdpass::receive(self.stream.as_fd(), &mut buffer).unwrap();
        assert!(received.bytes > 0, "the shim hung up");
        self.fds.extend(received.fds);
        self.decoder.push(&buffer[..received.bytes]);
        while let Some(frame) = self.decoder.next_frame().unwrap() {
            match decode(frame).unwrap() {
                Message::Reply(reply) => drop(self.replies.insert(reply.id, reply.result)),
                Message::Event(event) => self.events.push_back(event),
            }
        }
    }

    pub(crate) fn wait(&mut self, id: &str, exec_id: Option<&str>) -> Exited {
        let op = Op::Wait { container_id: id.to_owned(), exec_id: exec_id.map(str::to_owned) };
        match self.call(op) {
            Ok(Answer::Exited(exited)) => exited,
            other => panic!("wait: {other:?}"),
        }
    }
}
