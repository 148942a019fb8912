//! The protocol's frame: environment and standard input in, result or error on standard output.

use std::io::Read;
use std::path::PathBuf;

use corten_cni_types::{
    AddResult, Attachment, CniError, Command, Version, codes, keys, validate_container_id,
    validate_interface_name, validate_network_name,
};
use serde_json::{Map, Value, json};

use crate::{PLUGINS, Plugin, netns};

/// A configuration with the result of a long chain is some kilobytes.
const INPUT_BYTES_MAX: u64 = 4 << 20;

/// One call of a plugin, validated.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) command: Command,
    pub(crate) container_id: String,
    /// Empty on DEL when the runtime has none any more.
    pub(crate) netns: PathBuf,
    pub(crate) ifname: String,
    /// `CNI_ARGS` as given.
    pub(crate) args: String,
    /// `CNI_PATH` as given.
    pub(crate) path: String,
    pub(crate) version: Version,
    pub(crate) network: String,
    /// The whole configuration.
    pub(crate) conf: Map<String, Value>,
    pub(crate) prev_result: Option<AddResult>,
    /// GC: what still exists.
    pub(crate) valid_attachments: Vec<Attachment>,
}

impl Call {
    /// Whether an attachment is among those that GC was told of.
    pub(crate) fn is_valid(&self, container_id: &str, ifname: &str) -> bool {
        self.valid_attachments
            .iter()
            .any(|valid| valid.container_id == container_id && valid.ifname == ifname)
    }
}

/// What a call writes, and whether it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// For standard output.
    pub stdout: String,
    /// For standard error.
    pub stderr: String,
    /// Whether the exit code is to be zero.
    pub success: bool,
}

/// Serves one call of the plugin `name`. `variable` looks into the environment.
pub fn run(name: &str, variable: impl Fn(&str) -> Option<String>, stdin: impl Read) -> Output {
    let Some(plugin) = PLUGINS.iter().find(|plugin| plugin.name == name) else {
        let msg = format!("no plugin {name:?}: call this binary by the name of one");
        let details = format!("there are {}", crate::names().join(", "));
        let error = CniError { details, ..CniError::new(codes::INVALID_CONFIG, msg) };
        return failure(&error, None);
    };
    if variable("CNI_COMMAND").is_none_or(|command| command.is_empty()) {
        let versions: Vec<_> = Version::ALL.iter().map(|version| version.as_str()).collect();
        let stderr = format!(
            "CNI plugin {name} {}\nCNI protocol versions supported: {}\n",
            env!("CARGO_PKG_VERSION"),
            versions.join(", ")
        );
        return Output { stdout: String::new(), stderr, success: true };
    }
    // The version is known before anything else is wrong, so that errors can carry it.
    let mut version = None;
    match serve(plugin, &variable, stdin, &mut version) {
        Ok(stdout) => Output { stdout, stderr: String::new(), success: true },
        Err(error) => failure(&error, version),
    }
}

fn failure(error: &CniError, version: Option<Version>) -> Output {
    let error =
        CniError { cni_version: version.unwrap_or(Version::CURRENT).to_string(), ..error.clone() };
    // A struct of texts and a number always serialises.
    let stdout = serde_json::to_string(&error).unwrap_or_default() + "\n";
    Output { stdout, stderr: String::new(), success: false }
}

fn serve(
    plugin: &Plugin,
    variable: &impl Fn(&str) -> Option<String>,
    stdin: impl Read,
    version: &mut Option<Version>,
) -> Result<String, CniError> {
    let command: Command = variable("CNI_COMMAND")
        .unwrap_or_default()
        .parse()
        .map_err(|error| CniError::caused(codes::INVALID_ENVIRONMENT, "bad CNI_COMMAND", &error))?;
    if command == Command::Version {
        let versions: Vec<_> = Version::ALL.iter().map(|version| version.as_str()).collect();
        let answer =
            json!({"cniVersion": Version::CURRENT.as_str(), "supportedVersions": versions});
        return Ok(format!("{answer}\n"));
    }
    require_variables(command, variable)?;
    let conf = read_conf(stdin)?;
    let call = parse(command, variable, conf, version)?;
    refuse_own_namespace(command, variable, &call)?;
    match command {
        Command::Add => {
            let result = (plugin.add)(&call)?;
            return Ok(format!("{}\n", result.to_json(call.version)));
        }
        Command::Del => (plugin.del)(&call)?,
        Command::Check => (plugin.check)(&call)?,
        Command::Gc => (plugin.gc)(&call)?,
        Command::Status => (plugin.status)(&call)?,
        Command::Version => {}
    }
    Ok(String::new())
}

