//! `corten server` in namespaces of a test's own.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use corten_tests_harness::{NamespaceOptions, TempCgroup, in_new_namespaces, mounted_hierarchies};
use rustix::mount::{MountFlags, mount, mount_bind};

use crate::footprint::Footprint;
use crate::{bin_dir, demo_image, owns_machine};

/// The node's address: on a bridge that leads nowhere.
const NODE_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
const KUBECONFIG: &str = "/etc/corten/kubeconfig";

/// Few, so that a test reaches the limit soon.
pub const POD_PIDS_MAX: u32 = 128;

/// How much longer things take where the machine is emulated.
const VM_FACTOR: u32 = 10;

/// A cluster of one node that runs.
#[derive(Debug)]
pub struct Cluster {
    binaries: PathBuf,
    config: PathBuf,
    log: PathBuf,
    server: Option<Child>,
    cgroup: Option<TempCgroup>,
    before: Footprint,
    _folder: tempfile::TempDir,
}

/// Runs `test` on a cluster with the demo image, and takes the cluster down however it ends.
///
/// # Panics
/// When the cluster can't be had or the test fails; with the end of the server's log.
#[expect(clippy::panic, reason = "this is how a test fails")]
pub fn with_cluster(test: impl FnOnce(&mut Cluster) -> Result<()> + Send) {
    // Refused only when it was installed before, by another test of this process.
    rustls::crypto::ring::default_provider().install_default().unwrap_or_default();
    let run = || {
        let mut cluster = match Cluster::start() {
            Ok(cluster) => cluster,
            Err(error) => panic!("no cluster: {error:?}"),
        };
        let outcome = test(&mut cluster);
        let log = cluster.log_tail();
        let reset = cluster.reset();
        if let Err(error) = outcome {
            panic!("{error:?}\n--- the server's log ends:\n{log}");
        }
        if let Err(error) = reset {
            panic!("the cluster was not taken down: {error:?}\n--- the server's log ended:\n{log}");
        }
    };
    if owns_machine() {
        run();
    } else {
        in_new_namespaces(NamespaceOptions { net: true, cgroup: false }, run);
    }
}

impl Cluster {
    fn start() -> Result<Self> {
        let binaries = bin_dir().context("the binaries are built")?;
        let folder = tempfile::Builder::new().prefix("corten-e2e-").tempdir()?;
        let cgroup = if owns_machine() { None } else { Some(TempCgroup::new("corten-e2e")?) };
        if !owns_machine() {
            make_own_folders(folder.path())?;
        }
        make_network()?;
        let config = folder.path().join("config.yaml");
        let cgroup_root = &cgroup_root(cgroup.as_ref());
        let text = format!(
            "nodeName: node-1\nnodeIp: {NODE_IP}\nkubelet:\n  cgroupRoot: {cgroup_root}\n  \
             podPidsLimit: {POD_PIDS_MAX}\n"
        );
        std::fs::write(&config, text)?;
        let log = folder.path().join("server.log");
        let before = Footprint::take(&cgroups(cgroup_root)?)?;
        let mut cluster =
            Self { binaries, config, log, server: None, cgroup, before, _folder: folder };
        let image = demo_image().context("the demo image is built")?;
        cluster.corten(&["image", "import", &image.to_string_lossy()])?;
        cluster.start_server()?;
        Ok(cluster)
    }

    /// Starts the server and waits until its node is Ready.
    ///
    /// # Errors
    /// When it ends early or the node does not become Ready.
    pub fn start_server(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(self.binaries.join("corten"))
            .args(["server", "--config"])
            .arg(&self.config)
            .env("CORTEN_LOG", "debug,h2=info,hyper=info,rustls=info,tower=info,kube=info")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.server = Some(child);
        let limit = if owns_machine() { "300" } else { "60" };
        self.corten(&["status", "--wait", "--timeout-seconds", limit])
            .map(drop)
            .with_context(|| format!("the server's log ends:\n{}", self.log_tail()))
    }

