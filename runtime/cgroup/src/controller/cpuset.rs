//! `cpuset`: which processors and memory nodes.

use super::set;
use crate::file::Files;
use crate::resources::Missing;
use crate::{Cgroup, Error, Resources};

pub(crate) const NAME: &str = "cpuset";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    for (field, file, value) in [
        ("cpu.cpus", "cpuset.cpus", &wanted.cpu.cpus),
        ("cpu.mems", "cpuset.mems", &wanted.cpu.mems),
    ] {
        let Some(value) = value.as_deref().filter(|value| !value.is_empty()) else { continue };
        if !value.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b',' | b'-')) {
            return Err(Error::InvalidValue {
                field: field.to_owned(),
                value: value.to_owned(),
                reason: "is not a list such as 0-2,7",
            });
        }
        set(group, missing, NAME, field, file, value)?;
    }
    Ok(())
}

/// A new v1 cpuset is empty and takes no process (`ENOSPC`) until it is given processors and
/// memory: those of its parent, as v2 does by itself.
pub(crate) fn inherit_v1(parent: &Files, child: &Files) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let Some(own) = child.read_if_present(file)? else { continue };
        if own.is_empty() {
            child.write(file, &parent.read(file)?)?;
        }
    }
    Ok(())
}
