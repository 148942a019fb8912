//! `host-device`: gives a link of the host to the container, and takes it back.
//!
//! The link's name on the host is kept in its alias. Moving, naming and the alias are one request:
//! whoever is killed leaves the link either here or there, and DEL finds it in both places.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use corten_cni_types::{AddResult, CniError, Dns, Interface, codes};
use corten_sys_netlink::route::{Link, LinkChange, Links, MacAddress};
use serde::Deserialize;

use crate::interface::{self, Setup, kernel};
use crate::skel::Call;
use crate::{Plugin, conf, ipam, netns, upper};

pub(crate) const PLUGIN: Plugin = Plugin { name: "host-device", add, del, check, gc, status };

const HONOURED: &[&str] = &["device", "hwaddr", "kernelpath", "pciBusID"];

const PCI_DEVICES: &str = "/sys/bus/pci/devices";
const AUXILIARY_DEVICES: &str = "/sys/bus/auxiliary/devices";

/// Drivers that give a device to a program instead of the kernel: it has no link then.
const USER_SPACE_DRIVERS: &[&str] = &["vfio-pci", "uio_pci_generic", "igb_uio"];

#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    device: String,
    #[serde(default)]
    hwaddr: String,
    #[serde(default)]
    kernelpath: String,
    #[serde(rename = "pciBusID", default)]
    pci_bus_id: String,
    #[serde(default)]
    dns: Dns,
}

/// How the link is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Device {
    Name(String),
    HardwareAddress(MacAddress),
    /// A folder of sysfs with a folder for each of the device's links.
    Folder(PathBuf),
    /// A PCI device that a program drives, not the kernel.
    UserSpace(String),
}

#[derive(Debug)]
struct Options {
    device: Device,
    dns: Dns,
    ipam_type: Option<String>,
}

fn bad(msg: impl Into<String>) -> CniError {
    CniError::new(codes::INVALID_CONFIG, msg)
}

impl Options {
    fn read(call: &Call) -> Result<Self, CniError> {
        let written: Written = conf::read(call, HONOURED)?;
        let device_id = conf::argument_text(call, "runtimeConfig", "deviceID");
        let device = match device_id {
            Some(id) => by_device_id(&id)?,
            None => by_option(&written)?,
        };
        Ok(Self { device, dns: written.dns, ipam_type: ipam::plugin_type(call) })
    }
}

/// A device's name on a bus: a folder below `bus`.
fn on_bus(bus: &str, id: &str) -> Option<PathBuf> {
    let plain = !id.contains('/') && !id.starts_with('.');
    Some(Path::new(bus).join(id)).filter(|path| plain && path.exists())
}

fn by_device_id(id: &str) -> Result<Device, CniError> {
    if on_bus(PCI_DEVICES, id).is_some() {
        return pci(id);
    }
    let device = on_bus(AUXILIARY_DEVICES, id)
        .ok_or_else(|| bad(format!("runtimeConfig.deviceID: there is no device {id:?}")))?;
    Ok(Device::Folder(device.join("net")))
}

fn by_option(written: &Written) -> Result<Device, CniError> {
    if !written.device.is_empty() {
        return Ok(Device::Name(written.device.clone()));
    }
    if !written.hwaddr.is_empty() {
        return conf::parse_mac("hwaddr", &written.hwaddr).map(Device::HardwareAddress);
    }
    if !written.kernelpath.is_empty() {
        let path = Path::new(&written.kernelpath);
        let up = path.components().any(|part| part == std::path::Component::ParentDir);
        if !path.starts_with("/sys/devices") || up {
            let path = path.display();
            return Err(bad(format!("kernelpath {path} must begin with /sys/devices/")));
        }
        return Ok(Device::Folder(path.join("net")));
    }
    if !written.pci_bus_id.is_empty() {
        return pci(&written.pci_bus_id);
    }
    Err(bad("one of device, hwaddr, kernelpath, pciBusID must be given"))
}

fn pci(id: &str) -> Result<Device, CniError> {
    let device = on_bus(PCI_DEVICES, id)
        .ok_or_else(|| bad(format!("pciBusID: there is no PCI device {id:?}")))?;
    let driver = std::fs::read_link(device.join("driver")).unwrap_or_default();
    let driver = driver.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if USER_SPACE_DRIVERS.contains(&driver) {
        return Ok(Device::UserSpace(id.to_owned()));
    }
    let net = device.join("net");
    if net.exists() {
        return Ok(Device::Folder(net));
    }
    // A virtio device is between the PCI device and its link.
    let between = std::fs::read_dir(&device).into_iter().flatten().flatten();
    let virtio = between
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"virtio"))
        .map(|entry| entry.path().join("net"))
        .find(|path| path.exists());
    virtio.map(Device::Folder).ok_or_else(|| bad(format!("PCI device {id} has no interface")))
}

