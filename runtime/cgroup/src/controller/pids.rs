//! `pids`: how many processes and threads.

use super::set;
use crate::resources::Missing;
use crate::{Cgroup, Error, PidsStats, Resources};

pub(crate) const NAME: &str = "pids";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    match wanted.pids.max {
        // Both versions say `max`.
        Some(max) => set(group, missing, NAME, "pids.max", "pids.max", &max.v2()),
        None => Ok(()),
    }
}

pub(crate) fn stats(group: &Cgroup) -> Result<Option<PidsStats>, Error> {
    let Some(files) = group.controller(NAME) else { return Ok(None) };
    let Some(current) = files.read_number("pids.current")? else { return Ok(None) };
    Ok(Some(PidsStats { current, limit: files.read_limit("pids.max")? }))
}
