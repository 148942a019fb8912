//! Images from registries.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use oci_client::client::{Certificate, CertificateEncoding, Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use oci_spec::image::ImageConfiguration;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::digest::Digest;
use crate::error::ImageError;
use crate::hosts::{self, Endpoint};
use crate::import::{DOCUMENT_BYTES_MAX, parse, platform};
use crate::layers::{Expected, verify};
use crate::name::Reference;
use crate::record::Image;
use crate::store::{Config, Content, ImageStore};

/// Layers of one image that are fetched at the same time: enough to fill a link, few enough not
/// to be throttled.
const LAYERS_AT_ONCE: usize = 4;
/// A transfer on which nothing arrives for so long is given up.
const STALL_MAX: Duration = Duration::from_secs(60);
const CONNECT_MAX: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Clone)]
pub enum Auth {
    /// A user with a password.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: String,
    },
    /// A token for the registry itself.
    Bearer {
        /// The token.
        token: String,
    },
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username:?}, …)"),
            Self::Bearer { .. } => f.write_str("Bearer(…)"),
        }
    }
}

/// Pulls that are under way: the second of one name waits for the first and then finds its layers.
#[derive(Debug, Default)]
pub(crate) struct Pulls {
    busy: std::sync::Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
}

impl Pulls {
    fn lock_of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = busy.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        busy.insert(name.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

/// Fetches what is missing of the image that `name` stands for now.
pub(crate) async fn pull(
    store: &ImageStore,
    pulls: &Pulls,
    name: &Reference,
    auth: Option<Auth>,
) -> Result<Image, ImageError> {
    let lock = pulls.lock_of(&name.canonical());
    let _only = lock.lock().await;
    let mut endpoints = endpoints_of(store, name).await?;
    // One that must not say what a tag stands for can serve digests only.
    endpoints.retain(|endpoint| endpoint.resolves || name.digest().is_some());
    let last = endpoints.pop().unwrap_or_else(Endpoint::origin);
    for endpoint in endpoints {
        match Pull::new(store, name, auth.clone(), &endpoint).run().await {
            Err(error) if another_may_do_better(&error) => tracing::warn!(
                image = name.canonical(),
                mirror = endpoint.authority,
                cause = %error,
                "a mirror does not give the image; the next host is asked"
            ),
            outcome => return outcome,
        }
    }
    Pull::new(store, name, auth, &last).run().await
}

/// Who is asked, in this order.
async fn endpoints_of(store: &ImageStore, name: &Reference) -> Result<Vec<Endpoint>, ImageError> {
    let registry = name.inner().registry().to_owned();
    let config = store.config();
    if let Some(mirror) = config.mirrors.get(&registry) {
        let authority = Some(mirror.clone());
        return Ok(vec![Endpoint { authority, ..Endpoint::origin() }]);
    }
    let dirs = config.hosts_dirs.clone();
    tokio::task::spawn_blocking(move || hosts::endpoints(&dirs, &registry))
        .await
        .map_err(|_cancelled| ImageError::Interrupted { what: "reading hosts.toml" })?
}

/// What is the host's doing, and not this machine's.
fn another_may_do_better(error: &ImageError) -> bool {
    matches!(
        error,
        ImageError::NotFound { .. }
            | ImageError::Unauthorized { .. }
            | ImageError::Registry { .. }
            | ImageError::Timeout { .. }
            | ImageError::Mismatch { .. }
            | ImageError::Document { .. }
            | ImageError::Platform { .. }
    )
}

struct Pull<'a> {
    store: &'a ImageStore,
    name: &'a Reference,
    /// The name at the registry that is asked: a mirror, if one is configured.
    at: oci_client::Reference,
    client: Client,
    auth: RegistryAuth,
}

impl<'a> Pull<'a> {
    fn new(
        store: &'a ImageStore,
        name: &'a Reference,
        auth: Option<Auth>,
        endpoint: &Endpoint,
    ) -> Self {
        let mut at = name.inner().clone();
        if let Some(authority) = &endpoint.authority {
            at.set_mirror_registry(authority.clone());
        }
        let auth = match auth {
            None => RegistryAuth::Anonymous,
            Some(Auth::Basic { username, password }) => RegistryAuth::Basic(username, password),
            Some(Auth::Bearer { token }) => RegistryAuth::Bearer(token),
        };
        let client = Client::new(client_config(store.config(), endpoint));
        Self { store, name, at, client, auth }
    }

    async fn run(&self) -> Result<Image, ImageError> {
        let (manifest, manifest_digest, list_digest) = self
            .client
            .pull_image_manifest_and_list_digest(&self.at, &self.auth)
            .await
            .map_err(|error| self.failed(error))?;
        // A name with a digest asks for just that: the registry has no say in it.
        if let Some(asked) = self.name.digest() {
            let given = list_digest.as_deref().unwrap_or(&manifest_digest);
            verify(&self.name.canonical(), Some(&self.digest(asked)?), &self.digest(given)?)?;
        }
        let content = self.content(&manifest).await?;
        if content.layers.len() != manifest.layers.len() {
            let reason = "the configuration names another number of layers";
            return Err(ImageError::document(self.name.canonical(), reason));
        }
        let _kept = self.store.keep(&content.layers);
        // Collected first: a stream that holds the closure could not be sent between threads
        // (rust-lang/rust#102211).
        let pairs = content.layers.iter().zip(&manifest.layers);
        let layers: Vec<_> =
            pairs.map(|(layer, descriptor)| self.layer(layer, descriptor)).collect();
        let size_bytes = stream::iter(layers)
            .buffer_unordered(LAYERS_AT_ONCE)
            .try_fold(0, |sum, size| async move { Ok(sum + size) })
            .await?;
        let known_as = self.digest(list_digest.as_deref().unwrap_or(&manifest_digest))?;
        let names = [self.name.clone()];
        self.store.record(content, size_bytes, &names, Some(&known_as))
    }

