//! What is known of a container between two calls: one small file each, written atomically.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use corten_runtime_seccomp::Filter;
use corten_sys_linux::pidfd::Pidfd;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::{ContainerId, StateError};

const STATE_FILE: &str = "state.json";
const FILTER_FILE: &str = "seccomp.json";
/// A container of the command line that waits for `start`; the file is a FIFO.
pub(crate) const FIFO_FILE: &str = "exec.fifo";
/// A container whose start is somebody's socket; the file is a marker.
const PENDING_FILE: &str = "pending";

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is being made, or its maker died doing so.
    Creating,
    /// Its process waits to be started.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are stopped where they are ([`crate::status`] alone tells so).
    Paused,
    /// Its process has ended.
    Stopped,
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// A container, as its state file tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of this file's layout.
    pub v: u32,
    /// The specification's version that the bundle was written for.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Its first process, as the host counts.
    pub pid: i32,
    /// When that process started, in clock ticks since boot (field 22 of `proc_pid_stat(5)`): the
    /// same id with another start is another process.
    pub pid_start_time: u64,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its root file system on the host.
    pub rootfs: PathBuf,
    /// When it was made (RFC 3339, UTC).
    pub created: String,
    /// Who owns it: the user id of the one that made it.
    pub owner: u32,
    /// The annotations of its specification.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Its cgroup, from every hierarchy's root.
    pub cgroup_path: String,
    /// systemd's unit for that cgroup, with its driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_unit: Option<String>,
    /// Which kinds of namespaces it does not share with the host, by their names in `/proc`.
    pub namespaces: Vec<String>,
    /// Every process of it gets the filter that is kept beside this file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub seccomp: bool,
    /// The personality of all its processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<u32>,
    /// The memory policy of all its processes: mode, and a bit for each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<(i32, Vec<u64>)>,
}

/// The layout that this program writes.
pub(crate) const STATE_VERSION: u32 = 1;

impl State {
    /// A handle on the container's first process, if that still runs.
    #[must_use]
    pub fn process(&self) -> Option<Pidfd> {
        let pid = Pid::from_raw(self.pid)?;
        let pidfd = Pidfd::open(pid).ok()?;
        // Opened first, then checked: what the handle holds cannot change any more.
        let (start_time, alive) = process_stat(pid)?;
        (start_time == self.pid_start_time && alive).then_some(pidfd)
    }

    /// Whether the container has a kind of namespace (such as `pid`) that is not the host's.
    #[must_use]
    pub fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|own| own == name)
    }
}

/// Start time of a process, and whether it has not ended (a zombie has), from `/proc/<pid>/stat`.
pub(crate) fn process_stat(pid: Pid) -> Option<(u64, bool)> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parse_stat(&text)
}

/// The program's name is in brackets and may hold anything, so fields are counted from the last
/// bracket: the state is the first after it, the start time the twentieth.
fn parse_stat(text: &str) -> Option<(u64, bool)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((start_time, !matches!(state, "Z" | "X" | "x")))
}

