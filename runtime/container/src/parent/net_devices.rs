//! Gives devices of the host to the container's network namespace (config-linux.md, "Network
//! Devices"): under their new names, up, and with the addresses that they had.

use std::os::fd::{AsFd, OwnedFd};

use corten_sys_linux::SysError;
use corten_sys_linux::ns::{self, Kind};
use corten_sys_netlink::route::{Address, LinkChange, Links};
use corten_sys_netlink::{NamespaceError, NetlinkError, in_namespace};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::CreateError;
use crate::child::Prepared;
use crate::plan::{NetDevice, Plan};

pub(super) fn give(plan: &Plan, prepared: &Prepared, pid: Pid) -> Result<(), CreateError> {
    if plan.net_devices.is_empty() {
        return Ok(());
    }
    let opened;
    let joined = prepared.join.iter().find(|(kind, _)| *kind == Kind::Net).map(|(_, fd)| fd);
    let namespace: &OwnedFd = match joined {
        Some(fd) => fd,
        None => {
            let path = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
            opened = ns::open(std::path::Path::new(&path)).map_err(|source| {
                CreateError::Prepare { field: "linux.netDevices".to_owned(), source }
            })?;
            &opened
        }
    };
    plan.net_devices.iter().try_for_each(|device| one(device, namespace))
}

fn one(device: &NetDevice, namespace: &OwnedFd) -> Result<(), CreateError> {
    let field = || format!("linux.netDevices.{}", device.host);
    let error = |source| CreateError::NetDevice { field: field(), source };
    let system = |call, errno| CreateError::Prepare {
        field: field(),
        source: SysError::of(call, || device.container.clone())(errno),
    };
    let mut host = Links::open().map_err(error)?;
    let link = host.link(&device.host).map_err(error)?;
    let link = link.ok_or_else(|| system("find link", Errno::NODEV))?;
    let addresses = host.lasting_addresses(link.index).map_err(error)?;
    let entering = |entering: NamespaceError| {
        let errno = Errno::from_io_error(&entering.source).unwrap_or(Errno::IO);
        system(entering.call, errno)
    };
    let taken = in_namespace(namespace, || Links::open()?.link(&device.container))
        .map_err(entering)?
        .map_err(error)?;
    if taken.is_some() {
        return Err(system("rename link", Errno::EXIST));
    }
    host.move_link(link.index, namespace.as_fd(), &device.container).map_err(error)?;
    let there =
        in_namespace(namespace, || arrive(device, &addresses)).map_err(entering)?.map_err(error)?;
    if there { Ok(()) } else { Err(system("find link", Errno::NODEV)) }
}

/// In the container's namespace; whether the device is there.
fn arrive(device: &NetDevice, addresses: &[Address]) -> Result<bool, NetlinkError> {
    let mut links = Links::open()?;
    let Some(link) = links.link(&device.container)? else { return Ok(false) };
    for address in addresses {
        // Its index may be another here. It had the address before, so nobody needs to be asked.
        links.add_address(Address { link: link.index, ..*address }, false)?;
    }
    links.set_link(link.index, &LinkChange { up: Some(true), ..LinkChange::default() })?;
    Ok(true)
}
