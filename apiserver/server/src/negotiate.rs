//! In what form requests come and answers are wanted.

use corten_api_k8s::decode::ContentType;
use corten_api_k8s::status::{self, Status};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const SERVED: &[&str] = &[JSON, YAML];

/// The encoding of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
}

/// What an answer shows of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Whole,
    Table,
    Partial,
}

/// The form in which an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) format: Format,
    pub(crate) view: View,
}

/// A patch's language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    Json,
    Merge,
    Strategic,
}

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
        }
    }
}

impl Accepted {
    pub(crate) const JSON: Self = Self { format: Format::Json, view: View::Whole };
}

fn split(media: &str) -> (&str, impl Iterator<Item = (&str, &str)>) {
    let mut parts = media.split(';').map(str::trim);
    let base = parts.next().unwrap_or_default();
    (base, parts.filter_map(|part| part.split_once('=')))
}

/// The best form that the client accepts and this server has. Views of objects only count where
/// `views` says that the answer can be shown so.
pub(crate) fn accepted(headers: &HeaderMap, views: bool) -> Result<Accepted, Status> {
    let mut clauses: Vec<(f32, &str)> = Vec::new();
    for value in headers.get_all(ACCEPT) {
        let text = value.to_str().unwrap_or_default();
        for clause in text.split(',').map(str::trim).filter(|clause| !clause.is_empty()) {
            let quality = split(clause).1.find(|(name, _)| *name == "q");
            clauses.push((quality.and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0), clause));
        }
    }
    if clauses.is_empty() {
        return Ok(Accepted::JSON);
    }
    // Stable: of equals, the one named first.
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses
        .iter()
        .find_map(|(_, clause)| served(clause, views))
        .ok_or_else(|| status::not_acceptable(SERVED))
}

fn served(clause: &str, views: bool) -> Option<Accepted> {
    let (base, parameters) = split(clause);
    let format = match base {
        JSON | "*/*" | "application/*" => Format::Json,
        YAML => Format::Yaml,
        _ => return None,
    };
    let (mut view, mut version) = (None, None);
    for (name, value) in parameters {
        match name {
            "as" => view = Some(value),
            "v" => version = Some(value),
            // `g` is meta.k8s.io for every view there is, `stream` is how a watch comes anyway.
            _ => {}
        }
    }
    let view = match view {
        None => View::Whole,
        Some("Table") if views && version == Some("v1") => View::Table,
        Some("PartialObjectMetadata" | "PartialObjectMetadataList")
            if views && version == Some("v1") =>
        {
            View::Partial
        }
        Some(_) => return None,
    };
    Some(Accepted { format, view })
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let base = value.unwrap_or(JSON).split(';').next().unwrap_or(JSON);
    base.trim().to_ascii_lowercase()
}

/// How the object in a request's body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyType {
    Text(ContentType),
    Protobuf,
}

/// How the object in a request's body is encoded.
pub(crate) fn body_type(headers: &HeaderMap) -> Result<BodyType, Status> {
    match content_type(headers).as_str() {
        JSON | "" | "*/*" => Ok(BodyType::Text(ContentType::Json)),
        YAML | "application/x-yaml" | "text/yaml" => Ok(BodyType::Text(ContentType::Yaml)),
        PROTOBUF => Ok(BodyType::Protobuf),
        _ => Err(status::unsupported_media_type(&[JSON, YAML, PROTOBUF])),
    }
}

/// In what language a patch is.
pub(crate) fn patch_type(headers: &HeaderMap) -> Result<PatchType, Status> {
    match content_type(headers).as_str() {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
        apply if apply.starts_with("application/apply-patch+") => Err(crate::error::not_served(
            "server-side apply is not supported by this server; use client-side apply (kubectl \
             apply without --server-side, helm with --server-side=false)",
        )),
        _ => Err(status::unsupported_media_type(&[
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Result<Accepted, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        accepted(&headers, true).map_err(|status| status.code)
    }

    #[test]
    fn the_first_served_form_is_taken() {
        let table = Accepted { format: Format::Json, view: View::Table };
        assert_eq!(of("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), Ok(table));
        assert_eq!(of("application/vnd.kubernetes.protobuf,application/json"), Ok(Accepted::JSON));
        assert_eq!(of("application/vnd.kubernetes.protobuf"), Err(406));
        assert_eq!(of("*/*"), Ok(Accepted::JSON));
        let yaml = Accepted { format: Format::Yaml, view: View::Whole };
        assert_eq!(of("application/json;q=0.5, application/yaml"), Ok(yaml));
    }

    #[test]
    fn apply_is_refused_with_its_reason() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/apply-patch+yaml".parse().unwrap());
        let refusal = patch_type(&headers).unwrap_err();
        assert_eq!(refusal.code, 415);
        assert!(refusal.message.contains("server-side apply is not supported"));
    }
}
