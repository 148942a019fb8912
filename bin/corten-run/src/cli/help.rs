//! `--help`, from the tables.

use std::fmt::Write as _;

use super::{About, Count, Entry, Takes};
use crate::command::ALL;
use crate::global;

const WIDTH: usize = 100;
const COLUMN: usize = 30;

/// Help for the whole program.
pub(crate) fn of_all() -> String {
    let mut text = String::from("Runs containers by the OCI specification.\n\n");
    text.push_str("usage: corten-run [OPTIONS] COMMAND ...\n\ncommands:\n");
    for entry in ALL {
        row(&mut text, entry.name, entry.about);
    }
    row(&mut text, "shim --dir DIR", "Look after the containers of one pod");
    text.push_str("\noptions:\n");
    options(&mut text, &global::options());
    text.push_str("\nSee corten-run COMMAND --help for a command's own options.\n");
    text
}

/// Help for one command.
pub(crate) fn of_command(entry: &Entry) -> String {
    let mut text = format!("{}.\n\nusage: corten-run {}", entry.about, entry.name);
    let known = (entry.options)();
    if known.iter().any(|option| !option.hidden) {
        text.push_str(" [OPTIONS]");
    }
    for (name, count) in (entry.operands)() {
        let shown = match count {
            Count::One => name.to_owned(),
            Count::Optional => format!("[{name}]"),
            Count::Rest => format!("[{name}...]"),
        };
        write!(text, " {shown}").unwrap_or_default();
    }
    text.push_str("\n\noptions:\n");
    options(&mut text, &known);
    if entry.failure != 1 {
        let failure = entry.failure;
        write!(text, "\nThe status is the program's own, or {failure} if it could not be run.\n")
            .unwrap_or_default();
    }
    text
}

fn options(text: &mut String, known: &[&About]) {
    for option in known.iter().filter(|option| !option.hidden) {
        row(text, &shown(option), option.help);
    }
    row(text, "-h, --help", "Show this");
}

fn shown(option: &About) -> String {
    let short = option.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let value = match option.takes {
        Takes::Nothing => String::new(),
        Takes::Text(name) => format!(" {name}"),
        Takes::File => " FILE".to_owned(),
        Takes::Dir => " DIR".to_owned(),
        Takes::OneOf(choices) => format!(" {}", choices.join("|")),
    };
    format!("{short}--{}{value}", option.long)
}

/// One line of two columns, the second broken between words.
fn row(text: &mut String, left: &str, right: &str) {
    write!(text, "  {left:<COLUMN$}").unwrap_or_default();
    if left.len() >= COLUMN {
        write!(text, "\n  {:COLUMN$}", "").unwrap_or_default();
    }
    let mut at = COLUMN + 2;
    for word in right.split(' ') {
        if at + word.len() >= WIDTH {
            write!(text, "\n  {:COLUMN$}", "").unwrap_or_default();
            at = COLUMN + 2;
        }
        let gap = if at == COLUMN + 2 { "" } else { " " };
        write!(text, "{gap}{word}").unwrap_or_default();
        at += word.len() + gap.len();
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_told_of_within_the_width() {
        let whole = of_all();
        for entry in ALL {
            assert!(whole.contains(entry.name), "{}", entry.name);
            let text = of_command(entry);
            for option in (entry.options)() {
                let told = text.contains(&format!("--{}", option.long));
                assert_eq!(told, !option.hidden, "{} --{}", entry.name, option.long);
            }
            assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        }
    }

    #[test]
    fn names_are_unambiguous() {
        for entry in ALL {
            let options = (entry.options)();
            for (index, one) in options.iter().enumerate() {
                for other in &options[index + 1..] {
                    assert_ne!(one.long, other.long, "{}", entry.name);
                    assert!(one.short.is_none() || one.short != other.short, "{}", entry.name);
                }
            }
        }
    }
}