/// The folder that state is kept in: one folder per container below it.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Makes the folder if it is missing, readable by its owner only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|source| file_error("make", root, source))?;
        Ok(Self { root: root.to_owned() })
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A container's folder.
    #[must_use]
    pub fn container(&self, id: &ContainerId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Takes an id: makes its folder, or fails because another has it.
    pub(crate) fn reserve(&self, id: &ContainerId) -> Result<(), StateError> {
        let dir = self.container(id);
        match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(StateError::Exists { id: id.to_string() })
            }
            Err(source) => Err(file_error("make", &dir, source)),
        }
    }

    /// Writes a container's state in one step.
    pub(crate) fn save(&self, id: &ContainerId, state: &State) -> Result<(), StateError> {
        let path = self.container(id).join(STATE_FILE);
        let temporary = path.with_extension("new");
        let write = || {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&serde_json::to_vec(state)?)?;
            std::fs::rename(&temporary, &path)
        };
        write().map_err(|source| file_error("write", &path, source))
    }

    /// Reads a container's state.
    ///
    /// # Errors
    /// `NotFound`, or that the file is damaged.
    pub fn load(&self, id: &ContainerId) -> Result<State, StateError> {
        let path = self.container(id).join(STATE_FILE);
        let text = std::fs::read(&path).map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound {
                StateError::NotFound { id: id.to_string() }
            } else {
                file_error("read", &path, source)
            }
        })?;
        serde_json::from_slice(&text).map_err(|source| StateError::Damaged { path, source })
    }

    /// Every container with a state, by id. What is being made or removed meanwhile is left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> Result<Vec<State>, StateError> {
        let entries = std::fs::read_dir(&self.root)
            .map_err(|source| file_error("read", &self.root, source))?;
        let mut states: Vec<State> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name();
                let id = ContainerId::new(name.to_str()?).ok()?;
                self.load(&id).ok()
            })
            .collect();
        states.sort_by(|one, two| one.id.cmp(&two.id));
        Ok(states)
    }

    /// Where a container is in its life, now; whether it is paused is not looked for.
    #[must_use]
    pub fn status(&self, state: &State) -> Status {
        if state.process().is_none() {
            return Status::Stopped;
        }
        let dir = self.root.join(&state.id);
        let waits = [FIFO_FILE, PENDING_FILE].iter().any(|file| dir.join(file).exists());
        if waits { Status::Created } else { Status::Running }
    }

    /// Keeps a container's filter for later processes, compiled: what becomes of its profile
    /// meanwhile does not matter.
    pub(crate) fn keep_filter(&self, id: &ContainerId, filter: &Filter) -> Result<(), StateError> {
        let path = self.container(id).join(FILTER_FILE);
        let text = serde_json::to_vec(filter).map_err(std::io::Error::from);
        text.and_then(|text| std::fs::write(&path, text))
            .map_err(|source| file_error("write", &path, source))
    }

    /// The filter that was kept.
    pub(crate) fn filter(&self, id: &ContainerId) -> Result<Filter, StateError> {
        let path = self.container(id).join(FILTER_FILE);
        let text = std::fs::read(&path).map_err(|source| file_error("read", &path, source))?;
        serde_json::from_slice(&text).map_err(|source| StateError::Damaged { path, source })
    }

    /// Marks a container whose start is a socket as not started yet.
    pub(crate) fn mark_pending(&self, id: &ContainerId) -> Result<(), StateError> {
        let path = self.container(id).join(PENDING_FILE);
        std::fs::write(&path, "").map_err(|source| file_error("write", &path, source))
    }

    /// Says that a container has been started; what started it already is fine.
    ///
    /// # Errors
    /// When the mark cannot be removed.
    pub fn mark_started(&self, id: &ContainerId) -> Result<(), StateError> {
        for name in [PENDING_FILE, FIFO_FILE] {
            let path = self.container(id).join(name);
            match std::fs::remove_file(&path) {
                Ok(()) => (),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
                Err(source) => return Err(file_error("remove", &path, source)),
            }
        }
        Ok(())
    }

    /// Forgets a container; one that is unknown is fine.
    pub(crate) fn remove(&self, id: &ContainerId) -> Result<(), StateError> {
        let dir = self.container(id);
        match std::fs::remove_dir_all(&dir) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(file_error("remove", &dir, source)),
        }
    }
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> StateError {
    StateError::File { action, path: path.to_owned(), source }
}

/// The time now as RFC 3339 in UTC, to the nanosecond.
#[must_use]
pub fn now_rfc3339() -> String {
    rfc3339(std::time::SystemTime::now())
}

/// A time as RFC 3339 in UTC, to the nanosecond.
pub(crate) fn rfc3339(time: std::time::SystemTime) -> String {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days to a civil date: years of 365.2425 days counted from 0000-03-01, so that the leap day
    // is a year's last (the usual era arithmetic).
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds % 3_600 / 60, seconds % 60);
    let nanos = since.subsec_nanos();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn dates() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_program_cannot_forge_its_stat_by_its_name() {
        let fields = "0 ".repeat(18);
        let text = format!("7 (evil) Z 1 (x) S {fields}4242 0 0");
        assert_eq!(parse_stat(&text), Some((4242, true)));
        assert_eq!(parse_stat(&format!("7 (x) Z {fields}1 2")), Some((1, false)));
        assert_eq!(parse_stat("garbage"), None);
    }

    fn state(id: &str, pid: i32, start: u64) -> State {
        State {
            v: STATE_VERSION,
            oci_version: "1.2.0".into(),
            id: id.into(),
            pid,
            pid_start_time: start,
            bundle: "/b".into(),
            rootfs: "/b/rootfs".into(),
            created: rfc3339(UNIX_EPOCH),
            owner: 0,
            annotations: BTreeMap::new(),
            cgroup_path: "/c".into(),
            systemd_unit: None,
            namespaces: vec!["pid".into()],
            seccomp: false,
            personality: None,
            memory_policy: None,
        }
    }

    #[test]
    fn a_reused_process_id_is_not_the_container() {
        let own = rustix::process::getpid();
        let (start, _) = process_stat(own).unwrap();
        let raw = own.as_raw_nonzero().get();
        assert!(state("a", raw, start).process().is_some());
        assert!(state("a", raw, start + 1).process().is_none());
    }

    #[test]
    fn state_goes_round_and_ids_are_exclusive() {
        let dir = tempfile::tempdir().unwrap();
        let states = StateDir::open(&dir.path().join("deep/root")).unwrap();
        let id = ContainerId::new("one").unwrap();
        assert!(matches!(states.load(&id).unwrap_err(), StateError::NotFound { .. }));
        states.reserve(&id).unwrap();
        assert!(matches!(states.reserve(&id).unwrap_err(), StateError::Exists { .. }));
        let wanted = state("one", 1, 0);
        states.save(&id, &wanted).unwrap();
        assert_eq!(states.load(&id).unwrap(), wanted);
        assert_eq!(states.status(&wanted), Status::Stopped);
        assert_eq!(states.list().unwrap(), [wanted]);
        states.remove(&id).unwrap();
        states.remove(&id).unwrap();
        assert!(states.list().unwrap().is_empty());
    }
}
