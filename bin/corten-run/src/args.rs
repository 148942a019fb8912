//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use lexopt::prelude::*;

/// Where state is kept unless `--root` says otherwise.
const DEFAULT_ROOT: &str = "/run/corten/oci";

/// What stands before the command.
#[derive(Debug, Clone)]
pub(crate) struct Global {
    pub(crate) root: PathBuf,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_json: bool,
    pub(crate) debug: bool,
}

/// A whole command line.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) global: Global,
    pub(crate) command: Command,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Create(Create),
    Run { create: Create, detach: bool, keep: bool },
    Start { id: String },
    State { id: String },
    Kill { id: String, signal: String, all: bool },
    Delete { id: String, force: bool },
    List { json: bool, quiet: bool },
    Exec(Box<Exec>),
    Version,
    Help,
}

impl Command {
    /// The status for a failure of the command itself. `exec` keeps the small numbers for the
    /// program's own.
    pub(crate) fn failure_status(&self) -> u8 {
        match self {
            Self::Exec(_) => 255,
            Self::Create(_)
            | Self::Run { .. }
            | Self::Start { .. }
            | Self::State { .. }
            | Self::Kill { .. }
            | Self::Delete { .. }
            | Self::List { .. }
            | Self::Version
            | Self::Help => 1,
        }
    }
}

/// `create`, and the first half of `run`.
#[derive(Debug, Default)]
pub(crate) struct Create {
    pub(crate) id: String,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) preserve_fds: u32,
}

/// `exec`.
#[derive(Debug, Default)]
pub(crate) struct Exec {
    pub(crate) id: String,
    pub(crate) args: Vec<String>,
    pub(crate) process: Option<PathBuf>,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) env: Vec<String>,
    pub(crate) tty: bool,
    pub(crate) detach: bool,
    pub(crate) user: Option<(u32, Option<u32>)>,
    pub(crate) additional_gids: Vec<u32>,
    pub(crate) capabilities: Vec<String>,
    pub(crate) no_new_privs: bool,
    pub(crate) preserve_fds: u32,
    pub(crate) cgroup: Option<String>,
}

/// How to use it.
pub(crate) const USAGE: &str = "\
usage: corten-run [--root DIR] [--log FILE] [--log-format text|json] [--debug] COMMAND ...

  create [-b BUNDLE] [--console-socket S] [--pid-file F] [--no-pivot] [--no-new-keyring]
         [--preserve-fds N] ID
  run    as create, and [-d|--detach] [--keep] ID
  start ID
  state ID
  kill [-a|--all] ID [SIGNAL]
  delete [-f|--force] ID
  list [-f|--format table|json] [-q|--quiet]
  exec [-t] [-d] [-p|--process FILE] [--cwd DIR] [-e NAME=VALUE] [-u UID[:GID]]
       [-g|--additional-gids GID] [-c|--cap CAP] [--no-new-privs] [--console-socket S]
       [--pid-file F] [--preserve-fds N] [--cgroup PATH] ID PROGRAM [ARG...]
  shim --dir DIR
";

pub(crate) fn parse(args: Vec<OsString>) -> anyhow::Result<Parsed> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut global = Global { root: DEFAULT_ROOT.into(), log: None, log_json: false, debug: false };
    while let Some(arg) = parser.next()? {
        match arg {
            Long("root") => global.root = parser.value()?.into(),
            Long("log") => global.log = Some(parser.value()?.into()),
            Long("log-format") => {
                global.log_json = match parser.value()?.string()?.as_str() {
                    "json" => true,
                    "text" => false,
                    other => bail!("--log-format: {other:?} is neither text nor json"),
                };
            }
            Long("debug") => global.debug = true,
            Long("systemd-cgroup") => {
                bail!("--systemd-cgroup is not supported: use the cgroupfs driver")
            }
            Long("version") | Short('v') => {
                return Ok(Parsed { global, command: Command::Version });
            }
            Long("help") | Short('h') => return Ok(Parsed { global, command: Command::Help }),
            Value(name) => {
                let name = name.string()?;
                let command = command(&name, &mut parser).with_context(|| name.clone())?;
                return Ok(Parsed { global, command });
            }
            other @ (Short(_) | Long(_)) => return Err(other.unexpected().into()),
        }
    }
    bail!("a command is missing; see corten-run --help")
}

