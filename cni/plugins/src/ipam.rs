//! Delegation of address management to another plugin.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use corten_cni_invoke::{Environment, InvokeError, Program};
use corten_cni_types::{AddResult, CniError, Command, codes};
use serde_json::Value;

use crate::skel::Call;
use crate::{PLUGINS, Plugin};

/// The caller's own time limit ends earlier; this is for one that has none.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The `ipam.type` of a configuration; nothing when there is no address management.
pub(crate) fn plugin_type(call: &Call) -> Option<String> {
    let name = call.conf.get("ipam")?.get("type")?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Asks for addresses, unless there is no address management, and gives them to `work`; they go
/// back when that fails. When giving back fails as well, the first failure is still the one to
/// tell; DEL, which must follow, tries again.
pub(crate) fn with_addresses(
    call: &Call,
    plugin_type: Option<&str>,
    work: impl FnOnce(AddResult) -> Result<AddResult, CniError>,
) -> Result<AddResult, CniError> {
    let Some(plugin_type) = plugin_type else { return work(AddResult::default()) };
    let addresses = add(call, plugin_type)?;
    let outcome = if addresses.ips.is_empty() {
        let msg = format!("address plugin {plugin_type} gave no address");
        Err(CniError::new(codes::INTERNAL, msg))
    } else {
        work(addresses)
    };
    outcome.map_err(|mut error| {
        if let Err(second) = del(call, Some(plugin_type)) {
            error.details.push_str(&format!("; giving the addresses back failed too: {second}"));
        }
        error
    })
}

fn add(call: &Call, plugin_type: &str) -> Result<AddResult, CniError> {
    match find(call, plugin_type)? {
        Delegate::Own(plugin) => (plugin.add)(call),
        Delegate::Other(program) => program
            .call_for_result(Command::Add, &environment(call), &configuration(call), TIME_LIMIT)
            .map_err(|error| failed(plugin_type, error)),
    }
}

/// Gives addresses back.
pub(crate) fn del(call: &Call, plugin_type: Option<&str>) -> Result<(), CniError> {
    other(call, plugin_type, Command::Del, |plugin| plugin.del)
}

/// Asks whether the addresses are still the container's.
pub(crate) fn check(call: &Call, plugin_type: Option<&str>) -> Result<(), CniError> {
    other(call, plugin_type, Command::Check, |plugin| plugin.check)
}

/// Has addresses of containers that are gone collected.
pub(crate) fn gc(call: &Call, plugin_type: Option<&str>) -> Result<(), CniError> {
    other(call, plugin_type, Command::Gc, |plugin| plugin.gc)
}

/// Asks whether addresses can be had.
pub(crate) fn status(call: &Call, plugin_type: Option<&str>) -> Result<(), CniError> {
    other(call, plugin_type, Command::Status, |plugin| plugin.status)
}

/// What a plugin does for a verb that has no result.
type Verb = fn(&Call) -> Result<(), CniError>;

fn other(
    call: &Call,
    plugin_type: Option<&str>,
    command: Command,
    verb: fn(&Plugin) -> Verb,
) -> Result<(), CniError> {
    let Some(plugin_type) = plugin_type else { return Ok(()) };
    match find(call, plugin_type)? {
        Delegate::Own(plugin) => verb(plugin)(call),
        Delegate::Other(program) => program
            .call(command, &environment(call), &configuration(call), TIME_LIMIT)
            .map(|_nothing| ())
            .map_err(|error| failed(plugin_type, error)),
    }
}

enum Delegate {
    /// The plugin is this very binary: no need to start it again.
    Own(&'static Plugin),
    Other(Program),
}

fn find(call: &Call, plugin_type: &str) -> Result<Delegate, CniError> {
    let folders: Vec<PathBuf> = call.path.split(':').map(PathBuf::from).collect();
    let program =
        Program::find(plugin_type, &folders).map_err(|error| failed(plugin_type, error))?;
    let own = PLUGINS.iter().find(|plugin| plugin.name == plugin_type);
    Ok(match own.filter(|_| is_this_binary(program.path())) {
        Some(plugin) => Delegate::Own(plugin),
        None => Delegate::Other(program),
    })
}

fn is_this_binary(path: &Path) -> bool {
    let identity =
        |path: &Path| std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let own = identity(Path::new("/proc/self/exe"));
    own.is_some() && identity(path) == own
}

fn environment(call: &Call) -> Environment {
    Environment {
        container_id: call.container_id.clone(),
        netns: call.netns.to_string_lossy().into_owned(),
        ifname: call.ifname.clone(),
        args: call.args.clone(),
        path: call.path.clone(),
    }
}

/// An address plugin is given the whole configuration (specification, "Delegated plugins").
fn configuration(call: &Call) -> Value {
    Value::Object(call.conf.clone())
}

/// The delegate's own error is passed on as it is.
fn failed(plugin_type: &str, error: InvokeError) -> CniError {
    if let InvokeError::Plugin { source, .. } = error {
        return source;
    }
    let msg = format!("address plugin {plugin_type} cannot be used");
    CniError::caused(codes::INTERNAL, msg, &error)
}
