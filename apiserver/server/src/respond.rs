//! Answers: status errors, objects in the form that was asked for, warnings.

use bytes::Bytes;
use corten_api_k8s::status::{self, Status};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::body::Body;
use crate::negotiate::Format;

/// More warnings, or longer ones, are cut off: they travel in headers.
const WARNINGS_BYTES_MAX: usize = 4 << 10;

/// An answer with a body of that media type.
pub(crate) fn bytes(code: StatusCode, media_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A value in the form asked for.
pub(crate) fn value(code: StatusCode, format: Format, value: &Value) -> Response<Body> {
    match encode(format, value) {
        Ok(body) => bytes(code, format.media_type(), body),
        Err(status) => failure(&status),
    }
}

/// JSON text in the form asked for.
pub(crate) fn json(code: StatusCode, format: Format, json: Bytes) -> Response<Body> {
    match format {
        Format::Json => bytes(code, format.media_type(), json),
        Format::Yaml => match serde_json::from_slice::<Value>(&json) {
            Ok(object) => value(code, format, &object),
            Err(error) => failure(&status::internal(&error.to_string())),
        },
    }
}

fn encode(format: Format, value: &Value) -> Result<Bytes, Status> {
    let failed = |why: String| status::internal(&why);
    Ok(match format {
        Format::Json => serde_json::to_vec(value).map_err(|e| failed(e.to_string()))?.into(),
        Format::Yaml => serde_norway::to_string(value).map_err(|e| failed(e.to_string()))?.into(),
    })
}

/// A status error. Always JSON: whoever made a mistake in asking for a form can still read it.
pub(crate) fn failure(error: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&error.to_value()).unwrap_or_default();
    let mut response = bytes(code, "application/json", body.into());
    if let Some(seconds) = error.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    bytes(code, "text/plain; charset=utf-8", text.into())
}

/// Adds warnings to an answer (RFC 7234 §5.5, code 299 as Kubernetes clients print it).
pub(crate) fn warn(response: &mut Response<Body>, warnings: &[String]) {
    let mut left = WARNINGS_BYTES_MAX;
    for warning in warnings {
        let clean: String = warning.chars().filter(|c| !c.is_control()).collect();
        let quoted = clean.replace('\\', "\\\\").replace('"', "\\\"");
        let Some(rest) = left.checked_sub(quoted.len()) else { return };
        left = rest;
        if let Ok(header) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, header);
        }
    }
}
