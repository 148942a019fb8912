//! Collections: consistent pages, selectors, and how old an answer may be.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::table;
use corten_apiserver_store::{Entry, Range, Revision};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::select::Select;
use super::{Context, show, storage};
use crate::body::Body;
use crate::negotiate::{self, Format, View};
use crate::{error, respond};

/// How long a read waits for a version that is still to come.
const VERSION_WAIT: Duration = Duration::from_secs(3);
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// Where the next page of a list starts.
#[derive(Debug, Serialize, Deserialize)]
struct ContinueToken {
    v: String,
    /// The version that all pages show; -1 for things as they are.
    rv: i64,
    /// The last key of the page before, without the prefix.
    start: String,
}

impl ContinueToken {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, Status> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok())
            .filter(|token| token.v == TOKEN_VERSION)
            .ok_or_else(|| {
                status::bad_request(
                    "continue key is not valid: it was not given out by this server",
                )
            })
    }
}

/// Why there is no page.
pub(crate) enum Failure {
    Status(Status),
    /// Things as they were at the first page are forgotten; a token for things as they are.
    Expired {
        inconsistent: String,
    },
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Failure {
    /// Without the token.
    pub(crate) fn into_status(self) -> Status {
        match self {
            Self::Status(status) => status,
            Self::Expired { .. } => error::expired_continue(),
        }
    }
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) revision: Revision,
    next: Option<String>,
    remaining: Option<usize>,
}

/// `resourceVersion` as a number: 0 for "0", none if absent.
pub(crate) fn version(ctx: &Context<'_>) -> Result<Option<Revision>, Status> {
    ctx.info
        .query
        .non_empty("resourceVersion")
        .map(|text| {
            text.parse::<Revision>().map_err(|_not_a_number| {
                error::bad_parameter(
                    "resourceVersion",
                    text,
                    "it must be a version this server gave out",
                )
            })
        })
        .transpose()
}

/// Waits until the store has seen `wanted`.
pub(crate) async fn not_older_than(ctx: &Context<'_>, wanted: Revision) -> Result<(), Status> {
    let store = &ctx.api.store;
    if store.revision() >= wanted {
        return Ok(());
    }
    let mut revisions = store.revisions();
    let reached = revisions.wait_for(|now| *now >= wanted);
    match tokio::time::timeout(VERSION_WAIT, reached).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(error::too_large_version(wanted, store.revision())),
    }
}

/// `list`.
pub(crate) async fn list(ctx: &Context<'_>) -> Result<Response<Body>, Status> {
    let accepted = negotiate::accepted(ctx.headers, true)?;
    let page = match page(ctx).await {
        Ok(page) => page,
        Err(Failure::Status(status)) => return Err(status),
        Err(Failure::Expired { inconsistent }) => {
            let mut status = error::expired_continue().to_value();
            status["metadata"]["continue"] = json!(inconsistent);
            return Ok(respond::value(StatusCode::GONE, Format::Json, &status));
        }
    };
    let metadata = page.metadata();
    let code = StatusCode::OK;
    Ok(match accepted.view {
        View::Whole => respond::json(code, accepted.format, whole(ctx, &page, &metadata)),
        View::Partial => {
            let items: Vec<Value> =
                page.entries.iter().map(|entry| table::partial(&storage::parsed(entry))).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": items,
            });
            respond::value(code, accepted.format, &list)
        }
        View::Table => {
            let include = show::include_object(ctx)?;
            let objects: Vec<Arc<Value>> = page
                .entries
                .iter()
                .map(|entry| storage::view(ctx.kind, &storage::parsed(entry)))
                .collect();
            let mut table = show::rows(ctx, ctx.kind, &objects, include);
            table["metadata"] = metadata;
            respond::value(code, accepted.format, &table)
        }
    })
}

/// The list's JSON, put together from its objects' JSON.
fn whole(ctx: &Context<'_>, page: &Page, metadata: &Value) -> Bytes {
    let head = json!({
        "kind": ctx.kind.list_kind,
        "apiVersion": ctx.kind.api_version(),
        "metadata": metadata,
    });
    let mut out = head.to_string().into_bytes();
    out.pop();
    out.extend_from_slice(b",\"items\":[");
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&storage::wire(ctx.kind, entry, entry.modified()));
    }
    out.extend_from_slice(b"]}");
    out.into()
}

