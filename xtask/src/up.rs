//! `cargo xtask up`: from a fresh clone to a page served by a pod.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use corten_host::Verdict;

use crate::cargo;
use crate::demo_image;
use crate::privilege::as_root;
use crate::say;

/// Options of `up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Settings for `corten server`, instead of /etc/corten/config.yaml
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

/// Where examples/web.yaml is reached on a node.
const PAGE_PORT: u16 = 30080;
const KUBECONFIG: &str = "/etc/corten/kubeconfig";
const READY_MAX: &str = "120";
const PAGE_MAX: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &Options) -> Result<()> {
    let installed = cargo::release_dir().join("corten");
    if installed.exists() && status(&installed, &["--quiet"])? {
        say::line("Corten is up already; nothing was changed. To start what was built since:");
        say::line("  cargo xtask down && cargo xtask up");
        return summary(&installed);
    }
    say::step("checking this machine");
    check_host()?;
    say::step("building (release)");
    let corten = cargo::build_release()?.join("corten");
    let image = demo_image::build()?;
    say::step("importing the demo image");
    let mut import = as_root(&corten);
    cargo::run(import.args(["image", "import"]).arg(&image))?;
    say::step("starting corten server");
    let started = Instant::now();
    let mut server = start(&corten, options.config.as_deref())?;
    wait_until_ready(&corten, &mut server)?;
    say::line(&format!("the node is Ready after {:.1} s", started.elapsed().as_secs_f64()));
    say::step("applying examples/web.yaml");
    let example = cargo::root().join("examples/web.yaml");
    cargo::run(as_root(&corten).arg("apply").arg("--wait").arg(&example))?;
    say::step("fetching the page through the NodePort");
    say::line(fetch(page(&corten)?)?.trim_end());
    summary(&corten)
}

fn check_host() -> Result<()> {
    let mut missing = Vec::new();
    for finding in corten_host::check() {
        let (need, found) = (finding.need, &finding.found);
        match finding.verdict {
            Verdict::Met => say::line(&format!("  {need}: {found}")),
            Verdict::Limited { consequence, fix } => {
                say::line(&format!("  {need}: {found}; without it {consequence}; {fix}"));
            }
            // sudo gives it.
            Verdict::Missing { .. } if need == "root" => {
                say::line("  root: through sudo, which may ask for your password");
            }
            Verdict::Missing { fix } => missing.push(format!("{need}: {found}; {fix}")),
        }
    }
    ensure!(missing.is_empty(), "this machine cannot be a node:\n  {}", missing.join("\n  "));
    Ok(())
}

fn start(corten: &Path, config: Option<&Path>) -> Result<Child> {
    let log = log();
    let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut command = as_root(corten);
    command.arg("server").stdin(Stdio::null()).process_group(0);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.stdout(file.try_clone().context("share the log")?).stderr(file);
    command.spawn().context("start corten server")
}

fn log() -> std::path::PathBuf {
    cargo::target_dir().join("server.log")
}

fn wait_until_ready(corten: &Path, server: &mut Child) -> Result<()> {
    let mut wait = as_root(corten);
    wait.args(["status", "--wait", "--timeout-seconds", READY_MAX]);
    let mut wait = wait.spawn().context("start corten status")?;
    loop {
        if let Some(status) = wait.try_wait().context("wait for corten status")? {
            ensure!(
                status.success(),
                "the node did not become Ready; see {}\n{}",
                log().display(),
                tail()
            );
            return Ok(());
        }
        if let Some(status) = server.try_wait().context("wait for corten server")? {
            wait.kill().context("stop corten status")?;
            wait.wait().context("stop corten status")?;
            bail!("corten server ended ({status}); see {}\n{}", log().display(), tail());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The end of the server's log: most likely the reason is there.
fn tail() -> String {
    let text = std::fs::read_to_string(log()).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// NodePorts answer at the node's address.
fn page(corten: &Path) -> Result<SocketAddr> {
    let output = as_root(corten).args(["status", "--address"]).output();
    let output = output.with_context(|| format!("start {}", corten.display()))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "corten status --address: {error}");
    let address: IpAddr = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    Ok(SocketAddr::from((address, PAGE_PORT)))
}

fn fetch(address: SocketAddr) -> Result<String> {
    let end = Instant::now() + PAGE_MAX;
    loop {
        match get(address) {
            Ok(page) => return Ok(page),
            Err(error) if Instant::now() > end => {
                return Err(error.context(format!("fetch http://{address}/")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn get(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    ensure!(head.contains(" 200 "), "{}", head.lines().next().unwrap_or_default());
    Ok(body.to_owned())
}

fn status(corten: &Path, arguments: &[&str]) -> Result<bool> {
    let mut command = as_root(corten);
    command.arg("status").args(arguments);
    let status = command.status().with_context(|| format!("start {}", corten.display()))?;
    Ok(status.success())
}

fn summary(corten: &Path) -> Result<()> {
    say::line("");
    ensure!(status(corten, &[])?, "corten status failed");
    say::line("");
    say::line(&format!("page:        http://{}/", page(corten)?));
    say::line(&format!("kubeconfig:  {KUBECONFIG}"));
    say::line(&format!("log:         {}", log().display()));
    say::line(&format!("try:         kubectl --kubeconfig {KUBECONFIG} get pods -o wide"));
    Ok(())
}
