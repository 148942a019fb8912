//! The command line: one table per command says how an option is called, what it takes, what it
//! does and what help and shell completion say of it.
//!
//! Engines call runtimes by runc's command line, which is parsed as Go's `flag` does: `-name` is
//! `--name`, and a switch may be given a value (`--rootless=true`, `-no-subreaper`).

pub(crate) mod completion;
pub(crate) mod help;
pub(crate) mod value;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use lexopt::{Arg, Parser};

use crate::global::Global;

/// The arguments of one command.
pub(crate) trait Args: Default + 'static {
    /// What it is called.
    const NAME: &'static str;
    /// What it does, in one line.
    const ABOUT: &'static str;
    /// Its options, in groups that commands may share.
    const FLAGS: &'static [&'static [Flag<Self>]];
    /// What stands beside the options, in order.
    const OPERANDS: &'static [Operand<Self>];
    /// The status for a failure. `exec` keeps the small numbers for the program's own.
    const FAILURE: u8 = 1;

    /// What must hold between the arguments.
    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Does it.
    fn run(self, global: &Global) -> anyhow::Result<ExitCode>;
}

/// What an option's value is, for completion; the name stands in its place in help.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Takes {
    /// Nothing: a switch.
    Nothing,
    /// Anything.
    Text(&'static str),
    /// A file or socket.
    File,
    /// A folder.
    Dir,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// What help and completion know of an option.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    pub(crate) help: &'static str,
    /// Kept for old callers: taken, and not told of.
    pub(crate) hidden: bool,
}

enum Action<T: 'static> {
    Switch(fn(&mut T, bool)),
    Value(fn(&mut T, OsString) -> anyhow::Result<()>),
}

/// An option.
pub(crate) struct Flag<T: 'static> {
    pub(crate) about: About,
    action: Action<T>,
}

impl<T> Flag<T> {
    pub(crate) const fn switch(
        long: &'static str,
        help: &'static str,
        set: fn(&mut T, bool),
    ) -> Self {
        let about = About { long, short: None, takes: Takes::Nothing, help, hidden: false };
        Self { about, action: Action::Switch(set) }
    }

    pub(crate) const fn value(
        long: &'static str,
        takes: Takes,
        help: &'static str,
        set: fn(&mut T, OsString) -> anyhow::Result<()>,
    ) -> Self {
        let about = About { long, short: None, takes, help, hidden: false };
        Self { about, action: Action::Value(set) }
    }

    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.about.short = Some(letter);
        self
    }

    pub(crate) const fn hidden(mut self) -> Self {
        self.about.hidden = true;
        self
    }
}

/// An argument that is no option.
pub(crate) struct Operand<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) count: Count,
    set: fn(&mut T, OsString) -> anyhow::Result<()>,
}

/// How often an operand stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    One,
    Optional,
    /// All that is left, also what looks like an option: it is another program's.
    Rest,
}

impl<T> Operand<T> {
    pub(crate) const fn one(
        name: &'static str,
        set: fn(&mut T, OsString) -> anyhow::Result<()>,
    ) -> Self {
        Self { name, count: Count::One, set }
    }

    pub(crate) const fn optional(
        name: &'static str,
        set: fn(&mut T, OsString) -> anyhow::Result<()>,
    ) -> Self {
        Self { name, count: Count::Optional, set }
    }

    pub(crate) const fn rest(
        name: &'static str,
        set: fn(&mut T, OsString) -> anyhow::Result<()>,
    ) -> Self {
        Self { name, count: Count::Rest, set }
    }
}

/// A command as the table of all holds it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) failure: u8,
    pub(crate) options: fn() -> Vec<&'static About>,
    pub(crate) operands: fn() -> Vec<(&'static str, Count)>,
    pub(crate) run: fn(&Global, &mut Parser) -> Result<ExitCode, Failure>,
}

/// A command that failed, and the status for it.
pub(crate) struct Failure {
    pub(crate) error: anyhow::Error,
    pub(crate) status: u8,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { error, status: 1 }
    }
}

impl Entry {
    pub(crate) const fn of<T: Args>() -> Self {
        Self {
            name: T::NAME,
            about: T::ABOUT,
            failure: T::FAILURE,
            options: || flags::<T>().map(|flag| &flag.about).collect(),
            operands: || T::OPERANDS.iter().map(|one| (one.name, one.count)).collect(),
            run: |global, parser| match parse::<T>(parser).context(T::NAME)? {
                Some(args) => {
                    args.run(global).map_err(|error| Failure { error, status: T::FAILURE })
                }
                None => Ok(crate::command::say(&help::of_command(&Self::of::<T>()))?),
            },
        }
    }
}