impl Page {
    fn metadata(&self) -> Value {
        let mut metadata = json!({ "resourceVersion": self.revision.to_string() });
        if let Some(next) = &self.next {
            metadata["continue"] = json!(next);
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        metadata
    }
}

/// Reads the page that the request asks for.
pub(crate) async fn page(ctx: &Context<'_>) -> Result<Page, Failure> {
    let select = Select::of(ctx)?;
    let query = &ctx.info.query;
    let limit = match query.non_empty("limit") {
        Some(text) => text
            .parse::<usize>()
            .map_err(|_not_a_number| error::bad_parameter("limit", text, "it must be a number"))?,
        None => 0,
    };
    let wanted = version(ctx)?;
    let token = query.non_empty("continue").map(ContinueToken::decode).transpose()?;
    let at = match (&token, query.non_empty("resourceVersionMatch"), wanted) {
        (Some(_), _, Some(1..)) => {
            return Err(Failure::from(status::bad_request(
                "specifying resource version is not allowed when using continue",
            )));
        }
        (Some(_), Some(_), _) => {
            return Err(Failure::from(status::bad_request(
                "resourceVersionMatch is forbidden when continue is specified",
            )));
        }
        (Some(token), None, _) => Revision::try_from(token.rv).ok(),
        (None, Some("Exact"), Some(exact @ 1..)) => Some(exact),
        (None, Some("Exact"), _) => {
            return Err(Failure::from(status::bad_request(
                "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\" or unset",
            )));
        }
        (None, Some("NotOlderThan"), None) => {
            return Err(Failure::from(status::bad_request(
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            )));
        }
        (None, Some("NotOlderThan") | None, _) => None,
        (None, Some(other), _) => {
            return Err(Failure::from(error::bad_parameter(
                "resourceVersionMatch",
                other,
                "supported values: \"Exact\", \"NotOlderThan\"",
            )));
        }
    };
    if let Some(wanted) = at.or(wanted) {
        not_older_than(ctx, wanted).await?;
    }
    let start = token.as_ref().map(|token| token.start.as_str());
    read(ctx, &select, limit, at, start)
}

fn read(
    ctx: &Context<'_>,
    select: &Select,
    limit: usize,
    at: Option<Revision>,
    start: Option<&str>,
) -> Result<Page, Failure> {
    let prefix = storage::prefix(ctx.kind, &ctx.resource.namespace);
    let after = start.map(|start| format!("{prefix}{start}"));
    let everything = select.is_everything();
    let range = Range {
        prefix: &prefix,
        after: after.as_deref(),
        // With a selector it is not known how many entries make a page.
        limit: if everything { limit } else { 0 },
        at,
    };
    let found = ctx.api.store.range(&range).map_err(|compacted| match start {
        Some(start) => {
            let token = ContinueToken { v: TOKEN_VERSION.into(), rv: -1, start: start.into() };
            Failure::Expired { inconsistent: token.encode() }
        }
        None => Failure::Status(error::from_compacted(&compacted)),
    })?;
    let mut entries = found.items;
    let mut remaining = found.remaining;
    if !everything {
        let mut matching = entries.into_iter().filter(|entry| {
            let object = storage::parsed(entry);
            select.matches(&storage::view(ctx.kind, &object))
        });
        let page_len = if limit == 0 { usize::MAX } else { limit };
        entries = matching.by_ref().take(page_len).collect();
        remaining = matching.count();
    }
    let last = entries.last().filter(|_| remaining > 0);
    let next = last.and_then(|last| last.key().strip_prefix(&prefix)).map(|start| {
        let rv = i64::try_from(found.revision).unwrap_or(-1);
        ContinueToken { v: TOKEN_VERSION.into(), rv, start: start.into() }.encode()
    });
    Ok(Page {
        entries,
        revision: found.revision,
        // Upstream does not count what a selector left out either.
        remaining: (next.is_some() && everything).then_some(remaining),
        next,
    })
}
