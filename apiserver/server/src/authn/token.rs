//! Service-account tokens: ES256 JWTs bound to an account and perhaps to a pod, secret or node;
//! what they are bound to is looked up at every use, so that a token dies with it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use corten_api_k8s::meta;
use corten_apiserver_store::Store;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::config::{Config, ServeError};
use crate::rest::storage;
use crate::user::{User, service_account_name};

/// Longer tokens are not looked at.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Signs and verifies tokens.
pub(crate) struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    key_id: String,
    point: Vec<u8>,
    issuer: String,
    audiences: Vec<String>,
}

/// Something a token is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) name: String,
    pub(crate) uid: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claims {
    aud: Audience,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    nbf: i64,
    sub: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: KubernetesClaims,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KubernetesClaims {
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Bound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Bound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Bound>,
    serviceaccount: Bound,
}

/// What a new token says.
#[derive(Debug)]
pub(crate) struct Grant<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) account: Bound,
    pub(crate) pod: Option<Bound>,
    pub(crate) secret: Option<Bound>,
    pub(crate) node: Option<Bound>,
    pub(crate) audiences: Vec<String>,
    pub(crate) lifetime_seconds: i64,
    pub(crate) id: String,
}

/// Whose token it is, and for whom.
#[derive(Debug)]
pub(crate) struct Authenticated {
    pub(crate) user: User,
    pub(crate) audiences: Vec<String>,
}

/// A token is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("the token is not valid")]
    Invalid(#[source] jsonwebtoken::errors::Error),
    #[error("the token is for {audiences:?}")]
    Audience { audiences: Vec<String> },
    #[error("the token's subject is not its service account")]
    Subject,
    #[error("the token is bound to {resource} {name:?}, which is gone")]
    Gone { resource: &'static str, name: String },
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Tokens {
    pub(crate) fn new(config: &Config) -> Result<Self, ServeError> {
        let key = &config.service_account_key;
        let signing =
            EncodingKey::from_ec_pem(key.private_pem.as_bytes()).map_err(ServeError::TokenKey)?;
        let verifying =
            DecodingKey::from_ec_pem(key.public_pem.as_bytes()).map_err(ServeError::TokenKey)?;
        Ok(Self {
            signing,
            verifying,
            key_id: URL_SAFE_NO_PAD.encode(Sha256::digest(&key.public_point)),
            point: key.public_point.clone(),
            issuer: config.issuer.clone(),
            audiences: config.api_audiences.clone(),
        })
    }

    /// The audiences of tokens for this API.
    pub(crate) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    pub(crate) fn issue(
        &self,
        grant: Grant<'_>,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let seconds = now.as_second();
        let claims = Claims {
            aud: Audience::Many(grant.audiences),
            exp: seconds + grant.lifetime_seconds,
            iat: seconds,
            iss: self.issuer.clone(),
            jti: grant.id,
            nbf: seconds,
            sub: service_account_name(grant.namespace, &grant.account.name),
            kubernetes: KubernetesClaims {
                namespace: grant.namespace.to_owned(),
                node: grant.node,
                pod: grant.pod,
                secret: grant.secret,
                serviceaccount: grant.account,
            },
        };
        let header =
            Header { kid: Some(self.key_id.clone()), typ: None, ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims, &self.signing)
    }

    /// Whose token it is. Without `audiences`, it must be for this API.
    pub(crate) fn authenticate(
        &self,
        store: &dyn Store,
        token: &str,
        audiences: &[String],
    ) -> Result<Authenticated, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_aud = false;
        validation.validate_nbf = true;
        validation.leeway = 0;
        validation.set_issuer(&[&self.issuer]);
        let claims: Claims = jsonwebtoken::decode(token, &self.verifying, &validation)
            .map_err(TokenError::Invalid)?
            .claims;
        let wanted = if audiences.is_empty() { &self.audiences } else { audiences };
        let given = claims.aud.into_vec();
        let shared: Vec<String> = given.iter().filter(|a| wanted.contains(a)).cloned().collect();
        if shared.is_empty() {
            return Err(TokenError::Audience { audiences: given });
        }
        let bound = &claims.kubernetes;
        if claims.sub != service_account_name(&bound.namespace, &bound.serviceaccount.name) {
            return Err(TokenError::Subject);
        }
        let alive = |resource, namespace: &str, bound: &Bound| {
            still_there(store, resource, namespace, bound)
        };
        alive("serviceaccounts", &bound.namespace, &bound.serviceaccount)?;
        if let Some(pod) = &bound.pod {
            alive("pods", &bound.namespace, pod)?;
        }
        if let Some(secret) = &bound.secret {
            alive("secrets", &bound.namespace, secret)?;
        }
        if let (Some(node), None) = (&bound.node, &bound.pod) {
            alive("nodes", "", node)?;
        }
        Ok(Authenticated { user: user(bound, &claims.jti), audiences: shared })
    }

    /// The issuer's discovery document.
    pub(crate) fn discovery(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}/openid/v1/jwks", self.issuer),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// The verifying key as a JSON web key set.
    pub(crate) fn jwks(&self) -> Value {
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let x = self.point.get(1..33).unwrap_or_default();
        let y = self.point.get(33..65).unwrap_or_default();
        json!({ "keys": [{
            "use": "sig",
            "kty": "EC",
            "kid": self.key_id,
            "crv": "P-256",
            "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

fn user(bound: &KubernetesClaims, id: &str) -> User {
    let account = &bound.serviceaccount;
    let mut user = User::service_account(&bound.namespace, &account.name, &account.uid);
    let mut extra = |name: &str, value: &str| {
        user.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]);
    };
    extra("credential-id", &format!("JTI={id}"));
    if let Some(pod) = &bound.pod {
        extra("pod-name", &pod.name);
        extra("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        extra("node-name", &node.name);
        extra("node-uid", &node.uid);
    }
    user
}

/// Bound objects are known by uid: another of the same name is another object.
fn still_there(
    store: &dyn Store,
    resource: &'static str,
    namespace: &str,
    bound: &Bound,
) -> Result<(), TokenError> {
    let key = storage::core_key(resource, namespace, &bound.name);
    let there = store.get(&key).is_some_and(|entry| {
        let object = storage::parsed(&entry);
        meta::uid(&object) == bound.uid
    });
    if there { Ok(()) } else { Err(TokenError::Gone { resource, name: bound.name.clone() }) }
}
