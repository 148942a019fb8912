//! `cpu` (and v1's `cpuacct`): shares of processor time, and how much was used.

use rustix::io::Errno;

use super::set;
use crate::resources::{Limit, Missing};
use crate::{Cgroup, CpuStats, Error, Resources, Version};

pub(crate) const NAME: &str = "cpu";
const ACCOUNTING: &str = "cpuacct";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    let version = group.hierarchies().version_of(NAME).unwrap_or(Version::V2);
    apply_weight(group, wanted, missing, version)?;
    if let Some(idle) = wanted.cpu.idle {
        set(group, missing, NAME, "cpu.idle", "cpu.idle", if idle { "1" } else { "0" })?;
    }
    let cpu = &wanted.cpu;
    // The kernel keeps burst <= quota at every moment: an old burst goes before a smaller quota
    // comes, a new one follows a larger quota.
    if cpu.burst_us.is_some() && cpu.quota_us.is_some() {
        drop_burst(group, version)?;
    }
    match version {
        Version::V1 => apply_quota_v1(group, cpu.quota_us, cpu.period_us, missing)?,
        Version::V2 => apply_quota_v2(group, cpu.quota_us, cpu.period_us, missing)?,
    }
    if let Some(burst) = cpu.burst_us {
        set(group, missing, NAME, "cpu.burstUs", burst_file(version), &burst.to_string())?;
    }
    apply_realtime(group, wanted, missing, version)
}

fn burst_file(version: Version) -> &'static str {
    match version {
        Version::V1 => "cpu.cfs_burst_us",
        Version::V2 => "cpu.max.burst",
    }
}

fn drop_burst(group: &Cgroup, version: Version) -> Result<(), Error> {
    match group.controller(NAME) {
        Some(files) if files.exists(burst_file(version)) => files.write(burst_file(version), "0"),
        Some(_) | None => Ok(()),
    }
}

/// v2 has no real-time limits; and v1 only where the kernel was built with `RT_GROUP_SCHED`.
fn apply_realtime(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
    version: Version,
) -> Result<(), Error> {
    let runtime = wanted.cpu.realtime_runtime_us.map(|value| value.to_string());
    let period = wanted.cpu.realtime_period_us.map(|value| value.to_string());
    // The period first: with the old one the runtime may be more than there is.
    for (field, file, value) in [
        ("cpu.realtimePeriodUs", "cpu.rt_period_us", period),
        ("cpu.realtimeRuntimeUs", "cpu.rt_runtime_us", runtime),
    ] {
        match (value, version) {
            (None, _) => (),
            (Some(_), Version::V2) => missing.report(NAME, field, "cgroup v2 has no such limit")?,
            (Some(value), Version::V1) => set(group, missing, NAME, field, file, &value)?,
        }
    }
    Ok(())
}

fn apply_weight(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
    version: Version,
) -> Result<(), Error> {
    let (field, weight, shares) = match (wanted.cpu.weight, wanted.cpu.shares) {
        (None, None) => return Ok(()),
        (Some(weight), _) => ("cpu.weight", weight, shares_from_weight(weight)),
        // 0 means "not set" to OCI's clients.
        (None, Some(0)) => return Ok(()),
        (None, Some(shares)) => ("cpu.shares", weight_from_shares(shares), shares),
    };
    match version {
        Version::V1 => set(group, missing, NAME, field, "cpu.shares", &shares.to_string()),
        Version::V2 => set(group, missing, NAME, field, "cpu.weight", &weight.to_string()),
    }
}

fn apply_quota_v1(
    group: &Cgroup,
    quota: Option<Limit>,
    period: Option<u64>,
    missing: &mut Missing,
) -> Result<(), Error> {
    // A period is refused while the ratio with the old quota would be more than the parent's; the
    // new quota is then written first.
    let write_period = |missing: &mut Missing| match period {
        Some(period) => {
            set(group, missing, NAME, "cpu.periodUs", "cpu.cfs_period_us", &period.to_string())
        }
        None => Ok(()),
    };
    let again = match write_period(missing) {
        Err(error) if error.errno() == Some(Errno::INVAL) && quota.is_some() => true,
        other => {
            other?;
            false
        }
    };
    if let Some(quota) = quota {
        set(group, missing, NAME, "cpu.quotaUs", "cpu.cfs_quota_us", &quota.v1())?;
    }
    if again { write_period(missing) } else { Ok(()) }
}

