//! Documents about the API itself: discovery, OpenAPI, version, health, issuer.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use corten_api_k8s::discovery::{self, Version};
use corten_api_k8s::status::{self, Reason, Status};
use corten_api_k8s::{KUBERNETES_VERSION, openapi};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::body::Body;
use crate::negotiate;
use crate::request::RequestInfo;
use crate::respond;
use crate::rest;
use crate::state::Api;

/// Documents that were made once and do not change.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    openapi: Mutex<HashMap<String, Document>>,
}

impl Documents {
    fn made_once(
        &self,
        id: String,
        make: impl FnOnce() -> Result<Document, Status>,
    ) -> Result<Document, Status> {
        let mut made = self.openapi.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = made.get(&id) {
            return Ok(document.clone());
        }
        let document = make()?;
        made.insert(id, document.clone());
        Ok(document)
    }
}

#[derive(Clone, Debug)]
struct Document {
    body: Bytes,
    media_type: &'static str,
    etag: HeaderValue,
}

impl Document {
    fn new(value: &Value) -> Self {
        Self::of(value.to_string().into(), "application/json")
    }

    fn of(body: Bytes, media_type: &'static str) -> Self {
        let hash = Sha256::digest(&body);
        let hex: String = hash.iter().take(16).map(|byte| format!("{byte:02X}")).collect();
        let etag = HeaderValue::from_str(&format!("\"{hex}\""))
            .unwrap_or(HeaderValue::from_static("\"\""));
        Self { body, media_type, etag }
    }

    fn answer(self, headers: &HeaderMap, hashed: bool) -> Response<Body> {
        let known = headers.get(IF_NONE_MATCH) == Some(&self.etag);
        let mut response = if known {
            let mut response = Response::new(Body::whole(Bytes::new()));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            respond::bytes(StatusCode::OK, self.media_type, self.body)
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.etag);
        if hashed {
            // The address changes with the content.
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        }
        response
    }
}

/// Answers a request that is about no API resource.
pub(crate) fn serve(
    api: &Api,
    info: &RequestInfo,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, Status> {
    if *method != Method::GET && *method != Method::HEAD {
        return Err(not_found());
    }
    let path = info.path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz", rest @ ..] => Ok(health(api, info, rest)),
        ["version"] => plain(headers, &version()),
        ["metrics"] => Ok(respond::text(StatusCode::OK, metrics(api))),
        ["api"] => aggregated(headers, discovery::aggregated_core)
            .map_or_else(|| plain(headers, &api_versions(api)), Ok),
        ["apis"] => aggregated(headers, discovery::aggregated_groups)
            .map_or_else(|| plain(headers, &discovery::group_list()), Ok),
        ["api", version] => found(headers, discovery::resource_list("", version)),
        ["apis", group] => found(headers, discovery::group(group)),
        ["apis", group, version] => found(headers, discovery::resource_list(group, version)),
        ["openapi", "v2"] => openapi_v2(api, headers),
        ["openapi", "v3"] => Ok(Document::new(openapi::index()).answer(headers, false)),
        ["openapi", "v3", "api", version] => openapi_document(api, info, headers, "", version),
        ["openapi", "v3", "apis", group, version] => {
            openapi_document(api, info, headers, group, version)
        }
        [".well-known", "openid-configuration"] => plain(headers, &api.tokens.discovery()),
        ["openid", "v1", "jwks"] => {
            let body = api.tokens.jwks().to_string();
            Ok(respond::bytes(StatusCode::OK, "application/jwk-set+json", body.into()))
        }
        [""] | [] => plain(headers, &paths()),
        _ => Err(not_found()),
    }
}

fn not_found() -> Status {
    Status::failure(Reason::NotFound, "the server could not find the requested resource")
}

fn plain(headers: &HeaderMap, value: &Value) -> Result<Response<Body>, Status> {
    Ok(rest::plain(negotiate::accepted(headers, false)?, value))
}

fn found(headers: &HeaderMap, value: Option<Value>) -> Result<Response<Body>, Status> {
    plain(headers, &value.ok_or_else(status::no_such_resource)?)
}

fn api_versions(api: &Api) -> Value {
    let address = match api.config.advertise_address {
        Some(address) => std::net::SocketAddr::new(address, api.config.listen.port()),
        None => api.config.listen,
    };
    discovery::api_versions(&address.to_string())
}

/// Everything in one document, if the client asks for that.
fn aggregated(headers: &HeaderMap, make: fn(Version) -> Value) -> Option<Response<Body>> {
    let accept = headers.get(ACCEPT)?.to_str().ok()?;
    let clauses = accept.split(',').map(|clause| clause.replace(' ', ""));
    let version = clauses
        .filter(|clause| clause.starts_with("application/json;"))
        .filter(|clause| clause.contains("as=APIGroupDiscoveryList"))
        .find_map(|clause| {
            let versions = [Version::V2, Version::V2Beta1];
            versions
                .into_iter()
                .find(|v| clause.split(';').any(|p| p == format!("v={}", v.as_str())))
        })?;
    let document = Document::new(&make(version));
    let mut response = document.answer(headers, false);
    if let Ok(media) = HeaderValue::from_str(&version.content_type()) {
        response.headers_mut().insert(CONTENT_TYPE, media);
    }
    response.headers_mut().insert(http::header::VARY, HeaderValue::from_static("Accept"));
    Some(response)
}

