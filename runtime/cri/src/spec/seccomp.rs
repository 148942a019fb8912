//! `linux.seccomp`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use corten_api_cri::v1::LinuxContainerSecurityContext;
use corten_api_cri::v1::security_profile::ProfileType;
use corten_runtime_seccomp::{NATIVE, runtime_default};
use oci_spec::runtime::{Capabilities, LinuxSeccomp};
use serde::Deserialize as _;
use serde_json::Value;

use crate::error::{OperationError, Outcome};

const FIELD: &str = "config.linux.security_context.seccomp";
/// Docker's default profile has 15 KiB.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// What a request says of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Unconfined,
    RuntimeDefault,
    /// The profile in this file of the node.
    Localhost(&'a str),
}

/// Understands `seccomp`, or what older kubelets say in its place. A privileged container has no
/// filter, whatever is asked, as the interface says.
pub(crate) fn asked(security: &LinuxContainerSecurityContext) -> Outcome<Asked<'_>> {
    if security.privileged {
        return Ok(Asked::Unconfined);
    }
    let Some(profile) = &security.seccomp else { return asked_by_path(security) };
    match profile.profile_type() {
        ProfileType::Unconfined => Ok(Asked::Unconfined),
        ProfileType::RuntimeDefault => Ok(Asked::RuntimeDefault),
        ProfileType::Localhost => {
            localhost(&profile.localhost_ref, &format!("{FIELD}.localhost_ref"))
        }
    }
}

#[expect(deprecated, reason = "older kubelets still say it here")]
fn asked_by_path(security: &LinuxContainerSecurityContext) -> Outcome<Asked<'_>> {
    let field = "config.linux.security_context.seccomp_profile_path";
    match security.seccomp_profile_path.as_str() {
        "" | "unconfined" => Ok(Asked::Unconfined),
        "runtime/default" | "docker/default" => Ok(Asked::RuntimeDefault),
        other => match other.strip_prefix("localhost/") {
            Some(path) => localhost(path, field),
            None => {
                let reason =
                    format!("{other:?} is none of unconfined, runtime/default, localhost/");
                Err(OperationError::invalid(field, reason))
            }
        },
    }
}

fn localhost<'a>(path: &'a str, field: &str) -> Outcome<Asked<'a>> {
    if Path::new(path).is_absolute() {
        return Ok(Asked::Localhost(path));
    }
    Err(OperationError::invalid(field, format!("{path:?} is no absolute path of a profile")))
}

/// Reads the profile of a `Localhost` request; blocks.
pub(crate) fn read(security: &LinuxContainerSecurityContext) -> Outcome<Option<LinuxSeccomp>> {
    let Asked::Localhost(path) = asked(security)? else { return Ok(None) };
    let failed = |source| OperationError::File {
        doing: "read the seccomp profile",
        path: path.into(),
        source,
    };
    let mut text = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(PROFILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > PROFILE_BYTES_MAX {
        let reason = format!("{path}: a profile has at most {PROFILE_BYTES_MAX} bytes");
        return Err(OperationError::invalid(FIELD, reason));
    }
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        OperationError::invalid(FIELD, format!("{path} is no OCI seccomp profile: {error}"))
    })
}

/// The filter of a container with these capabilities; `local` is what [`read`] has returned.
pub(super) fn build(
    security: &LinuxContainerSecurityContext,
    capabilities: &Value,
    local: Option<&LinuxSeccomp>,
) -> Outcome<Option<LinuxSeccomp>> {
    Ok(match asked(security)? {
        Asked::Unconfined => None,
        Asked::Localhost(_) => local.cloned(),
        Asked::RuntimeDefault => {
            let bounding = Capabilities::deserialize(&capabilities["bounding"]);
            Some(runtime_default(&bounding.unwrap_or_default(), NATIVE))
        }
    })
}
