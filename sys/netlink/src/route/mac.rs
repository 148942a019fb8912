//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

/// Text that is not a hardware address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a hardware address such as 02:00:00:00:00:01")]
pub struct ParseMacAddressError {
    /// What was given.
    pub text: String,
}

impl MacAddress {
    /// Makes random bytes into an address that is local (not a vendor's) and of one station.
    #[must_use]
    pub fn local(mut bytes: [u8; 6]) -> Self {
        bytes[0] = (bytes[0] & 0xfe) | 0x02;
        Self(bytes)
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseMacAddressError { text: text.to_owned() };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_not_hexadecimal| bad())?;
        }
        if parts.next().is_some() {
            return Err(bad());
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        let mac: MacAddress = "02:0a:ff:00:01:9c".parse().unwrap();
        assert_eq!(mac.to_string(), "02:0a:ff:00:01:9c");
        for bad in
            ["", "02:0a:ff:00:01", "02:0a:ff:00:01:9c:00", "2:0a:ff:00:01:9c", "+2:00:00:00:00:0g"]
        {
            assert_eq!(bad.parse::<MacAddress>().unwrap_err().text, bad);
        }
        assert_eq!(MacAddress::local([0xff; 6]).0[0], 0xfe);
    }
}
