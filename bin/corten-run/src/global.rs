//! The options before the command.

use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::cli::{self, About, Flag, Next, Takes, value};

/// Where state is kept unless `--root` says otherwise.
const DEFAULT_ROOT: &str = "/run/corten/oci";

/// What stands before the command.
#[derive(Debug, Clone)]
pub(crate) struct Global {
    pub(crate) root: PathBuf,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_json: bool,
    pub(crate) debug: bool,
    /// Cgroups by systemd instead of by hand.
    pub(crate) systemd: bool,
    /// Limits that cannot be set are told of instead of failed for.
    pub(crate) rootless: bool,
    pub(crate) criu: PathBuf,
    version: bool,
    help: bool,
}

const FLAGS: &[Flag<Global>] = &[
    Flag::value("root", Takes::Dir, "Where state is kept (/run/corten/oci)", |global, path| {
        global.root = path.into();
        Ok(())
    }),
    Flag::value("log", Takes::File, "Append errors and warnings to this file", |global, path| {
        // An empty one is none: engines pass it so.
        global.log = (!path.is_empty()).then(|| path.into());
        Ok(())
    }),
    Flag::value(
        "log-format",
        Takes::OneOf(&["text", "json"]),
        "What a line of the log is",
        |global, format| {
            global.log_json = format == "json";
            Ok(())
        },
    ),
    Flag::switch("debug", "Log what is done, too", |global, on| global.debug = on),
    Flag::switch(
        "systemd-cgroup",
        "Have systemd make the cgroup; linux.cgroupsPath is then slice:prefix:name",
        |global, on| global.systemd = on,
    ),
    Flag::value(
        "rootless",
        Takes::OneOf(&["auto", "true", "false"]),
        "Whether limits that cannot be set are warned of instead of failed for; auto: unless root",
        |global, when| {
            global.rootless = match when.to_str() {
                Some("auto") => not_root(),
                other => other == Some("true"),
            };
            Ok(())
        },
    ),
    Flag::value(
        "criu",
        Takes::File,
        "The program that checkpoints and restores (criu)",
        |global, path| {
            global.criu = path.into();
            Ok(())
        },
    ),
    Flag::switch("version", "Show the version", |global: &mut Global, on| global.version = on)
        .short('v'),
];

fn not_root() -> bool {
    !rustix::process::geteuid().is_root()
}

impl Default for Global {
    fn default() -> Self {
        Self {
            root: DEFAULT_ROOT.into(),
            log: None,
            log_json: false,
            debug: false,
            systemd: false,
            rootless: not_root(),
            criu: "criu".into(),
            version: false,
            help: false,
        }
    }
}

/// What is to be done.
pub(crate) enum Request {
    Version,
    Help,
    Command(String),
}

/// The global options, for help.
pub(crate) fn options() -> Vec<&'static About> {
    FLAGS.iter().map(|flag| &flag.about).collect()
}

/// Reads up to and with the command's name. What was read comes back even with an error, so that
/// the error can go to the log that was named before it.
pub(crate) fn parse(parser: &mut Parser) -> (Global, anyhow::Result<Request>) {
    let mut global = Global::default();
    let request = parse_into(&mut global, parser);
    (global, request)
}

fn parse_into(global: &mut Global, parser: &mut Parser) -> anyhow::Result<Request> {
    loop {
        match cli::next_option(parser, |name| FLAGS.iter().find(|flag| flag.about.long == name))? {
            Next::Flag(flag) => cli::set(flag, global, parser)?,
            Next::Arg(Arg::Long("help") | Arg::Short('h')) => global.help = true,
            Next::Arg(Arg::Short('v')) => global.version = true,
            Next::Arg(Arg::Value(name)) if !global.help && !global.version => {
                return Ok(match value::text(name)?.as_str() {
                    "help" => Request::Help,
                    name => Request::Command(name.to_owned()),
                });
            }
            Next::Arg(Arg::Value(_)) | Next::End => break,
            Next::Arg(other @ (Arg::Short(_) | Arg::Long(_))) => {
                return Err(other.unexpected().into());
            }
        }
    }
    if global.version {
        return Ok(Request::Version);
    }
    if global.help {
        return Ok(Request::Help);
    }
    anyhow::bail!("a command is missing; see corten-run --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> (Global, anyhow::Result<Request>) {
        parse(&mut Parser::from_args(words))
    }

    #[test]
    fn as_engines_call_it() {
        let (global, request) = parse_words(&[
            "--root",
            "/r",
            "--log",
            "/l",
            "--log-format",
            "json",
            "--systemd-cgroup",
            "--rootless=true",
            "-debug",
            "create",
            "--bundle",
            "/b",
        ]);
        assert!(matches!(request.unwrap(), Request::Command(name) if name == "create"));
        assert!(global.log_json && global.systemd && global.rootless && global.debug);
        assert_eq!((global.root, global.log), ("/r".into(), Some("/l".into())));
    }

    #[test]
    fn what_is_unknown_is_named() {
        for (words, named) in [
            (&["--frob"][..], "--frob"),
            (&["-x"], "-x"),
            (&[], "--help"),
            (&["--log-format", "xml"], "xml"),
            (&["--root"], "--root"),
            (&["--debug=maybe"], "maybe"),
        ] {
            let Err(error) = parse_words(words).1 else { panic!("{words:?} is taken") };
            assert!(format!("{error:#}").contains(named), "{error:#}");
        }
    }

    /// The log is known even if what comes after it is wrong: engines read the error there.
    #[test]
    fn an_error_keeps_the_log() {
        let (global, request) = parse_words(&["--log", "/l", "--frob"]);
        assert!(request.is_err() && global.log.is_some());
    }
}
