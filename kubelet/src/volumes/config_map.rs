//! `configMap`: the values of a ConfigMap as files.

use k8s_openapi::api::core::v1::ConfigMapVolumeSource;

use super::payload::{self, Payload};
use super::{Context, Ready, VolumeError};

pub(super) async fn set_up(
    cx: &Context<'_>,
    name: &str,
    source: &ConfigMapVolumeSource,
) -> Result<Ready, VolumeError> {
    let mut payload = Payload::new(source.default_mode);
    let optional = source.optional == Some(true);
    payload.add_config_map(cx, &source.name, source.items.as_deref(), optional).await?;
    payload::write(cx, "configmap", name, payload, false).await
}
