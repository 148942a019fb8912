//! `downwardAPI`: fields of the pod as files.

use k8s_openapi::api::core::v1::DownwardAPIVolumeSource;

use super::payload::{self, Payload};
use super::{Context, Ready, VolumeError};

pub(super) async fn set_up(
    cx: &Context<'_>,
    name: &str,
    source: &DownwardAPIVolumeSource,
) -> Result<Ready, VolumeError> {
    let mut payload = Payload::new(source.default_mode);
    payload.add_downward(cx, source.items.as_deref().unwrap_or_default())?;
    payload::write(cx, "downward-api", name, payload, true).await
}
