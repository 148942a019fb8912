//! What the host is and has, read from the kernel.

use std::path::Path;

use crate::error::Error;

/// Below these the node is under pressure (upstream's default hard eviction thresholds).
const MEMORY_MIN_BYTES: u64 = 100 << 20;
const DISK_MIN_PERCENT: u64 = 10;
const INODES_MIN_PERCENT: u64 = 5;
/// Process ids that must stay free.
const PIDS_MIN_PERCENT: u64 = 5;

/// The host, as it was when the kubelet started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) storage_bytes: u64,
    pub(crate) architecture: String,
    pub(crate) kernel_version: String,
    pub(crate) os_image: String,
    pub(crate) machine_id: String,
    pub(crate) system_uuid: String,
    pub(crate) boot_id: String,
    /// `name://version` of the container runtime.
    pub(crate) runtime: String,
}

/// What the host is short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub(crate) memory: bool,
    pub(crate) disk: bool,
    pub(crate) pids: bool,
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// `0-3,8` → 5.
fn count_ranges(text: &str) -> Option<u32> {
    let mut count = 0;
    for range in text.trim().split(',') {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to): (u32, u32) = (from.parse().ok()?, to.parse().ok()?);
        count += to.checked_sub(from)? + 1;
    }
    Some(count)
}

/// A line of /proc/meminfo, in bytes.
fn meminfo(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The value of PRETTY_NAME in os-release(5).
fn pretty_name(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        other => other,
    }
}

impl Machine {
    /// Looks at the host; `root` is on the filesystem that pods write to.
    pub(crate) fn read(root: &Path, runtime: String) -> Result<Self, Error> {
        let cpus = count_ranges(&read("/sys/devices/system/cpu/online"))
            .ok_or(Error::Host { what: "number of cpus (/sys/devices/system/cpu/online)" })?;
        let memory_bytes = meminfo(&read("/proc/meminfo"), "MemTotal")
            .ok_or(Error::Host { what: "memory (MemTotal in /proc/meminfo)" })?;
        let storage = rustix::fs::statvfs(root)
            .map_err(|source| Error::File { path: root.to_owned(), source: source.into() })?;
        let uname = rustix::system::uname();
        let system_uuid = read("/sys/class/dmi/id/product_uuid");
        let machine_id = read("/etc/machine-id");
        Ok(Self {
            cpus,
            memory_bytes,
            storage_bytes: storage.f_blocks.saturating_mul(storage.f_frsize),
            architecture: architecture(&uname.machine().to_string_lossy()).to_owned(),
            kernel_version: uname.release().to_string_lossy().into_owned(),
            os_image: pretty_name(&read("/etc/os-release")).unwrap_or_else(|| "Linux".to_owned()),
            // A machine without firmware tables is still told from others by its id.
            system_uuid: if system_uuid.is_empty() { machine_id.clone() } else { system_uuid },
            machine_id,
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            runtime,
        })
    }

    /// What the host is short of now. What cannot be read is taken for plenty.
    pub(crate) fn pressure(&self, root: &Path) -> Pressure {
        let available = meminfo(&read("/proc/meminfo"), "MemAvailable");
        let disk = rustix::fs::statvfs(root).is_ok_and(|fs| {
            fs.f_bavail.saturating_mul(100) < fs.f_blocks.saturating_mul(DISK_MIN_PERCENT)
                || (fs.f_files > 0
                    && fs.f_favail.saturating_mul(100)
                        < fs.f_files.saturating_mul(INODES_MIN_PERCENT))
        });
        let pid_max: Option<u64> = read("/proc/sys/kernel/pid_max").parse().ok();
        // proc_loadavg(5): the fourth field is running/all scheduling entities.
        let loadavg = read("/proc/loadavg");
        let used = loadavg.split(' ').nth(3).and_then(|f| f.split_once('/')?.1.parse::<u64>().ok());
        let pids = match (pid_max, used) {
            (Some(max), Some(used)) => {
                max.saturating_sub(used).saturating_mul(100) < max.saturating_mul(PIDS_MIN_PERCENT)
            }
            _ => false,
        };
        Pressure { memory: available.is_some_and(|a| a < MEMORY_MIN_BYTES), disk, pids }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(count_ranges("0-3,8\n"), Some(5));
        assert_eq!(count_ranges("0"), Some(1));
        assert_eq!(count_ranges(""), None);
        let text = "MemTotal:        2048 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(meminfo(text, "MemAvailable"), Some(1 << 20));
        assert_eq!(meminfo(text, "Mem"), None);
        let text = "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n";
        assert_eq!(pretty_name(text).as_deref(), Some("Debian GNU/Linux 12"));
    }
}
