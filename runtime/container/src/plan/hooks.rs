//! `hooks`: programs of the host, or of the container, that run at points of its life.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use corten_sys_linux::exec::Image;

use super::{c_string, environment};
use crate::PlanError;

/// One program.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    /// Where in the specification, for errors.
    pub(crate) field: String,
    pub(crate) path: CString,
    pub(crate) image: Image,
    pub(crate) timeout: Option<Duration>,
}

/// All lists, each in the order of the specification.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) prestart: Vec<Hook>,
    pub(crate) create_runtime: Vec<Hook>,
    pub(crate) create_container: Vec<Hook>,
    pub(crate) start_container: Vec<Hook>,
    pub(crate) poststart: Vec<Hook>,
    pub(crate) poststop: Vec<Hook>,
}

impl Hooks {
    pub(crate) fn new(given: Option<&oci_spec::runtime::Hooks>) -> Result<Self, PlanError> {
        let Some(given) = given else { return Ok(Self::default()) };
        let prestart = given.prestart();
        Ok(Self {
            prestart: list(prestart.as_deref(), "hooks.prestart")?,
            create_runtime: list(given.create_runtime().as_deref(), "hooks.createRuntime")?,
            create_container: list(given.create_container().as_deref(), "hooks.createContainer")?,
            start_container: list(given.start_container().as_deref(), "hooks.startContainer")?,
            poststart: list(given.poststart().as_deref(), "hooks.poststart")?,
            poststop: list(given.poststop().as_deref(), "hooks.poststop")?,
        })
    }

    /// Whether the child has to stop for hooks before it changes its root.
    pub(crate) fn while_created(&self) -> bool {
        [&self.prestart, &self.create_runtime, &self.create_container]
            .iter()
            .any(|list| !list.is_empty())
    }
}

/// What is kept for the calls after `create`.
pub(super) fn later(given: Option<&oci_spec::runtime::Hooks>) -> Option<Vec<u8>> {
    let given = given?;
    let empty = |list: &Option<Vec<_>>| list.as_ref().is_none_or(Vec::is_empty);
    if empty(given.poststart()) && empty(given.poststop()) {
        return None;
    }
    let mut kept = oci_spec::runtime::Hooks::default();
    kept.set_poststart(given.poststart().clone()).set_poststop(given.poststop().clone());
    serde_json::to_vec(&kept).ok()
}

fn list(given: Option<&[oci_spec::runtime::Hook]>, field: &str) -> Result<Vec<Hook>, PlanError> {
    given
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(index, hook)| one(hook, format!("{field}[{index}]")))
        .collect()
}

fn one(given: &oci_spec::runtime::Hook, field: String) -> Result<Hook, PlanError> {
    if !given.path().is_absolute() {
        return Err(PlanError::invalid(format!("{field}.path"), "must be an absolute path"));
    }
    let path = c_string(&format!("{field}.path"), given.path().as_os_str().as_bytes())?;
    let args = match given.args().as_deref().unwrap_or_default() {
        [] => vec![path.clone()],
        args => args
            .iter()
            .map(|text| c_string(&format!("{field}.args"), text.as_bytes()))
            .collect::<Result<_, _>>()?,
    };
    // Exactly these: nothing of the runtime's own environment, which is not the hook's business.
    let env = environment(given.env().as_deref().unwrap_or_default(), &field)?;
    let timeout = match given.timeout() {
        None => None,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds @ 1..) => Some(Duration::from_secs(seconds)),
            _other => {
                return Err(PlanError::invalid(
                    format!("{field}.timeout"),
                    format!("{seconds} is not above zero"),
                ));
            }
        },
    };
    Ok(Hook { field, path, image: Image::new(args, env), timeout })
}
