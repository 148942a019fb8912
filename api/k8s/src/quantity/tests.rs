use proptest::prelude::*;

use super::*;

fn check(text: &str, canonical: &str) {
    assert_eq!(text.parse::<Quantity>().map(|q| q.to_string()), Ok(canonical.to_owned()), "{text}");
}

#[test]
fn canonical_form() {
    for (text, canonical) in [
        ("0", "0"),
        ("0n", "0"),
        ("-0", "0"),
        ("1", "1"),
        ("+1", "1"),
        ("1000", "1k"),
        ("1000m", "1"),
        ("100m", "100m"),
        ("0.1", "100m"),
        (".5", "500m"),
        ("5.", "5"),
        ("0.0000001", "100n"),
        ("0.0000000001", "1n"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("100e3", "100e3"),
        ("1000e3", "1e6"),
        ("1e-3", "1e-3"),
        ("12e1", "120"),
        ("1E", "1E"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Gi", "512Mi"),
        ("0.5Ki", "512"),
        ("1536", "1536"),
        ("1Ki", "1Ki"),
        ("1023Ki", "1023Ki"),
        ("0.1Gi", "107374182400m"),
        ("0.0005Ki", "512m"),
        ("128974848", "128974848"),
        ("129e6", "129e6"),
        ("123Mi", "123Mi"),
        ("-1.5Gi", "-1536Mi"),
        ("1e100", "9223372036854775807e0"),
        ("16Ei", "9223372036854775807"),
        ("1e-100", "1e-9"),
        ("00012", "12"),
    ] {
        let canonical = canonical.trim_end_matches("e0");
        check(text, canonical);
    }
}

#[test]
fn what_is_no_quantity() {
    for text in [
        "",
        " ",
        "-",
        "+",
        ".",
        "1.1.1",
        "1 Gi",
        "Gi",
        "1gi",
        "1KI",
        "1e",
        "1e+",
        "1ee3",
        "1Kie",
        "1mi",
        "0x10",
        "١",
        "1_000",
        "--1",
        "1Mi ",
        "1e99999999999999999999",
        "NaN",
    ] {
        assert_eq!(text.parse::<Quantity>(), Err(ParseError), "{text}");
    }
}

#[test]
fn rounds_up() {
    let q: Quantity = "100m".parse().unwrap();
    assert_eq!((q.value(), q.milli_value()), (1, 100));
    let q: Quantity = "-1500u".parse().unwrap();
    assert_eq!((q.value(), q.milli_value()), (-1, -2));
    assert!(!q.is_milli() && !q.is_integer());
}

#[test]
fn zero_has_no_opinion_on_the_format() {
    let sum = Quantity::zero() + "1Gi".parse::<Quantity>().unwrap();
    assert_eq!(sum.to_string(), "1Gi");
}

fn quantities() -> impl Strategy<Value = String> {
    let suffix = prop::sample::select(vec![
        "n", "u", "m", "", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "e3", "E2", "e-4",
    ]);
    ("[+-]?[0-9]{1,9}(\\.[0-9]{0,6})?", suffix).prop_map(|(n, s)| format!("{n}{s}"))
}

proptest! {
    #[test]
    fn canonical_form_is_a_fixed_point(text in quantities()) {
        let q: Quantity = text.parse().unwrap();
        let canonical = q.to_string();
        let again: Quantity = canonical.parse().unwrap();
        prop_assert_eq!(again, q);
        prop_assert_eq!(again.to_string(), canonical);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-+0-9.eEinumkKMGTP]{0,40}") {
        if let Ok(q) = text.parse::<Quantity>() {
            prop_assert_eq!(q.to_string().parse::<Quantity>(), Ok(q));
        }
    }

    #[test]
    fn sums(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000) {
        let (x, y) = (Quantity::from_milli(a), Quantity::from_milli(b));
        prop_assert_eq!(x + y, Quantity::from_milli(a + b));
        prop_assert_eq!(x + y - y, x);
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
        prop_assert_eq!((-x).milli_value(), -a);
    }

    #[test]
    fn suffixes_multiply(n in 0u32..10_000) {
        let of = |s: &str| format!("{n}{s}").parse::<Quantity>().unwrap().value();
        prop_assert_eq!(of("Ki"), i64::from(n) * 1024);
        prop_assert_eq!(of("Gi"), i64::from(n) << 30);
        prop_assert_eq!(of("k"), i64::from(n) * 1000);
        prop_assert_eq!(of("e6"), i64::from(n) * 1_000_000);
    }
}
