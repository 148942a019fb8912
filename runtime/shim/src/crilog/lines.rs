//! Cuts a stream of bytes into log entries. No IO.

/// A line's longest part.
pub(crate) const LINE_BYTES_MAX: usize = 16 << 10;

/// Which of a container's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Whether a line is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Full,
    Partial,
}

/// Where an entry goes: its text comes in two parts, what was held back and what is new.
type Sink<'a> = dyn FnMut(Stream, Tag, [&[u8]; 2]) + 'a;

/// One stream's state: the beginning of a line whose end has not come yet, at most
/// [`LINE_BYTES_MAX`] of it.
#[derive(Debug)]
pub(crate) struct LineCutter {
    stream: Stream,
    held: Vec<u8>,
}

impl LineCutter {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, held: Vec::new() }
    }

    /// Whose lines these are.
    pub(crate) fn stream(&self) -> Stream {
        self.stream
    }

    /// Takes what came; gives each entry that is complete.
    pub(crate) fn push(&mut self, mut bytes: &[u8], sink: &mut Sink<'_>) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.held.len();
            // A newline right after a full part still belongs to it.
            let window = &bytes[..bytes.len().min(room + 1)];
            if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
                sink(self.stream, Tag::Full, [&self.held, &bytes[..end]]);
                self.release();
                bytes = &bytes[end + 1..];
            } else if bytes.len() > room {
                sink(self.stream, Tag::Partial, [&self.held, &bytes[..room]]);
                self.release();
                bytes = &bytes[room..];
            } else {
                self.held.extend_from_slice(bytes);
                return;
            }
        }
    }

    /// The stream has ended.
    pub(crate) fn finish(&mut self, sink: &mut Sink<'_>) {
        if !self.held.is_empty() {
            sink(self.stream, Tag::Partial, [&self.held, &[]]);
        }
        self.held = Vec::new();
    }

    /// Long lines must not cost memory for ever.
    fn release(&mut self) {
        if self.held.capacity() > 1 << 10 {
            self.held = Vec::new();
        } else {
            self.held.clear();
        }
    }
}

/// Writes one entry as text.
pub(crate) fn append_entry(
    text: &mut Vec<u8>,
    time: &str,
    stream: Stream,
    tag: Tag,
    parts: [&[u8]; 2],
) {
    text.extend_from_slice(time.as_bytes());
    text.extend_from_slice(match stream {
        Stream::Stdout => b" stdout ",
        Stream::Stderr => b" stderr ",
    });
    text.extend_from_slice(match tag {
        Tag::Full => b"F ",
        Tag::Partial => b"P ",
    });
    for part in parts {
        text.extend_from_slice(part);
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries that come of pieces of these sizes, as tag and text.
    fn cut(input: &[u8], piece: usize) -> Vec<(Tag, Vec<u8>)> {
        let mut cutter = LineCutter::new(Stream::Stdout);
        let mut entries = Vec::new();
        let mut sink = |_stream, tag, parts: [&[u8]; 2]| entries.push((tag, parts.concat()));
        for piece in input.chunks(piece) {
            cutter.push(piece, &mut sink);
            assert!(cutter.held.len() <= LINE_BYTES_MAX);
        }
        cutter.finish(&mut sink);
        entries
    }

    #[test]
    fn entries_do_not_depend_on_how_the_bytes_came() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX + 5];
        let input = [b"a\n\nbc\n".as_slice(), &long, b"\n", &long].concat();
        let whole = cut(&input, input.len());
        for piece in [1, 2, 7, 4096, LINE_BYTES_MAX, LINE_BYTES_MAX + 1] {
            assert_eq!(cut(&input, piece), whole, "pieces of {piece}");
        }
        let tags: Vec<Tag> = whole.iter().map(|(tag, _)| *tag).collect();
        use Tag::{Full as F, Partial as P};
        assert_eq!(tags, [F, F, F, P, P, P, F, P, P, P, P]);
    }

    #[test]
    fn a_reader_gets_back_what_was_written() {
        let mut input = Vec::new();
        for length in [0, 1, LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1] {
            input.extend(vec![b'y'; length]);
            input.push(b'\n');
        }
        input.extend(b"no newline");
        let mut read = Vec::new();
        for (tag, text) in cut(&input, 1000) {
            assert!(text.len() <= LINE_BYTES_MAX);
            read.extend(text);
            if tag == Tag::Full {
                read.push(b'\n');
            }
        }
        assert_eq!(read, input);
    }

    #[test]
    fn a_line_that_just_fits_is_one_entry() {
        let mut input = vec![b'z'; LINE_BYTES_MAX];
        input.push(b'\n');
        assert_eq!(cut(&input, 100).len(), 1);
    }
}