fn require_variables(
    command: Command,
    variable: &impl Fn(&str) -> Option<String>,
) -> Result<(), CniError> {
    let required: &[&str] = match command {
        Command::Add | Command::Check => {
            &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]
        }
        Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
        Command::Gc | Command::Status => &["CNI_PATH"],
        Command::Version => &[],
    };
    let missing: Vec<_> = required
        .iter()
        .copied()
        .filter(|name| variable(name).is_none_or(|value| value.is_empty()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let msg = format!("required env variables [{}] missing", missing.join(","));
    Err(CniError::new(codes::INVALID_ENVIRONMENT, msg))
}

fn read_conf(stdin: impl Read) -> Result<Map<String, Value>, CniError> {
    let mut text = Vec::new();
    stdin
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut text)
        .map_err(|error| CniError::caused(codes::IO, "cannot read standard input", &error))?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        return Err(CniError::new(codes::DECODE, "the configuration is larger than 4 MiB"));
    }
    serde_json::from_slice(&text)
        .map_err(|error| CniError::caused(codes::DECODE, "cannot decode the configuration", &error))
}

fn parse(
    command: Command,
    variable: &impl Fn(&str) -> Option<String>,
    conf: Map<String, Value>,
    known_version: &mut Option<Version>,
) -> Result<Call, CniError> {
    let text = |key: &str| conf.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version: Version = text(keys::CNI_VERSION).parse().map_err(|error| {
        CniError::caused(codes::INCOMPATIBLE_VERSION, "incompatible CNI versions", &error)
    })?;
    *known_version = Some(version);
    let allowed = match command {
        Command::Check => version.has_check(),
        Command::Gc | Command::Status => version.has_gc_and_status(),
        Command::Add | Command::Del | Command::Version => true,
    };
    if !allowed {
        let msg = format!("config version does not allow {command}");
        return Err(CniError::new(codes::INCOMPATIBLE_VERSION, msg));
    }
    let network = text(keys::NAME);
    if network.is_empty() {
        return Err(CniError::new(codes::INVALID_CONFIG, "missing network name"));
    }
    validate_network_name(&network)
        .map_err(|error| CniError::caused(codes::INVALID_CONFIG, "bad network name", &error))?;
    let container_id = variable("CNI_CONTAINERID").unwrap_or_default();
    let ifname = variable("CNI_IFNAME").unwrap_or_default();
    if matches!(command, Command::Add | Command::Del | Command::Check) {
        validate_container_id(&container_id).map_err(|error| {
            CniError::caused(codes::INVALID_ENVIRONMENT, "bad CNI_CONTAINERID", &error)
        })?;
        validate_interface_name(&ifname).map_err(|error| {
            CniError::caused(codes::INVALID_ENVIRONMENT, "bad CNI_IFNAME", &error)
        })?;
    }
    let prev_result = match conf.get(keys::PREV_RESULT) {
        None | Some(Value::Null) => None,
        Some(value) => Some(AddResult::from_json(value).map_err(|error| {
            CniError::caused(codes::DECODE, "cannot decode prevResult", &error)
        })?),
    };
    let valid_attachments =
        if command == Command::Gc { read_attachments(&conf)? } else { Vec::new() };
    Ok(Call {
        command,
        container_id,
        netns: variable("CNI_NETNS").unwrap_or_default().into(),
        ifname,
        args: variable("CNI_ARGS").unwrap_or_default(),
        path: variable("CNI_PATH").unwrap_or_default(),
        version,
        network,
        conf,
        prev_result,
        valid_attachments,
    })
}

/// GC without the list would collect everything, so the list is required.
fn read_attachments(conf: &Map<String, Value>) -> Result<Vec<Attachment>, CniError> {
    let list = conf.get(keys::VALID_ATTACHMENTS).or_else(|| conf.get(keys::VALID_ATTACHMENTS_OLD));
    let Some(list) = list else {
        let msg = format!("GC needs {}", keys::VALID_ATTACHMENTS);
        return Err(CniError::new(codes::INVALID_CONFIG, msg));
    };
    // Go writes an empty list as null.
    serde_json::from_value::<Option<Vec<Attachment>>>(list.clone())
        .map(Option::unwrap_or_default)
        .map_err(|error| {
            let msg = format!("cannot decode {}", keys::VALID_ATTACHMENTS);
            CniError::caused(codes::DECODE, msg, &error)
        })
}

/// Working on the host's own namespace as if it were a container's would cut the host off.
fn refuse_own_namespace(
    command: Command,
    variable: &impl Fn(&str) -> Option<String>,
    call: &Call,
) -> Result<(), CniError> {
    let concerned = matches!(command, Command::Add | Command::Del | Command::Check);
    let overridden = variable("CNI_NETNS_OVERRIDE").unwrap_or_default();
    if !concerned || overridden == "1" || overridden.eq_ignore_ascii_case("true") {
        return Ok(());
    }
    if netns::is_own(&call.netns) {
        let msg = "plugin's netns and netns from CNI_NETNS should not be the same";
        return Err(CniError::new(codes::INVALID_NETNS, msg));
    }
    Ok(())
}
