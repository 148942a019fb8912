//! A world for one engine.

use std::cell::RefCell;
use std::io::BufRead as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The runtime under test.
pub(crate) const RUNTIME: &str = env!("CARGO_BIN_EXE_corten-run");
const BUSYBOX: &str = "/bin/busybox";
/// How long an engine may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first process of the lab: makes the mounts, says so, and waits for the end of its input,
/// which is the end of the test. With it all processes of its pid namespace end.
const INIT: &str = "set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/containers 2>/dev/null || true
echo '{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}' > /etc/containers/policy.json || true
mkdir /run/lab
mount -t tmpfs tmpfs /run/lab
cd /run/lab
mkdir -p rootfs/bin rootfs/dev rootfs/etc rootfs/proc rootfs/sys rootfs/tmp
cp /bin/busybox rootfs/bin/busybox
for applet in sh sleep echo tty cat; do ln -s busybox rootfs/bin/$applet; done
echo root:x:0:0::/:/bin/sh > rootfs/etc/passwd
tar -C rootfs -cf rootfs.tar .
echo ready
read -r forever || true";

/// Whether a program can be called.
pub(crate) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
        && Path::new(BUSYBOX).is_file()
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A pid and a mount namespace whose /run is its own.
pub(crate) struct Lab {
    init: RefCell<Child>,
    /// The lab's first process, as this process counts.
    first: String,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let mut init = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "private", "sh", "-c", INIT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        std::io::BufReader::new(init.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        let pid = init.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        Self { init: RefCell::new(init), first: children.trim().to_owned() }
    }

    /// The folder that all is kept in, inside the lab.
    pub(crate) fn dir(&self) -> &'static str {
        "/run/lab"
    }

    pub(crate) fn rootfs(&self) -> String {
        format!("{}/rootfs", self.dir())
    }

    pub(crate) fn rootfs_tar(&self) -> String {
        format!("{}/rootfs.tar", self.dir())
    }

    /// Writes a file in the lab's folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let script = format!("printf '%s' \"$1\" > {}/{name}", self.dir());
        let outcome = self.call(&["sh", "-c", &script, "sh", text]);
        assert_eq!(outcome.status, 0, "{outcome:?}");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--"]).args(words);
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// Runs a command in the lab.
    pub(crate) fn call(&self, words: &[&str]) -> Outcome {
        // Files, not pipes: what an engine leaves running would keep a pipe open for ever.
        let [mut stdout, mut stderr] = [(); 2].map(|()| tempfile::tempfile().unwrap());
        let status = self
            .command(words)
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap())
            .status()
            .unwrap();
        let read = |file: &mut std::fs::File| {
            use std::io::{Read as _, Seek as _};
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        Outcome {
            status: status.code().unwrap_or(-1),
            stdout: read(&mut stdout),
            stderr: read(&mut stderr),
        }
    }

    /// Starts a daemon in the lab; it ends with the lab.
    pub(crate) fn spawn(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn until(&self, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "nothing happened for {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let init = self.init.get_mut();
        drop(init.stdin.take());
        init.wait().unwrap();
    }
}
