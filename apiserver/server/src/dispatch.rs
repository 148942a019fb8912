//! The way of a request: who asks, for what, whether they may, whether there is room, and then to
//! whoever answers.

use std::time::Duration;

use bytes::Bytes;
use corten_api_k8s::status::{self, Status};
use http::request::Parts;
use http::{Method, Request, Response};
use tokio::sync::SemaphorePermit;

use crate::body::{self, Body};
use crate::request::RequestInfo;
use crate::rest::{self, Context};
use crate::state::Api;
use crate::user::User;
use crate::{authn, authz, documents, respond};

/// How long a request waits for room before it is told to come again.
const ROOM_WAIT: Duration = Duration::from_secs(5);
/// Longer URLs are refused.
const URI_BYTES_MAX: usize = 16 << 10;

/// Answers a request. `user` is whom the connection vouches for.
pub(crate) async fn dispatch<B>(
    api: &Api,
    user: Option<&User>,
    request: Request<B>,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    let head = parts.method == Method::HEAD;
    let outcome = answer(api, user, parts, body).await;
    let mut response = outcome.unwrap_or_else(|status| respond::failure(&status));
    if head {
        *response.body_mut() = Body::whole(Bytes::new());
    }
    response
}

async fn answer<B>(
    api: &Api,
    from_connection: Option<&User>,
    parts: Parts,
    body: B,
) -> Result<Response<Body>, Status>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if parts.uri.path_and_query().is_some_and(|uri| uri.as_str().len() > URI_BYTES_MAX) {
        return Err(status::request_entity_too_large("the URL is too long"));
    }
    let info = RequestInfo::new(&parts);
    let user = authn::authenticate(api, from_connection, &parts.headers)?;
    let user = authn::impersonate::apply(api, user, &parts.headers)?;
    let wanted = authz::attributes(&info);
    if !api.rbac.allows(&*api.store, &user, &wanted) {
        return Err(authz::forbidden(&user, &wanted));
    }
    let Some(resource) = &info.resource else {
        return documents::serve(api, &info, &parts.method, &parts.headers);
    };
    let kind = rest::kind_of(resource)?;
    let _room = room(api, &info).await?;
    let work = async {
        let body = body::read(body).await?;
        let ctx = Context {
            api,
            user: &user,
            kind,
            info: &info,
            resource,
            headers: &parts.headers,
            body,
        };
        // On the heap: the futures of all verbs together are large.
        Box::pin(rest::serve(&ctx)).await
    };
    if info.is_long_running() {
        return work.await;
    }
    match tokio::time::timeout(api.config.request_timeout, work).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            Err(status::timeout("request did not complete within the allotted timeout", 0))
        }
    }
}

/// Room among the requests under way; watches and logs need none.
async fn room<'a>(api: &'a Api, info: &RequestInfo) -> Result<Option<SemaphorePermit<'a>>, Status> {
    if info.is_long_running() {
        return Ok(None);
    }
    let room = if info.is_reading() { &api.reading } else { &api.writing };
    match tokio::time::timeout(ROOM_WAIT, room.acquire()).await {
        Ok(Ok(permit)) => Ok(Some(permit)),
        Ok(Err(_)) | Err(_) => {
            Err(status::too_many_requests("too many requests, please try again later", 1))
        }
    }
}
