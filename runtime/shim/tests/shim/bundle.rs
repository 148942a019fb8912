//! Bundles made of busybox.

use std::path::PathBuf;

use corten_runtime_shim::protocol::{Answer, Op, PidNamespace};
use serde_json::{Value, json};

use crate::client::{Client, Pod};

pub(crate) const BUSYBOX: &str = "/usr/bin/busybox";

/// Writes a bundle whose program is a shell script; `adjust` changes its specification.
pub(crate) fn write(pod: &Pod, id: &str, script: &str, adjust: impl FnOnce(&mut Value)) -> PathBuf {
    let bundle = pod.base.path().join("bundles").join(id);
    let rootfs = bundle.join("rootfs");
    // A container of this name may have been here before.
    std::fs::remove_dir_all(&bundle).unwrap_or_default();
    for dir in ["bin", "dev", "proc", "sys", "tmp", "etc"] {
        std::fs::create_dir_all(rootfs.join(dir)).unwrap();
    }
    std::fs::copy(BUSYBOX, rootfs.join("bin/busybox")).unwrap();
    for applet in ["sh", "sleep", "cat", "echo", "head", "yes", "tr", "dd", "kill", "tty", "stty"] {
        std::os::unix::fs::symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    let ns = |name: &str| pod.spec.ns_dir.join(name);
    let mut namespaces = vec![
        json!({"type": "mount"}),
        json!({"type": "network", "path": ns("net")}),
        json!({"type": "ipc", "path": ns("ipc")}),
        json!({"type": "uts", "path": ns("uts")}),
    ];
    match pod.spec.namespaces.pid {
        PidNamespace::Container => namespaces.push(json!({"type": "pid"})),
        PidNamespace::Pod => namespaces.push(json!({"type": "pid", "path": ns("pid")})),
        PidNamespace::Host => {}
    }
    let mut spec = json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "bind", "source": pod.dir().join("shm"),
             "options": ["bind", "rw"]},
        ],
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": format!("{}/{id}", pod.spec.cgroup_parent),
            "resources": {},
        },
    });
    adjust(&mut spec);
    std::fs::write(bundle.join("config.json"), serde_json::to_vec(&spec).unwrap()).unwrap();
    bundle
}

/// The request to make the container of a bundle.
pub(crate) fn create(pod: &Pod, id: &str, bundle: PathBuf) -> Op {
    Op::Create {
        container_id: id.to_owned(),
        bundle,
        log_path: Some(pod.log(id)),
        terminal: false,
        stdin: false,
        stdin_once: false,
    }
}

/// Makes and starts a container.
pub(crate) fn run(pod: &Pod, client: &mut Client, id: &str, script: &str) -> i32 {
    run_with(pod, client, id, script, |_| ())
}

pub(crate) fn run_with(
    pod: &Pod,
    client: &mut Client,
    id: &str,
    script: &str,
    adjust: impl FnOnce(&mut Value),
) -> i32 {
    let bundle = write(pod, id, script, adjust);
    let pid = match client.call(create(pod, id, bundle)) {
        Ok(Answer::Created { pid, fds: 0 }) => pid,
        other => panic!("create: {other:?}"),
    };
    match client.call(Op::Start { container_id: id.to_owned() }) {
        Ok(Answer::Started { .. }) => pid,
        other => panic!("start: {other:?}"),
    }
}
