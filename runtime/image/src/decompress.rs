//! Layers as they come: plain, gzip or zstd.

use std::io::{self, BufRead};

/// The tar stream within `compressed`, told by its first bytes: what a media type claims is not
/// always so, and docker archives claim nothing.
pub(crate) fn decompress<'a, R: BufRead + 'a>(
    mut compressed: R,
) -> io::Result<Box<dyn io::Read + 'a>> {
    let start = compressed.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::Decoder::with_buffer(compressed)?),
        _ => Box::new(compressed),
    })
}
