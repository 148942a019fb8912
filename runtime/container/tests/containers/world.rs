//! A bundle, a state folder and a cgroup of a test's own, gone when it ends.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use corten_runtime_container::{
    ContainerId, CreateError, Created, ExecOptions, Parenthood, Plan, PlanOptions, StartGate,
    StateDir, Stdio, create, delete, exec, start,
};
use corten_sys_linux::pidfd::{Exit, Pidfd};
use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 26] = [
    "sh", "true", "cat", "id", "ls", "mount", "sleep", "ps", "hostname", "env", "echo", "dd",
    "tty", "stty", "grep", "touch", "mkdir", "head", "readlink", "mknod", "umask", "kill", "stat",
    "rm", "ln", "test",
];

/// Why containers cannot be tried here, if they cannot.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !corten_tests_harness::is_root() {
        return Some("containers need root");
    }
    if !Path::new(BUSYBOX).exists() {
        return Some("needs /bin/busybox, static (Debian package busybox-static)");
    }
    None
}

/// Leaves the test, counted as skipped, where containers cannot be tried.
macro_rules! need_containers {
    () => {
        if let Some(reason) = crate::world::obstacle() {
            corten_tests_harness::skip(reason);
            return;
        }
    };
}
pub(crate) use need_containers;

/// What containers execute, written once before there is any: a program that a child of another
/// test's thread still has open for writing cannot be executed. Kept in the build folder.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let made = tempfile::tempdir_in(TMP).unwrap();
        std::fs::copy(BUSYBOX, made.path().join("busybox")).unwrap();
        let garbage = made.path().join("garbage");
        std::fs::write(&garbage, "\u{7f}ELF nonsense").unwrap();
        std::fs::set_permissions(&garbage, PermissionsExt::from_mode(0o755)).unwrap();
        let programs = Path::new(TMP).join("programs");
        if std::fs::rename(made.path(), &programs).is_err() {
            // Made by an earlier run.
            assert!(programs.join("garbage").exists());
        }
        programs
    })
}

/// On one file system, so that programs can be linked.
const TMP: &str = env!("CARGO_TARGET_TMPDIR");

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) states: StateDir,
    pub(crate) id: ContainerId,
    pub(crate) spec: Value,
}

impl World {
    /// A container that would run `script` in busybox's shell.
    pub(crate) fn new(script: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("rt-test-{}-{number}", std::process::id());
        let dir = tempfile::tempdir_in(TMP).unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "dev", "proc", "sys", "tmp", "etc", "mnt"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        let programs = programs();
        std::fs::hard_link(programs.join("busybox"), root.join("bin/busybox")).unwrap();
        std::fs::hard_link(programs.join("garbage"), root.join("bin/garbage")).unwrap();
        for applet in APPLETS {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let spec = spec(&id, script);
        let states = StateDir::open(&dir.path().join("state")).unwrap();
        Self { states, dir, id: ContainerId::new(&id).unwrap(), spec }
    }

    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path("rootfs")
    }

    /// Adds a bind mount of `<dir>/<source>`.
    pub(crate) fn bind(&mut self, source: &str, destination: &str, options: &[&str]) {
        let mount = json!({
            "destination": destination, "type": "bind", "source": self.path(source),
            "options": options,
        });
        self.spec["mounts"].as_array_mut().unwrap().push(mount);
    }

    fn plan(&self) -> Plan {
        let spec = serde_json::from_value(self.spec.clone()).unwrap();
        Plan::new(&self.id, &spec, &PlanOptions::new(self.dir.path())).unwrap()
    }

    pub(crate) fn create_with(
        &self,
        stdio: Stdio,
        gate: StartGate,
    ) -> Result<Created, CreateError> {
        create(&self.states, self.plan(), stdio, Parenthood::Caller, gate)
    }

    /// Streams that end in `<dir>/out`.
    pub(crate) fn to_file(&self) -> Stdio {
        let out = File::options().create(true).append(true).open(self.path("out")).unwrap();
        Stdio::Fds {
            stdin: OwnedFd::from(File::open("/dev/null").unwrap()),
            stdout: OwnedFd::from(out.try_clone().unwrap()),
            stderr: OwnedFd::from(out),
        }
    }

    pub(crate) fn create(&self) -> Result<Created, CreateError> {
        self.create_with(self.to_file(), StartGate::Fifo)
    }

    /// The whole of a create's error, with its causes.
    pub(crate) fn create_error(&self) -> String {
        chain(&self.create().expect_err("create must fail"))
    }

    /// Creates and starts it.
    pub(crate) fn begin(&self) -> Pidfd {
        let created = self.create().unwrap_or_else(|error| panic!("{}", chain(&error)));
        start(&self.states, &self.id).unwrap();
        Pidfd::from(created.pidfd)
    }

    /// Runs it to its end; what it wrote, and how it ended.
    pub(crate) fn run(&self) -> (String, Exit) {
        let exit = self.begin().wait().unwrap();
        (self.output(), exit)
    }

    /// What it writes; it must end well.
    pub(crate) fn output_of_run(&self) -> String {
        let (output, exit) = self.run();
        assert_eq!(exit, Exit::Code(0), "{output}");
        output
    }

    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    /// Runs a script in the running container.
    pub(crate) fn exec(&self, script: &str, edit: impl FnOnce(&mut Value)) -> (String, Exit) {
        let mut process = self.spec["process"].clone();
        process["args"] = json!(["sh", "-c", script]);
        edit(&mut process);
        std::fs::write(self.path("out"), "").unwrap();
        let created = self.try_exec(process).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let exit = Pidfd::from(created.pidfd).wait().unwrap();
        (self.output(), exit)
    }

    pub(crate) fn try_exec(&self, process: Value) -> Result<Created, CreateError> {
        let process = serde_json::from_value(process).unwrap();
        let options = ExecOptions::default();
        exec(&self.states, &self.id, &process, self.to_file(), Parenthood::Caller, &options)
    }

    /// The folders of its cgroup, in every hierarchy.
    pub(crate) fn cgroup_folders(&self) -> Vec<PathBuf> {
        std::fs::read_to_string("/proc/self/mounts")
            .unwrap()
            .lines()
            .filter(|line| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup")))
            .map(|line| Path::new(line.split(' ').nth(1).unwrap()).join(self.id.as_str()))
            .filter(|path| path.exists())
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Err(error) = delete(&self.states, &self.id, true)
            && !std::thread::panicking()
        {
            panic!("cannot delete the test's container: {}", chain(&error));
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn spec(id: &str, script: &str) -> Value {
    let caps = ["CAP_CHOWN", "CAP_KILL", "CAP_MKNOD", "CAP_SETUID", "CAP_SETGID"];
    let namespaces: Vec<Value> = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
        .iter()
        .map(|kind| json!({ "type": kind }))
        .collect();
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs" },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
              "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=64m"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
              "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
              "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
        ],
        "linux": {
            "cgroupsPath": format!("/{id}"),
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": namespaces,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys"],
        },
    })
}
