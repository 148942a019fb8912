//! resctrl (Documentation/filesystems/resctrl.rst): classes are folders, and processes join by
//! their ids.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use corten_sys_linux::SysError;
use rustix::io::Errno;
use rustix::process::Pid;

use crate::plan::Rdt;
use crate::{PlanError, StateDir, StateError};

/// The folders that go with the container, one a line, the last to be removed first.
const FOLDERS_FILE: &str = "resctrl";

/// Why a container has not the class that was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    Plan(PlanError),
    System(&'static str, SysError),
}

/// Where resctrl is mounted.
pub(crate) fn root() -> Result<PathBuf, PlanError> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (place, kind) = (fields.nth(1)?, fields.next()?);
            (kind == "resctrl").then(|| PathBuf::from(place))
        })
        .next()
        .ok_or_else(|| {
            let reason = "resctrl is not mounted: the processor lacks it, or it is to be mounted \
                          at /sys/fs/resctrl";
            PlanError::unsupported("linux.intelRdt", reason)
        })
}

/// Folders that were made, which go again when this is dropped, unless they are kept.
#[derive(Debug, Default)]
pub(crate) struct Folders(Vec<PathBuf>);

impl Folders {
    /// Keeps them for as long as the container is.
    pub(crate) fn keep(mut self, states: &StateDir, id: &str) -> Result<(), StateError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let path = states.root().join(id).join(FOLDERS_FILE);
        let lines: String = self.0.iter().map(|path| format!("{}\n", path.display())).collect();
        std::fs::write(&path, lines).map_err(|source| StateError::File {
            action: "write",
            path,
            source,
        })?;
        self.0.clear();
        Ok(())
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            if let Err(error) = std::fs::remove_dir(folder)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(folder = %folder.display(), %error, "resctrl folder left behind");
            }
        }
    }
}

/// Removes what a container had for itself.
pub(crate) fn remove(states: &StateDir, id: &str) {
    let path = states.root().join(id).join(FOLDERS_FILE);
    let lines = std::fs::read_to_string(path).unwrap_or_default();
    drop(Folders(lines.lines().map(PathBuf::from).collect()));
}

/// Makes the class as asked, and the process a member of it.
pub(crate) fn join(root: &Path, wanted: &Rdt, pid: Pid) -> Result<Folders, Failure> {
    let mut made = Folders::default();
    let class = root.join(&wanted.class);
    if wanted.named && wanted.schemata.is_empty() {
        if !class.is_dir() {
            let reason =
                format!("resctrl has no class {:?}, and no schemata for one", wanted.class);
            return Err(Failure::Plan(PlanError::invalid("linux.intelRdt.closID", reason)));
        }
    } else if make(&class, "linux.intelRdt.closID")? && !wanted.named {
        made.0.push(class.clone());
    }
    for line in &wanted.schemata {
        write(&class.join("schemata"), &format!("{line}\n"), "linux.intelRdt.schemata")?;
    }
    let pid = pid.as_raw_nonzero().to_string();
    write(&class.join("tasks"), &pid, "linux.intelRdt")?;
    if let Some(name) = &wanted.monitoring {
        let group = class.join("mon_groups").join(name);
        const FIELD: &str = "linux.intelRdt.enableMonitoring";
        if make(&group, FIELD)? {
            made.0.push(group.clone());
        }
        write(&group.join("tasks"), &pid, FIELD)?;
    }
    Ok(made)
}

/// Whether it was not there already.
fn make(folder: &Path, field: &'static str) -> Result<bool, Failure> {
    match std::fs::create_dir(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failure("mkdir", folder, &error, field)),
    }
}

fn write(file: &Path, text: &str, field: &'static str) -> Result<(), Failure> {
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .map_err(|error| failure("write", file, &error, field))
}

fn failure(
    call: &'static str,
    path: &Path,
    error: &std::io::Error,
    field: &'static str,
) -> Failure {
    let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
    // resctrl says in a file of its own what it did not like.
    let status = path.ancestors().map(|one| one.join("info/last_cmd_status"));
    let said = status.filter_map(|file| std::fs::read_to_string(file).ok()).next();
    let said = said.filter(|text| text.trim() != "ok").unwrap_or_default();
    let describe = || format!("{} {}", path.display(), said.trim()).trim().to_owned();
    Failure::System(field, SysError::of(call, describe)(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder in the shape of resctrl.
    fn fake() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("there/mon_groups")).unwrap();
        root
    }

    fn wanted(class: &str, named: bool, schemata: &[&str], monitoring: bool) -> Rdt {
        Rdt {
            class: class.to_owned(),
            named,
            schemata: schemata.iter().map(|line| (*line).to_owned()).collect(),
            monitoring: monitoring.then(|| "one".to_owned()),
        }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_class_of_its_own_goes_with_the_container() {
        let root = fake();
        let made =
            join(root.path(), &wanted("one", false, &["L3:0=f", "MB:0=10"], false), Pid::INIT)
                .unwrap();
        let class = root.path().join("one");
        assert_eq!(made.0, std::slice::from_ref(&class));
        assert_eq!(read(&class.join("schemata")), "L3:0=f\nMB:0=10\n");
        assert_eq!(read(&class.join("tasks")), "1");
    }

    #[test]
    fn a_named_class_stays_and_must_be_there_or_be_described() {
        let root = fake();
        let failure =
            join(root.path(), &wanted("absent", true, &[], false), Pid::INIT).unwrap_err();
        assert!(matches!(failure, Failure::Plan(_)));
        assert!(!root.path().join("absent").exists());
        let made =
            join(root.path(), &wanted("absent", true, &["L3:0=f"], false), Pid::INIT).unwrap();
        assert!(made.0.is_empty() && root.path().join("absent").is_dir());
    }

    #[test]
    fn a_monitoring_group_goes_and_its_class_stays() {
        let root = fake();
        let made = join(root.path(), &wanted("there", true, &[], true), Pid::INIT).unwrap();
        let group = root.path().join("there/mon_groups/one");
        assert_eq!(read(&group.join("tasks")), "1");
        // resctrl's folders are empty to rmdir(2); these are not.
        std::fs::remove_file(group.join("tasks")).unwrap();
        drop(made);
        assert!(!group.exists() && root.path().join("there").exists());
    }
}
