//! One connection to a bus, or to systemd itself.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::message::{HEADER_BYTES, Kind, Message, Writer};

/// systemd's own socket, for root.
const PRIVATE: &str = "/run/systemd/private";
const SYSTEM: &str = "/run/dbus/system_bus_socket";
/// How long an answer may take. A machine that is starting up answers late.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Lines of the handshake are short.
const LINE_BYTES_MAX: usize = 512;
/// Signals that are kept while an answer is waited for: others' units come and go, too.
const SIGNALS_MAX: usize = 4096;

/// What went wrong between this process and systemd.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Its socket is not there or not for us.
    #[error("systemd cannot be reached over {}: is it pid 1 here?", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The handshake failed.
    #[error("{}: the handshake was answered by {answer:?}", path.display())]
    Handshake {
        /// The socket.
        path: PathBuf,
        /// What was said.
        answer: String,
    },
    /// The connection broke, or no answer came in time.
    #[error("systemd: {call}")]
    Broken {
        /// What was asked.
        call: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What came is not D-Bus.
    #[error("systemd: {call} was answered by something else than a message of D-Bus")]
    Garbage {
        /// What was asked.
        call: String,
    },
    /// systemd said no.
    #[error("systemd: {call}: {message} ({name})")]
    Refused {
        /// What was asked.
        call: String,
        /// The error's name, such as `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// What it says to people.
        message: String,
    },
    /// The job that a call made did not end well.
    #[error("systemd: the job for {unit} ended as {result:?}; see systemctl status {unit}")]
    Job {
        /// The unit.
        unit: String,
        /// `failed`, `timeout`, `canceled`…
        result: String,
    },
}

/// A connection.
#[derive(Debug)]
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    signals: VecDeque<Message>,
}

impl Bus {
    /// Connects to systemd.
    pub(super) fn connect() -> Result<Self, BusError> {
        if Path::new(PRIVATE).exists() {
            return Self::open(Path::new(PRIVATE));
        }
        let mut bus = Self::open(Path::new(SYSTEM))?;
        bus.hello()?;
        Ok(bus)
    }

    /// Connects to a socket and shakes hands; without saying hello, which only a bus understands.
    pub(super) fn open(path: &Path) -> Result<Self, BusError> {
        let connect = |source| BusError::Connect { path: path.to_owned(), source };
        let mut stream = UnixStream::connect(path).map_err(connect)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(connect)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(connect)?;
        // The kernel tells the peer who we are; the name is the user id's digits in hexadecimal
        // (D-Bus Specification, "Authentication Protocol").
        let user: String = rustix::process::geteuid()
            .as_raw()
            .to_string()
            .bytes()
            .map(|digit| format!("{digit:02x}"))
            .collect();
        stream.write_all(format!("\0AUTH EXTERNAL {user}\r\n").as_bytes()).map_err(connect)?;
        let answer = line(&mut stream).map_err(connect)?;
        if !answer.starts_with("OK ") {
            return Err(BusError::Handshake { path: path.to_owned(), answer });
        }
        stream.write_all(b"BEGIN\r\n").map_err(connect)?;
        Ok(Self { stream, serial: 0, signals: VecDeque::new() })
    }

    /// What a bus wants to hear first; and that signals of systemd be passed on.
    pub(super) fn hello(&mut self) -> Result<(), BusError> {
        const BUS: &str = "org.freedesktop.DBus";
        const PATH: &str = "/org/freedesktop/DBus";
        let rule = "type='signal',sender='org.freedesktop.systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";
        self.call(Message::call(BUS, PATH, BUS, "Hello", Writer::default()))?;
        self.call(Message::call(BUS, PATH, BUS, "AddMatch", Writer::default().text(rule)))?;
        Ok(())
    }

    /// Calls a method and waits for its answer.
    pub(super) fn call(&mut self, mut call: Message) -> Result<Message, BusError> {
        self.serial += 1;
        call.serial = self.serial;
        let name = call.member.clone();
        self.stream
            .write_all(&call.encode())
            .map_err(|source| BusError::Broken { call: name.clone(), source })?;
        loop {
            let message = self.receive(&name)?;
            match message.kind {
                Kind::Return if message.reply_to == call.serial => return Ok(message),
                Kind::Error if message.reply_to == call.serial => {
                    return Err(BusError::Refused {
                        call: name,
                        message: message.texts().pop_front().unwrap_or_default(),
                        name: message.error,
                    });
                }
                Kind::Signal if self.signals.len() < SIGNALS_MAX => self.signals.push_back(message),
                Kind::Signal | Kind::Return | Kind::Error | Kind::Call => (),
            }
        }
    }

    /// The next signal, also one that came while an answer was waited for.
    pub(super) fn signal(&mut self, waiting_for: &str) -> Result<Message, BusError> {
        if let Some(signal) = self.signals.pop_front() {
            return Ok(signal);
        }
        loop {
            let message = self.receive(waiting_for)?;
            if message.kind == Kind::Signal {
                return Ok(message);
            }
        }
    }

    fn receive(&mut self, call: &str) -> Result<Message, BusError> {
        let broken = |source| BusError::Broken { call: call.to_owned(), source };
        let garbage = || BusError::Garbage { call: call.to_owned() };
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).map_err(broken)?;
        let mut bytes = header.to_vec();
        bytes.resize(Message::length(&header).ok_or_else(garbage)?, 0);
        self.stream.read_exact(&mut bytes[HEADER_BYTES..]).map_err(broken)?;
        Message::decode(&bytes).ok_or_else(garbage)
    }
}

/// A line of the handshake, byte by byte: what follows it is not ours to take.
fn line(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") && bytes.len() < LINE_BYTES_MAX {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
