//! rustls server set-up, and who a client certificate says it is.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::PkiError;

/// A TLS server with the given certificate chain and key. With `client_ca_pem`, a client may
/// present a certificate; one that this authority did not sign ends the handshake, none at all
/// does not. ALPN is left to the caller.
///
/// # Errors
/// [`PkiError::Unusable`] names the text that is no certificate or key.
pub fn server_config(
    certificate_pem: &str,
    key_pem: &str,
    client_ca_pem: Option<&str>,
) -> Result<ServerConfig, PkiError> {
    let provider = Arc::new(default_provider());
    let chain = certificates(certificate_pem, "the server's certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|source| PkiError::unusable("the server's key", source))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| PkiError::unusable("the TLS provider", source))?;
    let builder = match client_ca_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let unusable = |source| PkiError::unusable("the clients' authority", source);
            let mut roots = RootCertStore::empty();
            for certificate in certificates(pem, "the clients' authority")? {
                roots.add(certificate).map_err(unusable)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|source| PkiError::unusable("the clients' authority", source))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder
        .with_single_cert(chain, key)
        .map_err(|source| PkiError::unusable("the server's certificate with its key", source))
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| PkiError::unusable(what, source))?;
    if chain.is_empty() {
        return Err(PkiError::unusable(what, "it holds no certificate"));
    }
    Ok(chain)
}

/// Who a certificate was issued to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// CN: the user's name, to Kubernetes.
    pub common_name: String,
    /// O, in order: the user's groups, to Kubernetes.
    pub organizations: Vec<String>,
}

/// Reads the subject of a certificate that TLS has verified.
///
/// # Errors
/// [`PkiError::Unusable`] when `der` is no certificate or its names are not text.
pub fn client_subject(der: &[u8]) -> Result<Subject, PkiError> {
    let what = "the client's certificate";
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|source| PkiError::unusable(what, source))?;
    let subject = certificate.subject();
    let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        attribute.as_str().map(str::to_owned).map_err(|source| PkiError::unusable(what, source))
    };
    let common_name = match subject.iter_common_name().last() {
        Some(attribute) => text(attribute)?,
        None => String::new(),
    };
    let organizations = subject.iter_organization().map(text).collect::<Result<_, _>>()?;
    Ok(Subject { common_name, organizations })
}
