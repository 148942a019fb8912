//! Masked and read-only paths, devices.

use corten_api_cri::v1::LinuxContainerSecurityContext;
use serde_json::{Value, json};

use crate::host::HostDevice;

/// What `/proc` and `/sys` would give away, or let break: the list that Docker and Kubernetes keep.
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Empty lists mean the defaults: to leave all paths open takes a user namespace, which is refused.
pub(super) fn masked_paths(security: &LinuxContainerSecurityContext) -> Value {
    paths(security.privileged, &security.masked_paths, &MASKED)
}

pub(super) fn readonly_paths(security: &LinuxContainerSecurityContext) -> Value {
    paths(security.privileged, &security.readonly_paths, &READ_ONLY)
}

fn paths(privileged: bool, asked: &[String], default: &[&str]) -> Value {
    if privileged {
        json!([])
    } else if asked.is_empty() {
        json!(default)
    } else {
        json!(asked)
    }
}

/// `linux.devices`: all the machine's, for a privileged container.
pub(super) fn devices(devices: &[HostDevice]) -> Value {
    devices
        .iter()
        .map(|device| {
            json!({
                "path": device.path,
                "type": if device.block { "b" } else { "c" },
                "major": device.major,
                "minor": device.minor,
                "fileMode": device.mode,
                "uid": device.uid,
                "gid": device.gid,
            })
        })
        .collect()
}
