//! The shim's own log: few lines, bounded.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// At this size the file is moved to `shim.log.1` and begun anew.
const JOURNAL_BYTES_MAX: u64 = 256 << 10;
/// No single line is longer.
const LINE_CHARS_MAX: usize = 2048;

/// Appends lines to `shim.log`. What cannot be written is dropped: there is nobody to tell.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: Option<std::fs::File>,
    bytes: u64,
}

impl Journal {
    pub(crate) fn open(path: PathBuf) -> Self {
        let file = open(&path);
        let bytes =
            file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
        Self { path, file, bytes }
    }

    pub(crate) fn note(&mut self, line: &str) {
        if self.bytes > JOURNAL_BYTES_MAX {
            std::fs::rename(&self.path, self.path.with_extension("log.1")).unwrap_or_default();
            self.file = open(&self.path);
            self.bytes = 0;
        }
        let line: String = line
            .chars()
            .take(LINE_CHARS_MAX)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let line = format!("{:.3} {line}\n", jiff::Timestamp::now());
        self.bytes += u64::try_from(line.len()).unwrap_or(0);
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes()).unwrap_or_default();
        }
    }
}

fn open(path: &Path) -> Option<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.log");
        let mut journal = Journal::open(path.clone());
        let line = "x".repeat(10_000);
        for _ in 0..1000 {
            journal.note(&line);
        }
        let size = |path: &Path| std::fs::metadata(path).unwrap().len();
        assert!(size(&path) + size(&path.with_extension("log.1")) < 2 * (JOURNAL_BYTES_MAX + 4096));
    }

    #[test]
    fn a_line_stays_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shim.log");
        Journal::open(path.clone()).note("one\ntwo\u{1b}[31m");
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(!text.contains('\u{1b}'));
    }
}