    async fn content(&self, manifest: &OciImageManifest) -> Result<Content, ImageError> {
        let id = self.digest(&manifest.config.digest)?;
        let mut stream = self
            .client
            .pull_blob_stream(&self.at, &manifest.config)
            .await
            .map_err(|error| self.failed(error))?;
        let mut text = Vec::new();
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| self.failed(error.into()))?;
            text.extend_from_slice(&bytes);
            if text.len() as u64 > DOCUMENT_BYTES_MAX {
                let reason = format!("its configuration is over {DOCUMENT_BYTES_MAX} bytes");
                return Err(ImageError::document(self.name.canonical(), reason));
            }
        }
        verify("the image's configuration", Some(&id), &Digest::of(&text))?;
        let configuration: ImageConfiguration = parse(&text, "the image's configuration")?;
        Content::new(id, configuration)
    }

    /// Fetches, checks and unpacks one layer as it arrives.
    async fn layer(&self, layer: &Digest, descriptor: &OciDescriptor) -> Result<u64, ImageError> {
        if let Some(size) = self.store.layers().size(layer) {
            return Ok(size);
        }
        let compressed = self.digest(&descriptor.digest)?;
        let stream = self
            .client
            .pull_blob_stream(&self.at, descriptor)
            .await
            .map_err(|error| self.failed(error))?;
        let stalled = until_stalled(stream.stream);
        let bridge = SyncIoBridge::new(StreamReader::new(stalled));
        let (store, layer) = (self.store.clone(), layer.clone());
        let unpacked = tokio::task::spawn_blocking(move || {
            let expected = Expected { content: &layer, compressed: Some(&compressed) };
            let open = || Ok(Box::new(bridge) as Box<dyn Read>);
            store.layers().ensure(&expected, open)
        });
        match unpacked.await {
            Ok(outcome) => outcome,
            Err(_cancelled) => Err(ImageError::Interrupted { what: "unpacking a layer" }),
        }
    }

    fn digest(&self, text: &str) -> Result<Digest, ImageError> {
        text.parse().map_err(|source| ImageError::Digest { what: self.name.canonical(), source })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it is, it is shown as it is")]
    fn failed(&self, error: OciDistributionError) -> ImageError {
        let name = self.name.canonical();
        let has = |envelope: &oci_client::errors::OciEnvelope, code: &[OciErrorCode]| {
            envelope.errors.iter().any(|error| code.contains(&error.code))
        };
        let missing =
            [OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound];
        let refused = [OciErrorCode::Unauthorized, OciErrorCode::Denied];
        match &error {
            OciDistributionError::ImageManifestNotFoundError(_)
            | OciDistributionError::ServerError { code: 404, .. } => ImageError::NotFound { name },
            OciDistributionError::RegistryError { envelope, .. } if has(envelope, &missing) => {
                ImageError::NotFound { name }
            }
            OciDistributionError::RegistryError { envelope, .. } if has(envelope, &refused) => {
                ImageError::Unauthorized { name }
            }
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::ServerError { code: 401 | 403, .. } => {
                ImageError::Unauthorized { name }
            }
            OciDistributionError::ImageIndexParsingNoPlatformResolverError => {
                ImageError::Platform { name, platform: platform() }
            }
            _other => ImageError::Registry { name, source: Box::new(error) },
        }
    }
}

/// Ends a stream with an error when nothing arrives for [`STALL_MAX`].
fn until_stalled<T: Send + 'static>(
    stream: stream::BoxStream<'static, std::io::Result<T>>,
) -> stream::BoxStream<'static, std::io::Result<T>> {
    stream::unfold(stream, |mut stream| async move {
        match tokio::time::timeout(STALL_MAX, stream.next()).await {
            Ok(item) => item.map(|item| (item, stream)),
            Err(_elapsed) => {
                let error = std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("nothing arrived for {} s", STALL_MAX.as_secs()),
                );
                Some((Err(error), stream::empty().boxed()))
            }
        }
    })
    .boxed()
}

fn client_config(config: &Config, endpoint: &Endpoint) -> ClientConfig {
    let mut plain_http = config.plain_http.clone();
    plain_http.extend(endpoint.authority.clone().filter(|_| endpoint.plain_http));
    let certificate =
        |data: &Vec<u8>| Certificate { encoding: CertificateEncoding::Pem, data: data.clone() };
    ClientConfig {
        protocol: ClientProtocol::HttpsExcept(plain_http),
        extra_root_certificates: endpoint.authorities.iter().map(certificate).collect(),
        accept_invalid_certificates: endpoint.skip_verify,
        connect_timeout: Some(endpoint.connect_within.unwrap_or(CONNECT_MAX)),
        read_timeout: Some(STALL_MAX),
        user_agent: concat!("corten/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    }
}
