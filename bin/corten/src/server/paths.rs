//! Where a server keeps what.

use std::path::PathBuf;

use crate::config::Config;

/// The objects, in the data folder.
pub(crate) const DATABASE: &str = "db/corten.redb";

/// The files and folders of a server.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) database: PathBuf,
    pub(crate) pki: PathBuf,
    pub(crate) images: PathBuf,
    pub(crate) cri: PathBuf,
    pub(crate) kubelet: PathBuf,
    pub(crate) cni_conf: PathBuf,
    pub(crate) cni_bin: PathBuf,
    pub(crate) cni_state: PathBuf,
    pub(crate) cri_socket: PathBuf,
    pub(crate) images_socket: PathBuf,
}

impl Paths {
    pub(crate) fn new(config: &Config) -> Self {
        let (data, run) = (&config.data_dir, &config.run_dir);
        let cni = data.join("cni");
        Self {
            database: data.join(DATABASE),
            pki: data.join("pki"),
            images: data.join("images"),
            cri: data.join("cri"),
            kubelet: data.join("kubelet"),
            cni_conf: cni.join("net.d"),
            cni_bin: cni.join("bin"),
            cni_state: cni,
            cri_socket: run.join("cri.sock"),
            images_socket: run.join("images.sock"),
        }
    }
}
