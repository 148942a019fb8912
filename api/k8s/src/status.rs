//! `metav1.Status`: every answer of the API that is not an object, worded as Kubernetes words it.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::{FieldError, go_quote};
use crate::kinds::Kind;

/// The machine-readable reason of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409 on create.
    AlreadyExists,
    /// 409 on update.
    Conflict,
    /// 410.
    Gone,
    /// 410: a resource version that has been compacted away.
    Expired,
    /// 422.
    Invalid,
    /// 500: try again.
    ServerTimeout,
    /// 504.
    Timeout,
    /// 429.
    TooManyRequests,
    /// 400.
    BadRequest,
    /// 405.
    MethodNotAllowed,
    /// 406.
    NotAcceptable,
    /// 413.
    RequestEntityTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 500.
    InternalError,
    /// 503.
    ServiceUnavailable,
}

impl Reason {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Unauthorized => "Unauthorized",
            Reason::Forbidden => "Forbidden",
            Reason::NotFound => "NotFound",
            Reason::AlreadyExists => "AlreadyExists",
            Reason::Conflict => "Conflict",
            Reason::Gone => "Gone",
            Reason::Expired => "Expired",
            Reason::Invalid => "Invalid",
            Reason::ServerTimeout => "ServerTimeout",
            Reason::Timeout => "Timeout",
            Reason::TooManyRequests => "TooManyRequests",
            Reason::BadRequest => "BadRequest",
            Reason::MethodNotAllowed => "MethodNotAllowed",
            Reason::NotAcceptable => "NotAcceptable",
            Reason::RequestEntityTooLarge => "RequestEntityTooLarge",
            Reason::UnsupportedMediaType => "UnsupportedMediaType",
            Reason::InternalError => "InternalError",
            Reason::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    /// The HTTP status code.
    pub fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Unauthorized => 401,
            Reason::Forbidden => 403,
            Reason::NotFound => 404,
            Reason::MethodNotAllowed => 405,
            Reason::NotAcceptable => 406,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Gone | Reason::Expired => 410,
            Reason::RequestEntityTooLarge => 413,
            Reason::UnsupportedMediaType => 415,
            Reason::Invalid => 422,
            Reason::TooManyRequests => 429,
            Reason::ServerTimeout | Reason::InternalError => 500,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
        }
    }
}

/// One cause among the details of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable reason, e.g. `FieldValueInvalid`; may be empty.
    pub reason: String,
    /// What went wrong.
    pub message: String,
    /// The field at fault; may be empty.
    pub field: String,
}

/// What the failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Resource (or, for `Invalid`, the kind).
    pub kind: String,
    /// UID of the object.
    pub uid: String,
    /// The single causes.
    pub causes: Vec<Cause>,
    /// When to try again, in seconds; 0 says nothing.
    pub retry_after_seconds: u32,
}

/// A `metav1.Status`. As an error it is a failure; see [`success`] for the other use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Reason; `None` for success.
    pub reason: Option<Reason>,
    /// Message for people.
    pub message: String,
    /// Details, if any. Boxed: a `Status` is the error type of nearly everything here.
    pub details: Option<Box<Details>>,
}

