//! The service in namespaces of a test's own, and what it may leave behind.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use corten_api_cri::v1::runtime_service_client::RuntimeServiceClient;
use corten_runtime_cri::{Cni, Config};
use corten_runtime_image::{ImageStore, Source};
use corten_task::Tasks;
use corten_tests_harness::{NamespaceOptions, TempCgroup, in_new_namespaces, is_root, skip};
use serde_json::json;
use tonic::transport::Channel;

use super::image;

/// Longer than anything takes on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Lab {
    dir: tempfile::TempDir,
    /// Kills what is left in it when it is dropped: shims outlive a test that fails.
    cgroup: TempCgroup,
    config: Config,
    images: ImageStore,
    tasks: RefCell<Tasks>,
}

impl Lab {
    /// Runs a test with a service; counted as skipped where the machine cannot.
    pub(crate) fn run(test: impl AsyncFnOnce(&Lab) + Send) {
        let Some(binaries) = binaries() else { return };
        in_new_namespaces(NamespaceOptions::default(), || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let lab = Lab::new(&binaries);
                lab.start_service();
                test(&lab).await;
                lab.drop_service().await;
            });
        });
    }

    fn new(binaries: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let plugins = path("plugins");
        fs::create_dir(&plugins).unwrap();
        for plugin in ["bridge", "host-local", "loopback", "portmap"] {
            symlink(binaries.join("corten-cni"), plugins.join(plugin)).unwrap();
        }
        fs::create_dir(path("net.d")).unwrap();
        let network = json!({
            "cniVersion": "1.1.0",
            "name": "lab",
            "plugins": [{
                "type": "bridge",
                "bridge": "lab0",
                "isGateway": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": path("addresses"),
                    "ranges": [[{ "subnet": "10.99.0.0/24" }]],
                },
            }],
        });
        fs::write(path("net.d/10-lab.conflist"), network.to_string()).unwrap();
        // Tests of one process run side by side.
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let cgroup = TempCgroup::new(&format!("cri-pod-{number}")).unwrap();
        let images = ImageStore::open(&path("images"), Default::default()).unwrap();
        image::write(&path("layout"));
        images.import(&Source::OciLayout(path("layout")), None).unwrap();
        let config = Config {
            socket: path("cri.sock"),
            root: path("lib"),
            run_dir: path("run"),
            shim_binary: binaries.join("corten-run"),
            cgroup_root: cgroup.path(),
            cni: Cni {
                conf_dir: path("net.d"),
                bin_dirs: vec![plugins],
                cache_dir: path("cni-cache"),
                timeout_seconds: 60,
            },
            ..Config::default()
        };
        Self { dir, cgroup, config, images, tasks: RefCell::new(Tasks::new()) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The cgroup that pods go below.
    pub(crate) fn cgroup(&self) -> String {
        format!("{}/pod", self.cgroup.path())
    }

    pub(crate) fn start_service(&self) {
        let tasks = Tasks::new();
        *self.tasks.borrow_mut() = tasks.clone();
        let (config, images) = (self.config.clone(), self.images.clone());
        let owner = tasks.clone();
        tasks.spawn("service", async move {
            corten_runtime_cri::serve(config, images, owner).await.unwrap();
        });
    }

    /// Ends the service at once: its tasks are dropped wherever they are.
    pub(crate) async fn drop_service(&self) {
        let tasks = self.tasks.borrow().clone();
        tasks.shutdown(PATIENCE).await.unwrap();
    }

    pub(crate) async fn client(&self) -> RuntimeServiceClient<Channel> {
        let channel = eventually("the service answers", async || {
            corten_api_cri::connect(&self.config.socket).await.ok()
        });
        RuntimeServiceClient::new(channel.await)
    }

    /// Writes an empty file into a running container's root file system.
    pub(crate) fn write_into(&self, container: &str, path: &str) {
        let rootfs = self.config.run_dir.join("containers").join(container).join("rootfs");
        fs::write(rootfs.join(path), b"").unwrap();
    }

    /// Kills the shim of a sandbox: it is in a cgroup of its own.
    pub(crate) fn kill_shim(&self, sandbox: &str) {
        let name = format!("{}/shim-{sandbox}/cgroup.procs", self.cgroup());
        let procs = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"]
            .iter()
            .find_map(|mount| fs::read_to_string(format!("{mount}{name}")).ok())
            .unwrap();
        for pid in procs.lines() {
            let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }

    pub(crate) async fn wait_for_recorded_exit(&self, sandbox: &str, container: &str) {
        let exits = self.config.run_dir.join("shim").join(sandbox).join("exits");
        eventually("the shim records the exit", async || {
            exits.join(container).exists().then_some(())
        })
        .await;
    }

    /// What pods leave behind if they leave anything: mounts, links, cgroups and files of theirs.
    pub(crate) fn traces(&self) -> Vec<String> {
        let dir = self.dir.path().display().to_string();
        let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let mut traces: Vec<_> =
            mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned).collect();
        let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let names = links.lines().skip(2).filter_map(|line| line.split_once(':'));
        // The bridge stays for the next pod.
        let names = names.map(|(name, _)| name.trim()).filter(|name| *name != "lab0");
        traces.extend(names.map(|name| format!("link {name}")));
        for folder in ["run/shim", "run/ns", "run/sandboxes", "run/containers", "run/state", "lib"]
        {
            traces.extend(files(&self.path(folder)));
        }
        traces.extend(files(&self.path("images/snapshots")));
        let addresses = files(&self.path("addresses"));
        traces.extend(addresses.into_iter().filter(|file| file.contains("/10.")));
        for cgroup in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"] {
            let pods = format!("{cgroup}{}", self.cgroup());
            traces.extend(folders(Path::new(&pods)));
        }
        traces.sort();
        traces
    }
}

/// Below `dir`, but for the service's own lock.
fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.ends_with("lock") {
            found.push(path.display().to_string());
        }
    }
    found
}

/// In `dir`: of a pod's cgroup, its containers' and its shim's.
fn folders(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).map(|path| path.display().to_string()).collect()
}

/// Where the project's programs are; nothing, and a counted skip, where the test cannot run.
fn binaries() -> Option<PathBuf> {
    if !is_root() {
        skip("namespaces, mounts and cgroups need root");
        return None;
    }
    if !Path::new(image::BUSYBOX).exists() {
        skip("no /bin/busybox (Debian package busybox-static)");
        return None;
    }
    // target/<profile>/deps/<this test>
    let test = std::env::current_exe().unwrap();
    let dir = test.parent().and_then(Path::parent).unwrap().to_owned();
    if !["corten-run", "corten-cni"].iter().all(|name| dir.join(name).exists()) {
        skip("corten-run and corten-cni are not built: cargo build -p corten-run -p corten-cni");
        return None;
    }
    Some(dir)
}

/// Asks until there is an answer.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_elapsed| panic!("waited in vain until {what}"))
}
