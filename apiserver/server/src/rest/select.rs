//! Label and field selectors of a request.

use corten_api_k8s::kinds::Kind;
use corten_api_k8s::meta;
use corten_api_k8s::selector::{FieldSelector, Selector};
use corten_api_k8s::status::{self, Status};
use corten_apiserver_registry::lifecycle;
use serde_json::Value;

use super::Context;
use crate::request::Query;

/// Which objects of a kind a request is about.
pub(crate) struct Select {
    kind: &'static Kind,
    labels: Selector,
    fields: FieldSelector,
}

impl Select {
    pub(crate) fn of(ctx: &Context<'_>) -> Result<Self, Status> {
        Self::parse(ctx.kind, &ctx.info.query)
    }

    fn parse(kind: &'static Kind, query: &Query) -> Result<Self, Status> {
        let text = query.get("labelSelector").unwrap_or_default();
        let labels: Selector = text.parse().map_err(|error| {
            status::bad_request(format!("unable to parse requirement: {error}"))
        })?;
        let text = query.get("fieldSelector").unwrap_or_default();
        let fields: FieldSelector =
            text.parse().map_err(|error| status::bad_request(format!("{error}")))?;
        lifecycle::check_field_selector(kind, &fields)?;
        Ok(Self { kind, labels, fields })
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(meta::labels(object))
            && lifecycle::matches_fields(self.kind, object, &self.fields)
    }
}
