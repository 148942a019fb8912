//! `corten-run`: the OCI runtime's command line, compatible with runc's, and, as
//! `corten-run shim`, the one small process per pod.
//!
//! Non-goals: the systemd cgroup driver, checkpoints, rootless use. Privileges: root.

mod args;
mod command;
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
    let parsed = match args::parse(args) {
        Ok(parsed) => parsed,
        Err(error) => return fail(&error, 1),
    };
    if let Err(error) = log::start(&parsed.global) {
        return fail(&error, 1);
    }
    let failed = parsed.command.failure_status();
    match command::run(parsed) {
        Ok(code) => code,
        Err(error) => fail(&error, failed),
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
