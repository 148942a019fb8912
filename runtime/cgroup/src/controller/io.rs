//! `io` (v1's `blkio`): shares and rates on block devices.

use super::set;
use crate::file::Files;
use crate::resources::{Io, IoRate, IoThrottle, Missing};
use crate::{Cgroup, Error, IoStats, Resources, Version};

pub(crate) const NAME: &str = "io";
const NAME_V1: &str = "blkio";

/// OCI's range of shares: v1's, and BFQ's within it.
const WEIGHT_RANGE: std::ops::RangeInclusive<u16> = 10..=1000;

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    let io = &wanted.io;
    for (field, weight) in [("io.weight", io.weight), ("io.leafWeight", io.leaf_weight)] {
        check_weight(field, weight)?;
    }
    for device in &io.devices {
        check_weight("io.devices", device.weight)?;
        check_weight("io.devices", device.leaf_weight)?;
    }
    if group.hierarchies().version_of(NAME_V1) == Some(Version::V1) {
        apply_v1(group, io, missing)
    } else {
        apply_v2(group, io, missing)
    }
}

fn check_weight(field: &str, weight: Option<u16>) -> Result<(), Error> {
    match weight {
        Some(weight) if !WEIGHT_RANGE.contains(&weight) => Err(Error::InvalidValue {
            field: field.to_owned(),
            value: weight.to_string(),
            reason: "is not between 10 and 1000",
        }),
        Some(_) | None => Ok(()),
    }
}

/// The file that takes shares: BFQ's where the kernel has that scheduler.
fn weight_file(files: Option<&Files>, bfq: &'static str, other: &'static str) -> &'static str {
    if files.is_some_and(|files| files.exists(bfq)) { bfq } else { other }
}

fn apply_v1(group: &Cgroup, io: &Io, missing: &mut Missing) -> Result<(), Error> {
    let files = group.controller(NAME_V1);
    let weight = weight_file(files, "blkio.bfq.weight", "blkio.weight");
    let device = weight_file(files, "blkio.bfq.weight_device", "blkio.weight_device");
    for (field, file, value) in
        [("io.weight", weight, io.weight), ("io.leafWeight", "blkio.leaf_weight", io.leaf_weight)]
    {
        if let Some(value) = value {
            set(group, missing, NAME_V1, field, file, &value.to_string())?;
        }
    }
    for one in &io.devices {
        for (file, value) in [(device, one.weight), ("blkio.leaf_weight_device", one.leaf_weight)] {
            if let Some(value) = value {
                let line = format!("{}:{} {value}", one.major, one.minor);
                set(group, missing, NAME_V1, "io.devices", file, &line)?;
            }
        }
    }
    for one in &io.throttle {
        let file = match one.of {
            IoRate::ReadBytes => "blkio.throttle.read_bps_device",
            IoRate::WriteBytes => "blkio.throttle.write_bps_device",
            IoRate::Reads => "blkio.throttle.read_iops_device",
            IoRate::Writes => "blkio.throttle.write_iops_device",
        };
        let line = format!("{}:{} {}", one.major, one.minor, one.rate);
        set(group, missing, NAME_V1, "io.throttle", file, &line)?;
    }
    Ok(())
}

fn apply_v2(group: &Cgroup, io: &Io, missing: &mut Missing) -> Result<(), Error> {
    let bfq = weight_file(group.controller(NAME), "io.bfq.weight", "io.weight");
    let scaled = |weight| if bfq == "io.weight" { weight_v2(weight) } else { u64::from(weight) };
    if let Some(weight) = io.weight {
        set(group, missing, NAME, "io.weight", bfq, &scaled(weight).to_string())?;
    }
    if io.leaf_weight.is_some() || io.devices.iter().any(|one| one.leaf_weight.is_some()) {
        missing.report(NAME, "io.leafWeight", "cgroup v2 has no such thing")?;
    }
    for one in &io.devices {
        if let Some(weight) = one.weight {
            let line = format!("{}:{} {}", one.major, one.minor, scaled(weight));
            set(group, missing, NAME, "io.devices", bfq, &line)?;
        }
    }
    for one in &io.throttle {
        set(group, missing, NAME, "io.throttle", "io.max", &max_line(one))?;
    }
    Ok(())
}

