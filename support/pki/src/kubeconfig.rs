//! kubeconfig files with embedded certificates.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::PkiError;
use crate::file::write_private;

/// What a kubeconfig file with one user and one cluster says.
#[derive(Debug)]
pub struct Kubeconfig<'a> {
    /// `https://host:port`.
    pub server_url: &'a str,
    /// The authority that signed the server's certificate.
    pub ca_pem: &'a str,
    /// The user's certificate.
    pub client_certificate_pem: &'a str,
    /// Its key.
    pub client_key_pem: &'a str,
    /// A name for the user in the file.
    pub user: &'a str,
    /// A name for the cluster in the file.
    pub cluster: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'a str,
    kind: &'a str,
    current_context: &'a str,
    clusters: [Named<'a, ClusterEntry>; 1],
    contexts: [Named<'a, ContextEntry<'a>>; 1],
    users: [Named<'a, UserEntry>; 1],
    preferences: Empty,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Named<'a, T> {
    name: &'a str,
    #[serde(flatten)]
    value: T,
}

#[derive(Serialize)]
struct ClusterEntry {
    cluster: Cluster,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Serialize)]
struct ContextEntry<'a> {
    context: Context<'a>,
}

#[derive(Serialize)]
struct Context<'a> {
    cluster: &'a str,
    user: &'a str,
}

#[derive(Serialize)]
struct UserEntry {
    user: User,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

/// Writes `config` to `path`, readable by its owner only, replacing what was there.
///
/// # Errors
/// [`PkiError`] when the file can't be written.
pub fn write_kubeconfig(path: &Path, config: &Kubeconfig<'_>) -> Result<(), PkiError> {
    let document = Document {
        api_version: "v1",
        kind: "Config",
        current_context: config.cluster,
        clusters: [Named {
            name: config.cluster,
            value: ClusterEntry {
                cluster: Cluster {
                    server: config.server_url.to_owned(),
                    certificate_authority_data: STANDARD.encode(config.ca_pem),
                },
            },
        }],
        contexts: [Named {
            name: config.cluster,
            value: ContextEntry { context: Context { cluster: config.cluster, user: config.user } },
        }],
        users: [Named {
            name: config.user,
            value: UserEntry {
                user: User {
                    client_certificate_data: STANDARD.encode(config.client_certificate_pem),
                    client_key_data: STANDARD.encode(config.client_key_pem),
                },
            },
        }],
        preferences: Empty {},
    };
    let text = serde_norway::to_string(&document)
        .map_err(|source| PkiError::unusable("the kubeconfig's content", source))?;
    Ok(write_private(path, text.as_bytes())?)
}
