//! A machine that is not there: shims, network, images and cgroups in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use corten_api_cri::v1::LinuxContainerResources;
use corten_runtime_streaming::Urls;
use corten_task::Tasks;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, mpsc};

use crate::cgroups::{CgroupFailure, CgroupUsage, Cgroups};
use crate::clock::{Clock, Ids};
use crate::config::Config;
use crate::host::Host;
use crate::images::{Credentials, DiskUsage, ImageDefaults, ImageFailure, ImageInfo, Images};
use crate::network::{Attachment, Network, NetworkError};
use crate::service::{Parts, Service};
use crate::shim::{
    Connection, ContainerReport, Exited, FaultCode, NewContainer, SandboxPlan, Shim, ShimError,
    ShimEvent, Shims,
};
use crate::store::Store;

/// What there is on the machine, and how it misbehaves.
#[derive(Debug, Default)]
pub(super) struct World {
    /// By folder.
    pub(super) shims: BTreeMap<PathBuf, FakeShimState>,
    pub(super) shims_started: usize,
    pub(super) attached: BTreeSet<String>,
    pub(super) network_calls: Vec<String>,
    pub(super) network_fails: bool,
    pub(super) mounted: BTreeSet<String>,
    pub(super) destroyed_cgroups: Vec<String>,
    pub(super) create_fails: bool,
    pub(super) no_program: bool,
    pub(super) start_fails: bool,
    /// A process that was started ends at once, and word of it comes before the answer.
    pub(super) ends_at_once: bool,
    /// Processes go on after SIGTERM.
    pub(super) stubborn: bool,
    pub(super) signals: Vec<i32>,
    /// An attached client misses output.
    pub(super) slow_client: bool,
    pub(super) recorded_exits: BTreeMap<String, Exited>,
}

#[derive(Debug)]
pub(super) struct FakeShimState {
    pub(super) containers: BTreeMap<String, ContainerReport>,
    events: Option<mpsc::Sender<ShimEvent>>,
}

impl World {
    pub(super) fn exited(code: i32, oom_killed: bool) -> Exited {
        Exited { code, at_ns: 1_000_000, oom_killed, timed_out: false }
    }

    /// Ends a container's process.
    pub(super) fn end(&mut self, container_id: &str, exited: Exited) {
        for shim in self.shims.values_mut() {
            let Some(container) = shim.containers.get_mut(container_id) else { continue };
            if container.exited.is_some() {
                return;
            }
            container.exited = Some(exited);
            container.pid = None;
            let event = ShimEvent::Exit { container_id: container_id.to_owned(), exited };
            if let Some(events) = &shim.events {
                events.try_send(event).expect("the queue is long enough for a test");
            }
        }
    }

    /// The service that speaks to the shims is killed.
    pub(super) fn hang_up(&mut self) {
        for shim in self.shims.values_mut() {
            shim.events = None;
        }
    }

    /// A shim is killed.
    pub(super) fn kill_shims(&mut self) {
        self.shims.clear();
    }
}

/// The machine, with a gate that shims wait at while they start.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    world: Arc<Mutex<World>>,
    pub(super) gate: Arc<Semaphore>,
    ids: Arc<AtomicU64>,
    pub(super) dir: Arc<tempfile::TempDir>,
}