fn max_line(one: &IoThrottle) -> String {
    let key = match one.of {
        IoRate::ReadBytes => "rbps",
        IoRate::WriteBytes => "wbps",
        IoRate::Reads => "riops",
        IoRate::Writes => "wiops",
    };
    // v1 says 0 for no limit, v2 takes it for nothing at all.
    let rate = if one.rate == 0 { "max".to_owned() } else { one.rate.to_string() };
    format!("{}:{} {key}={rate}", one.major, one.minor)
}

/// v1's 10 to 1000 as v2's 1 to 10000, in a straight line, as other runtimes do.
fn weight_v2(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

pub(crate) fn stats(group: &Cgroup) -> Result<Vec<IoStats>, Error> {
    match group.controller(NAME_V1) {
        Some(files) => stats_v1(files),
        None => match group.controller(NAME) {
            Some(files) => Ok(files
                .read_if_present("io.stat")?
                .map(|content| content.lines().filter_map(parse_v2).collect())
                .unwrap_or_default()),
            None => Ok(Vec::new()),
        },
    }
}

/// `8:0 rbytes=… wbytes=… rios=… wios=… dbytes=… dios=…`
fn parse_v2(line: &str) -> Option<IoStats> {
    let mut words = line.split(' ');
    let (major, minor) = device(words.next()?)?;
    let mut stats = IoStats { major, minor, ..IoStats::default() };
    for word in words {
        let (key, value) = word.split_once('=')?;
        let value = value.parse().unwrap_or(0);
        match key {
            "rbytes" => stats.read_bytes = value,
            "wbytes" => stats.write_bytes = value,
            "rios" => stats.reads = value,
            "wios" => stats.writes = value,
            "dbytes" => stats.discard_bytes = value,
            "dios" => stats.discards = value,
            _later => (),
        }
    }
    Some(stats)
}

/// Lines `8:0 Read 4096`, and a total without a device.
fn stats_v1(files: &Files) -> Result<Vec<IoStats>, Error> {
    let mut all: Vec<IoStats> = Vec::new();
    for (names, bytes) in [
        (["blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"], true),
        (["blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"], false),
    ] {
        let content = match files.read_if_present(names[0])? {
            Some(content) => Some(content),
            None => files.read_if_present(names[1])?,
        };
        for line in content.unwrap_or_default().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [name, operation, value] = words[..] else { continue };
            let (Some((major, minor)), Ok(value)) = (device(name), value.parse()) else { continue };
            let known = all.iter().position(|one| (one.major, one.minor) == (major, minor));
            let at = known.unwrap_or_else(|| {
                all.push(IoStats { major, minor, ..IoStats::default() });
                all.len() - 1
            });
            match (operation, bytes) {
                ("Read", true) => all[at].read_bytes = value,
                ("Write", true) => all[at].write_bytes = value,
                ("Discard", true) => all[at].discard_bytes = value,
                ("Read", false) => all[at].reads = value,
                ("Write", false) => all[at].writes = value,
                ("Discard", false) => all[at].discards = value,
                _sync_or_total => (),
            }
        }
    }
    Ok(all)
}

fn device(name: &str) -> Option<(u32, u32)> {
    let (major, minor) = name.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_meet_at_their_ends() {
        assert_eq!((weight_v2(10), weight_v2(1000)), (1, 10_000));
        assert!(weight_v2(100) < weight_v2(101));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let one = IoThrottle { major: 8, minor: 16, of: IoRate::Writes, rate: 0 };
        assert_eq!(max_line(&one), "8:16 wiops=max");
        let one = IoThrottle { of: IoRate::ReadBytes, rate: 1 << 20, ..one };
        assert_eq!(max_line(&one), "8:16 rbps=1048576");
    }

    #[test]
    fn a_line_of_io_stat() {
        let line = "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6 cost.usage=7";
        let stats = parse_v2(line).unwrap();
        assert_eq!((stats.major, stats.read_bytes, stats.writes, stats.discards), (254, 1, 4, 6));
        assert_eq!(parse_v2(""), None);
    }
}
