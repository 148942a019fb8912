//! `cargo xtask down`: the machine as it was before `up`.

use anyhow::{Result, ensure};

use crate::cargo;
use crate::privilege::as_root;
use crate::say;

/// Options of `down`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Remove /var/lib/corten too: every object, image and certificate of the cluster
    #[arg(long)]
    purge: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let corten = cargo::release_dir().join("corten");
    ensure!(
        corten.exists(),
        "{} is missing; `cargo xtask up` builds it, and knows how to take down what runs",
        corten.display()
    );
    say::step("stopping the cluster and removing what it made");
    let mut reset = as_root(&corten);
    reset.arg("reset");
    if options.purge {
        reset.arg("--purge");
    }
    cargo::run(&mut reset)
}
