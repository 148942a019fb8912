//! Starting shims: `corten-run shim --dir …`, which puts itself in the background when it listens.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use corten_runtime_shim::protocol::{
    self, Namespaces, PidNamespace, PodNamespace, SandboxSpec, Startup,
};
use corten_task::Tasks;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::{Connection, Exited, PidSharing, SandboxPlan, Sharing, ShimError, Shims, client};

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// What a shim says when it is ready, or cannot be.
const STARTUP_BYTES_MAX: u64 = 64 * 1024;
/// As Docker has it.
const SHM_BYTES: u64 = 64 << 20;

/// Shims that are processes of this machine.
#[derive(Debug)]
pub(crate) struct ProcessShims {
    binary: PathBuf,
    state_dir: PathBuf,
    tasks: Tasks,
}

impl ProcessShims {
    /// `state_dir` is where the containers' state is kept, as by `corten-run --root`.
    pub(crate) fn new(binary: PathBuf, state_dir: PathBuf, tasks: Tasks) -> Self {
        Self { binary, state_dir, tasks }
    }

    async fn start(&self, plan: SandboxPlan) -> Result<Connection, ShimError> {
        let failed = |what: String| ShimError::Spawn { what };
        let dir = plan.dir.clone();
        let spec = self.spec(plan);
        let bytes = serde_json::to_vec(&spec).map_err(|error| failed(error.to_string()))?;
        let folder = dir.clone();
        let written = tokio::task::spawn_blocking(move || prepare(&folder, &bytes)).await;
        written
            .map_err(|error| failed(error.to_string()))?
            .map_err(|error| failed(format!("prepare {}: {error}", dir.display())))?;
        let mut child = Command::new(&self.binary)
            .arg("shim")
            .arg("--dir")
            .arg(&dir)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("run {}: {error}", self.binary.display())))?;
        let mut said = Vec::new();
        let hear = async {
            if let Some(stdout) = child.stdout.take() {
                stdout.take(STARTUP_BYTES_MAX).read_to_end(&mut said).await?;
            }
            child.wait().await
        };
        let status = match tokio::time::timeout(START_TIMEOUT, hear).await {
            Ok(status) => status.map_err(|error| failed(error.to_string()))?,
            Err(_elapsed) => {
                return Err(ShimError::Timeout { seconds: START_TIMEOUT.as_secs() });
            }
        };
        match serde_json::from_slice::<Startup>(&said) {
            Ok(Startup::Ready(_)) => {}
            Ok(Startup::Failed(fault)) => return Err(fault.into()),
            Err(_silence) => {
                let said = String::from_utf8_lossy(&said);
                return Err(failed(format!(
                    "{} ended ({status}) and said {said:?}",
                    self.binary.display()
                )));
            }
        }
        client::connect(dir.join(protocol::SOCKET), &self.tasks).await
    }

    fn spec(&self, plan: SandboxPlan) -> SandboxSpec {
        let shared = |sharing: Sharing| match sharing {
            Sharing::Pod => PodNamespace::Pod,
            Sharing::Host => PodNamespace::Host,
        };
        SandboxSpec {
            v: protocol::VERSION,
            sandbox_id: plan.sandbox_id,
            hostname: plan.hostname,
            namespaces: Namespaces {
                net: shared(plan.net),
                ipc: shared(plan.ipc),
                uts: shared(plan.uts),
                pid: match plan.pid {
                    PidSharing::Pod => PidNamespace::Pod,
                    PidSharing::Container => PidNamespace::Container,
                    PidSharing::Host => PidNamespace::Host,
                },
            },
            ns_dir: plan.namespace_dir,
            sysctls: plan.sysctls.into_iter().collect(),
            shm_size_bytes: (plan.ipc == Sharing::Pod).then_some(SHM_BYTES),
            cgroup_parent: plan.cgroup_parent,
            state_dir: self.state_dir.clone(),
        }
    }
}

/// Makes the shim's folder, root's alone, and writes down what it is to do.
fn prepare(dir: &Path, spec: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(dir.join(protocol::SANDBOX_SPEC))?.write_all(spec)
}

impl Shims for ProcessShims {
    fn start(&self, plan: SandboxPlan) -> BoxFuture<'_, Result<Connection, ShimError>> {
        self.start(plan).boxed()
    }

    fn attach<'a>(&'a self, dir: &'a Path) -> BoxFuture<'a, Result<Connection, ShimError>> {
        client::connect(dir.join(protocol::SOCKET), &self.tasks).boxed()
    }

    fn recorded_exit(&self, dir: &Path, container_id: &str) -> Option<Exited> {
        client::recorded_exit(dir, container_id)
    }
}