fn flags<T: Args>() -> impl Iterator<Item = &'static Flag<T>> {
    T::FLAGS.iter().copied().flatten()
}

/// The arguments of a command, or none if help is asked for.
pub(crate) fn parse<T: Args>(parser: &mut Parser) -> anyhow::Result<Option<T>> {
    let mut made = T::default();
    let mut operands = T::OPERANDS.iter().peekable();
    loop {
        if operands.peek().is_some_and(|next| next.count == Count::Rest) {
            // The options of the command end where its other program's words begin.
            let Some(rest) = operands.next() else { break };
            for word in parser.raw_args()? {
                (rest.set)(&mut made, word)?;
            }
            break;
        }
        match next_option(parser, |name| flags::<T>().find(|flag| flag.about.long == name))? {
            Next::Flag(flag) => set(flag, &mut made, parser)?,
            Next::Arg(Arg::Long("help") | Arg::Short('h')) => return Ok(None),
            Next::Arg(Arg::Short(letter)) => {
                let known = flags::<T>().find(|flag| flag.about.short == Some(letter));
                set(
                    known.ok_or(lexopt::Error::UnexpectedOption(format!("-{letter}")))?,
                    &mut made,
                    parser,
                )?;
            }
            Next::Arg(Arg::Long(name)) => {
                return Err(lexopt::Error::UnexpectedOption(format!("--{name}")).into());
            }
            Next::Arg(Arg::Value(value)) => match operands.next() {
                Some(operand) => (operand.set)(&mut made, value).context(operand.name)?,
                None => return Err(lexopt::Error::UnexpectedArgument(value).into()),
            },
            Next::End => break,
        }
    }
    if let Some(missing) = operands.find(|operand| operand.count == Count::One) {
        bail!("{} is missing; see corten-run {} --help", missing.name, T::NAME);
    }
    made.check()?;
    Ok(Some(made))
}

/// What comes next on a command line.
pub(crate) enum Next<'p, 'f, T: 'static> {
    Flag(&'f Flag<T>),
    Arg(Arg<'p>),
    End,
}

/// The next option or word. A long option is looked up here, written with one dash or two; one that
/// is not known, a short one and a word are handed back.
pub(crate) fn next_option<'p, 'f, T>(
    parser: &'p mut Parser,
    find: impl Fn(&str) -> Option<&'f Flag<T>>,
) -> anyhow::Result<Next<'p, 'f, T>> {
    let single = parser.try_raw_args().and_then(|mut raw| {
        let word = raw.peek()?.as_bytes().strip_prefix(b"-")?;
        let name = word.split(|byte| *byte == b'=').next()?;
        let flag = (name.len() > 1).then(|| find(std::str::from_utf8(name).ok()?)).flatten()?;
        raw.next().map(|word| (flag, word))
    });
    if let Some((flag, word)) = single {
        // Handed to the parser again, with the second dash, so that values are its business.
        let rest = parser.raw_args()?.collect::<Vec<_>>();
        let mut whole = OsString::from("-");
        whole.push(word);
        *parser = Parser::from_args(std::iter::once(whole).chain(rest));
        drop(parser.next()?);
        return Ok(Next::Flag(flag));
    }
    match parser.next()? {
        None => Ok(Next::End),
        Some(Arg::Long(name)) => match find(name) {
            Some(flag) => Ok(Next::Flag(flag)),
            None => Ok(Next::Arg(Arg::Long(name))),
        },
        Some(other) => Ok(Next::Arg(other)),
    }
}

/// Does what an option says.
pub(crate) fn set<T>(flag: &Flag<T>, made: &mut T, parser: &mut Parser) -> anyhow::Result<()> {
    let name = flag.about.long;
    match flag.action {
        Action::Switch(set) => {
            let on = match parser.optional_value() {
                None => true,
                Some(value) => value::boolean(&value).with_context(|| format!("--{name}"))?,
            };
            set(made, on);
            Ok(())
        }
        Action::Value(set) => {
            let value = parser.value()?;
            if let Takes::OneOf(choices) = flag.about.takes
                && !choices.iter().any(|choice| value == *choice)
            {
                bail!(
                    "--{name}: {:?} is none of {}",
                    value.display().to_string(),
                    choices.join(", ")
                );
            }
            set(made, value).with_context(|| format!("--{name}"))
        }
    }
}

#[cfg(test)]
pub(crate) fn parse_words<T: Args>(words: &[&str]) -> anyhow::Result<T> {
    let mut parser = Parser::from_args(words.iter().map(OsString::from));
    parse::<T>(&mut parser)?.context("help")
}
