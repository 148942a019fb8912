//! Registry credentials from `imagePullSecrets`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use corten_api_cri::v1;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

/// `~/.docker/config.json`, as far as it matters.
#[derive(Deserialize, Default)]
#[serde(default)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
}

/// Credentials by registry and path prefix.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    entries: Vec<(String, v1::AuthConfig)>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places: Vec<&str> = self.entries.iter().map(|(place, _)| place.as_str()).collect();
        f.debug_struct("Credentials").field("places", &places).finish()
    }
}

impl Credentials {
    /// Adds what a Secret of type `kubernetes.io/dockerconfigjson` or `…/dockercfg` holds; says
    /// why if it holds nothing usable.
    pub(crate) fn add(&mut self, secret: &Secret) -> Result<(), String> {
        let data = secret.data.as_ref();
        let value = |key: &str| data.and_then(|d| d.get(key)).map(|v| v.0.as_slice());
        let auths = match (value(".dockerconfigjson"), value(".dockercfg")) {
            (Some(text), _) => serde_json::from_slice::<DockerConfig>(text).map(|c| c.auths),
            (None, Some(text)) => serde_json::from_slice(text),
            (None, None) => {
                return Err("it has neither .dockerconfigjson nor .dockercfg".to_owned());
            }
        };
        // The parser's message may quote what it read, and that is a secret.
        let auths =
            auths.map_err(|_hidden| "its content is not a docker configuration".to_owned())?;
        for (place, entry) in auths {
            let mut auth = v1::AuthConfig {
                username: entry.username,
                password: entry.password,
                identity_token: entry.identity_token,
                ..v1::AuthConfig::default()
            };
            let decoded = STANDARD.decode(entry.auth.trim()).ok();
            let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some((user, password)) = pair.as_deref().and_then(|p| p.split_once(':')) {
                auth.username = user.to_owned();
                auth.password = password.trim_end_matches('\0').to_owned();
            }
            self.entries.push((normal_place(&place), auth));
        }
        // The most specific place first.
        self.entries.sort_by_key(|(place, _)| std::cmp::Reverse(place.len()));
        Ok(())
    }

    /// The credentials for an image, the most specific first.
    pub(crate) fn matching(&self, image: &str) -> Vec<v1::AuthConfig> {
        let image = image_place(image);
        self.entries
            .iter()
            .filter(|(place, _)| matches(place, &image))
            .map(|(_, auth)| auth.clone())
            .collect()
    }
}

/// `https://host/v1/` and `host/path` both become `host/path`.
fn normal_place(place: &str) -> String {
    let place = place.trim_start_matches("https://").trim_start_matches("http://");
    let place = place.trim_end_matches('/');
    let place = place.trim_end_matches("/v1").trim_end_matches("/v2");
    if place == "index.docker.io" { "docker.io".to_owned() } else { place.to_owned() }
}

fn image_place(image: &str) -> String {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => image.to_owned(),
        Some(_) => format!("docker.io/{image}"),
        None => format!("docker.io/library/{image}"),
    }
}

/// Host parts match label by label with `*` for one label; the path by its prefix.
fn matches(place: &str, image: &str) -> bool {
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let (image_host, image_path) = image.split_once('/').unwrap_or((image, ""));
    let labels: Vec<&str> = host.split('.').collect();
    let image_labels: Vec<&str> = image_host.split('.').collect();
    labels.len() == image_labels.len()
        && labels.iter().zip(&image_labels).all(|(want, have)| *want == "*" || want == have)
        && image_path.strip_prefix(path).is_some_and(|rest| {
            path.is_empty() || rest.is_empty() || rest.starts_with(['/', ':', '@'])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_credential_comes_first() {
        let config = serde_json::json!({"auths": {
            "registry.example": {"auth": STANDARD.encode("a:1")},
            "registry.example/team": {"username": "b", "password": "2"},
            "https://index.docker.io/v1/": {"auth": STANDARD.encode("c:3")},
        }});
        let secret: Secret = serde_json::from_value(serde_json::json!({
            "data": {".dockerconfigjson": STANDARD.encode(config.to_string())}
        }))
        .unwrap();
        let mut credentials = Credentials::default();
        credentials.add(&secret).unwrap();
        let users = |image: &str| -> Vec<String> {
            credentials.matching(image).into_iter().map(|a| a.username).collect()
        };
        assert_eq!(users("registry.example/team/x:1"), ["b", "a"]);
        assert_eq!(users("registry.example/teams/x:1"), ["a"]);
        assert_eq!(users("busybox:latest"), ["c"]);
        assert_eq!(users("other.example/x"), Vec::<String>::new());
    }
}
