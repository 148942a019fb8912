//! An address with the length of its network's prefix.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An address and a prefix length, `10.42.0.7/24`. The host part is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

/// Text that is not an address with a prefix length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an address with a prefix length such as 10.42.0.0/24")]
pub struct ParseIpNetError {
    /// What was given.
    pub text: String,
}

impl IpNet {
    /// Nothing when the prefix is longer than the address.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= width(address)).then_some(Self { address, prefix })
    }

    /// The network of one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self { address, prefix: width(address) }
    }

    /// The address, host part included.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether this is IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// The network address: the host part is zero.
    #[must_use]
    pub fn network(&self) -> IpAddr {
        let bits = number(self.address) & self.mask();
        from_number(bits, self.is_ipv4())
    }

    /// The last address of the network; the broadcast address in IPv4.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        let host = !self.mask() & full(self.is_ipv4());
        from_number(number(self.address) | host, self.is_ipv4())
    }

    /// Whether `address` lies in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.is_ipv4()
            && number(address) & self.mask() == number(self.address) & self.mask()
    }

    /// Whether the two networks share an address.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.network()) || other.contains(self.network())
    }

    fn mask(&self) -> u128 {
        let host_bits = u32::from(width(self.address) - self.prefix);
        full(self.is_ipv4()) & u128::MAX.checked_shl(host_bits).unwrap_or(0)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn full(ipv4: bool) -> u128 {
    if ipv4 { u128::from(u32::MAX) } else { u128::MAX }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_number(bits: u128, ipv4: bool) -> IpAddr {
    if ipv4 {
        // Masked to 32 bits by the callers, so nothing is cut off.
        let low = u32::try_from(bits & full(true)).unwrap_or(u32::MAX);
        IpAddr::V4(Ipv4Addr::from_bits(low))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for IpNet {
    type Err = ParseIpNetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split_once('/')
            .and_then(|(address, prefix)| {
                // "+8" parses as a number but is no prefix length.
                let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = digits.then(|| prefix.parse().ok()).flatten()?;
                Self::new(address.parse().ok()?, prefix)
            })
            .ok_or_else(|| ParseIpNetError { text: text.to_owned() })
    }
}

impl Serialize for IpNet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IpNet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn bounds_of_networks() {
        let v4 = net("10.42.3.7/20");
        assert_eq!(v4.network().to_string(), "10.42.0.0");
        assert_eq!(v4.last().to_string(), "10.42.15.255");
        let v6 = net("fd00::5/120");
        assert_eq!(v6.network().to_string(), "fd00::");
        assert_eq!(v6.last().to_string(), "fd00::ff");
        assert_eq!(net("0.0.0.0/0").last().to_string(), "255.255.255.255");
        assert_eq!(net("::/0").network().to_string(), "::");
    }

    #[test]
    fn families_never_mix() {
        assert!(!net("::/0").contains("10.0.0.1".parse().unwrap()));
        assert!(!net("0.0.0.0/0").overlaps(&net("::/0")));
        assert!(net("10.0.0.0/8").overlaps(&net("10.1.0.0/16")));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["10.0.0.1", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0.0.0/", "x/8"] {
            assert_eq!(text.parse::<IpNet>(), Err(ParseIpNetError { text: text.to_owned() }));
        }
    }
}
