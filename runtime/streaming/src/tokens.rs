//! URLs that work once, for a minute.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::request::{Attach, Exec, PortForward, Request};

/// How long a URL works.
const TTL: Duration = Duration::from_secs(60);
/// URLs that were not used yet.
const UNUSED_MAX: usize = 1000;
const TOKEN_BYTES: usize = 16;

/// Too many URLs were asked for and not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{UNUSED_MAX} streaming requests are under way already: try again in {} s", TTL.as_secs())]
pub struct TooMany;

/// Hands out URLs. Clones share what was handed out.
#[derive(Debug, Clone)]
pub struct Urls {
    address: SocketAddr,
    unused: Arc<Mutex<BTreeMap<String, (Instant, Request)>>>,
}

impl Urls {
    /// URLs of a server at this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, unused: Arc::default() }
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL for this request.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn exec(&self, request: Exec) -> Result<String, TooMany> {
        self.issue(Request::Exec(request))
    }

    /// A URL for this request.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn attach(&self, request: Attach) -> Result<String, TooMany> {
        self.issue(Request::Attach(request))
    }

    /// A URL for this request.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn port_forward(&self, request: PortForward) -> Result<String, TooMany> {
        self.issue(Request::PortForward(request))
    }

    fn issue(&self, request: Request) -> Result<String, TooMany> {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>());
        let url = format!("http://{}/{}/{token}", self.address, request.verb());
        let now = Instant::now();
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        unused.retain(|_, (expires, _)| *expires > now);
        if unused.len() >= UNUSED_MAX {
            return Err(TooMany);
        }
        unused.insert(token, (now + TTL, request));
        Ok(url)
    }

    /// What a path stands for; it then stands for nothing any more.
    pub(crate) fn take(&self, path: &str) -> Option<Request> {
        let (verb, token) = path.strip_prefix('/')?.split_once('/')?;
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let (expires, request) = unused.remove(token)?;
        (expires > Instant::now() && request.verb() == verb).then_some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> Urls {
        Urls::new(SocketAddr::from(([127, 0, 0, 1], 80)))
    }

    fn request() -> PortForward {
        PortForward { sandbox_id: "s".to_owned(), ports: vec![80] }
    }

    fn path(url: &str) -> &str {
        url.strip_prefix("http://127.0.0.1:80").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_url_works_once() {
        let urls = urls();
        let url = urls.port_forward(request()).unwrap();
        assert_eq!(urls.take("/portforward/"), None);
        assert_eq!(urls.take("nonsense"), None);
        assert_eq!(urls.take(path(&url)), Some(Request::PortForward(request())));
        assert_eq!(urls.take(path(&url)), None);
        let url = urls.port_forward(request()).unwrap();
        assert_eq!(urls.take(&path(&url).replace("portforward", "exec")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_url_that_is_not_used_goes_stale_and_makes_room() {
        let urls = urls();
        let first = urls.port_forward(request()).unwrap();
        for _ in 1..UNUSED_MAX {
            urls.port_forward(request()).unwrap();
        }
        assert_eq!(urls.port_forward(request()), Err(TooMany));
        tokio::time::advance(TTL).await;
        assert_eq!(urls.take(path(&first)), None);
        urls.port_forward(request()).unwrap();
        assert_eq!(urls.unused.lock().unwrap().len(), 1);
    }
}
