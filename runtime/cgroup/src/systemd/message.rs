//! D-Bus messages as they are on the wire (D-Bus Specification, "Marshaling" and "Message
//! Format"), little-endian: as much of them as systemd's manager is called with.

use std::collections::VecDeque;

/// More than systemd answers; the specification's own bound is 128 MiB.
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The fixed part of a header, with the length of the fields after it.
pub(super) const HEADER_BYTES: usize = 16;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// A message. Only the fields that are used here are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) serial: u32,
    pub(super) reply_to: u32,
    pub(super) path: String,
    pub(super) interface: String,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) destination: String,
    pub(super) signature: String,
    pub(super) body: Vec<u8>,
}

impl Message {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            serial: 0,
            reply_to: 0,
            path: String::new(),
            interface: String::new(),
            member: String::new(),
            error: String::new(),
            destination: String::new(),
            signature: String::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn call(
        destination: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: Writer,
    ) -> Self {
        Self {
            path: path.to_owned(),
            interface: interface.to_owned(),
            member: member.to_owned(),
            destination: destination.to_owned(),
            signature: body.signature,
            body: body.bytes,
            ..Self::new(Kind::Call)
        }
    }

    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes.extend([b'l', self.kind as u8, 0, 1]);
        out.raw_u32(u32::try_from(self.body.len()).unwrap_or(u32::MAX));
        out.raw_u32(self.serial);
        let fields = out.begin_array(8);
        for (code, kind, text) in [
            (1, "o", &self.path),
            (2, "s", &self.interface),
            (3, "s", &self.member),
            (4, "s", &self.error),
            (6, "s", &self.destination),
            (8, "g", &self.signature),
        ] {
            if text.is_empty() {
                continue;
            }
            out.align(8);
            out.bytes.push(code);
            out.raw_signature(kind);
            if kind == "g" { out.raw_signature(text) } else { out.raw_text(text) }
        }
        if self.reply_to != 0 {
            out.align(8);
            out.bytes.push(5);
            out.raw_signature("u");
            out.raw_u32(self.reply_to);
        }
        out.end_array(fields);
        out.align(8);
        out.bytes.extend_from_slice(&self.body);
        out.bytes
    }

    /// How long a message is whose fixed part this is; none if it is no sane message.
    pub(super) fn length(header: &[u8; HEADER_BYTES]) -> Option<usize> {
        if header[0] != b'l' || header[3] != 1 {
            return None;
        }
        let number = |at: usize| -> Option<usize> {
            let bytes: [u8; 4] = header[at..at + 4].try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let fields = HEADER_BYTES.checked_add(number(12)?)?.checked_next_multiple_of(8)?;
        let total = fields.checked_add(number(4)?)?;
        (total <= MESSAGE_BYTES_MAX).then_some(total)
    }

    /// From bytes as many as [`Message::length`] says; none if they are no sane message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let kind = match bytes.get(1)? {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _later => return None,
        };
        let mut message = Self::new(kind);
        let mut reader = Reader { bytes, at: 4 };
        let body_bytes = usize::try_from(reader.u32()?).ok()?;
        message.serial = reader.u32()?;
        let fields_end = usize::try_from(reader.u32()?).ok()?.checked_add(HEADER_BYTES)?;
        while reader.at < fields_end {
            reader.align(8)?;
            let code = reader.byte()?;
            let signature = reader.signature()?;
            let into = match code {
                1 => &mut message.path,
                2 => &mut message.interface,
                3 => &mut message.member,
                4 => &mut message.error,
                6 => &mut message.destination,
                8 => {
                    message.signature = reader.signature()?;
                    continue;
                }
                5 => {
                    message.reply_to = reader.u32()?;
                    continue;
                }
                _other => {
                    reader.skip(&signature)?;
                    continue;
                }
            };
            *into = reader.text()?;
        }
        reader.align(8)?;
        message.body = bytes.get(reader.at..reader.at.checked_add(body_bytes)?)?.to_vec();
        Some(message)
    }

    /// The strings and object paths at the top of the body, in order.
    pub(super) fn texts(&self) -> VecDeque<String> {
        let mut reader = Reader { bytes: &self.body, at: 0 };
        let mut texts = VecDeque::new();
        for kind in self.signature.chars() {
            match kind {
                's' | 'o' => match reader.text() {
                    Some(text) => texts.push_back(text),
                    None => break,
                },
                simple => {
                    if reader.skip(simple.encode_utf8(&mut [0; 4])).is_none() {
                        break;
                    }
                }
            }
        }
        texts
    }
}

/// Writes a body.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    signature: String,
}

/// A value in a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Flag(bool),
    Number(u64),
    /// `ay`
    Bytes(Vec<u8>),
    /// `au`
    Numbers(Vec<u32>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
}

