//! `projected`: several sources in one folder, among them the service account's token.

use k8s_openapi::api::core::v1::ProjectedVolumeSource;

use super::payload::{self, Payload};
use super::{Context, Ready, VolumeError};

pub(super) async fn set_up(
    cx: &Context<'_>,
    name: &str,
    source: &ProjectedVolumeSource,
) -> Result<Ready, VolumeError> {
    let mut payload = Payload::new(source.default_mode);
    for part in source.sources.iter().flatten() {
        if let Some(map) = &part.config_map {
            let optional = map.optional == Some(true);
            payload.add_config_map(cx, &map.name, map.items.as_deref(), optional).await?;
        } else if let Some(secret) = &part.secret {
            let optional = secret.optional == Some(true);
            payload.add_secret(cx, &secret.name, secret.items.as_deref(), optional).await?;
        } else if let Some(downward) = &part.downward_api {
            payload.add_downward(cx, downward.items.as_deref().unwrap_or_default())?;
        } else if let Some(token) = &part.service_account_token {
            payload.add_token(cx, token).await?;
        } else {
            return Err(VolumeError::UnknownKind { name: name.to_owned() });
        }
    }
    payload::write(cx, "projected", name, payload, true).await
}
