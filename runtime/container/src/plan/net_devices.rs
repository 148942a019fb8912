//! `linux.netDevices`: devices of the host that become the container's.

use oci_spec::runtime::Linux;

use super::Namespaces;
use crate::PlanError;

/// A device, by its name on the host and in the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetDevice {
    pub(crate) host: String,
    pub(crate) container: String,
}

/// Sorted by name, so that a failure is the same every time.
pub(super) fn plan(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<NetDevice>, PlanError> {
    const FIELD: &str = "linux.netDevices";
    let mut devices: Vec<NetDevice> = Vec::new();
    for (host, device) in linux.net_devices().iter().flatten() {
        let field = format!("{FIELD}.{host}");
        let name = device.name().as_ref().filter(|name| !name.is_empty()).unwrap_or(host);
        check(host, &field)?;
        check(name, &format!("{field}.name"))?;
        if devices.iter().any(|other| other.container == *name) {
            let reason = format!("{name:?} is another device's name already");
            return Err(PlanError::invalid(format!("{field}.name"), reason));
        }
        devices.push(NetDevice { host: host.clone(), container: name.clone() });
    }
    if !devices.is_empty() && !namespaces.own_net() {
        return Err(PlanError::invalid(FIELD, "needs a network namespace in linux.namespaces"));
    }
    devices.sort_by(|one, two| one.host.cmp(&two.host));
    Ok(devices)
}

/// What the kernel takes for a name (`dev_valid_name`); and no `%`, which it would fill in.
fn check(name: &str, field: &str) -> Result<(), PlanError> {
    const NAME_BYTES_MAX: usize = 15;
    let odd = |c: char| c == '/' || c == ':' || c == '%' || c.is_whitespace() || c == '\0';
    let plain = !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(odd);
    if plain && name != "." && name != ".." {
        return Ok(());
    }
    Err(PlanError::invalid(field, format!("{name:?} is no name of a network device")))
}
