use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,20}"
}

fn headers() -> impl Strategy<Value = Headers> {
    proptest::collection::btree_map(name(), "[ -~\0]{0,60}", 0..12).prop_map(|all| {
        all.into_iter().fold(Headers::new(), |headers, (name, value)| headers.with(&name, value))
    })
}

fn stream() -> impl Strategy<Value = StreamId> {
    1..=u32::MAX >> 1
}

fn frame() -> impl Strategy<Value = Frame> {
    let id = 0..=u32::MAX >> 1;
    let setting = (any::<u8>(), 0..1_u32 << 24, any::<u32>())
        .prop_map(|(flags, id, value)| Setting { flags, id, value });
    prop_oneof![
        (stream(), id.clone(), 0..8_u8, any::<bool>(), any::<bool>(), headers()).prop_map(
            |(stream, associated, priority, fin, unidirectional, headers)| Frame::SynStream {
                stream,
                associated,
                priority,
                fin,
                unidirectional,
                headers
            }
        ),
        (stream(), any::<bool>(), headers()).prop_map(|(stream, fin, headers)| Frame::SynReply {
            stream,
            fin,
            headers
        }),
        (stream(), any::<bool>(), headers()).prop_map(|(stream, fin, headers)| Frame::Headers {
            stream,
            fin,
            headers
        }),
        (stream(), 1..20_u32)
            .prop_map(|(stream, status)| Frame::RstStream { stream, status: ResetStatus(status) }),
        proptest::collection::vec(setting, 0..5).prop_map(|settings| Frame::Settings { settings }),
        any::<u32>().prop_map(|id| Frame::Ping { id }),
        (id.clone(), any::<u32>())
            .prop_map(|(last_stream, status)| Frame::Goaway { last_stream, status }),
        (id, stream())
            .prop_map(|(stream, delta_bytes)| Frame::WindowUpdate { stream, delta_bytes }),
        (stream(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(stream, fin, bytes)| Frame::Data { stream, fin, bytes: bytes.into() }),
    ]
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let mut bytes = Vec::new();
    for frame in frames {
        let (head, content) = encoder.encode(frame.clone()).unwrap();
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&content);
    }
    bytes
}

/// Decodes bytes that come in pieces, and joins the pieces of data frames again.
fn decoded(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Error> {
    let mut decoder = Decoder::new();
    let mut frames: Vec<Frame> = Vec::new();
    let mut open = false;
    for part in bytes.chunks(piece) {
        decoder.push(part);
        while let Some(frame) = decoder.next_frame()? {
            match (frames.last_mut(), frame) {
                (
                    Some(Frame::Data { stream: last, fin: ended, bytes: all }),
                    Frame::Data { stream, fin, bytes },
                ) if open && *last == stream => {
                    *all = [&all[..], &bytes[..]].concat().into();
                    *ended = fin;
                }
                (_, frame) => frames.push(frame),
            }
            open = decoder.in_data();
        }
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        frames in proptest::collection::vec(frame(), 0..12),
        piece in 1..200_usize,
    ) {
        prop_assert_eq!(decoded(&encoded(&frames), piece).unwrap(), frames);
    }

    #[test]
    fn bytes_of_a_stranger_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        drop(decoded(&bytes, 100));
    }

    #[test]
    fn a_frame_with_a_wrong_byte_does_no_harm(
        frames in proptest::collection::vec(frame(), 1..6),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = encoded(&frames);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(decoded(&bytes, 64));
    }
}

/// As Go's compress/zlib writes it at its best compression, with sync flushes: made with Python's
/// zlib, which does the same.
#[test]
fn a_block_that_another_zlib_packed_is_read() {
    let packed = include_bytes!("tests/syn_stream.bin");
    let frames = decoded(packed, 7).unwrap();
    let headers = Headers::new().with("streamtype", "error").with("x-test", "one\0two");
    let second = Headers::new().with("streamtype", "stdin");
    let syn = |stream, headers| Frame::SynStream {
        stream,
        associated: 0,
        priority: 0,
        fin: false,
        unidirectional: false,
        headers,
    };
    assert_eq!(frames, [syn(1, headers), syn(3, second)]);
}

#[test]
fn what_a_frame_must_not_hold_is_refused() {
    let control = |kind: u16, payload: &[u8]| {
        let mut bytes = vec![0x80, 3];
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(payload);
        decoded(&bytes, 1000)
    };
    control(6, &[0, 0, 0, 1]).unwrap();
    control(6, &[0, 0, 0]).unwrap_err();
    control(6, &[0, 0, 0, 1, 0]).unwrap_err();
    control(3, &[0, 0, 0, 0, 0, 0, 0, 1]).unwrap_err();
    control(3, &[0, 0, 0, 1, 0, 0, 0, 0]).unwrap_err();
    control(9, &[0, 0, 0, 1, 0, 0, 0, 0]).unwrap_err();
    control(4, &[0xff, 0xff, 0xff, 0xff]).unwrap_err();
    assert_eq!(control(77, b"later versions may have it").unwrap(), []);
    let version_2 = decoded(&[0x80, 2, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1], 100);
    assert_eq!(version_2, Err(Error::Version { version: 2 }));
    let long = decoded(&[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff], 100);
    assert_eq!(long, Err(Error::Length { kind: 1, length_bytes: 0xff_ffff }));
}

/// A few hundred bytes that would become a great many.
#[test]
fn a_block_that_swells_is_refused() {
    let mut encoder = Encoder::new();
    let headers = Headers::new().with("a", "x".repeat(HEADER_BLOCK_BYTES_MAX * 4));
    let frame = Frame::SynReply { stream: 1, fin: false, headers };
    let (bytes, _) = encoder.encode(frame).unwrap();
    assert!(bytes.len() < CONTROL_BYTES_MAX);
    assert_eq!(decoded(&bytes, 1 << 20), Err(Error::Headers { problem: "is too long" }));
}

#[test]
fn a_long_data_frame_is_not_collected() {
    let mut decoder = Decoder::new();
    decoder.push(&[0, 0, 0, 5, 1, 0xff, 0xff, 0xff]);
    assert_eq!(decoder.next_frame(), Ok(None));
    decoder.push(b"part");
    let part = Frame::Data { stream: 5, fin: false, bytes: Bytes::from_static(b"part") };
    assert_eq!(decoder.next_frame(), Ok(Some(part)));
    assert_eq!(decoder.next_frame(), Ok(None));
}
