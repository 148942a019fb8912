//! Values of options, as runc takes them.

use std::ffi::{OsStr, OsString};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use corten_runtime_container::ContainerId;

/// Text in UTF-8.
pub(crate) fn text(value: OsString) -> anyhow::Result<String> {
    value
        .into_string()
        .map_err(|value| anyhow::anyhow!("{:?} is not UTF-8", value.display().to_string()))
}

/// A container's id.
pub(crate) fn id(value: OsString) -> anyhow::Result<Option<ContainerId>> {
    Ok(Some(ContainerId::new(&text(value)?)?))
}

/// What Go's `flag` takes for a switch with a value.
pub(crate) fn boolean(value: &OsStr) -> anyhow::Result<bool> {
    match value.to_str() {
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        _other => bail!("{:?} is neither true nor false", value.display().to_string()),
    }
}

/// A number.
pub(crate) fn number<N: FromStr<Err = std::num::ParseIntError>>(
    value: OsString,
) -> anyhow::Result<N> {
    let text = text(value)?;
    text.parse().with_context(|| format!("{text:?} is no number that fits here"))
}

/// Bytes: a number, with a unit of 1024 (`512m`, `1.5GiB`) or without; -1 is no limit.
pub(crate) fn bytes(value: OsString) -> anyhow::Result<i64> {
    let text = text(value)?;
    if text == "-1" {
        return Ok(-1);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _other => bail!("{text:?}: {unit:?} is no unit of bytes"),
    };
    let scaled = match digits.split_once('.') {
        None => digits.parse::<i64>().ok().and_then(|number| number.checked_mul(1 << shift)),
        Some((whole, fraction)) => scale_fraction(whole, fraction, shift),
    };
    match scaled {
        Some(bytes) if bytes >= 0 => Ok(bytes),
        _odd => bail!("{text:?} is no number of bytes"),
    }
}

fn scale_fraction(whole: &str, fraction: &str, shift: u32) -> Option<i64> {
    // More digits than this cannot matter to a number of bytes.
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(1 << shift)?;
    let parts = i128::from(fraction.parse::<i64>().unwrap_or(0)) << shift;
    let parts = parts / 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_add(i64::try_from(parts).ok()?)
}

/// A time as Go writes it: `5s`, `250ms`, `1m30s`.
pub(crate) fn duration(value: OsString) -> anyhow::Result<Duration> {
    let text = text(value)?;
    let invalid = || format!("{text:?} is no time such as 5s or 1m30s");
    let mut total = Duration::ZERO;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit()).with_context(invalid)?;
        let number: u32 = rest[..number_end].parse().with_context(invalid)?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ns" => Duration::from_nanos(1),
            "us" | "µs" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _other => bail!(invalid()),
        };
        rest = &rest[unit_end..];
        let part = unit.checked_mul(number).with_context(invalid)?;
        total = total.checked_add(part).with_context(invalid)?;
    }
    if total.is_zero() { bail!("{text:?} must be more than nothing") } else { Ok(total) }
}

/// A user or group id, digits only: a lenient parse once made garbage root (CVE-2026-30892).
pub(crate) fn user_or_group(text: &str) -> anyhow::Result<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("{text:?} is not a number");
    }
    let number = text.parse().with_context(|| format!("{text:?} is too large"))?;
    // -1 means "leave it" to the kernel.
    if number == u32::MAX { bail!("{text:?} is no id") } else { Ok(number) }
}

/// `UID` or `UID:GID`.
pub(crate) fn user(value: OsString) -> anyhow::Result<(u32, Option<u32>)> {
    let text = text(value)?;
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text.as_str(), None),
    };
    Ok((user_or_group(uid)?, gid.map(user_or_group).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2026_30892_a_user_is_digits_or_an_error() {
        assert_eq!(user("1000".into()).unwrap(), (1000, None));
        assert_eq!(user("1000:33".into()).unwrap(), (1000, Some(33)));
        for text in ["", ":", "1000:", "root", "-1", "+1", " 1", "1x", "4294967295", "4294967296"] {
            user(text.into()).unwrap_err();
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", 0),
            ("4096", 4096),
            ("512m", 512 << 20),
            ("1GiB", 1 << 30),
            ("1.5g", 3 << 29),
            ("2kb", 2048),
            ("-1", -1),
        ] {
            assert_eq!(bytes(text.into()).unwrap(), expected, "{text}");
        }
        for text in ["", "m", "-2", "1x", "1..5g", "9999999999999g", "0x10"] {
            bytes(text.into()).unwrap_err();
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("1m30s".into()).unwrap(), Duration::from_secs(90));
        assert_eq!(duration("250ms".into()).unwrap(), Duration::from_millis(250));
        for text in ["", "0s", "5", "s", "-1s", "1y", "99999999999s"] {
            duration(text.into()).unwrap_err();
        }
    }
}
