//! `kill`.

use std::process::ExitCode;

use anyhow::bail;
use corten_runtime_container::ContainerId;

use crate::cli::{Args, Flag, Operand, value};
use crate::global::Global;

const SIGTERM: i32 = 15;

/// `kill`.
#[derive(Debug)]
pub(super) struct Kill {
    id: Option<ContainerId>,
    signal: i32,
    all: bool,
}

impl Default for Kill {
    fn default() -> Self {
        Self { id: None, signal: SIGTERM, all: false }
    }
}

impl Args for Kill {
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "Send a signal, SIGTERM if none is named, to a container";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[&[Flag::switch(
        "all",
        "To all of its processes, not to the first alone",
        |kill: &mut Self, on| kill.all = on,
    )
    .short('a')]];
    const OPERANDS: &'static [Operand<Self>] = &[
        Operand::one("ID", |kill, id| {
            kill.id = value::id(id)?;
            Ok(())
        }),
        Operand::optional("SIGNAL", |kill, signal| {
            kill.signal = parse(&value::text(signal)?)?;
            Ok(())
        }),
    ];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let states = super::states(global)?;
        corten_runtime_container::kill(&states, super::given(&self.id)?, self.signal, self.all)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// By number, in the order of signal(7) for Linux on x86 and ARM.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

fn parse(text: &str) -> anyhow::Result<i32> {
    if let Ok(number) = text.parse::<i32>() {
        if (1..=corten_sys_linux::signal::LAST).contains(&number) {
            return Ok(number);
        }
        bail!("signal {number} is not between 1 and {}", corten_sys_linux::signal::LAST);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().zip(1..).find(|(known, _)| **known == name) {
        return Ok(number);
    }
    // Real-time signals as the C library counts them: it keeps the first two for itself.
    let offset = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i32>().ok() };
    let real_time = name
        .strip_prefix("RTMIN")
        .and_then(|rest| offset(rest).map(|more| 34 + more))
        .or_else(|| name.strip_prefix("RTMAX").and_then(|rest| offset(rest).map(|less| 64 + less)))
        .filter(|number| (34..=64).contains(number));
    match real_time {
        Some(number) => Ok(number),
        None => bail!("{text:?} is no signal"),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (text, number) in
            [("KILL", 9), ("SIGTERM", 15), ("sigusr1", 10), ("9", 9), ("64", 64), ("SYS", 31)]
        {
            assert_eq!(parse(text).unwrap(), number);
        }
        assert_eq!(parse("SIGRTMIN+3").unwrap(), 37);
        assert_eq!(parse("RTMAX-1").unwrap(), 63);
        for text in ["", "0", "65", "-9", "SIG", "FROB", "RTMIN+99"] {
            parse(text).unwrap_err();
        }
    }
}
