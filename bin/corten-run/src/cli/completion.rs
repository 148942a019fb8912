//! `completion`: the script that tells a shell of commands, options and containers, written from the
//! same tables that parse them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::process::ExitCode;

use super::{About, Args, Count, Entry, Flag, Operand, Takes, value};
use crate::command::{ALL, say};
use crate::global::{self, Global};

/// Lists the containers that exist, for the shell to choose from.
const CONTAINERS: &str = "corten-run list --quiet 2>/dev/null";

/// `completion`.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    shell: String,
}

impl Args for Completion {
    const NAME: &'static str = "completion";
    const ABOUT: &'static str = "Write the completion script of a shell: bash, zsh or fish";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[];
    const OPERANDS: &'static [Operand<Self>] =
        &[Operand::one("SHELL", |completion, shell: OsString| {
            completion.shell = value::text(shell)?;
            Ok(())
        })];

    fn check(&self) -> anyhow::Result<()> {
        match self.shell.as_str() {
            "bash" | "zsh" | "fish" => Ok(()),
            other => anyhow::bail!("{other:?} is none of bash, zsh and fish"),
        }
    }

    fn run(self, _global: &Global) -> anyhow::Result<ExitCode> {
        say(&match self.shell.as_str() {
            "fish" => fish(),
            "zsh" => format!("autoload -U +X bashcompinit && bashcompinit\n{}", bash()),
            _bash => bash(),
        })
    }
}

/// Whether a command's first operand is a container that exists.
fn names_a_container(entry: &Entry) -> bool {
    let makes_one = matches!(entry.name, "create" | "run" | "restore");
    !makes_one && (entry.operands)().first().is_some_and(|(name, _)| *name == "ID")
}

fn words(options: &[&About]) -> String {
    let mut words = vec!["--help".to_owned()];
    for option in options.iter().filter(|option| !option.hidden) {
        words.push(format!("--{}", option.long));
        words.extend(option.short.map(|letter| format!("-{letter}")));
    }
    words.join(" ")
}

/// The lines of bash's `case` for the options that take values.
fn bash_values(options: &[&About]) -> String {
    let mut text = String::new();
    for option in options.iter().filter(|option| !option.hidden) {
        let reply = match option.takes {
            Takes::Nothing => continue,
            Takes::Text(_) => "return".to_owned(),
            Takes::File => r#"COMPREPLY=($(compgen -f -- "$word")); return"#.to_owned(),
            Takes::Dir => r#"COMPREPLY=($(compgen -d -- "$word")); return"#.to_owned(),
            Takes::OneOf(choices) => {
                format!(r#"COMPREPLY=($(compgen -W "{}" -- "$word")); return"#, choices.join(" "))
            }
        };
        let short = option.short.map(|letter| format!("|-{letter}")).unwrap_or_default();
        writeln!(text, "            --{}{short}) {reply} ;;", option.long).unwrap_or_default();
    }
    text
}

fn bash() -> String {
    let names: Vec<&str> = ALL.iter().map(|entry| entry.name).collect();
    let mut text = format!(
        "_corten_run() {{\n    local word=\"${{COMP_WORDS[COMP_CWORD]}}\" \
         before=\"${{COMP_WORDS[COMP_CWORD-1]}}\" command= at\n    \
         for ((at = 1; at < COMP_CWORD; at++)); do\n        \
         case \" {} \" in *\" ${{COMP_WORDS[at]}} \"*) command=\"${{COMP_WORDS[at]}}\"; break ;; esac\n    \
         done\n    COMPREPLY=()\n    case \"$command\" in\n",
        names.join(" ")
    );
    let global = global::options();
    let mut one = |name: &str, options: &[&About], others: &str| {
        write!(
            text,
            "    {name})\n        case \"$before\" in\n{}        esac\n        \
             COMPREPLY=($(compgen -W \"{} {others}\" -- \"$word\"))\n        ;;\n",
            bash_values(options),
            words(options),
        )
        .unwrap_or_default();
    };
    one("''", &global, &names.join(" "));
    for entry in ALL {
        let others =
            if names_a_container(entry) { format!("$({CONTAINERS})") } else { String::new() };
        let others = if entry.name == "completion" { "bash zsh fish".to_owned() } else { others };
        one(entry.name, &(entry.options)(), &others);
    }
    text.push_str("    esac\n}\ncomplete -o bashdefault -F _corten_run corten-run\n");
    text
}

fn fish() -> String {
    let mut text = String::from("complete -c corten-run -f\n");
    let option = |text: &mut String, condition: &str, option: &About| {
        let short = option.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
        let takes = match option.takes {
            Takes::Nothing => String::new(),
            Takes::Text(_) => " -x".to_owned(),
            Takes::File => " -r -F".to_owned(),
            Takes::Dir => " -x -a '(__fish_complete_directories)'".to_owned(),
            Takes::OneOf(choices) => format!(" -x -a '{}'", choices.join(" ")),
        };
        let help = option.help.replace('\'', "\\'");
        writeln!(
            text,
            "complete -c corten-run -n '{condition}' -l {}{short}{takes} -d '{help}'",
            option.long
        )
        .unwrap_or_default();
    };
    for about in global::options().into_iter().filter(|about| !about.hidden) {
        option(&mut text, "__fish_use_subcommand", about);
    }
    for entry in ALL {
        let about = entry.about.replace('\'', "\\'");
        let name = entry.name;
        writeln!(text, "complete -c corten-run -n __fish_use_subcommand -a {name} -d '{about}'")
            .unwrap_or_default();
        let condition = format!("__fish_seen_subcommand_from {name}");
        for about in (entry.options)().into_iter().filter(|about| !about.hidden) {
            option(&mut text, &condition, about);
        }
        if names_a_container(entry) {
            writeln!(text, "complete -c corten-run -n '{condition}' -a '({CONTAINERS})'")
                .unwrap_or_default();
        }
        if (entry.operands)().iter().any(|(_, count)| *count == Count::Rest) {
            writeln!(text, "complete -c corten-run -n '{condition}' -F").unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_know_every_command_and_option() {
        for script in [bash(), fish()] {
            for entry in ALL {
                assert!(script.contains(entry.name), "{}", entry.name);
                for option in (entry.options)().iter().filter(|option| !option.hidden) {
                    assert!(script.contains(option.long), "{} --{}", entry.name, option.long);
                }
            }
        }
    }

    /// As a user's shell would: `corten-run upd<TAB>`, `corten-run update --mem<TAB>`.
    #[test]
    fn bash_completes() {
        for (line, expected) in [
            ("corten-run upd", "update"),
            ("corten-run --log-format j", "json"),
            ("corten-run --root /x delete --fo", "--force"),
            ("corten-run update --pids", "--pids-limit"),
        ] {
            let words = line.split(' ').map(|word| format!("'{word}'")).collect::<Vec<_>>();
            let script = format!(
                "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _corten_run; echo \"${{COMPREPLY[@]}}\"",
                bash(),
                words.join(" "),
                words.len() - 1
            );
            let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{output:?}");
        }
    }
}
