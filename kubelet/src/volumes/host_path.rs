//! `hostPath`: a file or folder of the host, checked for its type.

use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

use super::{Context, Ready, VolumeError, blocking};

pub(super) async fn set_up(
    _cx: &Context<'_>,
    _name: &str,
    source: &HostPathVolumeSource,
) -> Result<Ready, VolumeError> {
    let path = PathBuf::from(&source.path);
    let wanted = source.type_.clone().unwrap_or_default();
    let checked = path.clone();
    blocking(move || {
        let path = checked;
        match wanted.as_str() {
            "DirectoryOrCreate" if !path.exists() => {
                let mut builder = std::fs::DirBuilder::new();
                builder.recursive(true).mode(0o755);
                builder.create(&path).map_err(VolumeError::io("mkdir", &path))?;
            }
            "FileOrCreate" if !path.exists() => {
                let mut options = std::fs::OpenOptions::new();
                options.write(true).create_new(true).mode(0o644);
                options.open(&path).map_err(VolumeError::io("create", &path))?;
            }
            _ => {}
        }
        let (expected, holds): (_, fn(&std::fs::FileType) -> bool) = match wanted.as_str() {
            "Directory" | "DirectoryOrCreate" => ("directory", std::fs::FileType::is_dir),
            "File" | "FileOrCreate" => ("file", std::fs::FileType::is_file),
            "Socket" => ("socket file", |t| t.is_socket()),
            "CharDevice" => ("character device", |t| t.is_char_device()),
            "BlockDevice" => ("block device", |t| t.is_block_device()),
            _ => return Ok(()),
        };
        let found = std::fs::metadata(&path).is_ok_and(|meta| holds(&meta.file_type()));
        if found {
            return Ok(());
        }
        Err(VolumeError::HostPathType { path: path.display().to_string(), expected })
    })
    .await?;
    Ok(Ready { path, ..Ready::default() })
}
