//! The CNI plugins, picked by the name that the binary is called by.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&called).file_name().unwrap_or_default();
    let output = corten_cni_plugins::run(
        &name.to_string_lossy(),
        |variable| std::env::var(variable).ok(),
        std::io::stdin().lock(),
    );
    // The exit code is all that is left to tell of a closed pipe.
    let written = std::io::stdout()
        .lock()
        .write_all(output.stdout.as_bytes())
        .and_then(|()| std::io::stderr().lock().write_all(output.stderr.as_bytes()));
    if output.success && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