impl Machine {
    pub(super) fn new() -> Self {
        Self {
            world: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            ids: Arc::default(),
            dir: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub(super) fn config(&self) -> Config {
        Config {
            root: self.dir.path().join("lib"),
            run_dir: self.dir.path().join("run"),
            socket: self.dir.path().join("cri.sock"),
            ..Config::default()
        }
    }

    /// A service on this machine, as a process of its own would be: it knows what is on disk.
    pub(super) fn service(&self, tasks: &Tasks) -> Arc<Service> {
        let config = self.config();
        let store = Store::open(&config.root).unwrap();
        let host = Host { selinux: false, last_capability: 40, oom_score_adj_min: -1000 };
        let parts = Parts {
            shims: Arc::new(self.clone()),
            network: Arc::new(self.clone()),
            images: Arc::new(self.clone()),
            cgroups: Arc::new(self.clone()),
            clock: Arc::new(TickingClock(AtomicI64::new(1_000))),
            ids: Arc::new(self.clone()),
        };
        let urls = Urls::new(([127, 0, 0, 1], 1).into());
        Service::new(config, host, parts, store, urls, tasks.clone())
    }
}

/// Later at each look.
#[derive(Debug)]
struct TickingClock(AtomicI64);

impl Clock for TickingClock {
    fn now_ns(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Ids for Machine {
    fn next(&self) -> String {
        // The first digits differ, as those of true ids do.
        let number = self.ids.fetch_add(1, Ordering::Relaxed) + 1;
        format!("{number:08x}{}", "0".repeat(56))
    }
}

impl Network for Machine {
    fn add(&self, attachment: &Attachment) -> Result<Vec<IpAddr>, NetworkError> {
        let mut world = self.world();
        world.network_calls.push(format!("add {}", attachment.pod_name));
        // Half of the work is done before it fails.
        world.attached.insert(attachment.sandbox_id.clone());
        if world.network_fails {
            return Err(NetworkError { what: "no address is free".to_owned(), source: None });
        }
        Ok(vec!["10.42.0.7".parse().unwrap()])
    }

    fn remove(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        let mut world = self.world();
        world.network_calls.push(format!("remove {}", attachment.pod_name));
        world.attached.remove(&attachment.sandbox_id);
        Ok(())
    }

    fn collect(&self, sandboxes: &BTreeSet<String>) -> Result<(), NetworkError> {
        self.world().attached.retain(|id| sandboxes.contains(id));
        Ok(())
    }

    fn ready(&self) -> Result<(), NetworkError> {
        Ok(())
    }
}

impl Images for Machine {
    fn resolve(&self, name: &str) -> Result<Option<ImageInfo>, ImageFailure> {
        Ok((name == "web:1").then(|| ImageInfo {
            id: "sha256:1".to_owned(),
            repo_tags: vec!["web:1".to_owned()],
            config: ImageDefaults { user: "web".to_owned(), ..ImageDefaults::default() },
            ..ImageInfo::default()
        }))
    }

    fn list(&self) -> Vec<ImageInfo> {
        Vec::new()
    }

    fn pull(
        &self,
        _reference: String,
        _credentials: Option<Credentials>,
    ) -> BoxFuture<'_, Result<ImageInfo, ImageFailure>> {
        async { Err("no registry".into()) }.boxed()
    }

    fn remove(&self, _name: &str) -> Result<bool, ImageFailure> {
        Ok(false)
    }

    fn usage(&self) -> Result<DiskUsage, ImageFailure> {
        Ok(DiskUsage::default())
    }

    fn mount(&self, _image_id: &str, key: &str, target: &Path) -> Result<(), ImageFailure> {
        std::fs::create_dir(target.join("etc"))?;
        std::fs::write(target.join("etc/passwd"), "web:x:1000:1000::/:\n")?;
        self.world().mounted.insert(key.to_owned());
        Ok(())
    }

    fn release(&self, key: &str, target: &Path) -> Result<(), ImageFailure> {
        if self.world().mounted.remove(key) {
            std::fs::remove_dir_all(target.join("etc"))?;
        }
        Ok(())
    }

    fn written(&self, _key: &str) -> Result<DiskUsage, ImageFailure> {
        Ok(DiskUsage::default())
    }
}

impl Cgroups for Machine {
    fn usage(&self, _path: &str) -> Result<Option<CgroupUsage>, CgroupFailure> {
        Ok(None)
    }

    fn update(&self, _path: &str, _limits: &LinuxContainerResources) -> Result<(), CgroupFailure> {
        Ok(())
    }

    fn destroy(&self, path: &str) -> Result<(), CgroupFailure> {
        self.world().destroyed_cgroups.push(path.to_owned());
        Ok(())
    }
}

impl Shims for Machine {
    fn start(&self, plan: SandboxPlan) -> BoxFuture<'_, Result<Connection, ShimError>> {
        async move {
            self.gate.acquire().await.expect("never closed").forget();
            let state = FakeShimState { containers: BTreeMap::new(), events: None };
            {
                let mut world = self.world();
                world.shims_started += 1;
                world.shims.insert(plan.dir.clone(), state);
            }
            std::fs::create_dir_all(&plan.dir).unwrap();
            self.attach(&plan.dir).await
        }
        .boxed()
    }

    fn attach<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Connection, ShimError>> {
        async move {
            let (sender, events) = mpsc::channel(64);
            let mut world = self.world();
            let Some(shim) = world.shims.get_mut(dir) else {
                let source = std::io::Error::from(std::io::ErrorKind::NotFound);
                return Err(ShimError::Connect { socket: dir.to_owned(), source });
            };
            shim.events = Some(sender);
            let shim = FakeShim { machine: self.clone(), dir: dir.to_owned() };
            Ok(Connection { shim: Arc::new(shim), events })
        }
        .boxed()
    }

    fn recorded_exit(&self, _dir: &Path, container_id: &str) -> Option<Exited> {
        self.world().recorded_exits.get(container_id).copied()
    }
}

/// A conversation with a shim of the machine.
#[derive(Debug)]
struct FakeShim {
    machine: Machine,
    dir: PathBuf,
}

fn fault(code: FaultCode, message: &str) -> ShimError {
    ShimError::Fault {
        code,
        step: "exec".to_owned(),
        object: "/bin/serve".to_owned(),
        message: message.to_owned(),
    }
}

impl FakeShim {
    fn with<T>(
        &self,
        id: &str,
        work: impl FnOnce(&mut ContainerReport) -> Result<T, ShimError>,
    ) -> Result<T, ShimError> {
        let mut world = self.machine.world();
        let shim = world.shims.get_mut(&self.dir).ok_or(ShimError::Lost)?;
        let container = shim.containers.get_mut(id);
        work(container.ok_or_else(|| fault(FaultCode::NotFound, "no such container"))?)
    }
}

impl Shim for FakeShim {
    fn create(&self, container: NewContainer) -> BoxFuture<'_, Result<i32, ShimError>> {
        async move {
            let mut world = self.machine.world();
            if world.no_program {
                let mut error = fault(FaultCode::Invalid, "No such file or directory");
                if let ShimError::Fault { step, .. } = &mut error {
                    *step = "find program".to_owned();
                }
                return Err(error);
            }
            if world.create_fails {
                return Err(fault(FaultCode::Invalid, "not like this"));
            }
            let shim = world.shims.get_mut(&self.dir).ok_or(ShimError::Lost)?;
            let id = container.id.clone();
            let report = ContainerReport { id, pid: Some(42), started_at_ns: None, exited: None };
            shim.containers.insert(container.id, report);
            Ok(42)
        }
        .boxed()
    }

    fn start<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<i64, ShimError>> {
        async move {
            if self.machine.world().start_fails {
                return Err(fault(FaultCode::Invalid, "No such file or directory"));
            }
            self.with(id, |container| {
                container.started_at_ns = Some(500);
                Ok(())
            })?;
            if self.machine.world().ends_at_once {
                self.machine.world().end(id, World::exited(0, false));
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
            }
            Ok(500)
        }
        .boxed()
    }

    fn exec<'a>(
        &'a self,
        id: &'a str,
        _exec_id: &'a str,
        process: serde_json::Value,
        stdio: [OwnedFd; 3],
        _limit: Option<Duration>,
    ) -> BoxFuture<'a, Result<i32, ShimError>> {
        async move {
            self.with(id, |_| Ok(()))?;
            // Says what it was asked to do on standard output.
            let args = process["args"].to_string();
            rustix::io::write(&stdio[1], args.as_bytes()).unwrap();
            Ok(43)
        }
        .boxed()
    }

    fn wait_exec<'a>(
        &'a self,
        id: &'a str,
        _exec_id: &'a str,
    ) -> BoxFuture<'a, Result<Exited, ShimError>> {
        async move { self.with(id, |_| Ok(World::exited(3, false))) }.boxed()
    }

    fn kill<'a>(
        &'a self,
        id: &'a str,
        _exec_id: Option<&'a str>,
        signal: i32,
        _all: bool,
    ) -> BoxFuture<'a, Result<(), ShimError>> {
        async move {
            self.with(id, |_| Ok(()))?;
            let mut world = self.machine.world();
            world.signals.push(signal);
            if signal == 9 || !world.stubborn {
                world.end(id, World::exited(128 + signal, false));
            }
            Ok(())
        }
        .boxed()
    }

    fn state(&self) -> BoxFuture<'_, Result<Vec<ContainerReport>, ShimError>> {
        async move {
            let world = self.machine.world();
            let shim = world.shims.get(&self.dir).ok_or(ShimError::Lost)?;
            Ok(shim.containers.values().cloned().collect())
        }
        .boxed()
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>> {
        async move {
            self.with(id, |_| Ok(()))?;
            let mut world = self.machine.world();
            let shim = world.shims.get_mut(&self.dir).ok_or(ShimError::Lost)?;
            shim.containers.remove(id);
            Ok(())
        }
        .boxed()
    }

    fn reopen_log<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>> {
        async move { self.with(id, |_| Ok(())) }.boxed()
    }

    fn exec_terminal<'a>(
        &'a self,
        id: &'a str,
        _exec_id: &'a str,
        _process: serde_json::Value,
    ) -> BoxFuture<'a, Result<OwnedFd, ShimError>> {
        async move { self.with(id, |_| Err(fault(FaultCode::Invalid, "no terminals here"))) }
            .boxed()
    }

    fn resize<'a>(
        &'a self,
        id: &'a str,
        _exec_id: Option<&'a str>,
        _size: (u16, u16),
    ) -> BoxFuture<'a, Result<(), ShimError>> {
        async move { self.with(id, |_| Err(fault(FaultCode::State, "has no terminal"))) }.boxed()
    }

    fn attach<'a>(
        &'a self,
        id: &'a str,
        stdout: Option<OwnedFd>,
        _stderr: Option<OwnedFd>,
    ) -> BoxFuture<'a, Result<bool, ShimError>> {
        async move {
            self.with(id, |_| Ok(()))?;
            if let Some(stdout) = stdout {
                rustix::io::write(&stdout, b"attached").unwrap();
            }
            Ok(self.machine.world().slow_client)
        }
        .boxed()
    }

    fn open_stdin<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<OwnedFd, ShimError>> {
        async move { self.with(id, |_| Err(fault(FaultCode::State, "has no input"))) }.boxed()
    }

    fn close_stdin<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), ShimError>> {
        async move { self.with(id, |_| Ok(())) }.boxed()
    }

    fn shutdown(&self) -> BoxFuture<'_, Result<(), ShimError>> {
        async move {
            self.machine.world().shims.remove(&self.dir);
            Ok(())
        }
        .boxed()
    }
}

/// Waits until `condition` holds; a test that waits in vain fails by its runner's time limit in
/// real time, or at once where time is paused.
pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the condition came to hold");
}
