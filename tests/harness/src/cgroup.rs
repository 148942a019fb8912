//! A cgroup for one test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A fresh cgroup of one name in every mounted hierarchy; what runs in it is killed, and it is
/// removed, when this is dropped.
#[derive(Debug)]
pub struct TempCgroup {
    name: String,
    roots: Vec<PathBuf>,
}

impl TempCgroup {
    /// Makes `/<name>-<pid>-<number>` in every cgroup hierarchy mounted on this machine.
    ///
    /// # Errors
    /// What `mkdir` says, or that no hierarchy is mounted.
    pub fn new(name: &str) -> std::io::Result<Self> {
        // Tests of one process run side by side.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        let mut cgroup = Self { name, roots: Vec::new() };
        for root in mounted_hierarchies()? {
            std::fs::create_dir(root.join(&cgroup.name))?;
            cgroup.roots.push(root);
        }
        if cgroup.roots.is_empty() {
            return Err(std::io::Error::other("no cgroup hierarchy is mounted"));
        }
        Ok(cgroup)
    }

    /// The path from a hierarchy's root: `/name-pid-number`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for TempCgroup {
    fn drop(&mut self) {
        for root in &self.roots {
            remove_tree(&root.join(&self.name));
        }
    }
}

/// Where cgroup file systems are mounted, from `/proc/self/mounts` (proc(5)).
///
/// # Errors
/// When they cannot be read.
pub fn mounted_hierarchies() -> std::io::Result<Vec<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let target = fields.nth(1)?;
            let kind = fields.next()?;
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(target))
        })
        .collect())
}

/// Kills and removes a cgroup and those below it; gives up after five seconds, with a word on
/// standard error, because a drop cannot fail.
fn remove_tree(dir: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Ok(entries) = std::fs::read_dir(dir) {
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove_tree(&entry.path());
                }
            }
        }
        for pid in std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                // Already gone is what is wanted; what cannot be killed shows in the rmdir.
                kill_process(pid, Signal::KILL).unwrap_or_default();
            }
        }
        match std::fs::remove_dir(dir) {
            Ok(()) => return,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) if Instant::now() > deadline => {
                use std::io::Write as _;
                drop(writeln!(std::io::stderr(), "left behind: {}: {error}", dir.display()));
                return;
            }
            Err(_busy) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
