//! `corten image`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use corten_runtime_image::ImageStore;

use crate::command::print;
use crate::config::Config;
use crate::server::images::{Listed, Request, ask, carry_out};
use crate::{folders, lock};

/// Options of `image`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Take images in from an OCI layout (a folder) or a docker or OCI archive (a tar file)
    Import {
        /// The folder or the file
        path: PathBuf,
        /// A name for the image, instead of the one it brings
        #[arg(long)]
        name: Option<String>,
    },
    /// Fetch an image from its registry
    Pull {
        /// The image
        name: String,
    },
    /// List the images
    #[command(alias = "list")]
    Ls,
    /// Remove a name, or an image by its id
    #[command(alias = "remove")]
    Rm {
        /// The name or id
        name: String,
    },
}

pub(crate) fn run(config: &Config, options: &Options) -> Result<ExitCode> {
    let request = match &options.verb {
        Verb::Import { path, name } => {
            // The server has another working directory.
            let path =
                std::path::absolute(path).with_context(|| format!("find {}", path.display()))?;
            Request::Import { path, name: name.clone() }
        }
        Verb::Pull { name } => Request::Pull { name: name.clone() },
        Verb::Ls => Request::List,
        Verb::Rm { name } => Request::Remove { name: name.clone() },
    };
    let images = if lock::holder(&config.run_dir)?.is_some() {
        ask(&config.run_dir.join("images.sock"), &request)?
    } else {
        alone(config, request)?
    };
    match &options.verb {
        Verb::Import { .. } | Verb::Pull { .. } => {
            for image in &images {
                print(&format!("{}  {}", image.id, image.names.join(", ")));
            }
        }
        Verb::Ls => show(&images),
        Verb::Rm { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// No server runs: the store is opened here, and no server may start meanwhile.
fn alone(config: &Config, request: Request) -> Result<Vec<Listed>> {
    folders::prepare(config)?;
    let _no_server = lock::Lock::take(&config.run_dir)?;
    let store = ImageStore::open(&config.data_dir.join("images"), config.images.clone())?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("start the async runtime")?
        .block_on(carry_out(&store, request))
}

fn show(images: &[Listed]) {
    for image in images {
        let id = image.id.trim_start_matches("sha256:");
        let names =
            if image.names.is_empty() { "<none>".to_owned() } else { image.names.join(", ") };
        let mib = image.size_bytes.div_ceil(1 << 20);
        print(&format!("{}  {mib:>6} MiB  {names}", &id[..id.len().min(12)]));
    }
}
