//! `corten-run`: the OCI runtime's command line, compatible with runc's, and, as
//! `corten-run shim`, the one small process per pod.
//!
//! Privileges: root.

mod cli;
mod command;
mod global;
mod log;
mod relay;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == "shim") {
        // The shim is the zygote of its pod: sealed once here, no container of it needs it again.
        if let Err(error) = corten_sys_linux::seal::ensure() {
            return fail(&anyhow::Error::new(error).context("seal the runtime's own image"), 1);
        }
        return corten_runtime_shim::main(&args[1..]);
    }
    let mut parser = lexopt::Parser::from_args(args);
    let (global, request) = global::parse(&mut parser);
    if let Err(error) = log::start(&global) {
        return fail(&error, 1);
    }
    match request
        .map_err(cli::Failure::from)
        .and_then(|request| command::run(&global, request, &mut parser))
    {
        Ok(code) => code,
        Err(failure) => fail(&failure.error, failure.status),
    }
}

/// Says the error to the log and on standard error, as runc does: engines read either.
fn fail(error: &anyhow::Error, status: u8) -> ExitCode {
    let message = format!("{error:#}");
    log::error(&message);
    // Without a standard error there is nobody left to tell.
    drop(writeln!(std::io::stderr(), "corten-run: {message}"));
    ExitCode::from(status)
}
