//! Volumes: a module per kind, each with the same function `set_up`.
//!
//! `set_up` makes or refreshes the volume below the pod's folder and may be called any number of
//! times; everything of a pod is taken down together by [`tear_down`]. A kind that has no module
//! here was refused at admission.

pub(crate) mod atomic_writer;
mod config_map;
mod downward_api;
mod empty_dir;
mod host_path;
mod mounts;
mod payload;
mod projected;
mod secret;
pub(crate) mod sub_path;
mod token;

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, PodSpec, Secret, Volume};

pub(crate) use mounts::tear_down;
pub(crate) use token::Tokens;

use crate::objects::{ObjectError, Objects, Since};
use crate::pods::downward::{DownwardError, Facts};

/// What a volume is made from.
pub(crate) struct Context<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) spec: &'a PodSpec,
    /// `<root>/pods/<uid>`.
    pub(crate) folder: &'a Path,
    pub(crate) client: &'a kube::Client,
    pub(crate) config_maps: &'a Objects<ConfigMap>,
    pub(crate) secrets: &'a Objects<Secret>,
    pub(crate) tokens: &'a Tokens,
    pub(crate) facts: &'a Facts,
    pub(crate) now: Timestamp,
}

/// A volume that is there.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// Its place on the host.
    pub(crate) path: PathBuf,
    /// Containers never write to it, whatever their mount says.
    pub(crate) read_only: bool,
    /// When it must be refreshed at the latest.
    pub(crate) refresh_at: Option<Timestamp>,
    /// What it was made of; a change of these makes a refresh due.
    pub(crate) config_maps: Vec<Since<ConfigMap>>,
    pub(crate) secrets: Vec<Since<Secret>>,
}

/// Why a volume cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("{kind} \"{name}\" not found")]
    NoObject { kind: &'static str, name: String },
    #[error("{kind} \"{name}\" references non-existent config key: {key}")]
    NoKey { kind: &'static str, name: String, key: String },
    #[error("{path:?} is no path that may be written inside a volume: {problem}")]
    Path { path: String, problem: &'static str },
    #[error("hostPath type check failed: {path} is not a {expected}")]
    HostPathType { path: String, expected: &'static str },
    #[error("volume \"{name}\" is of a kind that this kubelet does not know")]
    UnknownKind { name: String },
    #[error("no service account token")]
    Token(#[source] Box<kube::Error>),
    #[error("no service account token: the API server's answer lacks its status")]
    NoToken,
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Downward(#[from] DownwardError),
    #[error("{call} {path:?} failed")]
    Io {
        call: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path:?} is still mounted: nothing below it is removed")]
    StillMounted { path: PathBuf },
}

impl VolumeError {
    pub(crate) fn io<E: Into<io::Error>>(
        call: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { call, path, source: source.into() }
    }

    /// The error with its causes, for an event.
    pub(crate) fn message(&self) -> String {
        crate::error::chain(self)
    }
}

/// Makes one volume.
pub(crate) async fn set_up(cx: &Context<'_>, volume: &Volume) -> Result<Ready, VolumeError> {
    if let Some(source) = &volume.empty_dir {
        empty_dir::set_up(cx, &volume.name, source).await
    } else if let Some(source) = &volume.host_path {
        host_path::set_up(cx, &volume.name, source).await
    } else if let Some(source) = &volume.config_map {
        config_map::set_up(cx, &volume.name, source).await
    } else if let Some(source) = &volume.secret {
        secret::set_up(cx, &volume.name, source).await
    } else if let Some(source) = &volume.projected {
        projected::set_up(cx, &volume.name, source).await
    } else if let Some(source) = &volume.downward_api {
        downward_api::set_up(cx, &volume.name, source).await
    } else {
        Err(VolumeError::UnknownKind { name: volume.name.clone() })
    }
}

impl Context<'_> {
    /// The folder of a volume: `<pod>/volumes/kubernetes.io~<plugin>/<name>`, as upstream has it.
    fn volume_folder(&self, plugin: &str, name: &str) -> PathBuf {
        self.folder.join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn fs_group(&self) -> Option<u32> {
        let group = self.spec.security_context.as_ref().and_then(|c| c.fs_group);
        group.and_then(|group| u32::try_from(group).ok())
    }
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VolumeError> + Send + 'static,
) -> Result<T, VolumeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(VolumeError::Io {
            call: "run",
            path: PathBuf::new(),
            source: io::Error::other(error),
        }),
    }
}
