//! A certificate authority in two files.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::PkiError;
use crate::file::{read, write_private, write_public};
use crate::tls::client_subject;

/// An authority outlives what it signs.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Clocks of a cluster's machines may differ by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
/// A certificate with less than this share of its lifetime left is replaced.
const RENEW_BEFORE: f64 = 0.2;

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A name that a server is reached by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum San {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Which side of a connection a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To prove a user.
    Client,
    /// To prove a server.
    Server,
    /// Both.
    Both,
}

/// What a certificate shall say.
#[derive(Debug, Clone)]
pub struct Request {
    /// CN.
    pub common_name: String,
    /// O: the one group of the user. (A certificate may carry several; no identity of a cluster
    /// needs them.)
    pub organization: Option<String>,
    /// Subject alternative names.
    pub sans: Vec<San>,
    /// Its use.
    pub usage: Usage,
    /// How long it is valid.
    pub lifetime: Duration,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key: PKCS #8.
    pub key_pem: String,
}

impl Authority {
    /// The authority in `<folder>/<name>.crt` and `.key`, made when there is neither.
    ///
    /// # Errors
    /// [`PkiError`] when a file can't be read or written, holds something else, or one of the
    /// two is missing: what the authority has signed would then be lost with a new one.
    pub fn load_or_create(folder: &Path, name: &str, common_name: &str) -> Result<Self, PkiError> {
        let certificate_path = folder.join(format!("{name}.crt"));
        let key_path = folder.join(format!("{name}.key"));
        match (read(&certificate_path)?, read(&key_path)?) {
            (Some(certificate_pem), Some(key_pem)) => {
                let key = KeyPair::from_pem(&key_pem)
                    .map_err(|source| PkiError::unusable(key_path.display().to_string(), source))?;
                let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(|source| {
                    PkiError::unusable(certificate_path.display().to_string(), source)
                })?;
                Ok(Self { certificate_pem, issuer })
            }
            (None, None) => {
                let (authority, key_pem) = Self::create(common_name)?;
                write_private(&key_path, key_pem.as_bytes())?;
                write_public(&certificate_path, authority.certificate_pem.as_bytes())?;
                Ok(authority)
            }
            (None, Some(key_pem)) => {
                // A crash between the two writes above: nothing was signed yet.
                tracing::info!(path = %certificate_path.display(), "certificate made for its key");
                let authority = Self::with_key(common_name, &key_pem)
                    .map_err(|source| PkiError::unusable(key_path.display().to_string(), source))?;
                write_public(&certificate_path, authority.certificate_pem.as_bytes())?;
                Ok(authority)
            }
            (Some(_), None) => Err(PkiError::unusable(
                key_path.display().to_string(),
                "the certificate is there, its key not",
            )),
        }
    }

    fn create(common_name: &str) -> Result<(Self, String), PkiError> {
        let key_pem = KeyPair::generate().map_err(PkiError::Key)?.serialize_pem();
        let authority = Self::with_key(common_name, &key_pem)?;
        Ok((authority, key_pem))
    }

    fn with_key(common_name: &str, key_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem).map_err(PkiError::Key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        set_validity(&mut params, AUTHORITY_LIFETIME);
        let certificate = params
            .self_signed(&key)
            .map_err(|source| PkiError::Issue { common_name: common_name.to_owned(), source })?;
        Ok(Self { certificate_pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Makes a key and signs a certificate for it.
    ///
    /// # Errors
    /// [`PkiError`] when a name can't stand in a certificate.
    pub fn issue(&self, request: &Request) -> Result<Issued, PkiError> {
        let failed = |source| PkiError::Issue { common_name: request.common_name.clone(), source };
        let key = KeyPair::generate().map_err(PkiError::Key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, request.common_name.as_str());
        if let Some(organization) = &request.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        for san in &request.sans {
            params.subject_alt_names.push(match san {
                San::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(failed)?),
                San::Ip(address) => SanType::IpAddress(*address),
            });
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match request.usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Both => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
        };
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, request.lifetime);
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Like [`Authority::issue`], kept in `<folder>/<stem>.crt` and `.key`. What is there stays
    /// while this authority signed it, it names the same subject and alternative names, and more
    /// than a fifth of its lifetime is left.
    ///
    /// # Errors
    /// [`PkiError`] as for [`Authority::issue`], and when a file can't be read or written.
    pub fn issue_to(
        &self,
        request: &Request,
        folder: &Path,
        stem: &str,
    ) -> Result<Issued, PkiError> {
        let certificate_path = folder.join(format!("{stem}.crt"));
        let key_path = folder.join(format!("{stem}.key"));
        if let (Some(certificate_pem), Some(key_pem)) = (read(&certificate_path)?, read(&key_path)?)
            && self.still_serves(request, &certificate_pem, &key_pem)
        {
            return Ok(Issued { certificate_pem, key_pem });
        }
        let issued = self.issue(request)?;
        write_private(&key_path, issued.key_pem.as_bytes())?;
        write_public(&certificate_path, issued.certificate_pem.as_bytes())?;
        Ok(issued)
    }

    fn still_serves(&self, request: &Request, certificate_pem: &str, key_pem: &str) -> bool {
        let check = || -> Option<bool> {
            let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).ok()?;
            let own = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).ok()?;
            let (_, certificate) = X509Certificate::from_der(&der).ok()?;
            let (_, own) = X509Certificate::from_der(&own).ok()?;
            let key = KeyPair::from_pem(key_pem).ok()?;
            let subject = client_subject(&der).ok()?;
            let mut sans: Vec<San> = certificate
                .subject_alternative_name()
                .ok()?
                .map(|extension| &extension.value.general_names)
                .into_iter()
                .flatten()
                .filter_map(san)
                .collect();
            sans.sort();
            let mut wanted = request.sans.clone();
            wanted.sort();
            let validity = certificate.validity();
            let lifetime = validity.not_after - validity.not_before;
            let left = validity.time_to_expiration();
            let fresh = matches!((left, lifetime), (Some(left), Some(all))
                if left.as_seconds_f64() > RENEW_BEFORE * all.as_seconds_f64());
            Some(
                fresh
                    && certificate.verify_signature(Some(own.public_key())).is_ok()
                    && certificate.public_key().subject_public_key.data.as_ref()
                        == key.public_key_raw()
                    && subject.common_name == request.common_name
                    && subject.organizations.iter().eq(&request.organization)
                    && sans == wanted,
            )
        };
        check().unwrap_or(false)
    }
}

fn san(name: &GeneralName<'_>) -> Option<San> {
    if let GeneralName::DNSName(name) = name {
        return Some(San::Dns((*name).to_owned()));
    }
    if let GeneralName::IPAddress(bytes) = name {
        let address = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
        return address
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
            .ok()
            .map(San::Ip);
    }
    None
}

fn set_validity(params: &mut CertificateParams, lifetime: Duration) {
    let now = std::time::SystemTime::now();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + lifetime).into();
}

#[cfg(test)]
mod tests;
