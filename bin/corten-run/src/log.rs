//! `--log`: one line per event, as text or JSON in the shape that engines parse (runc's).

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::sync::OnceLock;

use anyhow::Context as _;
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, span};

use crate::global::Global;

struct Log {
    file: Option<File>,
    json: bool,
    level: Level,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Opens the log, and takes the libraries' events into it.
pub(crate) fn start(global: &Global) -> anyhow::Result<()> {
    let file = global
        .log
        .as_ref()
        .map(|path| {
            File::options()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("--log {}", path.display()))
        })
        .transpose()?;
    let level = if global.debug { Level::DEBUG } else { Level::WARN };
    LOG.get_or_init(|| Log { file, json: global.log_json, level });
    tracing::subscriber::set_global_default(Events).context("take over events")
}

/// Writes an error to the log, if there is one.
pub(crate) fn error(message: &str) {
    line("error", message);
}

/// Writes a warning to the log, or to standard error without one.
pub(crate) fn warning(message: &str) {
    line("warning", message);
    if LOG.get().is_none_or(|log| log.file.is_none()) {
        drop(writeln!(std::io::stderr(), "corten-run: warning: {message}"));
    }
}

fn line(level: &str, message: &str) {
    let Some(Log { file: Some(file), json, .. }) = LOG.get() else { return };
    let time = corten_runtime_container::now_rfc3339();
    let text = if *json {
        serde_json::json!({ "level": level, "msg": message, "time": time }).to_string()
    } else {
        format!("time={time:?} level={level} msg={message:?}")
    };
    let mut file: &File = file;
    // A log that cannot be written to must not fail the container.
    drop(file.write_all(format!("{text}\n").as_bytes()));
}

/// Events of the libraries, as lines.
struct Events;

impl tracing::Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        LOG.get().is_some_and(|log| *metadata.level() <= log.level)
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let message = format!("{}{}", text.message, text.fields);
        if *event.metadata().level() <= Level::WARN {
            warning(&message)
        } else {
            line("debug", &message)
        }
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        if field.name() == "message" {
            write!(self.message, "{value:?}").unwrap_or_default();
        } else {
            write!(self.fields, " {}={value:?}", field.name()).unwrap_or_default();
        }
    }
}
