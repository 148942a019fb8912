//! Quantities: `100m`, `1.5Gi`, `2e3`.
//!
//! A quantity is an exact decimal with a resolution of 10⁻⁹ and a bound of 2⁶³-1, with a memory of
//! the family of suffixes it was written in; both decide its canonical form.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::str::FromStr;

use thiserror::Error;

const NANO: i128 = 1_000_000_000;
/// The largest magnitude, as upstream has it: anything above is cut to it.
const MAX_NANOS: i128 = (i64::MAX as i128) * NANO;

/// The family of suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Ki`, `Mi`, …
    BinarySi,
    /// `m`, `k`, `M`, …
    DecimalSi,
    /// `e3`, `e6`, …
    DecimalExponent,
}

/// An amount of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)]
pub struct ParseError;

const DECIMAL: &[(&str, i32)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: &[(&str, u32)] =
    &[("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// A whole number.
    pub fn from_units(value: i64) -> Self {
        Quantity { nanos: i128::from(value) * NANO, format: Format::DecimalSi }
    }

    /// A number of thousandths.
    pub fn from_milli(value: i64) -> Self {
        Quantity { nanos: i128::from(value) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// A whole number that is shown with binary suffixes.
    pub fn from_bytes(value: i64) -> Self {
        Quantity { nanos: i128::from(value) * NANO, format: Format::BinarySi }
    }

    /// Zero.
    pub fn zero() -> Self {
        Quantity::from_units(0)
    }

    /// Whether it is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number.
    pub fn is_integer(&self) -> bool {
        self.nanos % NANO == 0
    }

    /// Whether it is a whole number of thousandths.
    pub fn is_milli(&self) -> bool {
        self.nanos % (NANO / 1000) == 0
    }

    /// The family of suffixes it was written in.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The whole number, rounded away from zero.
    pub fn value(&self) -> i64 {
        saturate(div_away(self.nanos, NANO))
    }

    /// Thousandths, rounded away from zero.
    pub fn milli_value(&self) -> i64 {
        saturate(div_away(self.nanos, NANO / 1000))
    }

    fn bounded(nanos: i128, format: Format) -> Self {
        Quantity { nanos: nanos.clamp(-MAX_NANOS, MAX_NANOS), format }
    }

    /// The format of a sum: zero has no opinion.
    fn joint_format(self, other: Self) -> Format {
        if self.is_zero() { other.format } else { self.format }
    }
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn div_away(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 { quotient } else { quotient + value.signum() }
}

impl Add for Quantity {
    type Output = Quantity;

    fn add(self, other: Quantity) -> Quantity {
        Quantity::bounded(self.nanos + other.nanos, self.joint_format(other))
    }
}

impl Sub for Quantity {
    type Output = Quantity;

    fn sub(self, other: Quantity) -> Quantity {
        Quantity::bounded(self.nanos - other.nanos, self.joint_format(other))
    }
}

impl Neg for Quantity {
    type Output = Quantity;

    fn neg(self) -> Quantity {
        Quantity { nanos: -self.nanos, format: self.format }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (negative, rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(ParseError);
        }
        let (exponent, shift, format) = read_suffix(suffix)?;
        let magnitude = magnitude(whole, fraction, exponent, shift);
        let format = if format == Format::BinarySi && magnitude > 0 && magnitude < NANO {
            Format::DecimalSi
        } else {
            format
        };
        Ok(Quantity { nanos: if negative { -magnitude } else { magnitude }, format })
    }
}

/// The power of ten, the power of two, and the family.
fn read_suffix(suffix: &str) -> Result<(i64, u32, Format), ParseError> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((i64::from(*exponent), 0, Format::DecimalSi));
    }
    if let Some((_, shift)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((0, *shift, Format::BinarySi));
    }
    let digits = suffix.strip_prefix(['e', 'E']).ok_or(ParseError)?;
    let exponent: i64 =
        digits.parse().map_err(|_out_of_range: std::num::ParseIntError| ParseError)?;
    Ok((exponent, 0, Format::DecimalExponent))
}

/// `whole.fraction` × 10^exponent × 2^shift in nanos, rounded up, bounded.
fn magnitude(whole: &str, fraction: &str, exponent: i64, shift: u32) -> i128 {
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let leading = all.iter().take_while(|b| **b == b'0').count();
    let significant = all.get(leading..).unwrap_or_default();
    if significant.is_empty() {
        return 0;
    }
    // The value is 0.<significant> × 10^point; lengths are those of strings in memory.
    let point = (whole.len() as i64 - leading as i64).saturating_add(exponent);
    if point > 20 {
        return MAX_NANOS;
    }
    if point < -40 {
        return 1;
    }
    // As many digits as leave room for the factor of two in an i128; the rest can only round up.
    let kept = significant.len().min(if shift > 0 { 19 } else { 28 });
    let mut rounded_up = significant.iter().skip(kept).any(|b| *b != b'0');
    let mut value: i128 = 0;
    for digit in significant.iter().take(kept) {
        value = value * 10 + i128::from(digit - b'0');
    }
    value <<= shift;
    let mut power = point - kept as i64 + 9;
    while power > 0 {
        value = value.saturating_mul(10);
        power -= 1;
        if value > MAX_NANOS {
            return MAX_NANOS;
        }
    }
    while power < 0 {
        rounded_up |= value % 10 != 0;
        value /= 10;
        power += 1;
    }
    (value + i128::from(rounded_up)).min(MAX_NANOS)
}

impl fmt::Display for Quantity {
    /// The canonical form: no fraction, the largest suffix that loses nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        if self.format == Format::BinarySi {
            let whole = self.nanos / NANO;
            if self.is_integer() && whole.abs() >= 1024 {
                let mut value = whole;
                let mut suffix = "";
                for (name, _) in BINARY {
                    if value % 1024 != 0 {
                        break;
                    }
                    value /= 1024;
                    suffix = name;
                }
                return write!(f, "{value}{suffix}");
            }
        }
        let mut value = self.nanos;
        let mut exponent = -9;
        while exponent < 18 && value % 1000 == 0 {
            value /= 1000;
            exponent += 3;
        }
        if self.format == Format::DecimalExponent {
            return match exponent {
                0 => write!(f, "{value}"),
                exponent => write!(f, "{value}e{exponent}"),
            };
        }
        let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(s, _)| *s);
        write!(f, "{value}{suffix}")
    }
}

#[cfg(test)]
mod tests;
