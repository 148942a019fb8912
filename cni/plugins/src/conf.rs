//! Reading options, and refusing those that are not honoured.

use corten_cni_types::{CniError, codes, keys};
use corten_sys_netlink::route::{MacAddress, ParseMacAddressError};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::skel::Call;

/// Keys that every plugin's configuration may have.
const COMMON: &[&str] = &[
    keys::CNI_VERSION,
    keys::NAME,
    keys::TYPE,
    keys::CAPABILITIES,
    keys::RUNTIME_CONFIG,
    keys::PREV_RESULT,
    keys::ARGS,
    "dns",
    "ipam",
];

/// Reads a plugin's options. A key that is not in `honoured` is refused by name, unless it has
/// the value that switches it off; keys with a slash belong to somebody else.
pub(crate) fn read<T: DeserializeOwned>(call: &Call, honoured: &[&str]) -> Result<T, CniError> {
    refuse_others("", &call.conf, &[COMMON, honoured].concat())?;
    from_map(&call.conf)
}

pub(crate) fn from_map<T: DeserializeOwned>(map: &Map<String, Value>) -> Result<T, CniError> {
    serde_json::from_value(Value::Object(map.clone())).map_err(|error| {
        CniError::caused(codes::INVALID_CONFIG, "the configuration cannot be used", &error)
    })
}

/// Refuses keys that are not in `honoured`; `prefix` is the path of `map`, with its dot.
pub(crate) fn refuse_others(
    prefix: &str,
    map: &Map<String, Value>,
    honoured: &[&str],
) -> Result<(), CniError> {
    for (key, value) in map {
        if honoured.contains(&key.as_str()) || key.contains('/') || is_off(value) {
            continue;
        }
        let msg = format!("option {prefix}{key} is not supported");
        let details = format!("it has the value {value}; remove it");
        return Err(CniError { details, ..CniError::new(codes::UNSUPPORTED_FIELD, msg) });
    }
    Ok(())
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Looks up keys in `CNI_ARGS`. A key that is neither of these nor another plugin's is an error,
/// unless `IgnoreUnknown` is set, as Kubernetes' runtimes do.
pub(crate) fn environment_args<const N: usize>(
    call: &Call,
    wanted: [&str; N],
) -> Result<[Option<String>; N], CniError> {
    let bad = |msg: String| CniError::new(codes::INVALID_ENVIRONMENT, msg);
    let mut found = [const { None }; N];
    let mut unknown = Vec::new();
    let mut ignore = false;
    for pair in call.args.split(';').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(bad(format!("CNI_ARGS: invalid pair {pair:?}")));
        };
        if let Some(index) = wanted.iter().position(|name| *name == key) {
            found[index] = Some(value.to_owned());
        } else if key == "IgnoreUnknown" {
            ignore = matches!(value, "1" | "true" | "True" | "TRUE");
        } else {
            unknown.push(pair);
        }
    }
    if unknown.is_empty() || ignore {
        return Ok(found);
    }
    Err(bad(format!("CNI_ARGS: unknown args {unknown:?}; set IgnoreUnknown=1 to pass over them")))
}

/// One of the sections that others than the administrator write: `args.cni` or `runtimeConfig`.
pub(crate) fn arguments<'a>(call: &'a Call, section: &str) -> Option<&'a Map<String, Value>> {
    let section = match section {
        "args.cni" => call.conf.get(keys::ARGS)?.get("cni")?,
        other => call.conf.get(other)?,
    };
    section.as_object()
}

/// A text of such a section; an empty one counts as none.
pub(crate) fn argument_text(call: &Call, section: &str, key: &str) -> Option<String> {
    let text = arguments(call, section)?.get(key)?.as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads a hardware address that `key` was set to.
pub(crate) fn parse_mac(key: &str, text: &str) -> Result<MacAddress, CniError> {
    text.parse().map_err(|error: ParseMacAddressError| {
        CniError::caused(codes::INVALID_CONFIG, format!("{key} cannot be used"), &error)
    })
}

/// Refuses an option that only the backends of other programs have.
pub(crate) fn refuse_backend(key: &str, backend: Option<&str>) -> Result<(), CniError> {
    match backend {
        None | Some("" | "nftables") => Ok(()),
        Some(backend) => {
            let msg = format!("option {key} {backend:?} is not supported: use nftables");
            Err(CniError::new(codes::UNSUPPORTED_FIELD, msg))
        }
    }
}
