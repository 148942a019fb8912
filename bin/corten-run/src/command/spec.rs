//! `spec`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::create::bundle_path;
use crate::cli::{Args, Flag, Operand, Takes};
use crate::global::Global;

/// `spec`.
#[derive(Debug, Default)]
pub(super) struct MakeSpec {
    bundle: Option<PathBuf>,
    rootless: bool,
}

impl Args for MakeSpec {
    const NAME: &'static str = "spec";
    const ABOUT: &'static str = "Write a config.json to start from";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[&[
        Flag::value(
            "bundle",
            Takes::Dir,
            "The folder to write it to; without it, the working directory",
            |spec: &mut Self, path| {
                spec.bundle = Some(path.into());
                Ok(())
            },
        )
        .short('b'),
        Flag::switch("rootless", "For a user who is not root", |spec, on| spec.rootless = on),
    ]];
    const OPERANDS: &'static [Operand<Self>] = &[];

    fn run(self, _global: &Global) -> anyhow::Result<ExitCode> {
        let path = bundle_path(self.bundle.as_deref())?.join("config.json");
        let spec = if self.rootless {
            let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            rootless(ids)
        } else {
            template()
        };
        let text = format!("{}\n", serde_json::to_string_pretty(&spec)?);
        // One that is there already is somebody's work.
        std::fs::File::create_new(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("write {}", path.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A shell in a container that shares nothing with the host.
fn template() -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": corten_api_oci::RUNTIME_SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "corten",
        "mounts": mounts(),
        "linux": {
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" }, { "type": "cgroup" },
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": source, "options": options });
    let none = ["nosuid", "noexec", "nodev"];
    json!([
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        ),
        mount("/dev/shm", "tmpfs", "shm", &[&none[..], &["mode=1777", "size=65536k"]].concat()),
        mount("/dev/mqueue", "mqueue", "mqueue", &none),
        mount("/sys", "sysfs", "sysfs", &[&none[..], &["ro"]].concat()),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &[&none[..], &["relatime", "ro"]].concat()),
    ])
}

/// The same for a user without privileges: a user namespace with that user as root, the host's
/// network (so that /sys can only be the host's, too), and no limits.
fn rootless((uid, gid): (u32, u32)) -> Value {
    let mut spec = template();
    let map = |id: u32| json!([{ "containerID": 0, "hostID": id, "size": 1 }]);
    let linux = &mut spec["linux"];
    linux["uidMappings"] = map(uid);
    linux["gidMappings"] = map(gid);
    linux["resources"] = json!({});
    linux["namespaces"] = json!([
        { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" },
        { "type": "cgroup" }, { "type": "user" },
    ]);
    if let Some(mounts) = spec["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        for mount in mounts {
            if mount["destination"] == "/sys" {
                *mount = json!({
                    "destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
                });
            }
            // The group of terminals is not among those that are mapped.
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "gid=5");
            }
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use corten_runtime_container::{ContainerId, Plan, PlanOptions};

    use super::*;

    #[test]
    fn what_is_written_can_be_run() {
        for spec in [template(), rootless((1000, 1000))] {
            let spec = corten_api_oci::parse_spec(spec.to_string().as_bytes(), "spec").unwrap();
            let id = ContainerId::new("x").unwrap();
            Plan::new(&id, &spec, &PlanOptions::new(Path::new("/b"))).unwrap();
        }
    }
}
