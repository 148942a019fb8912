//! Changes as they happen: a stream of JSON lines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::table::{self, IncludeObject};
use corten_apiserver_store::{Compacted, Entry, Event, Range, Revision, Watch, WatchError};
use corten_task::CancellationToken;
use futures::Stream;
use http::{Response, StatusCode};
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::select::Select;
use super::{Context, list, show, storage};
use crate::body::Body;
use crate::negotiate::{self, Format, View};
use crate::{error, respond};

/// A watch without `timeoutSeconds` ends after between this and twice this.
const TIMEOUT_MIN_SECONDS: u64 = 1_800;
/// How often a client that allows bookmarks gets one. One more comes shortly before the end.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Marks the bookmark after the last initial event (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// Lines that wait already are sent together, up to so many bytes.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// `watch`.
pub(crate) async fn watch(ctx: &Context<'_>) -> Result<Response<Body>, Status> {
    let accepted = negotiate::accepted(ctx.headers, true)?;
    if accepted.format != Format::Json {
        return Err(status::not_acceptable(&["application/json;stream=watch"]));
    }
    let select = Select::of(ctx)?;
    let bookmarks = ctx.info.query.flag("allowWatchBookmarks") == Some(true);
    let start = Start::of(ctx)?;
    let (initial, watch, started_at) = match open(ctx, &start).await {
        Ok(opened) => opened,
        Err(status) if status.code == 410 => {
            // As part of the stream: clients relist on such an event.
            let line = line("ERROR", status.to_value().to_string().as_bytes());
            return Ok(respond::bytes(StatusCode::OK, "application/json", line.into()));
        }
        Err(status) => return Err(status),
    };
    let lens = Lens {
        kind: ctx.kind,
        view: accepted.view,
        include: show::include_object(ctx)?,
        select,
        first_table: true,
        now: jiff::Timestamp::now,
    };
    let mut stream = Lines {
        lens,
        waiting: VecDeque::new(),
        watch,
        after: started_at,
        bookmarks: bookmarks.then(bookmark_interval),
        told: started_at,
        deadline: Instant::now() + timeout(ctx)?,
        stop: ctx.api.stop.clone(),
        done: false,
    };
    for entry in initial {
        let line = stream.lens.initial(&entry);
        stream.waiting.extend(line);
    }
    if matches!(start, Start::Initial { .. }) {
        let line = stream.lens.bookmark(started_at, true);
        stream.waiting.push_back(line);
    }
    let mut response = Response::new(Body::pieces(stream.into_stream()));
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers
        .insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// From where a watch is wanted.
enum Start {
    /// What there is, as ADDED events, then the changes.
    Now { not_older_than: Option<Revision> },
    /// The same, with a bookmark in between (`sendInitialEvents`).
    Initial { not_older_than: Option<Revision> },
    /// The changes after a version.
    After(Revision),
}

impl Start {
    fn of(ctx: &Context<'_>) -> Result<Self, Status> {
        let query = &ctx.info.query;
        let version = list::version(ctx)?;
        let matching = query.non_empty("resourceVersionMatch");
        match query.flag("sendInitialEvents") {
            Some(send) => {
                if matching != Some("NotOlderThan") {
                    return Err(status::bad_request(
                        "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                    ));
                }
                if send && query.flag("allowWatchBookmarks") != Some(true) {
                    return Err(status::bad_request(
                        "sendInitialEvents requires allowWatchBookmarks to be true",
                    ));
                }
                match (send, version) {
                    (true, version) => Ok(Self::Initial { not_older_than: version }),
                    (false, Some(version @ 1..)) => Ok(Self::After(version)),
                    (false, Some(0) | None) => Ok(Self::After(ctx.api.store.revision())),
                }
            }
            None if matching.is_some() => Err(status::bad_request(
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
            None => Ok(match version {
                Some(version @ 1..) => Self::After(version),
                Some(0) | None => Self::Now { not_older_than: None },
            }),
        }
    }
}

type Opened = (Vec<Arc<Entry>>, Watch, Revision);

async fn open(ctx: &Context<'_>, start: &Start) -> Result<Opened, Status> {
    let prefix = storage::prefix(ctx.kind, &ctx.resource.namespace);
    let store = &ctx.api.store;
    let compacted = |error: Compacted| error::from_compacted(&error);
    match start {
        Start::After(revision) => {
            // A version that is still to come: the events up to it are then left out.
            let watch =
                store.watch(&prefix, (*revision).min(store.revision())).map_err(compacted)?;
            Ok((Vec::new(), watch, *revision))
        }
        Start::Now { not_older_than } | Start::Initial { not_older_than } => {
            if let Some(wanted) = not_older_than {
                list::not_older_than(ctx, *wanted).await?;
            }
            let range = Range { prefix: &prefix, ..Range::default() };
            let found = store.range(&range).map_err(compacted)?;
            let watch = store.watch(&prefix, found.revision).map_err(compacted)?;
            Ok((found.items, watch, found.revision))
        }
    }
}

fn timeout(ctx: &Context<'_>) -> Result<Duration, Status> {
    let seconds = match ctx.info.query.non_empty("timeoutSeconds") {
        Some(text) => text.parse::<u64>().map_err(|_not_a_number| {
            error::bad_parameter("timeoutSeconds", text, "it must be a number of seconds")
        })?,
        None => 0,
    };
    // Spread out, so that clients do not all come back at once.
    let default = || rand::rng().random_range(TIMEOUT_MIN_SECONDS..2 * TIMEOUT_MIN_SECONDS);
    let seconds = if seconds == 0 { default() } else { seconds.min(24 * 3_600) };
    Ok(Duration::from_secs(seconds))
}

fn bookmark_interval() -> Interval {
    let mut interval =
        tokio::time::interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

fn line(what: &str, object: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(what.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line
}

/// How one watch sees events.
struct Lens {
    kind: &'static Kind,
    view: View,
    include: IncludeObject,
    select: Select,
    /// Only the first table of a stream has its columns described.
    first_table: bool,
    now: fn() -> jiff::Timestamp,
}

impl Lens {
    fn seen(&self, entry: &Entry) -> bool {
        self.select.is_everything()
            || self.select.matches(&storage::view(self.kind, &storage::parsed(entry)))
    }

    fn initial(&mut self, entry: &Entry) -> Option<Vec<u8>> {
        self.seen(entry).then(|| self.entry_line("ADDED", entry, entry.modified()))
    }

    /// What an event is to a client that only sees what its selectors pick: coming into view is an
    /// addition, going out of it a deletion.
    fn event(&mut self, event: &Event) -> Option<Vec<u8>> {
        let before = event.previous.as_deref().filter(|entry| self.seen(entry));
        let after = event.entry.as_deref().filter(|entry| self.seen(entry));
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(self.entry_line("ADDED", after, event.revision)),
            (Some(_), Some(after)) => Some(self.entry_line("MODIFIED", after, event.revision)),
            (Some(before), None) => Some(self.entry_line("DELETED", before, event.revision)),
        }
    }

    fn entry_line(&mut self, what: &str, entry: &Entry, revision: Revision) -> Vec<u8> {
        if self.view == View::Whole {
            return line(what, &storage::wire(self.kind, entry, revision));
        }
        let mut object = storage::view(self.kind, &storage::parsed(entry));
        if entry.modified() != revision {
            meta::set_resource_version(Arc::make_mut(&mut object), revision);
        }
        self.value_line(what, &object)
    }

    fn value_line(&mut self, what: &str, object: &Arc<Value>) -> Vec<u8> {
        let shown = match self.view {
            View::Whole => object.as_ref().clone(),
            View::Partial => table::partial(object),
            View::Table => {
                let objects = [object.as_ref().clone()];
                let mut table = table::table(self.kind, &objects, (self.now)(), self.include);
                if let Some(version) = object.pointer("/metadata/resourceVersion") {
                    table["metadata"]["resourceVersion"] = version.clone();
                }
                if !std::mem::take(&mut self.first_table) {
                    table["columnDefinitions"] = Value::Null;
                }
                table
            }
        };
        line(what, shown.to_string().as_bytes())
    }

    fn bookmark(&self, revision: Revision, initial_end: bool) -> Vec<u8> {
        let (kind, api_version) = match self.view {
            View::Whole => (self.kind.kind, self.kind.api_version()),
            View::Table => ("Table", "meta.k8s.io/v1".to_owned()),
            View::Partial => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
        };
        let mut metadata = json!({
            "resourceVersion": revision.to_string(),
            "creationTimestamp": null,
        });
        if initial_end {
            metadata["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
        }
        let mut object = json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata });
        if self.view == View::Table {
            object["columnDefinitions"] = Value::Null;
            object["rows"] = json!([]);
        } else if self.view == View::Whole && self.kind.schema.field("spec").is_some() {
            // Typed clients read the bookmark as an object of the kind; a spec must be there.
            object["spec"] = json!({});
        }
        line("BOOKMARK", object.to_string().as_bytes())
    }
}

/// The stream of one watch.
struct Lines {
    lens: Lens,
    waiting: VecDeque<Vec<u8>>,
    watch: Watch,
    /// Events up to this are not wanted.
    after: Revision,
    bookmarks: Option<Interval>,
    /// The newest version the client has been told.
    told: Revision,
    deadline: Instant,
    stop: CancellationToken,
    done: bool,
}

impl Lines {
    fn into_stream(self) -> impl Stream<Item = Bytes> {
        futures::stream::unfold(self, |mut lines| async move {
            let piece = lines.next_piece().await?;
            Some((piece, lines))
        })
    }

    /// The next lines, together; none at the end.
    async fn next_piece(&mut self) -> Option<Bytes> {
        loop {
            self.take_ready();
            if let Some(piece) = self.piece() {
                return Some(piece);
            }
            if self.done {
                return None;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => self.done = true,
                () = tokio::time::sleep_until(self.deadline) => self.end(),
                () = tick(&mut self.bookmarks) => self.bookmark(),
                event = self.watch.next() => self.take(event),
            }
        }
    }

    fn piece(&mut self) -> Option<Bytes> {
        let mut piece = self.waiting.pop_front()?;
        while let Some(next) = self.waiting.front()
            && piece.len() + next.len() <= PIECE_BYTES_MAX
        {
            piece.extend_from_slice(next);
            self.waiting.pop_front();
        }
        Some(piece.into())
    }

    fn take_ready(&mut self) {
        let mut bytes: usize = self.waiting.iter().map(Vec::len).sum();
        while !self.done && bytes < PIECE_BYTES_MAX {
            match self.watch.try_next() {
                Ok(None) => return,
                Ok(Some(event)) => self.take(Ok(event)),
                Err(error) => self.take(Err(error)),
            }
            bytes += self.waiting.back().map_or(0, Vec::len);
        }
    }

    fn take(&mut self, event: Result<Arc<Event>, WatchError>) {
        match event {
            Ok(event) if event.revision <= self.after => {}
            Ok(event) => {
                if let Some(line) = self.lens.event(&event) {
                    self.told = event.revision;
                    self.waiting.push_back(line);
                }
            }
            Err(WatchError::Lagged) => {
                let status = status::expired("too old resource version: the watch fell behind");
                self.waiting.push_back(line("ERROR", status.to_value().to_string().as_bytes()));
                self.done = true;
            }
            Err(WatchError::Closed) => self.done = true,
        }
    }

    fn bookmark(&mut self) {
        if let Some(revision) = self.watch.progress().filter(|revision| *revision > self.told) {
            self.told = revision;
            self.waiting.push_back(self.lens.bookmark(revision, false));
        }
    }

    /// The time is up: a last bookmark saves the client from reading again what it has seen.
    fn end(&mut self) {
        if self.bookmarks.is_some() {
            self.bookmark();
        }
        self.done = true;
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}
