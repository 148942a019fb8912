//! The options.

use corten_cni_types::{CniError, PortMapping, codes};
use serde::Deserialize;
use serde_json::Value;

use crate::conf;
use crate::skel::Call;

const HONOURED: &[&str] = &["backend", "snat", "masqAll", "markMasqBit"];

#[derive(Debug)]
pub(super) struct Options {
    /// Masquerade what comes from the container's own network and from loopback.
    pub(super) snat: bool,
    /// Masquerade everything.
    pub(super) masq_all: bool,
    pub(super) mappings: Vec<PortMapping>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    backend: Option<String>,
    snat: Option<bool>,
    #[serde(default)]
    masq_all: bool,
    /// No marks are used here, so that none can collide.
    #[serde(rename = "markMasqBit")]
    _mark_masq_bit: Option<i64>,
}

impl Options {
    pub(super) fn read(call: &Call) -> Result<Self, CniError> {
        let written: Written = conf::read(call, HONOURED)?;
        if let Some(backend) = written.backend.filter(|name| name != "nftables") {
            let msg = format!("option backend {backend:?} is not supported: use nftables");
            return Err(CniError::new(codes::UNSUPPORTED_FIELD, msg));
        }
        let mappings = call
            .conf
            .get("runtimeConfig")
            .and_then(|runtime| runtime.get("portMappings"))
            .filter(|mappings| !mappings.is_null());
        let mappings: Vec<PortMapping> = match mappings {
            Some(mappings) => read_mappings(mappings)?,
            None => Vec::new(),
        };
        let zero = mappings.iter().find(|it| it.host_port == 0 || it.container_port == 0);
        if let Some(mapping) = zero {
            let msg = format!(
                "port mapping {} to {} has a port 0",
                mapping.host_port, mapping.container_port
            );
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
        }
        let snat = written.snat.unwrap_or(true);
        Ok(Self { snat, masq_all: written.masq_all, mappings })
    }
}

/// Some runtimes write "any address" as an empty text.
fn read_mappings(mappings: &Value) -> Result<Vec<PortMapping>, CniError> {
    let mut mappings = mappings.clone();
    for mapping in mappings.as_array_mut().into_iter().flatten() {
        if let Some(object) = mapping.as_object_mut()
            && object.get("hostIP").and_then(Value::as_str) == Some("")
        {
            object.shift_remove("hostIP");
        }
    }
    serde_json::from_value(mappings).map_err(|error| {
        let msg = "runtimeConfig.portMappings cannot be used";
        CniError::caused(codes::INVALID_CONFIG, msg, &error)
    })
}
