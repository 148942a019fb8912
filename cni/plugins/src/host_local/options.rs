//! The options below `ipam`, and addresses asked for from elsewhere.

use std::net::IpAddr;
use std::path::PathBuf;

use corten_cni_types::{CniError, Dns, IpNet, Route, codes};
use serde::Deserialize;
use serde_json::Value;

use super::range::{RangeConf, RangeSet};
use crate::conf;
use crate::skel::Call;

/// Where addresses are kept unless told otherwise: the reference plugin's folder.
const DATA_DIR: &str = "/var/lib/cni/networks";

/// A resolv.conf is a few lines.
const RESOLV_CONF_BYTES_MAX: u64 = 64 << 10;

const HONOURED: &[&str] = &[
    "type",
    "ranges",
    "subnet",
    "rangeStart",
    "rangeEnd",
    "gateway",
    "routes",
    "dataDir",
    "resolvConf",
];

#[derive(Debug)]
pub(super) struct Options {
    pub(super) ranges: Vec<RangeSet>,
    pub(super) routes: Vec<Route>,
    pub(super) data_dir: PathBuf,
    resolv_conf: Option<PathBuf>,
    /// Addresses that were asked for by name.
    pub(super) requested: Vec<IpAddr>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ipam {
    #[serde(default)]
    ranges: Vec<Vec<RangeConf>>,
    subnet: Option<String>,
    range_start: Option<IpAddr>,
    range_end: Option<IpAddr>,
    gateway: Option<IpAddr>,
    #[serde(default)]
    routes: Vec<Route>,
    data_dir: Option<PathBuf>,
    resolv_conf: Option<PathBuf>,
}

fn bad(msg: impl Into<String>) -> CniError {
    CniError::new(codes::INVALID_CONFIG, msg)
}

impl Options {
    pub(super) fn read(call: &Call) -> Result<Self, CniError> {
        let Some(Value::Object(ipam)) = call.conf.get("ipam") else {
            return Err(bad("ipam is missing"));
        };
        conf::refuse_others("ipam.", ipam, HONOURED)?;
        let ipam: Ipam = conf::from_map(ipam)?;
        let mut sets = ipam.ranges;
        // The oldest form: one range, written without a list. It comes first.
        if let Some(subnet) = ipam.subnet.filter(|subnet| !subnet.is_empty()) {
            let (start, end) = (ipam.range_start, ipam.range_end);
            let gateway = ipam.gateway;
            let range = RangeConf { subnet, range_start: start, range_end: end, gateway };
            sets.insert(0, vec![range]);
        }
        let runtime = conf::arguments(call, "runtimeConfig");
        if let Some(ranges) = runtime.and_then(|runtime| runtime.get("ipRanges")) {
            let given: Vec<Vec<RangeConf>> =
                serde_json::from_value(ranges.clone()).map_err(|error| {
                    let msg = "runtimeConfig.ipRanges cannot be used";
                    CniError::caused(codes::INVALID_CONFIG, msg, &error)
                })?;
            sets.splice(0..0, given);
        }
        if sets.is_empty() {
            return Err(bad("ipam has no ranges: give ipam.ranges or ipam.subnet"));
        }
        let ranges = sets
            .into_iter()
            .enumerate()
            .map(|(index, set)| {
                RangeSet::new(&set).map_err(|why| bad(format!("ipam.ranges[{index}]: {why}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        refuse_overlaps(&ranges)?;
        Ok(Self {
            ranges,
            routes: ipam.routes,
            data_dir: ipam
                .data_dir
                .filter(|dir| !dir.as_os_str().is_empty())
                .unwrap_or_else(|| PathBuf::from(DATA_DIR)),
            resolv_conf: ipam.resolv_conf.filter(|path| !path.as_os_str().is_empty()),
            requested: requested(call)?,
        })
    }

    /// The DNS settings of the file that `resolvConf` names.
    pub(super) fn dns(&self) -> Result<Dns, CniError> {
        use std::io::Read as _;
        let Some(path) = &self.resolv_conf else { return Ok(Dns::default()) };
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(RESOLV_CONF_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| {
                let msg = format!("cannot read ipam.resolvConf {}", path.display());
                CniError::caused(codes::IO, msg, &error)
            })?;
        Ok(parse_resolv_conf(&text))
    }
}

fn refuse_overlaps(sets: &[RangeSet]) -> Result<(), CniError> {
    for (index, set) in sets.iter().enumerate() {
        for (other_index, other) in sets.iter().enumerate().skip(index + 1) {
            if set.overlaps(other) {
                let msg = format!("ipam.ranges[{index}] overlaps with ipam.ranges[{other_index}]");
                return Err(bad(msg));
            }
        }
    }
    Ok(())
}

/// Addresses by name come from three places (the conventions document): `CNI_ARGS`, `args.cni.ips`
/// and `runtimeConfig.ips`.
fn requested(call: &Call) -> Result<Vec<IpAddr>, CniError> {
    let [ip] = conf::environment_args(call, ["IP"])?;
    let mut texts: Vec<String> = ip.into_iter().collect();
    let args = conf::arguments(call, "args.cni").and_then(|args| args.get("ips"));
    let runtime = conf::arguments(call, "runtimeConfig").and_then(|runtime| runtime.get("ips"));
    for list in [args, runtime].into_iter().flatten() {
        let list: Vec<String> = serde_json::from_value(list.clone()).map_err(|error| {
            CniError::caused(codes::INVALID_CONFIG, "requested addresses are no list", &error)
        })?;
        texts.extend(list);
    }
    texts
        .iter()
        .map(|text| {
            let address: Option<IpAddr> = text.parse().ok();
            address
                .or_else(|| text.parse::<IpNet>().ok().map(|net| net.address()))
                .ok_or_else(|| bad(format!("requested address {text:?} is not an address")))
        })
        .collect()
}

fn parse_resolv_conf(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match words.next().as_deref() {
            Some("nameserver") => dns.nameservers.extend(words.next()),
            Some("domain") => dns.domain = words.next().unwrap_or_default(),
            Some("search") => dns.search.extend(words),
            Some("options") => dns.options.extend(words),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf() {
        let dns = parse_resolv_conf(
            "# a comment\nnameserver 1.1.1.1\nnameserver ::1\ndomain a.b\nsearch x y\n\
             options ndots:5 rotate\n;nameserver 9.9.9.9\n",
        );
        assert_eq!(dns.nameservers, ["1.1.1.1", "::1"]);
        assert_eq!((dns.domain.as_str(), dns.search.len(), dns.options.len()), ("a.b", 2, 2));
    }
}
