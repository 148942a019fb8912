//! `cargo xtask bench`: measures against peers, on the same machine and in alternating runs.

mod net;
mod oci;

use anyhow::Result;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// The OCI runtime against Debian's runc and crun, and any other
    Oci(oci::Options),
    /// The CNI plugins against the reference plugins
    Net(net::Options),
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Oci(options) => oci::run(options),
        Bench::Net(options) => net::run(options),
    }
}
