//! A small web server for demos and tests: one static binary, no files.
//!
//! `GET /` tells who answers; `/healthz` is 200 until `POST /unready` makes it 503 and
//! `POST /ready` 200 again; `POST /eat?mib=N` takes memory and keeps it; `POST /fork?n=N` starts
//! processes that sleep; `POST /spin?seconds=N` keeps one cpu busy; `POST /exit?code=N` ends it.
//! Arguments, in place of serving: `eat MIB`, `fork N`, `spin SECONDS`, `exit CODE`, `echo TEXT…`,
//! `show FILE`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static READY: AtomicBool = AtomicBool::new(true);
static EATEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

const BODY_BYTES_MAX: u64 = 1 << 20;
const PAGE_BYTES: usize = 4096;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse::<u32>().ok());
    match arguments.first().map(String::as_str) {
        None | Some("serve") => {
            return serve(number(1).and_then(|port| port.try_into().ok()).unwrap_or(8080));
        }
        Some("eat") => eat(number(1).unwrap_or(64).into()),
        Some("fork") => fork(number(1).unwrap_or(100)),
        Some("spin") => spin(number(1).unwrap_or(10)),
        Some("exit") => return ExitCode::from(u8::try_from(number(1).unwrap_or(0)).unwrap_or(1)),
        Some("sleep") => std::thread::sleep(Duration::from_secs(number(1).unwrap_or(3600).into())),
        Some("show") => {
            match std::fs::read_to_string(arguments.get(1).map_or("", String::as_str)) {
                Ok(text) => say(&text),
                Err(error) => {
                    say(&format!("show: {error}"));
                    return ExitCode::FAILURE;
                }
            }
        }
        Some("echo") => say(&arguments[1..].join(" ")),
        Some(other) => {
            say(&format!(
                "{other}: unknown; use serve, eat, fork, spin, exit, sleep, echo or show"
            ));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn say(text: &str) {
    // A closed pipe is nothing that a demo could do something about.
    writeln!(std::io::stdout(), "{text}").unwrap_or_default();
}

fn serve(port: u16) -> ExitCode {
    end_on_sigterm();
    let listener = match TcpListener::bind(("0.0.0.0", port)) {
        Ok(listener) => listener,
        Err(error) => {
            say(&format!("listen on port {port}: {error}"));
            return ExitCode::FAILURE;
        }
    };
    say(&format!("{} serves on port {port}", hostname()));
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            if let Err(error) = answer(&stream) {
                say(&format!("a request failed: {error}"));
            }
        });
    }
    ExitCode::SUCCESS
}

/// As pid 1 of its namespace a process gets no default action for signals (pid_namespaces(7)).
fn end_on_sigterm() {
    match Signals::new([SIGTERM, SIGINT]) {
        Ok(mut signals) => {
            std::thread::spawn(move || {
                if signals.forever().next().is_some() {
                    #[expect(clippy::exit, reason = "ending is what was asked for")]
                    std::process::exit(0)
                }
            });
        }
        Err(error) => say(&format!("signals stay unhandled: {error}")),
    }
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn answer(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = BufReader::new(stream.take(BODY_BYTES_MAX));
    let mut line = String::new();
    request.read_line(&mut line)?;
    let mut header = String::from("-");
    while !header.trim().is_empty() {
        header.clear();
        request.read_line(&mut header)?;
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let number = query.split_once('=').and_then(|(_, value)| value.parse::<u32>().ok());
    let (status, body) = route(method, path, number);
    let length = body.len();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn route(method: &str, path: &str, number: Option<u32>) -> (&'static str, String) {
    let done = |text: &str| ("200 OK", format!("{text}\n"));
    match (method, path) {
        ("GET", "/") => done(&format!("Hello from {}, a pod of Corten.", hostname())),
        ("GET", "/healthz") if READY.load(Ordering::Relaxed) => done("ok"),
        ("GET", "/healthz") => ("503 Service Unavailable", "not ready\n".to_owned()),
        ("POST", "/ready") => {
            READY.store(true, Ordering::Relaxed);
            done("ready")
        }
        ("POST", "/unready") => {
            READY.store(false, Ordering::Relaxed);
            done("not ready")
        }
        ("POST", "/eat") => {
            eat(number.unwrap_or(64).into());
            done("eaten")
        }
        ("POST", "/fork") => {
            fork(number.unwrap_or(100));
            done("forked")
        }
        ("POST", "/spin") => {
            spin(number.unwrap_or(1));
            done("spun")
        }
        ("POST", "/exit") =>
        {
            #[expect(clippy::exit, reason = "ending is what was asked for")]
            std::process::exit(number.and_then(|code| code.try_into().ok()).unwrap_or(0))
        }
        _ => ("404 Not Found", "no such page\n".to_owned()),
    }
}

/// Touches every page: memory that is not touched is not charged.
fn eat(mib: u64) {
    for _ in 0..mib {
        let mut piece = vec![0; 1 << 20];
        for page in piece.chunks_mut(PAGE_BYTES) {
            page[0] = 1;
        }
        if let Ok(mut eaten) = EATEN.lock() {
            eaten.push(piece);
        }
    }
    say(&format!("ate {mib} MiB"));
}

fn fork(count: u32) {
    let mut started = 0;
    let mut refused = 0;
    for _ in 0..count {
        let child =
            Command::new("/proc/self/exe").args(["sleep", "600"]).stdin(Stdio::null()).spawn();
        match child {
            Ok(_) => started += 1,
            Err(_) => refused += 1,
        }
    }
    say(&format!("started {started} processes, {refused} were refused"));
}

fn spin(seconds: u32) {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut turns = 0_u64;
    while Instant::now() < end {
        turns = std::hint::black_box(turns + 1);
    }
    say(&format!("turned {turns} times"));
}
