//! One module for each controller, all of one shape: `NAME`, `apply` and `stats`, each for both
//! versions of the interface.

pub(crate) mod cpu;
pub(crate) mod cpuset;
pub(crate) mod devices;
pub(crate) mod hugetlb;
pub(crate) mod io;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod pids;
pub(crate) mod rdma;
pub(crate) mod unified;

use rustix::io::Errno;

use crate::resources::Missing;
use crate::{Cgroup, Error, Resources};

type Apply = fn(&Cgroup, &Resources, &mut Missing) -> Result<(), Error>;

/// What [`Cgroup::apply`] walks. `unified` comes last: it overrides.
pub(crate) const ALL: &[Apply] = &[
    cpu::apply,
    cpuset::apply,
    memory::apply,
    pids::apply,
    hugetlb::apply,
    io::apply,
    network::apply,
    rdma::apply,
    devices::apply,
    unified::apply,
];

/// Writes a limit; a controller that is not there, or lacks the file, is reported as missing.
pub(crate) fn set(
    group: &Cgroup,
    missing: &mut Missing,
    controller: &str,
    field: &str,
    file: &str,
    value: &str,
) -> Result<(), Error> {
    let Some(files) = group.controller(controller) else {
        return missing.report(controller, field, "no hierarchy has it");
    };
    match files.write(file, value) {
        Err(Error::File { call: "open", source: Errno::NOENT, .. }) => missing.report(
            controller,
            field,
            &format!(
                "there is no {}: the controller is not enabled",
                files.path().join(file).display()
            ),
        ),
        other => other,
    }
}
