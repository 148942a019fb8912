//! The socket, and from requests to operations. Thin: what a call does is told elsewhere.

mod code;
mod filter;
mod image;
mod info;
mod router;
mod runtime;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corten_api_cri::MESSAGE_BYTES_MAX;
use corten_api_cri::v1::image_service_server::ImageServiceServer;
use corten_api_cri::v1::runtime_service_server::RuntimeServiceServer;
use rustix::fs::FlockOperation;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;

use crate::service::Service;
use crate::{Config, Error, file_error};

/// Makes sure that one service alone works in `root`; the file holds the lock until it is dropped.
pub(crate) fn lock(root: &Path) -> Result<File, Error> {
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o700).create(root).map_err(file_error("make", root))?;
    let path = root.join("lock");
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(file_error("open", &path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::Locked { path }),
        Err(errno) => Err(file_error("lock", &path)(errno.into())),
    }
}

/// Listens. The socket is made in a folder of root's alone and then moved to its place, so that at
/// no moment anyone else could connect; one that an earlier service left is replaced.
pub(crate) fn bind(config: &Config) -> Result<UnixListener, Error> {
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o711);
    let parent = config.socket.parent().unwrap_or(Path::new("/"));
    for dir in [parent, &config.run_dir] {
        folders.create(dir).map_err(file_error("make", dir))?;
    }
    let private = parent.join(format!(".cri-{}", std::process::id()));
    remove_private(&private).map_err(file_error("remove", &private))?;
    DirBuilder::new().mode(0o700).create(&private).map_err(file_error("make", &private))?;
    let listener =
        bind_in(&private, &config.socket).map_err(file_error("listen on", &config.socket));
    remove_private(&private).map_err(file_error("remove", &private))?;
    listener
}

fn bind_in(private: &Path, socket: &Path) -> io::Result<UnixListener> {
    let first: PathBuf = private.join("s");
    let listener = UnixListener::bind(&first)?;
    fs::set_permissions(&first, Permissions::from_mode(0o600))?;
    fs::rename(&first, socket)?;
    Ok(listener)
}

fn remove_private(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Answers until the service is asked to end.
pub(crate) async fn run(service: Arc<Service>, listener: UnixListener) -> Result<(), Error> {
    let socket = service.config.socket.clone();
    let ended = service.tasks.token();
    let runtime = RuntimeServiceServer::new(runtime::Runtime::new(Arc::clone(&service)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let images = ImageServiceServer::new(image::ImageCalls::new(service))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    tracing::info!(socket = %socket.display(), "serving CRI v1");
    Server::builder()
        .serve_with_incoming_shutdown(
            router::Router::new(runtime, images),
            UnixListenerStream::new(listener),
            ended.cancelled_owned(),
        )
        .await
        .map_err(|source| Error::Serve { socket, source: Box::new(source) })
}
