//! `secret`: the values of a Secret as files, never on disk.

use k8s_openapi::api::core::v1::SecretVolumeSource;

use super::payload::{self, Payload};
use super::{Context, Ready, VolumeError};

pub(super) async fn set_up(
    cx: &Context<'_>,
    name: &str,
    source: &SecretVolumeSource,
) -> Result<Ready, VolumeError> {
    let mut payload = Payload::new(source.default_mode);
    let object = source.secret_name.as_deref().unwrap_or_default();
    let optional = source.optional == Some(true);
    payload.add_secret(cx, object, source.items.as_deref(), optional).await?;
    payload::write(cx, "secret", name, payload, true).await
}