fn openapi_document(
    api: &Api,
    info: &RequestInfo,
    headers: &HeaderMap,
    group: &str,
    version: &str,
) -> Result<Response<Body>, Status> {
    let id = format!("v3/{}", corten_api_k8s::kinds::group_version(group, version));
    let document = api.documents.made_once(id, || {
        openapi::document(group, version).as_ref().map(Document::new).ok_or_else(not_found)
    })?;
    Ok(document.answer(headers, info.query.get("hash").is_some()))
}

/// All of the API in one document, as protobuf if the client asks for that first.
fn openapi_v2(api: &Api, headers: &HeaderMap) -> Result<Response<Body>, Status> {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wanted = accept.flat_map(|value| value.split(',')).map(|clause| {
        let base = clause.split(';').next().unwrap_or_default().trim();
        openapi::v2::PROTOBUF_TYPES.iter().copied().find(|known| *known == base).or({
            matches!(base, "application/json" | "application/*" | "*/*")
                .then_some("application/json")
        })
    });
    let wanted: Vec<Option<&str>> = wanted.collect();
    let served = || status::not_acceptable(&["application/json", openapi::v2::PROTOBUF_TYPES[0]]);
    let form = match wanted.is_empty() {
        true => "application/json",
        false => wanted.into_iter().flatten().next().ok_or_else(served)?,
    };
    let document = api.documents.made_once(format!("v2/{form}"), || {
        Ok(match openapi::v2::PROTOBUF_TYPES.iter().find(|known| **known == form) {
            // Whatever name the client has for it, it is answered by the valid one.
            Some(_) => Document::of(openapi::v2::protobuf().into(), openapi::v2::PROTOBUF_TYPES[0]),
            None => Document::new(openapi::v2::document()),
        })
    })?;
    let mut response = document.answer(headers, false);
    response.headers_mut().insert(http::header::VARY, HeaderValue::from_static("Accept"));
    Ok(response)
}

fn version() -> Value {
    let mut numbers = KUBERNETES_VERSION.trim_start_matches('v').split('.');
    json!({
        "major": numbers.next().unwrap_or_default(),
        "minor": numbers.next().unwrap_or_default(),
        "gitVersion": format!("{KUBERNETES_VERSION}+corten.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, go_architecture()),
    })
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn paths() -> Value {
    let mut paths = vec!["/api".to_owned(), "/api/v1".to_owned(), "/apis".to_owned()];
    for (group, versions) in corten_api_k8s::kinds::groups() {
        if !group.is_empty() {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
        }
    }
    for path in
        ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    {
        paths.push(path.to_owned());
    }
    json!({ "paths": paths })
}

/// One thing that health consists of: its name, and what is wrong with it.
type Check = (&'static str, Option<String>);

fn checks(api: &Api, ready: bool) -> Vec<Check> {
    let mut checks: Vec<Check> = vec![("ping", None), ("datastore", api.store.failure())];
    if ready {
        let booted = api.ready.load(std::sync::atomic::Ordering::Acquire);
        checks.push(("bootstrap", (!booted).then(|| "not finished".to_owned())));
        let stopping = api.stop.is_cancelled();
        checks.push(("shutdown", stopping.then(|| "the server is stopping".to_owned())));
    }
    checks
}

fn health(api: &Api, info: &RequestInfo, rest: &[&str]) -> Response<Body> {
    let endpoint = info.path.split('/').nth(1).unwrap_or_default();
    let mut checks = checks(api, endpoint == "readyz");
    if let [only] = rest {
        checks.retain(|(name, _)| name == only);
        if checks.is_empty() {
            return respond::failure(&not_found());
        }
    }
    let failed = checks.iter().any(|(_, problem)| problem.is_some());
    let mut text = String::new();
    for (name, problem) in &checks {
        text.push_str(&match problem {
            None => format!("[+]{name} ok\n"),
            Some(problem) => format!("[-]{name} failed: {problem}\n"),
        });
    }
    if failed {
        text.push_str(&format!("{endpoint} check failed\n"));
        return respond::text(StatusCode::INTERNAL_SERVER_ERROR, text);
    }
    if info.query.get("verbose").is_none() {
        return respond::text(StatusCode::OK, "ok");
    }
    text.push_str(&format!("{endpoint} check passed\n"));
    respond::text(StatusCode::OK, text)
}

/// What costs nothing to know, in Prometheus' text format.
fn metrics(api: &Api) -> String {
    let config = &api.config;
    let reading = config.reading_max.saturating_sub(api.reading.available_permits());
    let writing = config.writing_max.saturating_sub(api.writing.available_permits());
    format!(
        "# HELP apiserver_current_inflight_requests Requests under way.\n\
         # TYPE apiserver_current_inflight_requests gauge\n\
         apiserver_current_inflight_requests{{request_kind=\"readOnly\"}} {reading}\n\
         apiserver_current_inflight_requests{{request_kind=\"mutating\"}} {writing}\n\
         # HELP corten_store_revision The revision of the newest write.\n\
         # TYPE corten_store_revision counter\n\
         corten_store_revision {}\n",
        api.store.revision()
    )
}
