//! The names of signals, as images and the interface write them, and their numbers.

use corten_api_cri::v1::Signal;

/// The signal that a container is stopped with when nobody says otherwise.
pub(crate) const TERM: i32 = 15;
/// The signal that cannot be caught.
pub(crate) const KILL: i32 = 9;

/// Where the C library's real-time signals start; it keeps two for itself (signal(7)).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// signal(7), the numbers of all but Alpha, MIPS, PA-RISC and SPARC.
const NAMES: [(&str, i32); 36] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", RTMIN),
    ("RTMAX", RTMAX),
];

/// The number of a signal written as `SIGTERM`, `term`, `15`, `SIGRTMIN+3` or `SIGRTMAX-2`.
pub(crate) fn parse(text: &str) -> Option<i32> {
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN").and_then(|rest| digits_after(rest, '+')) {
        return (offset <= RTMAX - RTMIN).then_some(RTMIN + offset);
    }
    if let Some(offset) = name.strip_prefix("RTMAX").and_then(|rest| digits_after(rest, '-')) {
        return (offset <= RTMAX - RTMIN).then_some(RTMAX - offset);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

fn digits_after(rest: &str, sign: char) -> Option<i32> {
    let digits = rest.strip_prefix(sign)?;
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

/// The number of the interface's enumeration; nothing for its "the runtime decides".
pub(crate) fn from_cri(signal: Signal) -> Option<i32> {
    if signal == Signal::RuntimeDefault {
        return None;
    }
    let name = signal.as_str_name().replace("PLUS", "+").replace("MINUS", "-");
    parse(&name)
}

/// The interface's enumeration for a number; its default where it has none.
pub(crate) fn to_cri(number: i32) -> Signal {
    (1..=RTMAX_CRI)
        .filter_map(|value| Signal::try_from(value).ok())
        .find(|signal| from_cri(*signal) == Some(number))
        .unwrap_or(Signal::RuntimeDefault)
}

/// The enumeration's last value.
const RTMAX_CRI: i32 = Signal::Sigrtmax as i32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_real_time_signals() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGRTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX-2", 62),
            ("SIGWINCH", 28),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "-1", "SIGNOPE", "SIGRTMIN+31", "SIGRTMIN+x", "SIGRTMIN+"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_signal_of_the_interface_has_a_number() {
        for value in 1..=RTMAX_CRI {
            let signal = Signal::try_from(value).unwrap();
            let number = from_cri(signal);
            assert!(number.is_some(), "{}", signal.as_str_name());
        }
        assert_eq!(from_cri(Signal::RuntimeDefault), None);
        assert_eq!(to_cri(37), Signal::Sigrtminplus3);
        assert_eq!(to_cri(28), Signal::Sigwinch);
    }
}
