//! One machine: boot, run, end.

use std::collections::BTreeMap;
use std::io::{BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use corten_vm_agent::{Frame, PORT, Request};

use super::image::Images;

/// Emulated, a boot takes some ten seconds on an idle machine.
const BOOT_MAX: Duration = Duration::from_secs(180);
/// How long the command may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(600);
const MEMORY_MIB: u32 = 2048;

const KERNEL_LINE: &str = "console=ttyS0 panic=1 mitigations=off quiet cryptomgr.notests \
     no_timer_check nokaslr tsc=reliable cgroup_no_v1=all";

/// Ends the machine however the test ends.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Boots, runs `command`, shows its output and returns its exit code.
pub(crate) fn run(
    folder: &Path,
    images: &Images,
    payload: &Path,
    command: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<i32> {
    let sockets = tempfile::tempdir().context("make a folder for the port")?;
    let socket = sockets.path().join("port");
    let listener = UnixListener::bind(&socket).context("listen for the port")?;
    listener.set_nonblocking(true).context("listen for the port")?;
    let console = folder.join("console.log");
    let mut machine = Machine(
        qemu(images, payload, &socket, &console).spawn().context("start qemu-system-x86_64")?,
    );
    let mut port = accept(&listener, &mut machine)?;
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock")?;
    let request = Request {
        command: command.to_vec(),
        environment: environment.clone(),
        time: i64::try_from(time.as_secs()).context("the clock")?,
    };
    let mut line = serde_json::to_string(&request)?;
    line.push('\n');
    port.write_all(line.as_bytes()).context("send the request")?;
    follow(&port).with_context(|| format!("the machine's console: {}", console.display()))
}

/// On a busy machine the kernel measures the emulated time stamp counter wrong, several times over,
/// and time then runs as much too fast. The counter is the host's own, so its rate is told.
fn kernel_line() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let rate = cpus.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(':').nth(1));
    match rate.and_then(|rate| rate.trim().parse::<f64>().ok()) {
        Some(mhz) => format!("{KERNEL_LINE} tsc_early_khz={:.0}", mhz * 1000.0),
        None => KERNEL_LINE.to_owned(),
    }
}

fn qemu(images: &Images, payload: &Path, socket: &Path, console: &Path) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg,thread=multi", "-smp", "2", "-M", "q35"])
        .args(["-cpu", "max,erms=off,fsrm=off", "-m", &MEMORY_MIB.to_string()])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-no-reboot"])
        .args(["-bios", "qboot.rom", "-append", &kernel_line()])
        .arg("-kernel")
        .arg(&images.kernel)
        .arg("-initrd")
        .arg(&images.initrd)
        // What the machine writes to its root is thrown away.
        .arg("-drive")
        .arg(format!("file={},if=virtio,format=raw,snapshot=on", images.root.display()))
        .arg("-drive")
        .arg(format!("file={},if=virtio,format=raw,readonly=on", payload.display()))
        .args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"])
        .arg("-chardev")
        .arg(format!("socket,id=port,path={}", socket.display()))
        .args(["-device", &format!("virtserialport,chardev=port,name={PORT}")])
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

fn accept(listener: &UnixListener, machine: &mut Machine) -> Result<UnixStream> {
    let end = Instant::now() + BOOT_MAX;
    loop {
        match listener.accept() {
            Ok((port, _)) => {
                port.set_nonblocking(false).context("use the port")?;
                port.set_read_timeout(Some(SILENCE_MAX)).context("use the port")?;
                return Ok(port);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("wait for the port"),
        }
        if let Some(status) = machine.0.try_wait().context("watch qemu")? {
            bail!("qemu-system-x86_64 ended early: {status}");
        }
        if Instant::now() > end {
            bail!("the machine did not open its port within {} s", BOOT_MAX.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn follow(port: &UnixStream) -> Result<i32> {
    let mut frames = BufReader::new(port);
    let mut out = std::io::stdout();
    loop {
        match Frame::read(&mut frames).context("the machine went silent")? {
            Frame::Output(bytes) => {
                // Shown as it comes; a closed pipe is no reason to stop the test.
                out.write_all(&bytes).and_then(|()| out.flush()).unwrap_or_default();
            }
            Frame::Exit(code) => return Ok(code),
            Frame::Failed(reason) => bail!("in the machine: {reason}"),
        }
    }
}