impl Status {
    /// A failure without details.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Self {
        Status { code: reason.code(), reason: Some(reason), message: message.into(), details: None }
    }

    fn about(reason: Reason, kind: &Kind, name: &str, message: String) -> Self {
        let details = Details {
            name: name.to_owned(),
            group: kind.group.to_owned(),
            kind: kind.plural.to_owned(),
            ..Details::default()
        };
        Status { details: Some(Box::new(details)), ..Status::failure(reason, message) }
    }

    /// Tells the client when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// The seconds after which to try again, if said.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        self.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0)
    }

    /// The object on the wire.
    pub fn to_value(&self) -> Value {
        let failed = self.reason.is_some();
        let mut out = Map::new();
        out.insert("kind".into(), "Status".into());
        out.insert("apiVersion".into(), "v1".into());
        out.insert("metadata".into(), json!({}));
        out.insert("status".into(), if failed { "Failure" } else { "Success" }.into());
        if !self.message.is_empty() {
            out.insert("message".into(), self.message.clone().into());
        }
        if let Some(reason) = self.reason {
            out.insert("reason".into(), reason.as_str().into());
        }
        if let Some(details) = &self.details {
            out.insert("details".into(), details.to_value());
        }
        if failed {
            out.insert("code".into(), self.code.into());
        }
        Value::Object(out)
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        let strings = [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ];
        for (key, value) in strings {
            if !value.is_empty() {
                out.insert(key.into(), value.clone().into());
            }
        }
        if !self.causes.is_empty() {
            out.insert("causes".into(), self.causes.iter().map(Cause::to_value).collect());
        }
        if self.retry_after_seconds > 0 {
            out.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        Value::Object(out)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        let strings =
            [("reason", &self.reason), ("message", &self.message), ("field", &self.field)];
        for (key, value) in strings {
            if !value.is_empty() {
                out.insert(key.into(), value.clone().into());
            }
        }
        Value::Object(out)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// `pods "x" not found`.
pub fn not_found(kind: &Kind, name: &str) -> Status {
    let message = format!("{} {} not found", kind.group_resource(), go_quote(name));
    Status::about(Reason::NotFound, kind, name, message)
}

/// The answer for a resource that is not served at all.
pub fn no_such_resource() -> Status {
    let message = "the server could not find the requested resource";
    let details = Some(Box::default());
    Status { details, ..Status::failure(Reason::NotFound, message) }
}

/// `pods "x" already exists`.
pub fn already_exists(kind: &Kind, name: &str) -> Status {
    let message = format!("{} {} already exists", kind.group_resource(), go_quote(name));
    Status::about(Reason::AlreadyExists, kind, name, message)
}

/// No free name was found for a `generateName`.
pub fn generate_name_conflict(kind: &Kind, name: &str) -> Status {
    let message = format!(
        "{} {} already exists, the server was not able to generate a unique name for the object",
        kind.group_resource(),
        go_quote(name)
    );
    Status::about(Reason::AlreadyExists, kind, name, message).retry_after(1)
}

/// The wording of the commonest conflict: somebody else updated the object first.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// `Operation cannot be fulfilled on pods "x": …`.
pub fn conflict(kind: &Kind, name: &str, why: &str) -> Status {
    let resource = kind.group_resource();
    let message = format!("Operation cannot be fulfilled on {resource} {}: {why}", go_quote(name));
    Status::about(Reason::Conflict, kind, name, message)
}

/// `pods "x" is forbidden: …`; without a name, `pods is forbidden: …`.
pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Status {
    let resource = kind.group_resource();
    let message = if name.is_empty() {
        format!("{resource} is forbidden: {why}")
    } else {
        format!("{resource} {} is forbidden: {why}", go_quote(name))
    };
    Status::about(Reason::Forbidden, kind, name, message)
}

/// A request that is about no resource and not permitted.
pub fn forbidden_path(why: &str) -> Status {
    let details = Some(Box::default());
    Status { details, ..Status::failure(Reason::Forbidden, format!("forbidden: {why}")) }
}

/// 401.
pub fn unauthorized() -> Status {
    Status::failure(Reason::Unauthorized, "Unauthorized")
}

/// `Deployment.apps "x" is invalid: spec.replicas: Invalid value: …`.
pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Status {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let mut message = format!("{} {} is invalid", kind.qualified_kind(), go_quote(name));
    match texts.as_slice() {
        [] => {}
        [one] => message.push_str(&format!(": {one}")),
        many => message.push_str(&format!(": [{}]", many.join(", "))),
    }
    let causes = errors
        .iter()
        .map(|e| Cause {
            reason: e.kind.reason().to_owned(),
            message: e.body(),
            field: e.field.clone(),
        })
        .collect();
    let details = Details {
        name: name.to_owned(),
        group: kind.group.to_owned(),
        kind: kind.kind.to_owned(),
        causes,
        ..Details::default()
    };
    Status { details: Some(Box::new(details)), ..Status::failure(Reason::Invalid, message) }
}

/// 400.
pub fn bad_request(message: impl Into<String>) -> Status {
    Status::failure(Reason::BadRequest, message)
}

/// 410: what was asked for has been compacted away; list again.
pub fn expired(message: impl Into<String>) -> Status {
    Status::failure(Reason::Expired, message)
}

/// 410 of the older sort, as a watch event tells it.
pub fn gone(message: impl Into<String>) -> Status {
    Status::failure(Reason::Gone, message)
}

/// 405: `patch is not supported on resources of kind "pods"`.
pub fn method_not_allowed(kind: &Kind, action: &str) -> Status {
    let message = format!(
        "{action} is not supported on resources of kind {}",
        go_quote(&kind.group_resource())
    );
    Status::about(Reason::MethodNotAllowed, kind, "", message)
}

/// 406.
pub fn not_acceptable(accepted: &[&str]) -> Status {
    let list = accepted.join(", ");
    let message = format!("only the following media types are accepted: {list}");
    Status::failure(Reason::NotAcceptable, message)
}

/// 415.
pub fn unsupported_media_type(accepted: &[&str]) -> Status {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    );
    Status::failure(Reason::UnsupportedMediaType, message)
}

/// 413.
pub fn request_entity_too_large(message: &str) -> Status {
    Status::failure(Reason::RequestEntityTooLarge, format!("Request entity too large: {message}"))
}

/// 500.
pub fn internal(message: &str) -> Status {
    let cause = Cause { message: message.to_owned(), ..Cause::default() };
    let details = Details { causes: vec![cause], ..Details::default() };
    Status {
        details: Some(Box::new(details)),
        ..Status::failure(Reason::InternalError, format!("Internal error occurred: {message}"))
    }
}

/// 504.
pub fn timeout(message: &str, retry_after_seconds: u32) -> Status {
    Status::failure(Reason::Timeout, format!("Timeout: {message}")).retry_after(retry_after_seconds)
}

/// 500 with the wish that the client tries again.
pub fn server_timeout(kind: &Kind, operation: &str, retry_after_seconds: u32) -> Status {
    let message = format!(
        "The {operation} operation against {} could not be completed at this time, please try again.",
        kind.group_resource()
    );
    Status::about(Reason::ServerTimeout, kind, operation, message).retry_after(retry_after_seconds)
}

/// 429.
pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Status {
    Status::failure(Reason::TooManyRequests, message).retry_after(retry_after_seconds)
}

/// 503.
pub fn service_unavailable(message: impl Into<String>) -> Status {
    Status::failure(Reason::ServiceUnavailable, message)
}

/// The answer to a deletion that left no object to show.
pub fn success(kind: &Kind, name: &str, uid: &str) -> Status {
    let details = Details {
        name: name.to_owned(),
        group: kind.group.to_owned(),
        kind: kind.plural.to_owned(),
        uid: uid.to_owned(),
        ..Details::default()
    };
    Status { code: 200, reason: None, message: String::new(), details: Some(Box::new(details)) }
}