fn command(name: &str, parser: &mut lexopt::Parser) -> anyhow::Result<Command> {
    match name {
        "create" => Ok(Command::Create(create(parser, None)?.0)),
        "run" => {
            let (create, run) = create(parser, Some(Run::default()))?;
            let run = run.unwrap_or_default();
            Ok(Command::Run { create, detach: run.detach, keep: run.keep })
        }
        "start" => Ok(Command::Start { id: id_only(parser)? }),
        "state" => Ok(Command::State { id: id_only(parser)? }),
        "kill" => kill(parser),
        "delete" => delete(parser),
        "list" => list(parser),
        "exec" => exec(parser),
        "help" => Ok(Command::Help),
        _unknown => bail!("no such command; see corten-run --help"),
    }
}

#[derive(Debug, Default)]
struct Run {
    detach: bool,
    keep: bool,
}

fn create(
    parser: &mut lexopt::Parser,
    mut run: Option<Run>,
) -> anyhow::Result<(Create, Option<Run>)> {
    let mut made = Create::default();
    let mut id = None;
    while let Some(arg) = parser.next()? {
        match (arg, &mut run) {
            (Short('b') | Long("bundle"), _) => made.bundle = Some(parser.value()?.into()),
            (Long("console-socket"), _) => made.console_socket = Some(parser.value()?.into()),
            (Long("pid-file"), _) => made.pid_file = Some(parser.value()?.into()),
            (Long("no-pivot"), _) => made.no_pivot = true,
            (Long("no-new-keyring"), _) => made.no_new_keyring = true,
            (Long("preserve-fds"), _) => made.preserve_fds = parser.value()?.parse()?,
            (Short('d') | Long("detach"), Some(run)) => run.detach = true,
            (Long("keep"), Some(run)) => run.keep = true,
            (Value(value), _) if id.is_none() => id = Some(value.string()?),
            (other, _) => return Err(other.unexpected().into()),
        }
    }
    made.id = id.context("the container's id is missing")?;
    Ok((made, run))
}

fn id_only(parser: &mut lexopt::Parser) -> anyhow::Result<String> {
    let mut id = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Value(value) if id.is_none() => id = Some(value.string()?),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    id.context("the container's id is missing")
}

fn kill(parser: &mut lexopt::Parser) -> anyhow::Result<Command> {
    let (mut id, mut signal, mut all) = (None, None, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('a') | Long("all") => all = true,
            Value(value) if id.is_none() => id = Some(value.string()?),
            Value(value) if signal.is_none() => signal = Some(value.string()?),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Kill {
        id: id.context("the container's id is missing")?,
        signal: signal.unwrap_or_else(|| "SIGTERM".to_owned()),
        all,
    })
}

fn delete(parser: &mut lexopt::Parser) -> anyhow::Result<Command> {
    let (mut id, mut force) = (None, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('f') | Long("force") => force = true,
            Value(value) if id.is_none() => id = Some(value.string()?),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Delete { id: id.context("the container's id is missing")?, force })
}

fn list(parser: &mut lexopt::Parser) -> anyhow::Result<Command> {
    let (mut json, mut quiet) = (false, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Short('q') | Long("quiet") => quiet = true,
            Short('f') | Long("format") => {
                json = match parser.value()?.string()?.as_str() {
                    "json" => true,
                    "table" => false,
                    other => bail!("--format: {other:?} is neither table nor json"),
                };
            }
            other @ (Short(_) | Long(_) | Value(_)) => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::List { json, quiet })
}

