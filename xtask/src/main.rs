//! The one door to the project: `cargo xtask up`, `down`, `test`, `tidy`, `gen`, `image`, `ci`.

mod bench_cni;
mod cargo;
mod ci;
mod demo_image;
mod down;
mod privilege;
mod say;
mod tests;
mod tidy;
mod up;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, try and check Corten", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, start a cluster on this machine and run examples/web.yaml in it
    Up(up::Options),
    /// Stop the cluster and remove all that it made outside /var/lib/corten
    Down(down::Options),
    /// Run the tests, and say what was skipped and why
    Test(tests::Options),
    /// Check the layers, the size of files and what the small binaries link
    Tidy,
    /// Write generated code anew from the definitions that it is made from
    Gen,
    /// Build the demo image and write it as an OCI layout
    Image,
    /// Boot a virtual machine with pure cgroup v2 and run a command in it
    Vm(vm::Options),
    /// Measure our CNI plugins against the reference plugins
    BenchNet(bench_cni::Options),
    /// What continuous integration runs: fmt, clippy, tidy, test, test vm
    Ci,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Up(options) => up::run(&options),
        Command::Down(options) => down::run(&options),
        Command::Test(options) => tests::run(&options),
        Command::Tidy => tidy::run(),
        Command::Gen => {
            cargo::run(&mut cargo::cargo(&["run", "--quiet", "--package", "xtask-gen"]))
        }
        Command::Image => demo_image::build().map(|path| say::line(&path.display().to_string())),
        Command::Vm(options) => vm::run(&options),
        Command::BenchNet(options) => bench_cni::run(&options),
        Command::Ci => ci::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::failure(&error);
            ExitCode::FAILURE
        }
    }
}
