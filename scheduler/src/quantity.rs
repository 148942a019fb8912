//! Reading quantities such as `250m` or `1Gi` as integers, rounded up as upstream does, so that a
//! request is never counted smaller than it is.

/// In thousandths; `None` for what is no quantity or does not fit.
pub(crate) fn milli(text: &str) -> Option<i64> {
    scaled(text, 1000)
}

/// In whole units.
pub(crate) fn whole(text: &str) -> Option<i64> {
    scaled(text, 1)
}

const SUFFIXES: &[(&str, i128, i128)] = &[
    ("Ki", 1 << 10, 1),
    ("Mi", 1 << 20, 1),
    ("Gi", 1 << 30, 1),
    ("Ti", 1 << 40, 1),
    ("Pi", 1 << 50, 1),
    ("Ei", 1 << 60, 1),
    ("n", 1, 1_000_000_000),
    ("u", 1, 1_000_000),
    ("m", 1, 1000),
    ("k", 1000, 1),
    ("M", 1_000_000, 1),
    ("G", 1_000_000_000, 1),
    ("T", 1_000_000_000_000, 1),
    ("P", 1_000_000_000_000_000, 1),
    ("E", 1_000_000_000_000_000_000, 1),
];

fn scaled(text: &str, scale: i128) -> Option<i64> {
    let suffix = SUFFIXES.iter().find(|(suffix, ..)| text.ends_with(suffix));
    let (number, times, over) = match suffix {
        Some((suffix, times, over)) => (text.strip_suffix(suffix)?, *times, *over),
        None => match text.split_once(['e', 'E']) {
            Some((number, exponent)) => {
                let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= 18)?;
                let power = 10_i128.pow(exponent.unsigned_abs());
                if exponent < 0 { (number, 1, power) } else { (number, power, 1) }
            }
            None => (text, 1, 1),
        },
    };
    let negative = number.starts_with('-');
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if integer.is_empty() && fraction.is_empty() || !all_digits(integer) || !all_digits(fraction) {
        return None;
    }
    // Beyond nine places everything is rounded up, so further digits only say "a little more".
    let kept = fraction.len().min(9);
    let more = fraction[kept..].bytes().any(|byte| byte != b'0');
    let mantissa: i128 = format!("0{integer}{}", &fraction[..kept]).parse().ok()?;
    let mantissa = mantissa + i128::from(more);
    let places = 10_i128.pow(u32::try_from(kept).ok()?);
    let numerator = mantissa.checked_mul(times)?.checked_mul(scale)?;
    let denominator = over.checked_mul(places)?;
    let rounded_up = numerator / denominator + i128::from(numerator % denominator != 0);
    i64::try_from(if negative { -rounded_up } else { rounded_up }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("1", 1000),
            ("250m", 250),
            ("0.1", 100),
            (".5", 500),
            ("1.5", 1500),
            ("1e3", 1_000_000),
            ("5E-1", 500),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("100u", 1),
            ("1n", 1),
            ("-1", -1000),
            ("2E", i64::MAX),
        ];
        for (text, expected) in cases {
            let expected = (expected != i64::MAX).then_some(expected);
            assert_eq!(milli(text), expected, "{text}");
        }
        assert_eq!(whole("1.5Gi"), Some(3 << 29));
        assert_eq!(whole("8E"), Some(8_000_000_000_000_000_000));
        assert_eq!(whole("1500m"), Some(2));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "m", "1.2.3", "one", "1 Gi", "1kk", "--1", "1e99", "."] {
            assert_eq!(milli(text), None, "{text}");
        }
    }
}
