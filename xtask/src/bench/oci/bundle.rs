//! What is run.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";
/// Debian's golang-github-containers-common, which podman depends on.
const PROFILE: &str = "/usr/share/containers/seccomp.json";

/// A bundle for `true`, one for `sleep`, and a folder for what runtimes keep.
pub(super) struct Bundle {
    dir: tempfile::TempDir,
    pub(super) seccomp: bool,
}

impl Bundle {
    pub(super) fn new(seccomp: Option<&Value>) -> Result<Self> {
        let dir = tempfile::tempdir().context("make a folder")?;
        let made = Self { dir, seccomp: seccomp.is_some() };
        let root = made.rootfs();
        for name in ["bin", "dev", "proc", "sys", "tmp"] {
            std::fs::create_dir_all(root.join(name)).context("make a root file system")?;
        }
        std::fs::copy(BUSYBOX, root.join("bin/busybox"))
            .with_context(|| format!("copy {BUSYBOX} (Debian package busybox-static)"))?;
        for applet in ["true", "sleep"] {
            symlink("busybox", root.join("bin").join(applet)).context("link a program")?;
        }
        for (name, args) in [("true", &["/bin/true"][..]), ("sleep", &["/bin/sleep", "1000"])] {
            let folder = made.path(name);
            std::fs::create_dir_all(&folder).context("make a bundle")?;
            let spec = spec(&root, args, seccomp);
            std::fs::write(folder.join("config.json"), spec.to_string()).context("write a spec")?;
        }
        Ok(made)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.path("rootfs")
    }
}

/// What an engine would ask for: all namespaces but the user's, the usual mounts, masks and limits.
fn spec(root: &Path, args: &[&str], seccomp: Option<&Value>) -> Value {
    let capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let none = ["nosuid", "noexec", "nodev"];
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": args,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": root, "readonly": true },
        "hostname": "bench",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666"]),
            mount("/dev/shm", "tmpfs", &[&none[..], &["mode=1777", "size=65536k"]].concat()),
            mount("/dev/mqueue", "mqueue", &none),
            mount("/sys", "sysfs", &[&none[..], &["ro"]].concat()),
        ],
        "linux": {
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }],
                "memory": { "limit": 64 << 20 },
                "pids": { "limit": 100 },
                "cpu": { "shares": 512 },
            },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" },
                { "type": "mount" },
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    });
    if let Some(profile) = seccomp {
        spec["linux"]["seccomp"] = profile.clone();
    }
    spec
}

/// The profile that podman ships, as a specification takes it: for this architecture, and without
/// what is only for capabilities that the container does not get.
pub(super) fn profile() -> Result<Option<Value>> {
    let Ok(text) = std::fs::read_to_string(PROFILE) else { return Ok(None) };
    let given: Value = serde_json::from_str(&text).with_context(|| PROFILE.to_owned())?;
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    };
    let applies = |rule: &&Value| {
        let named = |list: &str, key: &str| rule[list][key].as_array().filter(|it| !it.is_empty());
        let ours = named("includes", "arches")
            .is_none_or(|arches| arches.iter().any(|one| one == architecture));
        ours && named("includes", "caps").is_none()
            && named("excludes", "arches")
                .is_none_or(|arches| arches.iter().all(|one| one != architecture))
    };
    let rules = given["syscalls"].as_array().context("syscalls are missing in the profile")?;
    let rules: Vec<Value> = rules
        .iter()
        .filter(applies)
        .map(|rule| {
            let mut made = json!({ "names": rule["names"], "action": rule["action"] });
            for key in ["args", "errnoRet"] {
                if rule[key].is_number() || rule[key].as_array().is_some_and(|it| !it.is_empty()) {
                    made[key] = rule[key].clone();
                }
            }
            made
        })
        .collect();
    let native = format!("SCMP_ARCH_{}", std::env::consts::ARCH.to_uppercase());
    let mut architectures = vec![json!(native)];
    for map in given["archMap"].as_array().into_iter().flatten() {
        if map["architecture"] == native {
            architectures.extend(map["subArchitectures"].as_array().into_iter().flatten().cloned());
        }
    }
    Ok(Some(json!({
        "defaultAction": given["defaultAction"],
        "defaultErrnoRet": given["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": rules,
    })))
}
