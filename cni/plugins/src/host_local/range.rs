//! Ranges of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use corten_cni_types::IpNet;
use serde::Deserialize;

/// A range as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RangeConf {
    pub(super) subnet: String,
    pub(super) range_start: Option<IpAddr>,
    pub(super) range_end: Option<IpAddr>,
    pub(super) gateway: Option<IpAddr>,
}

/// A range with everything filled in.
#[derive(Debug, Clone)]
pub(super) struct Range {
    pub(super) subnet: IpNet,
    start: IpAddr,
    /// Included.
    end: IpAddr,
    pub(super) gateway: IpAddr,
}

/// Ranges of one family, of which one address is given out.
#[derive(Debug, Clone)]
pub(super) struct RangeSet {
    ranges: Vec<Range>,
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(number: u128, ipv4: bool) -> IpAddr {
    if ipv4 {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(number).unwrap_or(u32::MAX)))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(number))
    }
}

impl Range {
    fn new(conf: &RangeConf) -> Result<Self, String> {
        let subnet: IpNet = conf.subnet.parse().map_err(|error| format!("subnet: {error}"))?;
        let width = if subnet.is_ipv4() { 32 } else { 128 };
        // Network, broadcast, gateway: nothing would be left.
        if subnet.prefix() > width - 2 {
            return Err(format!("subnet {subnet} is too small to allocate from"));
        }
        if subnet.address() != subnet.network() {
            let network = subnet.network();
            return Err(format!("subnet {subnet} has host bits set: its network is {network}"));
        }
        let first = address(number(subnet.network()) + 1, subnet.is_ipv4());
        // The last address of an IPv4 network is its broadcast address.
        let last = number(subnet.last()) - u128::from(subnet.is_ipv4());
        let range = Self {
            subnet,
            start: conf.range_start.unwrap_or(first),
            end: conf.range_end.unwrap_or_else(|| address(last, subnet.is_ipv4())),
            gateway: conf.gateway.unwrap_or(first),
        };
        for (what, edge) in [("rangeStart", range.start), ("rangeEnd", range.end)] {
            if !subnet.contains(edge) {
                return Err(format!("{what} {edge} is not in subnet {subnet}"));
            }
        }
        if range.gateway.is_ipv4() != subnet.is_ipv4() {
            return Err(format!("gateway {} is not of subnet {subnet}'s family", range.gateway));
        }
        if range.start > range.end {
            return Err(format!("rangeStart {} is after rangeEnd {}", range.start, range.end));
        }
        Ok(range)
    }

    fn contains(&self, candidate: IpAddr) -> bool {
        candidate.is_ipv4() == self.start.is_ipv4() && (self.start..=self.end).contains(&candidate)
    }
}

impl RangeSet {
    pub(super) fn new(confs: &[RangeConf]) -> Result<Self, String> {
        let ranges = confs.iter().map(Range::new).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = ranges.first() else { return Err("it is empty".to_owned()) };
        if ranges.iter().any(|range| range.subnet.is_ipv4() != first.subnet.is_ipv4()) {
            return Err("it mixes IPv4 and IPv6".to_owned());
        }
        for (index, range) in ranges.iter().enumerate() {
            let overlap =
                |other: &Range| other.contains(range.start) || range.contains(other.start);
            if ranges[index + 1..].iter().any(overlap) {
                return Err(format!("two of its ranges overlap at {}", range.subnet));
            }
        }
        Ok(Self { ranges })
    }

    pub(super) fn range_of(&self, candidate: IpAddr) -> Option<&Range> {
        self.ranges.iter().find(|range| range.contains(candidate))
    }

