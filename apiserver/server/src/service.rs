//! The server as a function of requests, without a network: for components of the same process.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};

use crate::body::Body;
use crate::dispatch::dispatch;
use crate::state::Api;
use crate::user::User;

/// A tower service that answers requests as one user. `kube::Client::new` takes it as it is.
#[derive(Clone, Debug)]
pub struct InProcess {
    api: Api,
    user: Option<User>,
}

impl InProcess {
    pub(crate) fn new(api: Api, user: Option<User>) -> Self {
        Self { api, user }
    }
}

impl<B> tower::Service<Request<B>> for InProcess
where
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { api, user } = self.clone();
        Box::pin(async move { Ok(dispatch(&api, user.as_ref(), request).await) })
    }
}
