//! `rdma`: handles and objects of each RDMA device. Both versions of the interface are the same.

use super::set;
use crate::resources::Missing;
use crate::{Cgroup, Error, RdmaStats, Resources};

pub(crate) const NAME: &str = "rdma";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    for (device, limit) in &wanted.rdma {
        let field = format!("rdma.{device}");
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(Error::InvalidValue {
                field,
                value: device.clone(),
                reason: "is not the name of an RDMA device",
            });
        }
        let mut line = device.clone();
        for (key, value) in [("hca_handle", limit.handles), ("hca_object", limit.objects)] {
            if let Some(value) = value {
                line.push_str(&format!(" {key}={value}"));
            }
        }
        if line.len() > device.len() {
            set(group, missing, NAME, &field, "rdma.max", &line)?;
        }
    }
    Ok(())
}

pub(crate) fn stats(group: &Cgroup) -> Result<Vec<RdmaStats>, Error> {
    let Some(files) = group.controller(NAME) else { return Ok(Vec::new()) };
    let current = files.read_if_present("rdma.current")?.unwrap_or_default();
    Ok(current.lines().filter_map(parse).collect())
}

/// `mlx4_0 hca_handle=2 hca_object=2000`
fn parse(line: &str) -> Option<RdmaStats> {
    let mut words = line.split(' ');
    let mut stats = RdmaStats { device: words.next()?.to_owned(), ..RdmaStats::default() };
    for word in words {
        match word.split_once('=') {
            Some(("hca_handle", value)) => stats.handles = value.parse().ok()?,
            Some(("hca_object", value)) => stats.objects = value.parse().ok()?,
            Some(_) | None => (),
        }
    }
    Some(stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_rdma_current() {
        let stats = parse("mlx4_0 hca_handle=2 hca_object=2000").unwrap();
        assert_eq!((stats.device.as_str(), stats.handles, stats.objects), ("mlx4_0", 2, 2000));
    }
}