/// Looks for the link on the host. One that came back by itself, when a container's namespace
/// ended without DEL, has its old name in the alias, and is given it again.
fn find(links: &mut Links, device: &Device) -> Result<Option<Link>, CniError> {
    let look = "look for the device";
    let found = match device {
        Device::Name(name) => match links.link(name).map_err(kernel(look))? {
            Some(link) => return Ok(Some(link)),
            None => {
                let list = links.links().map_err(kernel(look))?;
                list.into_iter().find(|link| link.alias == *name && !link.up)
            }
        },
        Device::HardwareAddress(mac) => {
            let list = links.links().map_err(kernel(look))?;
            list.into_iter().find(|link| link.mac == *mac)
        }
        Device::Folder(folder) => {
            let first = std::fs::read_dir(folder).into_iter().flatten().flatten().next();
            match first.and_then(|entry| entry.file_name().into_string().ok()) {
                Some(name) => links.link(&name).map_err(kernel(look))?,
                None => None,
            }
        }
        Device::UserSpace(_) => None,
    };
    let Some(link) = found else { return Ok(None) };
    let free = |links: &mut Links, name: &str| links.link(name).map(|link| link.is_none());
    if link.alias.is_empty()
        || link.up
        || corten_cni_types::validate_interface_name(&link.alias).is_err()
        || !free(links, &link.alias).map_err(kernel(look))?
    {
        return Ok(Some(link));
    }
    let back = LinkChange { name: Some(&link.alias), alias: Some(""), ..LinkChange::default() };
    links.set_link(link.index, &back).map_err(kernel("give the device its name again"))?;
    links.link_at(link.index).map_err(kernel(look))
}

fn must_find(links: &mut Links, device: &Device) -> Result<Link, CniError> {
    find(links, device)?.ok_or_else(|| bad(format!("the host has no interface of {device:?}")))
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    let namespace = netns::open(&call.netns)?;
    ipam::with_addresses(call, options.ipam_type.as_deref(), |addresses| {
        let interface = if let Device::UserSpace(id) = &options.device {
            Interface { name: call.ifname.clone(), pci_id: id.clone(), ..Interface::default() }
        } else {
            let mut links = interface::links()?;
            let link = must_find(&mut links, &options.device)?;
            let there = LinkChange {
                name: Some(&call.ifname),
                alias: Some(&link.name),
                namespace: Some(namespace.as_fd()),
                ..LinkChange::default()
            };
            links.set_link(link.index, &there).map_err(kernel("move the device"))?;
            let outcome = netns::enter(&namespace, || {
                interface::configure(&call.ifname, &addresses, Setup::default())
            });
            outcome.map_err(|mut error| {
                if let Err(second) = take_back(call) {
                    error.details.push_str(&format!("; taking it back failed too: {second}"));
                }
                error
            })?
        };
        let mut result = upper::result(call, interface, addresses);
        if !options.dns.is_empty() {
            result.dns = options.dns.clone();
        }
        Ok(result)
    })
}

/// Moves the link out of the container, if it is there. One without an alias is not ours.
fn take_back(call: &Call) -> Result<(), CniError> {
    let Some(namespace) = netns::open_if_there(&call.netns)? else { return Ok(()) };
    let host = netns::own()?;
    netns::enter(&namespace, || {
        let mut links = interface::links()?;
        let found = links.link(&call.ifname).map_err(kernel("look for the interface"))?;
        let Some(link) = found.filter(|link| !link.alias.is_empty()) else { return Ok(()) };
        let back = LinkChange {
            name: Some(&link.alias),
            alias: Some(""),
            namespace: Some(host.as_fd()),
            ..LinkChange::default()
        };
        links.set_link(link.index, &back).map_err(kernel("take the device back"))
    })
}

fn del(call: &Call) -> Result<(), CniError> {
    // The device may be gone for good: then the configuration cannot be made sense of any more,
    // and is not needed.
    take_back(call)?;
    ipam::del(call, ipam::plugin_type(call).as_deref())
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    ipam::check(call, options.ipam_type.as_deref())?;
    if let Device::UserSpace(_) = options.device {
        return Ok(());
    }
    interface::check(call, |_any_kind| true).map(|_link| ())
}

/// A device whose container went away comes back by itself; only its name is left to give.
fn gc(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    find(&mut interface::links()?, &options.device)?;
    ipam::gc(call, options.ipam_type.as_deref())
}

fn status(call: &Call) -> Result<(), CniError> {
    ipam::status(call, Options::read(call)?.ipam_type.as_deref())
}
