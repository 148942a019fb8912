//! A bundle, a state folder, and the program.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

pub(crate) const BUSYBOX: &str = "/bin/busybox";
pub(crate) const TMP: &str = env!("CARGO_TARGET_TMPDIR");

macro_rules! need_containers {
    () => {
        if !corten_tests_harness::is_root() {
            corten_tests_harness::skip("containers need root");
            return;
        }
        if !std::path::Path::new($crate::world::BUSYBOX).exists() {
            corten_tests_harness::skip(
                "needs /bin/busybox, static (Debian package busybox-static)",
            );
            return;
        }
    };
}

/// Written once: a program that another test's child has open for writing cannot be executed.
fn busybox() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let made = tempfile::NamedTempFile::new_in(TMP).unwrap();
        std::fs::copy(BUSYBOX, made.path()).unwrap();
        let copy = Path::new(TMP).join("busybox");
        made.into_temp_path().persist(&copy).unwrap();
        copy
    })
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) id: String,
    pub(crate) spec: Value,
}

impl World {
    pub(crate) fn new(script: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = format!("rt-cli-{}-{number}", std::process::id());
        let dir = tempfile::tempdir_in(TMP).unwrap();
        let root = dir.path().join("rootfs");
        for name in ["bin", "dev", "proc", "tmp"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::hard_link(busybox(), root.join("bin/busybox")).unwrap();
        for applet in
            ["sh", "sleep", "cat", "echo", "id", "tty", "kill", "mknod", "head", "grep", "mkdir"]
        {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let spec = json!({
            "ociVersion": "1.2.0",
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": ["sh", "-c", script],
                "env": ["PATH=/bin"],
                "cwd": "/",
            },
            "root": { "path": "rootfs" },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                  "options": ["newinstance", "ptmxmode=0666"] },
            ],
            "annotations": { "a": "b" },
            "linux": {
                "cgroupsPath": format!("/{id}"),
                "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "uts" }],
            },
        });
        Self { dir, id, spec }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `corten-run --root … WORDS`, in the bundle; `ID` stands for the container's id.
    pub(crate) fn call(&self, words: &[&str]) -> Output {
        std::fs::write(self.path("config.json"), self.spec.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten-run"));
        command.current_dir(self.dir.path()).arg("--root").arg(self.path("state"));
        command.args(["--log-format", "json", "--log"]).arg(self.path("log"));
        command.args(words.iter().map(|word| if *word == "ID" { &self.id } else { *word }));
        command.stdin(std::process::Stdio::null()).output().unwrap()
    }

    /// A call whose streams the container keeps.
    pub(crate) fn call_apart(&self, words: &[&str]) -> i32 {
        std::fs::write(self.path("config.json"), self.spec.to_string()).unwrap();
        let out = std::fs::File::create(self.path("out")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_corten-run"));
        command.current_dir(self.dir.path()).arg("--root").arg(self.path("state"));
        command.args(words.iter().map(|word| if *word == "ID" { &self.id } else { *word }));
        command.stdin(std::process::Stdio::null());
        command.stdout(out.try_clone().unwrap()).stderr(out).status().unwrap().code().unwrap()
    }

    pub(crate) fn state(&self) -> Value {
        let output = self.call(&["state", "ID"]);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let output = self.call(&["delete", "--force", "ID"]);
        assert!(output.status.success() || std::thread::panicking(), "{output:?}");
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) use need_containers;