    /// Kills the server as a crash would.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub fn kill_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server runs")?;
        ensure!(server.try_wait()?.is_none(), "the server had ended");
        server.kill()?;
        server.wait()?;
        Ok(())
    }

    /// The server's pid.
    ///
    /// # Errors
    /// When it does not run.
    pub fn server_pid(&self) -> Result<u32> {
        Ok(self.server.as_ref().context("the server runs")?.id())
    }

    /// Asks the server to stop and waits until it has.
    ///
    /// # Errors
    /// When it ends with an error.
    pub fn stop_server(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server runs")?;
        let pid = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = server.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Runs `corten` with this cluster's settings; returns its standard output.
    ///
    /// # Errors
    /// When it fails: with what it said.
    pub fn corten(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.binaries.join("corten"))
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "corten {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A call of `corten` that is yet to be made; nothing is added to its arguments.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.join("corten"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        Path::new(KUBECONFIG)
    }

    /// The node's address.
    #[must_use]
    pub fn node_ip(&self) -> IpAddr {
        NODE_IP
    }

    /// The end of the server's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Runs `work` with a client of the administrator, in this thread: it is the one that is in
    /// the cluster's network.
    ///
    /// # Errors
    /// What `work` returns.
    pub fn with_client<T>(&self, work: impl AsyncFnOnce(kube::Client) -> Result<T>) -> Result<T> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let client = corten_client::connect_kubeconfig(self.kubeconfig()).await?;
            work(client).await
        })
    }

    /// Tries until `attempt` gives a value.
    ///
    /// # Errors
    /// After `seconds` (ten times as many where the machine is emulated): what the last attempt
    /// said.
    pub fn eventually<T>(
        &self,
        what: &str,
        seconds: u32,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let factor = if owns_machine() { VM_FACTOR } else { 1 };
        let end = Instant::now() + Duration::from_secs((seconds * factor).into());
        loop {
            let outcome = attempt();
            match outcome {
                Ok(Some(value)) => return Ok(value),
                Ok(None) | Err(_) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Ok(None) => bail!("{what}: not within {seconds} s"),
                Err(error) => return Err(error.context(format!("{what}: not within {seconds} s"))),
            }
        }
    }

    fn reset(mut self) -> Result<()> {
        let outcome = self.corten(&["reset", "--purge"]).map(drop);
        if let Some(mut server) = self.server.take() {
            // `reset` has stopped it; otherwise it must not outlive the test.
            server.kill().unwrap_or_default();
            server.wait()?;
        }
        let after = Footprint::take(&cgroups(&cgroup_root(self.cgroup.as_ref()))?)?;
        drop(self.cgroup.take());
        outcome.and_then(|()| self.before.ensure_same(&after))
    }
}

/// The cgroup below which the cluster's are made.
fn cgroup_root(own: Option<&TempCgroup>) -> String {
    own.map_or_else(|| "/".to_owned(), TempCgroup::path)
}

/// Where it is, in every hierarchy.
fn cgroups(root: &str) -> Result<Vec<PathBuf>> {
    let mounted = mounted_hierarchies().context("find the cgroup hierarchies")?;
    Ok(mounted.iter().map(|mount| mount.join(root.trim_start_matches('/'))).collect())
}

/// Fresh `/run`, data, settings and logs, below one folder.
fn make_own_folders(folder: &Path) -> Result<()> {
    let options = Some(c"mode=755");
    mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), options).context("mount /run")?;
    for target in ["/var/lib/corten", "/etc/corten", "/var/log/pods"] {
        let own = folder.join(target.trim_start_matches('/').replace('/', "-"));
        std::fs::create_dir(&own)?;
        std::fs::create_dir_all(target)?;
        mount_bind(&own, target).with_context(|| format!("mount {target}"))?;
    }
    Ok(())
}

/// A bridge without ports gives the node an address that pods can reach.
fn make_network() -> Result<()> {
    let exists = Path::new("/sys/class/net/lan0").exists() && owns_machine();
    if exists {
        return Ok(());
    }
    let address = format!("{NODE_IP}/24");
    for arguments in [
        &["link", "add", "lan0", "type", "bridge"][..],
        &["address", "add", &address, "dev", "lan0"],
        &["link", "set", "lan0", "up"],
        // A process of the node reaches a Service's address only if some route covers it.
        &["route", "add", "default", "dev", "lan0"],
    ] {
        let output = Command::new("ip").args(arguments).output().context("start ip")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip {}: {said}", arguments.join(" "));
    }
    Ok(())
}
