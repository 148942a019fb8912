//! What a container left behind for whoever asks why it ended.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use corten_api_cri::v1;
use rustix::fs::{Mode, OFlags};

use super::labels;

/// Bytes of the message file that are read.
const FILE_BYTES_MAX: u64 = 4096;
/// What is shown of the log instead.
const LOG_BYTES_MAX: usize = 2048;
const LOG_LINES_MAX: usize = 80;
/// How much of the end of the log is looked at for that.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// The message of an ended container: its file's content, else the end of its log if it failed
/// and asked for that, else what the runtime says.
pub(crate) fn read(status: &v1::ContainerStatus, logs: &Path) -> String {
    let path = status.annotations.get(labels::MESSAGE_PATH);
    let mount = path.and_then(|path| status.mounts.iter().find(|m| m.container_path == *path));
    let from_file = mount.and_then(|m| read_start(Path::new(&m.host_path)));
    let mut message = from_file.unwrap_or_default();
    let policy = status.annotations.get(labels::MESSAGE_POLICY).map(String::as_str);
    if message.is_empty() && policy == Some("FallbackToLogsOnError") && status.exit_code != 0 {
        let log = Path::new(&status.log_path);
        // The path is the runtime's word; only a file of the logs folder is believed.
        if log.starts_with(logs) {
            message = read_log_end(log).unwrap_or_default();
        }
    }
    match (status.message.is_empty(), message.is_empty()) {
        (true, _) => message,
        (false, true) => status.message.clone(),
        (false, false) => format!("{}: {message}", status.message),
    }
}

/// The file is written by the container: it may be a FIFO or a link by now, so it is opened
/// without following and without waiting, and only a regular file is read.
fn open_regular(path: &Path) -> Option<std::fs::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    file.metadata().ok()?.is_file().then_some(file)
}

fn read_start(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_log_end(path: &Path) -> Option<String> {
    let mut file = open_regular(path)?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // `<time> <stream> <F|P> <text>`; the first line may be cut.
    let lines: Vec<&str> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    let shown = lines[lines.len().saturating_sub(LOG_LINES_MAX)..].join("\n");
    let mut start = shown.len().saturating_sub(LOG_BYTES_MAX);
    while !shown.is_char_boundary(start) {
        start += 1;
    }
    Some(shown[start..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(folder: &Path, policy: &str, exit_code: i32) -> v1::ContainerStatus {
        let mut status = v1::ContainerStatus {
            exit_code,
            log_path: folder.join("0.log").display().to_string(),
            ..Default::default()
        };
        status.annotations.insert(labels::MESSAGE_PATH.to_owned(), "/m".to_owned());
        status.annotations.insert(labels::MESSAGE_POLICY.to_owned(), policy.to_owned());
        status.mounts.push(v1::Mount {
            container_path: "/m".to_owned(),
            host_path: folder.join("message").display().to_string(),
            ..Default::default()
        });
        status
    }

    #[test]
    fn the_file_wins_over_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:00Z stderr F two three\n";
        std::fs::write(folder.path().join("0.log"), log).unwrap();
        let read_with = |policy, code| read(&status(folder.path(), policy, code), folder.path());
        assert_eq!(read_with("File", 1), "");
        assert_eq!(read_with("FallbackToLogsOnError", 0), "");
        assert_eq!(read_with("FallbackToLogsOnError", 1), "one\ntwo three");
        std::fs::write(folder.path().join("message"), "x".repeat(5000)).unwrap();
        assert_eq!(read_with("FallbackToLogsOnError", 1), "x".repeat(4096));
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink(folder.path().join("secret"), folder.path().join("message"))
            .unwrap();
        assert_eq!(read(&status(folder.path(), "File", 1), folder.path()), "");
    }
}
