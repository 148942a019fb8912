//! `linux.intelRdt`: a class of service of the processor's caches and memory bandwidth.

use oci_spec::runtime::Linux;

use crate::{ContainerId, PlanError};

/// What is asked of resctrl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rdt {
    /// The class: a folder below resctrl's root.
    pub(crate) class: String,
    /// The class is given by name, so it is not the container's to remove.
    pub(crate) named: bool,
    /// Lines for its `schemata`; without any, the class must be there.
    pub(crate) schemata: Vec<String>,
    /// A monitoring group for the container alone.
    pub(crate) monitoring: Option<String>,
}

pub(super) fn plan(id: &ContainerId, linux: &Linux) -> Result<Option<Rdt>, PlanError> {
    const FIELD: &str = "linux.intelRdt";
    let Some(given) = linux.intel_rdt() else { return Ok(None) };
    let plain = [given.l3_cache_schema(), given.mem_bw_schema()];
    let lines = plain.into_iter().flatten().chain(given.schemata().iter().flatten());
    let mut schemata = Vec::new();
    // Each of the fields may hold several lines, as the file itself does.
    for line in lines.flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty()) {
        if !line.contains(':') {
            let reason = format!("{line:?} is not RESOURCE:DOMAIN=VALUE;...");
            return Err(PlanError::invalid(format!("{FIELD}.schemata"), reason));
        }
        schemata.push(line.to_owned());
    }
    let monitoring = [given.enable_monitoring(), given.enable_cmt(), given.enable_mbm()]
        .into_iter()
        .any(|wanted| *wanted == Some(true));
    let class = given.clos_id().as_ref().filter(|class| !class.is_empty());
    if class.is_none() && schemata.is_empty() && !monitoring {
        return Ok(None);
    }
    if let Some(class) = class {
        // What resctrl itself has at its root.
        let reserved = ["info", "mon_groups", "mon_data", ".", ".."];
        if class.contains(['/', '\0']) || reserved.contains(&class.as_str()) {
            let reason = format!("{class:?} is no name of a class");
            return Err(PlanError::invalid(format!("{FIELD}.closID"), reason));
        }
    }
    Ok(Some(Rdt {
        class: class.map_or_else(|| id.to_string(), Clone::clone),
        named: class.is_some(),
        schemata,
        monitoring: monitoring.then(|| id.to_string()),
    }))
}
