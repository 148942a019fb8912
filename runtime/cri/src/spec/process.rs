//! `process`.

use corten_api_cri::v1::{LinuxContainerResources, LinuxContainerSecurityContext};
use serde_json::{Value, json};

use super::{SpecInput, capabilities};
use crate::error::{OperationError, Outcome};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn build(
    input: &SpecInput<'_>,
    security: &LinuxContainerSecurityContext,
    resources: &LinuxContainerResources,
) -> Outcome<Value> {
    let config = input.container;
    let mut user = json!({ "uid": input.user.uid, "gid": input.user.gid });
    if !input.user.additional_gids.is_empty() {
        user["additionalGids"] = json!(input.user.additional_gids);
    }
    let adjust = resources.oom_score_adj.max(input.host.oom_score_adj_min);
    Ok(json!({
        "terminal": config.tty,
        "user": user,
        "args": arguments(input)?,
        "env": environment(input),
        "cwd": working_dir(input)?,
        "capabilities": capabilities::build(input, security)?,
        "noNewPrivileges": security.no_new_privs,
        "oomScoreAdj": adjust,
    }))
}

/// Docker's rule, which Kubernetes keeps: a command replaces the image's entrypoint and its
/// arguments; arguments alone replace the image's arguments.
fn arguments(input: &SpecInput<'_>) -> Outcome<Vec<String>> {
    let config = input.container;
    let mut words = config.command.clone();
    if words.is_empty() {
        words.clone_from(&input.image.entrypoint);
        let args = if config.args.is_empty() { &input.image.cmd } else { &config.args };
        words.extend(args.iter().cloned());
    } else {
        words.extend(config.args.iter().cloned());
    }
    if words.is_empty() {
        return Err(OperationError::invalid(
            "config.command",
            "there is no command: neither the request nor the image names one",
        ));
    }
    Ok(words)
}

/// The image's, then what the runtime knows, then the request's: the last one given counts.
fn environment(input: &SpecInput<'_>) -> Vec<String> {
    let mut list: Vec<(String, String)> = Vec::new();
    let mut set =
        |name: String, value: String| match list.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => list.push((name, value)),
        };
    set("PATH".to_owned(), DEFAULT_PATH.to_owned());
    if !input.hostname.is_empty() {
        set("HOSTNAME".to_owned(), input.hostname.to_owned());
    }
    if input.container.tty {
        set("TERM".to_owned(), "xterm".to_owned());
    }
    for pair in &input.image.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(name.to_owned(), value.to_owned());
    }
    for pair in &input.container.envs {
        set(pair.key.clone(), String::from_utf8_lossy(&pair.value).into_owned());
    }
    list.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn working_dir(input: &SpecInput<'_>) -> Outcome<String> {
    let asked = &input.container.working_dir;
    let dir = if asked.is_empty() { &input.image.working_dir } else { asked };
    if dir.is_empty() {
        return Ok("/".to_owned());
    }
    if !dir.starts_with('/') {
        return Err(OperationError::invalid(
            "config.working_dir",
            format!("{dir:?} is not an absolute path"),
        ));
    }
    Ok(dir.clone())
}

/// Another process for a container: as its first, with other arguments and without a terminal.
pub(crate) fn exec_process(spec: &Value, args: &[String], terminal: bool) -> Option<Value> {
    let mut process = spec.get("process")?.clone();
    process["args"] = json!(args);
    process["terminal"] = json!(terminal);
    Some(process)
}
