//! The image store's own door: what `corten image` asks while the server holds the store.
//!
//! A folder has one store, in one process. With no server running, `corten image` opens the store
//! itself; else it sends one line of JSON to `<run_dir>/images.sock` and reads one back. Only
//! root can connect.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use corten_runtime_image::{Image, ImageStore, Reference, Source};
use corten_task::Tasks;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream as AsyncUnixStream};

const REQUEST_BYTES_MAX: u64 = 64 * 1024;
const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// A request comes at once; its answer may take as long as a pull.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// What can be done with images.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Request {
    /// Take the images of a folder or an archive in.
    Import { path: PathBuf, name: Option<String> },
    /// Fetch an image.
    Pull { name: String },
    /// Tell all images.
    List,
    /// Remove a name, or an image by id.
    Remove { name: String },
}

/// An image, as it is listed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    pub(crate) size_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Images(Vec<Listed>),
    Error(String),
}

impl From<Image> for Listed {
    fn from(image: Image) -> Self {
        let names = if image.repo_tags.is_empty() { image.repo_digests } else { image.repo_tags };
        Self { id: image.id.to_string(), names, size_bytes: image.size_bytes }
    }
}

/// Carries a request out.
///
/// # Errors
/// What the store says, and for a removal that there is no such image.
pub(crate) async fn carry_out(store: &ImageStore, request: Request) -> Result<Vec<Listed>> {
    if let Request::Pull { name } = &request {
        let image = store.pull(&Reference::parse(name)?, None).await?;
        return Ok(vec![image.into()]);
    }
    let store = store.clone();
    tokio::task::spawn_blocking(move || carry_out_blocking(&store, request))
        .await
        .context("the work was interrupted")?
}

fn carry_out_blocking(store: &ImageStore, request: Request) -> Result<Vec<Listed>> {
    match request {
        Request::Import { path, name } => {
            let name = name.as_deref().map(Reference::parse).transpose()?;
            let source =
                if path.is_dir() { Source::OciLayout(path) } else { Source::Archive(path) };
            let imported = store.import(&source, name.as_ref())?;
            Ok(imported.into_iter().map(Listed::from).collect())
        }
        Request::Remove { name } if !store.remove(&name)? => bail!("no image is called {name}"),
        Request::Remove { .. } => Ok(Vec::new()),
        Request::Pull { .. } | Request::List => {
            Ok(store.list().into_iter().map(Listed::from).collect())
        }
    }
}

/// Serves requests until `tasks` ends.
///
/// # Errors
/// When the socket can't be made.
pub(crate) fn serve(socket: &Path, store: ImageStore, tasks: &Tasks) -> Result<()> {
    let failed = || format!("listen on {}", socket.display());
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(failed);
        }
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(socket).with_context(failed)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))
        .with_context(failed)?;
    let owner = tasks.clone();
    tasks.spawn("images", async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let store = store.clone();
                    owner.spawn("image request", async move {
                        if let Err(error) = answer(stream, &store).await {
                            tracing::warn!("an image request failed: {error:#}");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection to images.sock could be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn answer(stream: AsyncUnixStream, store: &ImageStore) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(read.take(REQUEST_BYTES_MAX));
    tokio::time::timeout(REQUEST_MAX, reader.read_line(&mut line))
        .await
        .context("no request came")?
        .context("read the request")?;
    let outcome = match serde_json::from_str(&line) {
        Ok(request) => carry_out(store, request).await,
        Err(error) => Err(error).context("the request is not understood"),
    };
    let answer = match outcome {
        Ok(images) => Answer::Images(images),
        Err(error) => Answer::Error(format!("{error:#}")),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await.context("send the answer")
}

/// Asks the running server.
///
/// # Errors
/// What the server answers, or that it can't be reached.
pub(crate) fn ask(socket: &Path, request: &Request) -> Result<Vec<Listed>> {
    let failed = || format!("ask the server at {}", socket.display());
    let mut stream = UnixStream::connect(socket).with_context(failed)?;
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).with_context(failed)?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line).with_context(failed)?;
    match serde_json::from_str(&line).with_context(failed)? {
        Answer::Images(images) => Ok(images),
        Answer::Error(error) => bail!("{error}"),
    }
}
