//! Sets and maps.

use super::Verdict;
use crate::wire::Wire;

/// The type of a field of a key or value. The kernel only minds the length; the rest is for those
/// who list the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// An IPv4 address.
    Ipv4Address,
    /// An IPv6 address.
    Ipv6Address,
    /// A hardware address.
    HardwareAddress,
    /// A transport protocol's number.
    Protocol,
    /// A transport port, network byte order.
    Port,
    /// A number in host byte order.
    Mark,
    /// An interface's name.
    InterfaceName,
}

impl FieldType {
    /// The number that `nft` gives it.
    fn number(self) -> u32 {
        match self {
            Self::Ipv4Address => 7,
            Self::Ipv6Address => 8,
            Self::HardwareAddress => 9,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::InterfaceName => 41,
        }
    }

    fn bytes(self) -> u32 {
        match self {
            Self::Protocol => 1,
            Self::Port => 2,
            Self::Ipv4Address | Self::Mark => 4,
            Self::HardwareAddress => 6,
            Self::Ipv6Address | Self::InterfaceName => 16,
        }
    }
}

/// The type number and the length of a concatenation. A field alone has its own length; in a
/// concatenation each starts a register.
fn concatenation(fields: &[FieldType]) -> (u32, u32) {
    if let [only] = fields {
        return (only.number(), only.bytes());
    }
    fields.iter().fold((0, 0), |(number, length), field| {
        (number << 6 | field.number(), length + field.bytes().next_multiple_of(4))
    })
}

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetData {
    /// Nothing: it is a set.
    None,
    /// A verdict.
    Verdict,
    /// A value of these fields.
    Value(Vec<FieldType>),
}

/// A set or map to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// The fields of its keys.
    pub key: Vec<FieldType>,
    /// What it has for them.
    pub data: SetData,
    /// Rules put elements into it, which time out. The number is how many it holds.
    pub dynamic_size: Option<u32>,
}

impl Set {
    /// A set that rules only look into.
    #[must_use]
    pub fn new(name: &str, key: &[FieldType], data: SetData) -> Self {
        Self { name: name.to_owned(), key: key.to_vec(), data, dynamic_size: None }
    }

    /// The attributes after the table's name.
    pub(super) fn write(&self, wire: &mut Wire, id: u32) {
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVALUATED: u32 = 0x20;
        const VERDICT: u32 = 0xffff_ff00;
        wire.text(2, &self.name);
        let mut flags = 0;
        if self.data != SetData::None {
            flags |= MAP;
        }
        if self.dynamic_size.is_some() {
            flags |= TIMEOUT | EVALUATED;
        }
        wire.be32(3, flags);
        let (key_type, key_length) = concatenation(&self.key);
        wire.be32(4, key_type);
        wire.be32(5, key_length);
        match &self.data {
            SetData::None => {}
            SetData::Verdict => {
                wire.be32(6, VERDICT);
                wire.be32(7, 0);
            }
            SetData::Value(fields) => {
                let (data_type, data_length) = concatenation(fields);
                wire.be32(6, data_type);
                wire.be32(7, data_length);
            }
        }
        if let Some(size) = self.dynamic_size {
            wire.nest(9, |wire| wire.be32(1, size));
        }
        wire.be32(10, id);
    }
}

/// What an element has for its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementData {
    /// Nothing.
    None,
    /// A verdict.
    Verdict(Verdict),
    /// A value.
    Value(Vec<u8>),
}

/// An element of a set or map. Fields of keys and values are padded with zeros to four bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The key.
    pub key: Vec<u8>,
    /// What it leads to.
    pub data: ElementData,
    /// A comment; readers find the element's owner by it. At most 254 bytes.
    pub comment: Option<String>,
}

impl Element {
    /// An element of a set.
    #[must_use]
    pub fn key(key: Vec<u8>) -> Self {
        Self { key, data: ElementData::None, comment: None }
    }

    /// An element of a map.
    #[must_use]
    pub fn value(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { key, data: ElementData::Value(value), comment: None }
    }

    /// An element of a verdict map.
    #[must_use]
    pub fn verdict(key: Vec<u8>, verdict: Verdict) -> Self {
        Self { key, data: ElementData::Verdict(verdict), comment: None }
    }

    /// Adds a comment.
    #[must_use]
    pub fn with_comment(mut self, comment: &str) -> Self {
        self.comment = Some(comment.to_owned());
        self
    }

    /// An `NFTA_LIST_ELEM`; for deletion the key is enough.
    pub(super) fn write(&self, wire: &mut Wire, whole: bool) {
        wire.nest(1, |wire| {
            wire.nest(1, |wire| wire.attribute(1, &self.key));
            if !whole {
                return;
            }
            match &self.data {
                ElementData::None => {}
                ElementData::Value(value) => wire.nest(2, |wire| wire.attribute(1, value)),
                ElementData::Verdict(verdict) => {
                    wire.nest(2, |wire| wire.nest(2, |wire| verdict.write(wire)));
                }
            }
            if let Some(comment) = &self.comment {
                wire.attribute(6, &comment_data(comment));
            }
        });
    }
}

/// `nft`'s user data: type, length, text with a terminating zero. The kernel bounds it at 256
/// bytes, so a longer comment is cut.
pub(super) fn comment_data(comment: &str) -> Vec<u8> {
    const TEXT_BYTES_MAX: usize = 253;
    let text = &comment.as_bytes()[..comment.len().min(TEXT_BYTES_MAX)];
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let mut data = vec![0, length];
    data.extend_from_slice(text);
    data.push(0);
    data
}

/// The comment in such user data.
pub(super) fn comment_of(mut data: &[u8]) -> Option<String> {
    loop {
        let (&kind, rest) = data.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let value = rest.get(..usize::from(length))?;
        if kind == 0 {
            return Some(crate::wire::text_of(value));
        }
        data = &rest[usize::from(length)..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_survive_the_kernel_form() {
        assert_eq!(comment_of(&comment_data("a b")).as_deref(), Some("a b"));
        let long = "x".repeat(300);
        assert_eq!(comment_of(&comment_data(&long)).map(|text| text.len()), Some(253));
        assert_eq!(comment_of(&[0, 200, 1]), None);
        assert_eq!(comment_of(&[3, 1, 9, 0, 2, b'k', 0]).as_deref(), Some("k"));
    }

    #[test]
    fn a_concatenation_starts_each_field_on_a_register() {
        let fields = [FieldType::Ipv4Address, FieldType::Protocol, FieldType::Port];
        assert_eq!(concatenation(&fields), (7 << 12 | 12 << 6 | 13, 12));
        assert_eq!(concatenation(&[FieldType::Port]), (13, 2));
    }
}
