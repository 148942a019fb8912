//! Finding out who asks: a client certificate, a service-account token, or nobody.

pub(crate) mod impersonate;
pub(crate) mod token;

use corten_api_k8s::status::{self, Status};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rustls_pki_types::CertificateDer;

use crate::state::Api;
use crate::user::User;

/// The user a verified client certificate names: CN is the name, each O is a group.
pub(crate) fn certificate_user(certificate: &CertificateDer<'_>) -> Option<User> {
    match corten_pki::client_subject(certificate) {
        Ok(subject) if subject.common_name.is_empty() => None,
        Ok(subject) => Some(User::authenticated(&subject.common_name, &subject.organizations)),
        Err(error) => {
            tracing::debug!(cause = %error, "the client's certificate names nobody");
            None
        }
    }
}

/// Who makes a request, on a connection whose certificate named `from_connection`.
pub(crate) fn authenticate(
    api: &Api,
    from_connection: Option<&User>,
    headers: &HeaderMap,
) -> Result<User, Status> {
    Ok(match (from_connection, bearer(headers)) {
        (Some(user), _) => user.clone(),
        (None, Some(token)) => match api.tokens.authenticate(&*api.store, token, &[]) {
            Ok(authenticated) => authenticated.user,
            Err(error) => {
                tracing::debug!(cause = %error, "a bearer token was refused");
                return Err(status::unauthorized());
            }
        },
        (None, None) if headers.contains_key(AUTHORIZATION) => return Err(status::unauthorized()),
        (None, None) => User::anonymous(),
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
