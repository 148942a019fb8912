//! The options.

use corten_cni_types::{CniError, PortMapping, codes};
use corten_sys_netlink::tables::Expression;
use serde::Deserialize;
use serde_json::Value;

use super::conditions;
use crate::conf;
use crate::skel::Call;

const HONOURED: &[&str] =
    &["backend", "snat", "masqAll", "markMasqBit", "conditionsV4", "conditionsV6"];

/// A packet's mark has 32 bits.
const MARK_BIT_MAX: i64 = 31;

#[derive(Debug)]
pub(super) struct Options {
    /// Masquerade what comes from the container's own network and from loopback.
    pub(super) snat: bool,
    /// Masquerade everything.
    pub(super) masq_all: bool,
    pub(super) mappings: Vec<PortMapping>,
    conditions_v4: Vec<Expression>,
    conditions_v6: Vec<Expression>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    backend: Option<String>,
    snat: Option<bool>,
    #[serde(default)]
    masq_all: bool,
    /// No marks are used here, so that none can collide.
    mark_masq_bit: Option<i64>,
    #[serde(default, rename = "conditionsV4")]
    conditions_v4: Option<Vec<String>>,
    #[serde(default, rename = "conditionsV6")]
    conditions_v6: Option<Vec<String>>,
}

impl Options {
    pub(super) fn read(call: &Call) -> Result<Self, CniError> {
        let written: Written = conf::read(call, HONOURED)?;
        conf::refuse_backend("backend", written.backend.as_deref())?;
        let bit = written.mark_masq_bit.filter(|bit| !(0..=MARK_BIT_MAX).contains(bit));
        if let Some(bit) = bit {
            let msg = format!("markMasqBit {bit} is not between 0 and {MARK_BIT_MAX}");
            return Err(CniError::new(codes::INVALID_CONFIG, msg));
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
        let conditions = |key: &str, list: Option<Vec<String>>, ipv4| {
            conditions::parse(&list.unwrap_or_default(), ipv4)
                .map_err(|why| CniError::new(codes::UNSUPPORTED_FIELD, format!("{key}: {why}")))
        };
        Ok(Self {
            snat,
            masq_all: written.masq_all,
            mappings,
            conditions_v4: conditions("conditionsV4", written.conditions_v4, true)?,
            conditions_v6: conditions("conditionsV6", written.conditions_v6, false)?,
        })
    }

    /// What packets must be for the mappings of a family to hold; nothing when it is all of them.
    pub(super) fn conditions(&self, ipv4: bool) -> &[Expression] {
        if ipv4 { &self.conditions_v4 } else { &self.conditions_v6 }
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
