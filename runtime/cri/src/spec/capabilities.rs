//! `process.capabilities`.

use corten_api_cri::v1::LinuxContainerSecurityContext;
use serde_json::{Value, json};

use super::SpecInput;
use crate::error::{OperationError, Outcome};

/// By number, linux/capability.h.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has unless it asks for more or less: the set that Docker chose and that images
/// are built for.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
];

/// The five sets. The inheritable set stays empty (CVE-2022-24769) but for what is ambient, where
/// the kernel asks for it.
pub(super) fn build(
    input: &SpecInput<'_>,
    security: &LinuxContainerSecurityContext,
) -> Outcome<Value> {
    let known = &NAMES[..NAMES.len().min(usize::from(input.host.last_capability) + 1)];
    let asked = security.capabilities.clone().unwrap_or_default();
    let add = Asked::parse(known, &asked.add_capabilities, "add_capabilities")?;
    let drop = Asked::parse(known, &asked.drop_capabilities, "drop_capabilities")?;
    let ambient = Asked::parse(known, &asked.add_ambient_capabilities, "add_ambient_capabilities")?;
    let ambient: Vec<usize> =
        (0..known.len()).filter(|number| ambient.all || ambient.named.contains(number)).collect();
    let has = |number: usize| {
        if security.privileged {
            return true;
        }
        let base = if drop.all { false } else { add.all || DEFAULT.contains(&known[number]) };
        (base || add.named.contains(&number) || ambient.contains(&number))
            && !drop.named.contains(&number)
    };
    let held: Vec<usize> = (0..known.len()).filter(|number| has(*number)).collect();
    let names = |numbers: &[usize]| -> Vec<String> {
        numbers.iter().map(|number| format!("CAP_{}", known[*number])).collect()
    };
    Ok(json!({
        "bounding": names(&held),
        "effective": names(&held),
        "permitted": names(&held),
        "inheritable": names(&ambient),
        "ambient": names(&ambient),
    }))
}

/// One list of the request.
struct Asked {
    /// `ALL` is among the names; a name given beside it still counts.
    all: bool,
    named: Vec<usize>,
}

impl Asked {
    fn parse(known: &[&str], names: &[String], list: &str) -> Outcome<Self> {
        let mut asked = Self { all: false, named: Vec::new() };
        for (index, name) in names.iter().enumerate() {
            if name.eq_ignore_ascii_case("ALL") {
                asked.all = true;
                continue;
            }
            let bare = bare(name);
            let position = known.iter().position(|known| *known == bare);
            asked.named.push(position.ok_or_else(|| {
                let field = format!("config.linux.security_context.capabilities.{list}[{index}]");
                OperationError::invalid(field, format!("{name:?} is no capability of this kernel"))
            })?);
        }
        Ok(asked)
    }
}

/// Kubernetes writes `NET_ADMIN`, others `CAP_NET_ADMIN`.
fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map(str::to_owned).unwrap_or(upper)
}