    pub(super) fn is_gateway(&self, candidate: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.gateway == candidate)
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.ranges.iter().any(|range| {
            other.ranges.iter().any(|it| it.contains(range.start) || range.contains(it.start))
        })
    }

    /// Every address once, gateways left out, beginning after `last`: addresses that were just
    /// given back are not given out again at once, because others may still know them.
    pub(super) fn after(&self, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
        let at = last.and_then(|last| {
            let index = self.ranges.iter().position(|range| range.contains(last))?;
            Some((index, number(last)))
        });
        let (first, split) = at.unwrap_or((0, 0));
        let count = self.ranges.len();
        // The range of `last` from there on, the others, and that range again up to `last`.
        (0..=count)
            .flat_map(move |step| {
                let range = &self.ranges[(first + step) % count];
                let (start, end) = (number(range.start), number(range.end));
                let ipv4 = range.start.is_ipv4();
                let (start, end) = match (at.is_some(), step) {
                    (true, 0) => (split + 1, end),
                    (true, step) if step == count => (start, split.min(end)),
                    (false, step) if step == count => (1, 0),
                    _ => (start, end),
                };
                (start..=end).map(move |number| address(number, ipv4))
            })
            .filter(|&candidate| !self.is_gateway(candidate))
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}-{}", range.start, range.end)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> RangeConf {
        serde_json::from_str(text).unwrap()
    }

    fn set(texts: &[&str]) -> RangeSet {
        RangeSet::new(&texts.iter().map(|text| conf(text)).collect::<Vec<_>>()).unwrap()
    }

    fn list(set: &RangeSet, last: Option<&str>) -> String {
        let last = last.map(|last| last.parse().unwrap());
        let texts: Vec<_> = set.after(last).map(|address| address.to_string()).collect();
        texts.join(" ")
    }

    #[test]
    fn defaults_leave_out_network_broadcast_and_gateway() {
        let v4 = set(&[r#"{"subnet":"10.0.0.0/29"}"#]);
        assert_eq!(list(&v4, None), "10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6");
        let v6 = set(&[r#"{"subnet":"fd00::/126"}"#]);
        assert_eq!(list(&v6, None), "fd00::2 fd00::3");
    }

    #[test]
    fn it_goes_round_from_the_last_one() {
        let both = set(&[
            r#"{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.5","rangeEnd":"10.0.0.7"}"#,
            r#"{"subnet":"10.0.1.0/24","rangeStart":"10.0.1.1","rangeEnd":"10.0.1.2"}"#,
        ]);
        assert_eq!(list(&both, None), "10.0.0.5 10.0.0.6 10.0.0.7 10.0.1.2");
        assert_eq!(list(&both, Some("10.0.0.6")), "10.0.0.7 10.0.1.2 10.0.0.5 10.0.0.6");
        assert_eq!(list(&both, Some("10.0.1.2")), "10.0.0.5 10.0.0.6 10.0.0.7 10.0.1.2");
        assert_eq!(list(&both, Some("10.9.9.9")), "10.0.0.5 10.0.0.6 10.0.0.7 10.0.1.2");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (r#"{"subnet":"10.0.0.0/31"}"#, "too small"),
            (r#"{"subnet":"10.0.0.1/24"}"#, "its network is 10.0.0.0"),
            (r#"{"subnet":"10.0.0.0/24","rangeEnd":"10.0.1.1"}"#, "rangeEnd 10.0.1.1 is not in"),
            (
                r#"{"subnet":"10.0.0.0/24","rangeStart":"10.0.0.9","rangeEnd":"10.0.0.8"}"#,
                "is after rangeEnd",
            ),
            (r#"{"subnet":"10.0.0.0/24","gateway":"::1"}"#, "family"),
            (r#"{"subnet":"x"}"#, "subnet: "),
        ];
        for (text, expected) in cases {
            let error = RangeSet::new(&[conf(text)]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let same = r#"{"subnet":"10.0.0.0/24"}"#;
        assert!(RangeSet::new(&[conf(same), conf(same)]).unwrap_err().contains("overlap"));
        assert!(RangeSet::new(&[]).unwrap_err().contains("empty"));
    }
}
