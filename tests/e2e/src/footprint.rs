//! What a cluster could leave on a machine: compared before it starts and after it was taken down.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use corten_sys_netlink::route::Links;
use corten_sys_netlink::tables::Tables;

/// Folders in which everything is the cluster's, or nothing is.
const FOLDERS: [&str; 8] = [
    "/run",
    "/etc/corten",
    "/etc/cni",
    "/opt/cni",
    "/var/lib/corten",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/pods",
];

/// Mounts, links, addresses, routes, tables, cgroups, processes and files, a line each, as this
/// thread's namespaces show them.
#[derive(Debug)]
pub(crate) struct Footprint {
    seen: BTreeSet<String>,
}

impl Footprint {
    /// Looks now. Of the cgroups, at those that `cgroups` names and all below them.
    pub(crate) fn take(cgroups: &[PathBuf]) -> Result<Self> {
        let mut seen = BTreeSet::new();
        mounts(&mut seen).context("list the mounts")?;
        network(&mut seen).context("list the network")?;
        processes(&mut seen).context("list the processes")?;
        for cgroup in cgroups {
            folders_below(cgroup, &mut seen);
        }
        for folder in FOLDERS {
            files_below(Path::new(folder), &mut seen);
        }
        Ok(Self { seen })
    }

    /// Fails with each line that is new, and each that is gone.
    pub(crate) fn ensure_same(&self, after: &Self) -> Result<()> {
        let left = after.seen.difference(&self.seen).map(|line| format!("left: {line}"));
        let lost = self.seen.difference(&after.seen).map(|line| format!("lost: {line}"));
        let changes: Vec<_> = left.chain(lost).collect();
        ensure!(changes.is_empty(), "the machine is not as it was:\n  {}", changes.join("\n  "));
        Ok(())
    }
}

/// Namespaces that are pinned show here too, as mounts of `nsfs`.
fn mounts(seen: &mut BTreeSet<String>) -> Result<()> {
    for line in fs::read_to_string("/proc/thread-self/mountinfo")?.lines() {
        // mount id, parent, device, root, target, options, optional fields, -, kind, … (proc(5)):
        // the ids are not what a user would notice.
        let fields: Vec<_> = line.split(' ').collect();
        let kind = fields.iter().position(|field| *field == "-").and_then(|at| fields.get(at + 1));
        let at = |index: usize| fields.get(index).copied().unwrap_or_default();
        let kind = kind.copied().unwrap_or_default();
        seen.insert(format!("mount {} ({kind}, root {}, {})", at(4), at(3), at(5)));
    }
    Ok(())
}

fn network(seen: &mut BTreeSet<String>) -> Result<()> {
    let mut links = Links::open()?;
    let list = links.links()?;
    let name = |index: Option<u32>| {
        let link = list.iter().find(|link| Some(link.index) == index);
        link.map_or("none", |link| link.name.as_str())
    };
    for link in &list {
        seen.insert(format!("link {} (mtu {})", link.name, link.mtu));
    }
    for address in links.all_addresses()? {
        let link = name(Some(address.link));
        seen.insert(format!("address {}/{} on {link}", address.address, address.prefix));
    }
    for route in links.routes()? {
        let to = format!("{}/{}", route.destination, route.prefix);
        seen.insert(format!("route {to} by {:?} on {}", route.gateway, name(route.link)));
    }
    let mut tables = Tables::open()?;
    for table in tables.tables()? {
        for chain in tables.chains(&table)? {
            let rules = tables.rules(&table, &chain.name)?.len();
            seen.insert(format!("nftables {table}: chain {}, {rules} rules", chain.name));
        }
        for set in tables.sets(&table)? {
            let elements = tables.elements(&table, &set)?.len();
            seen.insert(format!("nftables {table}: set {set}, {elements} elements"));
        }
        seen.insert(format!("nftables {table}"));
    }
    Ok(())
}

/// Those in this thread's mount namespace, this process apart. Others that a cluster starts are in
/// its cgroups.
fn processes(seen: &mut BTreeSet<String>) -> Result<()> {
    let ours = fs::read_link("/proc/thread-self/ns/mnt")?;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let namespace = fs::read_link(entry.path().join("ns/mnt"));
        if pid == std::process::id() || !namespace.is_ok_and(|namespace| namespace == ours) {
            continue;
        }
        // The kernel's own threads have no program, and come and go as they like.
        if let Ok(program) = fs::read_link(entry.path().join("exe")) {
            seen.insert(format!("process {pid}: {}", program.display()));
        }
    }
    Ok(())
}

fn folders_below(folder: &Path, seen: &mut BTreeSet<String>) {
    if !folder.is_dir() {
        return;
    }
    seen.insert(format!("cgroup {}", folder.display()));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders_below(&entry.path(), seen);
        }
    }
}

fn files_below(folder: &Path, seen: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        seen.insert(format!("file {}", entry.path().display()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path(), seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use corten_tests_harness::{NamespaceOptions, in_new_namespaces, skip_unless};
    use rustix::mount::{MountFlags, mount};

    use super::*;

    /// A comparison that could not fail would show nothing.
    #[test]
    fn what_is_left_is_named() {
        skip_unless!(corten_tests_harness::is_root(), "namespaces need root");
        in_new_namespaces(NamespaceOptions::default(), || {
            mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).unwrap();
            let before = Footprint::take(&[]).unwrap();
            before.ensure_same(&Footprint::take(&[]).unwrap()).unwrap();

            let link = ["link", "add", "left0", "type", "bridge"];
            assert!(Command::new("ip").args(link).status().unwrap().success());
            std::fs::create_dir("/run/left").unwrap();
            mount("tmpfs", "/run/left", "tmpfs", MountFlags::empty(), None).unwrap();
            std::fs::write("/run/left/file", "").unwrap();
            let mut process = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();

            let error = before.ensure_same(&Footprint::take(&[]).unwrap()).unwrap_err();
            process.kill().unwrap();
            process.wait().unwrap();
            let told = error.to_string();
            for wanted in
                ["link left0", "mount /run/left", "file /run/left/file", &process.id().to_string()]
            {
                assert!(told.contains(wanted), "{wanted}: {told}");
            }
        });
    }
}
