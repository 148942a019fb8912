//! `list`.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::state::View;
use crate::cli::{Args, Flag, Operand, Takes};
use crate::global::Global;

/// `list`.
#[derive(Debug, Default)]
pub(super) struct List {
    json: bool,
    quiet: bool,
}

impl Args for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List the containers that --root keeps";
    const FLAGS: &'static [&'static [Flag<Self>]] = &[&[
        Flag::value(
            "format",
            Takes::OneOf(&["table", "json"]),
            "How to show them",
            |list: &mut Self, format| {
                list.json = format == "json";
                Ok(())
            },
        )
        .short('f'),
        Flag::switch("quiet", "Show only their ids", |list: &mut Self, on| list.quiet = on)
            .short('q'),
    ]];
    const OPERANDS: &'static [Operand<Self>] = &[];

    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        let states = super::states(global)?;
        let views: Vec<View> =
            states.list()?.into_iter().map(|state| View::new(&states, state)).collect();
        if self.quiet {
            let ids: String = views.iter().map(|view| format!("{}\n", view.id)).collect();
            return super::say(&ids);
        }
        if self.json {
            return super::say(&format!("{}\n", serde_json::to_string(&views)?));
        }
        super::say(&table(&views))
    }
}

fn table(views: &[View]) -> String {
    let heading = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows: Vec<[String; 6]> = std::iter::once(heading)
        .chain(views.iter().map(|view| {
            [
                view.id.clone(),
                view.pid.to_string(),
                view.status.to_string(),
                view.bundle.clone(),
                view.created.clone(),
                view.owner.clone(),
            ]
        }))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            write!(line, "{cell:<width$}  ").unwrap_or_default();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
