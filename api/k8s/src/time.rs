//! The two time formats of the API.

use jiff::Timestamp;

/// `metav1.Time`: RFC 3339, UTC, whole seconds (fractions are cut off).
pub fn format(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `metav1.MicroTime`: RFC 3339, UTC, six digits of a second.
pub fn format_micro(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads either; any offset is allowed, as RFC 3339 does, but a `T` and an offset must be there.
pub fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    // jiff also reads looser forms (a space, a lower-case t, an annotation) that RFC 3339 clients
    // in Go would refuse.
    if bytes.len() < 20 || bytes.get(10) != Some(&b'T') || text.ends_with(']') {
        return None;
    }
    text.parse().ok()
}
