//! A shim alone: `shim --dir DIR`, as `corten-run shim --dir DIR` without the command line around
//! it. What the tests start.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    corten_runtime_shim::main(&args)
}