fn apply_quota_v2(
    group: &Cgroup,
    quota: Option<Limit>,
    period: Option<u64>,
    missing: &mut Missing,
) -> Result<(), Error> {
    let value = match (quota, period) {
        (None, None) => return Ok(()),
        (Some(quota), None) => quota.v2(),
        (Some(quota), Some(period)) => format!("{} {period}", quota.v2()),
        (None, Some(period)) => {
            // The file takes no period alone.
            let current = match group.controller(NAME) {
                Some(files) => files.read_if_present("cpu.max")?,
                None => None,
            };
            let quota = current.as_deref().and_then(|line| line.split(' ').next()).unwrap_or("max");
            format!("{quota} {period}")
        }
    };
    let field = if quota.is_some() { "cpu.quotaUs" } else { "cpu.periodUs" };
    set(group, missing, NAME, field, "cpu.max", &value)
}

pub(crate) fn stats(group: &Cgroup) -> Result<Option<CpuStats>, Error> {
    match group.hierarchies().version_of(ACCOUNTING) {
        Some(Version::V1) => stats_v1(group),
        // v2 counts time in every cgroup, whether the controller is enabled or not.
        Some(Version::V2) | None => stats_v2(group),
    }
}

fn stats_v1(group: &Cgroup) -> Result<Option<CpuStats>, Error> {
    let Some(accounting) = group.controller(ACCOUNTING) else { return Ok(None) };
    let micros = |name| Ok::<_, Error>(accounting.read_number(name)?.unwrap_or(0) / 1000);
    let mut stats = CpuStats {
        usage_usec: micros("cpuacct.usage")?,
        user_usec: micros("cpuacct.usage_user")?,
        system_usec: micros("cpuacct.usage_sys")?,
        ..CpuStats::default()
    };
    if let Some(map) = match group.controller(NAME) {
        Some(files) => files.read_map("cpu.stat")?,
        None => None,
    } {
        let get = |key: &str| map.get(key).copied().unwrap_or(0);
        stats.periods = get("nr_periods");
        stats.throttled = get("nr_throttled");
        stats.throttled_usec = get("throttled_time") / 1000;
    }
    Ok(Some(stats))
}

fn stats_v2(group: &Cgroup) -> Result<Option<CpuStats>, Error> {
    let Some(files) = group.unified() else { return Ok(None) };
    Ok(files.read_map("cpu.stat")?.map(|map| {
        let get = |key: &str| map.get(key).copied().unwrap_or(0);
        CpuStats {
            usage_usec: get("usage_usec"),
            user_usec: get("user_usec"),
            system_usec: get("system_usec"),
            periods: get("nr_periods"),
            throttled: get("nr_throttled"),
            throttled_usec: get("throttled_usec"),
        }
    }))
}

/// v1's shares (2 to 262144) as v2's weight (1 to 10000).
///
/// The curve goes through (2, 1), (1024, 100) and (262144, 10000), so that the defaults of the two
/// versions meet; a straight line would make 1024 shares a weight of 39. It is the one that
/// runc and crun use: `10 ^ ((l² + 125 l) / 612 - 7 / 34)`, `l` being the binary logarithm.
#[must_use]
pub fn weight_from_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let l = f64::from(u32::try_from(shares).unwrap_or(u32::MAX)).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    // A hair less, so that rounding errors do not lift an exact value to the next integer.
    to_integer((10_f64.powf(exponent) - 1e-9).ceil()).clamp(1, 10_000)
}

/// v2's weight (1 to 10000) as v1's shares: the inverse of [`weight_from_shares`].
#[must_use]
pub fn shares_from_weight(weight: u64) -> u64 {
    if weight <= 1 {
        return 2;
    }
    if weight >= 10_000 {
        return 262_144;
    }
    let exponent = f64::from(u32::try_from(weight).unwrap_or(u32::MAX)).log10();
    let c = 612.0 * (exponent + 7.0 / 34.0);
    let l = ((125.0_f64 * 125.0 + 4.0 * c).sqrt() - 125.0) / 2.0;
    to_integer(l.exp2().round()).clamp(2, 262_144)
}

/// For numbers known to be small and not negative.
fn to_integer(value: f64) -> u64 {
    format!("{value:.0}").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_weights_meet_at_their_defaults_and_ends() {
        for (shares, weight) in [(2, 1), (1024, 100), (262_144, 10_000)] {
            assert_eq!(weight_from_shares(shares), weight);
            assert_eq!(shares_from_weight(weight), shares);
        }
        assert_eq!(weight_from_shares(0), 1);
        assert_eq!(weight_from_shares(u64::MAX), 10_000);
        assert_eq!(shares_from_weight(0), 2);
        assert_eq!(shares_from_weight(u64::MAX), 262_144);
    }

    #[test]
    fn a_weight_survives_the_way_to_shares_and_back() {
        for weight in 1..=10_000 {
            let back = weight_from_shares(shares_from_weight(weight));
            assert!(back.abs_diff(weight) <= 1, "{weight} came back as {back}");
        }
    }
}
