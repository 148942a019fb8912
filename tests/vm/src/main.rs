//! Pid 1 of a test's virtual machine: sets the machine up, runs one command, tells how it ended.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::chroot;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use corten_vm_agent::{FRAME_BYTES_MAX, Frame, PAYLOAD, PORT, Request};
use rustix::mount::{MountFlags, mount, mount_move};
use rustix::process::WaitOptions;

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Devices appear a little after their drivers are loaded.
const DEVICE_MAX: Duration = Duration::from_secs(30);

fn main() -> ! {
    if let Err(error) = set_up().and_then(|port| serve(&port)) {
        writeln!(std::io::stderr(), "agent: {error:#}").unwrap_or_default();
    }
    // The kernel panics when pid 1 ends. QEMU is told to end where a machine would start anew.
    rustix::fs::sync();
    rustix::system::reboot(rustix::system::RebootCommand::Restart).unwrap_or_default();
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// From the initial RAM disk to the root file system, with everything mounted.
fn set_up() -> Result<PathBuf> {
    mount_new("devtmpfs", "/dev", "")?;
    for module in fs::read_to_string("/modules/order").context("/modules/order")?.lines() {
        load(module)?;
    }
    wait_for(Path::new("/dev/vda"))?;
    mount("/dev/vda", "/root", "ext4", MountFlags::empty(), Some(c"")).context("mount /dev/vda")?;
    mount_move("/dev", "/root/dev").context("move /dev")?;
    std::env::set_current_dir("/root").context("enter /root")?;
    mount_move("/root", "/").context("move the root")?;
    chroot(".").context("enter the root")?;
    std::env::set_current_dir("/").context("enter /")?;

    mount_new("proc", "/proc", "")?;
    mount_new("sysfs", "/sys", "")?;
    mount_new("cgroup2", "/sys/fs/cgroup", "")?;
    mount_new("tmpfs", "/run", "mode=755")?;
    mount_new("tmpfs", "/tmp", "")?;
    make_and_mount("devpts", "/dev/pts", "ptmxmode=0666")?;
    make_and_mount("tmpfs", "/dev/shm", "")?;
    fs::create_dir_all(PAYLOAD).context(PAYLOAD)?;
    wait_for(Path::new("/dev/vdb"))?;
    mount("/dev/vdb", PAYLOAD, "squashfs", MountFlags::RDONLY, Some(c""))
        .context("mount the payload")?;
    rustix::system::sethostname(b"vm").context("set the hostname")?;
    run("ip", &["link", "set", "lo", "up"])?;
    find_port()
}

fn mount_new(kind: &str, target: &str, options: &str) -> Result<()> {
    let options = std::ffi::CString::new(options)?;
    mount(kind, target, kind, MountFlags::empty(), Some(options.as_c_str()))
        .with_context(|| format!("mount {target}"))
}

fn make_and_mount(kind: &str, target: &str, options: &str) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("create {target}"))?;
    mount_new(kind, target, options)
}

fn load(module: &str) -> Result<()> {
    let file = File::open(format!("/modules/{module}")).with_context(|| module.to_owned())?;
    let no_parameters: &CStr = c"";
    match rustix::system::finit_module(&file, no_parameters, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("load {module}")),
    }
}

fn wait_for(path: &Path) -> Result<()> {
    let end = Instant::now() + DEVICE_MAX;
    while !path.exists() {
        if Instant::now() > end {
            bail!("{} did not appear", path.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program).args(arguments).env("PATH", PATH).status();
    let status = status.with_context(|| format!("start {program}"))?;
    if !status.success() {
        bail!("{program} {}: {status}", arguments.join(" "));
    }
    Ok(())
}

/// Ports have their names in sysfs; udev, which would link them, does not run here.
fn find_port() -> Result<PathBuf> {
    let end = Instant::now() + DEVICE_MAX;
    loop {
        for entry in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim() == PORT {
                return Ok(Path::new("/dev").join(entry.file_name()));
            }
        }
        if Instant::now() > end {
            bail!("the port {PORT} did not appear");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn serve(port: &Path) -> Result<()> {
    // A port can be opened once only.
    let file = File::options().read(true).write(true).open(port).context("open the port")?;
    let mut line = String::new();
    BufReader::new(&file).read_line(&mut line).context("read the request")?;
    let request: Request = serde_json::from_str(&line).context("understand the request")?;
    let time = rustix::time::Timespec { tv_sec: request.time, tv_nsec: 0 };
    rustix::time::clock_settime(rustix::time::ClockId::Realtime, time).context("set the clock")?;
    let port = Arc::new(Mutex::new(file));
    let last = match execute(&request, &port) {
        Ok(code) => Frame::Exit(code),
        Err(error) => Frame::Failed(format!("{error:#}")),
    };
    let mut port = port.lock().unwrap_or_else(PoisonError::into_inner);
    last.write(&mut *port).context("tell the end")
}

fn execute(request: &Request, port: &Arc<Mutex<File>>) -> Result<i32> {
    let (program, arguments) = request.command.split_first().context("no command was given")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", "/root")
        .envs(&request.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let mut pumps = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        pumps.push(pump(stdout, Arc::clone(port)));
    }
    if let Some(stderr) = child.stderr.take() {
        pumps.push(pump(stderr, Arc::clone(port)));
    }
    let code = reap_until(child.id())?;
    // What it started may still hold its output open; what it wrote itself has arrived soon.
    let end = Instant::now() + Duration::from_secs(2);
    while pumps.iter().any(|pump| !pump.is_finished()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(code)
}

fn pump(
    mut from: impl Read + Send + 'static,
    port: Arc<Mutex<File>>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; FRAME_BYTES_MAX];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let frame = Frame::Output(buffer[..count].to_vec());
            let mut port = port.lock().unwrap_or_else(PoisonError::into_inner);
            if frame.write(&mut *port).is_err() {
                return;
            }
        }
    })
}

/// As pid 1 it inherits all orphans: they are reaped until the command itself ends.
fn reap_until(pid: u32) -> Result<i32> {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended.as_raw_nonzero().get().unsigned_abs() == pid => {
                let signal = status.terminating_signal().map(|signal| 128 + signal);
                return Ok(status.exit_status().or(signal).unwrap_or(255));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno).context("wait for the command"),
        }
    }
}