impl Writer {
    /// A string.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.signature.push('s');
        self.raw_text(text);
        self
    }

    /// A switch.
    pub(super) fn flag(mut self, on: bool) -> Self {
        self.signature.push('b');
        self.raw_u32(u32::from(on));
        self
    }

    /// `a(sv)`
    pub(super) fn properties(mut self, properties: &[(&str, Value)]) -> Self {
        self.signature.push_str("a(sv)");
        let start = self.begin_array(8);
        for (name, value) in properties {
            self.align(8);
            self.raw_text(name);
            self.variant(value);
        }
        self.end_array(start);
        self
    }

    /// An empty array of structures of a kind.
    pub(super) fn nothing(mut self, signature: &str) -> Self {
        self.signature.push_str(signature);
        let start = self.begin_array(8);
        self.end_array(start);
        self
    }

    fn variant(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.raw_signature("s");
                self.raw_text(text);
            }
            Value::Flag(on) => {
                self.raw_signature("b");
                self.raw_u32(u32::from(*on));
            }
            Value::Number(number) => {
                self.raw_signature("t");
                self.align(8);
                self.bytes.extend(number.to_le_bytes());
            }
            Value::Bytes(bytes) => {
                self.raw_signature("ay");
                let start = self.begin_array(1);
                self.bytes.extend_from_slice(bytes);
                self.end_array(start);
            }
            Value::Numbers(numbers) => {
                self.raw_signature("au");
                let start = self.begin_array(4);
                numbers.iter().for_each(|number| self.raw_u32(*number));
                self.end_array(start);
            }
            Value::Pairs(pairs) => {
                self.raw_signature("a(ss)");
                let start = self.begin_array(8);
                for (one, other) in pairs {
                    self.align(8);
                    self.raw_text(one);
                    self.raw_text(other);
                }
                self.end_array(start);
            }
        }
    }

    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn raw_u32(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_le_bytes());
    }

    fn raw_text(&mut self, text: &str) {
        self.raw_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    fn raw_signature(&mut self, text: &str) {
        self.bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    /// Leaves room for an array's length, which does not count the padding before its first element.
    fn begin_array(&mut self, element_align: usize) -> (usize, usize) {
        self.raw_u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(element_align);
        (length_at, self.bytes.len())
    }

    fn end_array(&mut self, (length_at, start): (usize, usize)) {
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
}

/// Reads what a peer wrote: each step says when the bytes end too early.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.align(4)?;
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// Passes over a value of a simple kind.
    fn skip(&mut self, signature: &str) -> Option<()> {
        match signature {
            "y" => self.byte().map(drop),
            "u" | "i" | "b" | "h" => self.u32().map(drop),
            "t" | "x" | "d" => {
                self.align(8)?;
                self.take(8).map(drop)
            }
            "s" | "o" => self.text().map(drop),
            "g" => self.signature().map(drop),
            _composed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Message {
        let body = Writer::default()
            .text("a.scope")
            .text("replace")
            .properties(&[
                ("Delegate", Value::Flag(true)),
                ("MemoryMax", Value::Number(1 << 40)),
                ("PIDs", Value::Numbers(vec![7, 9])),
                ("AllowedCPUs", Value::Bytes(vec![3])),
                ("DeviceAllow", Value::Pairs(vec![("/dev/char/1:3".into(), "rwm".into())])),
                ("Slice", Value::Text("x.slice".into())),
            ])
            .nothing("a(sa(sv))");
        let mut call = Message::call("org.x", "/org/x", "org.x.Manager", "Start", body);
        call.serial = 5;
        call
    }

    #[test]
    fn a_message_comes_back_as_it_went() {
        let message = sample();
        let bytes = message.encode();
        let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
        assert_eq!(Message::length(&header), Some(bytes.len()));
        let back = Message::decode(&bytes).unwrap();
        assert_eq!(back, message);
        assert_eq!(back.signature, "ssa(sv)a(sa(sv))");
        assert_eq!(back.texts(), ["a.scope", "replace"]);
    }

    /// The example of every implementation: `Hello`, byte by byte.
    #[test]
    fn hello_is_what_the_specification_says() {
        let mut hello = Message::call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "Hello",
            Writer::default(),
        );
        hello.serial = 1;
        let bytes = hello.encode();
        assert_eq!(bytes[..16], [b'l', 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 109, 0, 0, 0]);
        assert_eq!(bytes[16..24], [1, 1, b'o', 0, 21, 0, 0, 0]);
        assert_eq!(bytes.len(), 128);
    }

    #[test]
    fn hostile_bytes_are_no_message() {
        let bytes = sample().encode();
        for cut in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..cut]), None, "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            // Nothing but no panic is asked for.
            drop(Message::decode(&changed).map(|message| message.texts()));
        }
        let mut header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
        header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Message::length(&header), None);
        header[0] = b'B';
        assert_eq!(Message::length(&header), None);
    }
}