fn exec(parser: &mut lexopt::Parser) -> anyhow::Result<Command> {
    let mut made = Exec::default();
    let mut id = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Short('p') | Long("process") => made.process = Some(parser.value()?.into()),
            Long("console-socket") => made.console_socket = Some(parser.value()?.into()),
            Long("pid-file") => made.pid_file = Some(parser.value()?.into()),
            Long("cwd") => made.cwd = Some(parser.value()?.into()),
            Short('e') | Long("env") => made.env.push(parser.value()?.string()?),
            Short('t') | Long("tty") => made.tty = true,
            Short('d') | Long("detach") => made.detach = true,
            Short('u') | Long("user") => {
                made.user = Some(parse_user(&parser.value()?.string()?)?);
            }
            Short('g') | Long("additional-gids") => {
                made.additional_gids.push(parse_number(&parser.value()?.string()?)?);
            }
            Short('c') | Long("cap") => made.capabilities.push(parser.value()?.string()?),
            Long("no-new-privs") => made.no_new_privs = true,
            Long("preserve-fds") => made.preserve_fds = parser.value()?.parse()?,
            Long("cgroup") => made.cgroup = Some(parser.value()?.string()?),
            Long("ignore-paused") => (),
            Value(value) => {
                id = Some(value.string()?);
                break;
            }
            other @ (Short(_) | Long(_)) => return Err(other.unexpected().into()),
        }
    }
    made.id = id.context("the container's id is missing")?;
    // From here on everything is the program's, also what looks like an option.
    for arg in parser.raw_args()? {
        made.args.push(arg.string()?);
    }
    if made.args.is_empty() && made.process.is_none() {
        bail!("a program, or --process, is missing");
    }
    if !made.args.is_empty() && made.process.is_some() {
        bail!("a program and --process exclude each other");
    }
    Ok(Command::Exec(Box::new(made)))
}

/// `UID` or `UID:GID`, digits only: a lenient parse once made garbage root (CVE-2026-30892).
fn parse_user(text: &str) -> anyhow::Result<(u32, Option<u32>)> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    let number = |part| parse_number(part).with_context(|| format!("--user {text:?}"));
    Ok((number(uid)?, gid.map(number).transpose()?))
}

fn parse_number(text: &str) -> anyhow::Result<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("{text:?} is not a number");
    }
    let number = text.parse().with_context(|| format!("{text:?} is too large"))?;
    if number == u32::MAX { bail!("{text:?} is no id") } else { Ok(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> anyhow::Result<Parsed> {
        parse(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn as_engines_call_it() {
        let parsed = parse_words(&[
            "--root",
            "/r",
            "--log",
            "/l",
            "--log-format",
            "json",
            "create",
            "--bundle",
            "/b",
            "--pid-file",
            "/p",
            "--preserve-fds",
            "2",
            "one",
        ])
        .unwrap();
        assert!(parsed.global.log_json);
        let Command::Create(create) = parsed.command else { panic!("not create") };
        assert_eq!((create.id.as_str(), create.preserve_fds), ("one", 2));
    }

    #[test]
    fn a_programs_options_are_its_own() {
        let parsed = parse_words(&["exec", "-t", "one", "ls", "-t", "--env", "-d"]).unwrap();
        let Command::Exec(exec) = parsed.command else { panic!("not exec") };
        assert!(exec.tty && !exec.detach);
        assert_eq!(exec.args, ["ls", "-t", "--env", "-d"]);
    }

    #[test]
    fn cve_2026_30892_a_user_is_digits_or_an_error() {
        assert_eq!(parse_user("1000").unwrap(), (1000, None));
        assert_eq!(parse_user("1000:33").unwrap(), (1000, Some(33)));
        for text in ["", ":", "1000:", "root", "-1", "+1", " 1", "1x", "4294967295", "4294967296"] {
            parse_user(text).unwrap_err();
        }
    }

    #[test]
    fn what_is_unknown_is_named() {
        for words in [
            &["create", "--frob", "x"][..],
            &["create"],
            &["frob"],
            &["create", "a", "b"],
            &["create", "-d", "a"],
            &["exec", "a"],
            &["--systemd-cgroup", "list"],
        ] {
            parse_words(words).unwrap_err();
        }
        let error = parse_words(&["create", "--frob", "x"]).unwrap_err();
        assert!(format!("{error:#}").contains("--frob"), "{error:#}");
    }
}
