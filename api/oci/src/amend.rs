//! What the specification allows and the types that it is read into do not know.
//!
//! Only looked at when a document could not be read, so that all others cost nothing.

use oci_spec::runtime::Capability;
use serde_json::Value;

/// Makes a document readable, if it holds any of this; tells whether it did. `process` is where the
/// process is in it, as a JSON pointer.
pub(crate) fn amend(document: &mut Value, process: &str) -> bool {
    let Some(process) = document.pointer_mut(process) else { return false };
    let flags = rename_flags(process);
    let capabilities = drop_unknown_capabilities(process);
    flags || capabilities
}

/// The specification's names of scheduler flags (config.md, "Scheduler") and those that are known.
const FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

fn rename_flags(process: &mut Value) -> bool {
    let flags = process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut);
    let mut changed = false;
    for flag in flags.into_iter().flatten() {
        if let Some((_, known)) = FLAGS.iter().find(|(name, _)| flag == name) {
            *flag = Value::from(*known);
            changed = true;
        }
    }
    changed
}

/// A capability that cannot be mapped to one of the kernel's is to be warned of, not refused
/// (config.md, "Linux Process").
fn drop_unknown_capabilities(process: &mut Value) -> bool {
    let sets = process.get_mut("capabilities").and_then(Value::as_object_mut);
    let mut changed = false;
    for (name, set) in sets.into_iter().flatten() {
        let Some(set) = set.as_array_mut() else { continue };
        set.retain(|given| {
            let unknown =
                given.is_string() && serde_json::from_value::<Capability>(given.clone()).is_err();
            if unknown {
                tracing::warn!("process.capabilities.{name}: {given} is unknown and is left out");
                changed = true;
            }
            !unknown
        });
    }
    changed
}
