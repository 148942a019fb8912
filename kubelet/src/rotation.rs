//! Container logs of bounded size: a log that grew too large is set aside and the runtime opens a
//! new one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use corten_api_cri::v1;

use crate::cri::Cri;
use crate::error::chain;
use crate::host::Host;

/// How often sizes are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Rotates logs until cancelled.
#[expect(clippy::infinite_loop, reason = "it is dropped when its tasks are cancelled")]
pub(crate) async fn run(host: Arc<Host>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let running = v1::ContainerState::ContainerRunning.into();
        let filter = v1::ContainerFilter {
            state: Some(v1::ContainerStateValue { state: running }),
            ..v1::ContainerFilter::default()
        };
        let Ok(containers) = host.cri.list_containers(Some(filter)).await else { continue };
        for container in containers {
            if let Err(cause) = look(&host, &container.id).await {
                tracing::warn!(container = container.id, cause, "log not rotated");
            }
        }
    }
}

async fn look(host: &Host, id: &str) -> Result<(), String> {
    let status = host.cri.container_status(id).await.map_err(|error| chain(&error))?;
    let Some(status) = status else { return Ok(()) };
    let path = PathBuf::from(&status.log_path);
    if !path.starts_with(&host.config.pod_logs_dir) {
        return Ok(());
    }
    match tokio::fs::symlink_metadata(&path).await {
        Ok(meta) if meta.is_file() && meta.len() > host.config.container_log_max_bytes => {
            rotate(&host.cri, id, &path, host.config.container_log_max_files).await
        }
        _ => Ok(()),
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// `0.log` becomes `0.log.1`, which becomes `0.log.2`, and so on; the last is lost.
async fn rotate(cri: &Cri, id: &str, path: &Path, files_max: u32) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", path.display());
    shift(path, files_max).map_err(text)?;
    if let Err(error) = cri.reopen_log(id).await {
        // The runtime goes on writing to the old file: it gets its name back.
        std::fs::rename(numbered(path, 1), path).map_err(text)?;
        return Err(chain(&error));
    }
    Ok(())
}

fn shift(path: &Path, files_max: u32) -> std::io::Result<()> {
    for number in (1..files_max.saturating_sub(1)).rev() {
        match std::fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, numbered(path, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_log_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        for number in 1..=5 {
            std::fs::write(&path, format!("{number}")).unwrap();
            shift(&path, 3).unwrap();
        }
        let read = |path: &Path| std::fs::read_to_string(path).ok();
        assert_eq!(read(&path), None);
        assert_eq!(read(&numbered(&path, 1)).as_deref(), Some("5"));
        assert_eq!(read(&numbered(&path, 2)).as_deref(), Some("4"));
        assert_eq!(read(&numbered(&path, 3)), None);
    }
}
