//! `tuning`: sysctls of the container's network, and settings of its interface, which DEL puts
//! back.

mod options;
mod sysctl;

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use corten_cni_types::{AddResult, CniError, codes};
use corten_sys_netlink::route::{Link, LinkChange, MacAddress};
use serde::{Deserialize, Serialize};

use crate::interface::{self, kernel};
use crate::skel::Call;
use crate::{Plugin, netns};
use options::Options;

pub(crate) const PLUGIN: Plugin = Plugin {
    name: "tuning",
    add,
    del,
    check,
    gc,
    status: |call| Options::read(call).map(|_options| ()),
};

/// What an interface was like before, in the reference plugin's form; a file for each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Backup {
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    promisc: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allmulti: Option<bool>,
    #[serde(rename = "txQLen", skip_serializing_if = "Option::is_none")]
    tx_q_len: Option<u32>,
    /// Whose it is, for GC; the reference plugin passes over it.
    #[serde(skip_serializing_if = "String::is_empty")]
    network: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    container_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ifname: String,
}

impl Backup {
    fn of(call: &Call, options: &Options, link: &Link) -> Self {
        Self {
            mac: options.mac.map(|_mac| link.mac.to_string()).unwrap_or_default(),
            promisc: options.promiscuous.then_some(link.promiscuous),
            mtu: options.mtu.map(|_mtu| link.mtu),
            allmulti: options.all_multicast.map(|_allmulti| link.all_multicast),
            tx_q_len: options.tx_queue_length.map(|_length| link.tx_queue_length),
            network: call.network.clone(),
            container_id: call.container_id.clone(),
            ifname: call.ifname.clone(),
        }
    }

    fn change(&self) -> LinkChange<'static> {
        LinkChange {
            mac: self.mac.parse::<MacAddress>().ok(),
            promiscuous: self.promisc,
            mtu: self.mtu,
            all_multicast: self.allmulti,
            tx_queue_length: self.tx_q_len,
            ..LinkChange::default()
        }
    }
}

fn backup_path(call: &Call, options: &Options) -> PathBuf {
    options.data_dir.join(format!("{}_{}.json", call.container_id, call.ifname))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CniError {
    CniError::caused(codes::IO, format!("cannot {what} {}", path.display()), error)
}

fn add(call: &Call) -> Result<AddResult, CniError> {
    let options = Options::read(call)?;
    options.refuse_sysctls_that_are_not_allowed()?;
    let mut result = interface::previous(call)?.clone();
    let namespace = netns::open(&call.netns)?;
    netns::enter(&namespace, || {
        for (key, value) in &options.sysctls {
            sysctl::write(key, &call.ifname, value)?;
        }
        if !options.changes_interface() {
            return Ok(());
        }
        let mut links = interface::links()?;
        let link = interface::find(&mut links, &call.ifname)?;
        save(&backup_path(call, &options), &Backup::of(call, &options, &link))?;
        links.set_link(link.index, &options.change()).map_err(kernel("set the interface up"))
    })?;
    for interface in result.interfaces.iter_mut().filter(|it| it.name == call.ifname) {
        if let Some(mac) = options.mac {
            interface.mac = mac.to_string();
        }
        if let Some(mtu) = options.mtu.filter(|_mtu| interface.mtu != 0) {
            interface.mtu = mtu;
        }
    }
    Ok(result)
}

/// Before the change, whole or not at all. One that is there stays: it is from an ADD that was
/// killed, and tells what was there before that.
fn save(path: &Path, backup: &Backup) -> Result<(), CniError> {
    if path.exists() {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| failed("make", dir, &error))?;
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let file =
            File::options().create(true).write(true).truncate(true).mode(0o600).open(&temporary)?;
        serde_json::to_writer(file, backup)?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| failed("write", path, &error))
}

fn load(path: &Path) -> Result<Option<Backup>, CniError> {
    match std::fs::read(path) {
        // One that cannot be read has nothing to put back.
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

fn forget(path: &Path) -> Result<(), CniError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Puts back what the interface was like: it may be one that outlives the container. The sysctls
/// go with the namespace.
fn del(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let path = backup_path(call, &options);
    if let Some(backup) = load(&path)?
        && let Some(namespace) = netns::open_if_there(&call.netns)?
    {
        netns::enter(&namespace, || {
            let mut links = interface::links()?;
            match links.link(&call.ifname).map_err(kernel("look for the interface"))? {
                Some(link) => links
                    .set_link(link.index, &backup.change())
                    .map_err(kernel("put back the interface's settings")),
                None => Ok(()),
            }
        })?;
    }
    forget(&path)
}

fn check(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    interface::previous(call)?;
    let namespace = netns::open(&call.netns)?;
    netns::enter(&namespace, || {
        let wrong = |msg: String| Err(CniError::new(codes::INTERNAL, msg));
        for (key, wanted) in &options.sysctls {
            let present = sysctl::read(key, &call.ifname)?;
            if present != *wanted {
                return wrong(format!("sysctl {key} is {present:?}, not {wanted:?}"));
            }
        }
        let link =
            interface::links().and_then(|mut links| interface::find(&mut links, &call.ifname))?;
        match options.difference(&link) {
            Some(difference) => wrong(format!("{}: {difference}", call.ifname)),
            None => Ok(()),
        }
    })
}

fn gc(call: &Call) -> Result<(), CniError> {
    let options = Options::read(call)?;
    let dir = &options.data_dir;
    let files = match std::fs::read_dir(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("read", dir, &error)),
    };
    for file in files {
        let path = file.map_err(|error| failed("read", dir, &error))?.path();
        let Some(backup) = load(&path)? else { continue };
        let ours = backup.network == call.network;
        if ours && !call.is_valid(&backup.container_id, &backup.ifname) {
            forget(&path)?;
        }
    }
    Ok(())
}
