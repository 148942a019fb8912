//! What the server is told at start.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How to serve. There is no configuration file of the server's own: whoever starts it fills this.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address by which pods reach the server: the endpoint of the `kubernetes` Service.
    /// None leaves that Service without endpoints.
    pub advertise_address: Option<IpAddr>,
    /// The serving certificate with its chain, and its key, both PEM.
    pub serving: KeyPairPem,
    /// The authority that client certificates are verified by, PEM.
    pub client_ca_pem: String,
    /// The key that signs service-account tokens: private (PKCS #8) and public, PEM.
    pub service_account_key: SigningKeyPem,
    /// `iss` of the tokens, and the base of the issuer-discovery document.
    pub issuer: String,
    /// Audiences of tokens that are accepted as credentials for this API.
    pub api_audiences: Vec<String>,
    /// How kubelets are reached.
    pub kubelet: KubeletConfig,
    /// The range that ClusterIPs come from.
    pub service_cidr: Cidr,
    /// The first and the last NodePort.
    pub node_ports: (u16, u16),
    /// Reading requests that may be under way at once (watches and followed logs not counted).
    pub reading_max: usize,
    /// Writing requests that may be under way at once.
    pub writing_max: usize,
    /// Connections that may be open at once.
    pub connections_max: usize,
    /// How long a request that is no watch may take.
    pub request_timeout: Duration,
    /// How long Events are kept.
    pub event_ttl: Duration,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct KeyPairPem {
    /// The certificate chain.
    pub certificate_pem: String,
    /// The key.
    pub key_pem: String,
}

/// A signing key.
#[derive(Clone)]
pub struct SigningKeyPem {
    /// The private key, PKCS #8.
    pub private_pem: String,
    /// The public key.
    pub public_pem: String,
    /// The public point, uncompressed (65 bytes).
    pub public_point: Vec<u8>,
}

impl std::fmt::Debug for KeyPairPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPairPem").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for SigningKeyPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeyPem").finish_non_exhaustive()
    }
}

/// How kubelets are reached.
#[derive(Clone, Debug)]
pub struct KubeletConfig {
    /// The client certificate the server shows them.
    pub client: KeyPairPem,
    /// The authority that their serving certificates are verified by, PEM.
    pub ca_pem: String,
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Its first address.
    pub base: IpAddr,
    /// How many leading bits are fixed.
    pub prefix_len: u8,
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_len)
    }
}

impl Config {
    /// A configuration with the defaults of a cluster: ranges, limits, timeouts.
    #[must_use]
    pub fn new(
        listen: SocketAddr,
        serving: KeyPairPem,
        client_ca_pem: String,
        service_account_key: SigningKeyPem,
        kubelet: KubeletConfig,
    ) -> Self {
        let issuer = "https://kubernetes.default.svc.cluster.local".to_owned();
        Self {
            listen,
            advertise_address: None,
            serving,
            client_ca_pem,
            service_account_key,
            api_audiences: vec![issuer.clone()],
            issuer,
            kubelet,
            service_cidr: Cidr { base: IpAddr::from([10, 43, 0, 0]), prefix_len: 16 },
            node_ports: (30_000, 32_767),
            reading_max: 400,
            writing_max: 200,
            connections_max: 4_096,
            request_timeout: Duration::from_secs(60),
            event_ttl: Duration::from_secs(3_600),
        }
    }
}

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A certificate or key is unusable.
    #[error("cannot set up TLS for the API server")]
    Tls(#[source] corten_pki::PkiError),
    /// A key for tokens is unusable.
    #[error("the service-account signing key is unusable")]
    TokenKey(#[source] jsonwebtoken::errors::Error),
    /// The kubelet client's certificate, key or authority is unusable.
    #[error("cannot set up TLS towards kubelets: {problem}")]
    KubeletTls {
        /// What is wrong.
        problem: String,
    },
    /// The address could not be listened on.
    #[error("cannot listen on {address}; is another server running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// What every cluster has could not be written.
    #[error("cannot create what every cluster has: {problem}")]
    Bootstrap {
        /// Why not.
        problem: String,
    },
    /// The range for Services is not usable.
    #[error("the service range {cidr} is not usable: {problem}")]
    ServiceCidr {
        /// The range.
        cidr: Cidr,
        /// What is wrong.
        problem: &'static str,
    },
}
