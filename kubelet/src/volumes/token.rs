//! Service account tokens bound to a pod, asked for once and renewed in time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ServiceAccount, ServiceAccountTokenProjection};
use kube::Api;
use kube::api::PostParams;

use super::{Context, VolumeError};

/// What upstream gives when the volume names no lifetime.
const DEFAULT_SECONDS: i64 = 3600;
/// However long a token lives, it is renewed daily.
const RENEWAL_MAX: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    pod_uid: String,
    account: String,
    audience: String,
    seconds: i64,
}

#[derive(Clone)]
pub(super) struct Token {
    pub(super) token: String,
    /// At four fifths of its lifetime.
    pub(super) refresh_at: Timestamp,
}

/// Tokens in use, by pod.
#[derive(Default)]
pub(crate) struct Tokens {
    known: Mutex<HashMap<Key, Token>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// The token, from memory unless it is due for renewal.
    pub(super) async fn get(
        &self,
        cx: &Context<'_>,
        source: &ServiceAccountTokenProjection,
    ) -> Result<Token, VolumeError> {
        let account = cx.spec.service_account_name.as_deref().unwrap_or("default");
        let key = Key {
            pod_uid: cx.pod.metadata.uid.clone().unwrap_or_default(),
            account: account.to_owned(),
            audience: source.audience.clone().unwrap_or_default(),
            seconds: source.expiration_seconds.unwrap_or(DEFAULT_SECONDS),
        };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(known) = known
            && cx.now < known.refresh_at
        {
            return Ok(known);
        }
        let token = request(cx, &key).await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, token.clone());
        Ok(token)
    }

    /// Forgets the tokens of a pod that is gone.
    pub(crate) fn forget(&self, pod_uid: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|key, _| key.pod_uid != pod_uid);
    }
}

async fn request(cx: &Context<'_>, key: &Key) -> Result<Token, VolumeError> {
    let audience = Some(key.audience.clone()).filter(|a| !a.is_empty());
    let body = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: audience.map(|a| vec![a]),
            expiration_seconds: Some(key.seconds),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: cx.pod.metadata.name.clone(),
                uid: cx.pod.metadata.uid.clone(),
            }),
        }),
        ..TokenRequest::default()
    };
    let api = Api::<ServiceAccount>::namespaced(cx.client.clone(), cx.namespace());
    let answer: TokenRequest = api
        .create_subresource("token", &key.account, &PostParams::default(), &body)
        .await
        .map_err(|source| VolumeError::Token(Box::new(source)))?;
    let status = answer.status.ok_or(VolumeError::NoToken)?;
    let token = status.token.filter(|token| !token.is_empty()).ok_or(VolumeError::NoToken)?;
    let expiry = status.expiration_timestamp.ok_or(VolumeError::NoToken)?.0;
    let lifetime = expiry.duration_since(cx.now);
    let renewal = (lifetime * 4 / 5).min(RENEWAL_MAX);
    Ok(Token { token, refresh_at: cx.now + renewal })
}
