//! `net_cls` and `net_prio`: marks on network packets. v1 only: on v2 that is nftables' and BPF's.

use super::set;
use crate::resources::Missing;
use crate::{Cgroup, Error, Resources, Version};

const CLASS: &str = "net_cls";
const PRIORITY: &str = "net_prio";
const V2: &str = "cgroup v2 has no such controller";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    let network = &wanted.network;
    let on_v1 = |name| group.hierarchies().version_of(name) == Some(Version::V1);
    if let Some(class) = network.class_id {
        if on_v1(CLASS) {
            set(group, missing, CLASS, "network.classId", "net_cls.classid", &class.to_string())?;
        } else {
            missing.report(CLASS, "network.classId", V2)?;
        }
    }
    for (interface, priority) in &network.priorities {
        let field = format!("network.priorities.{interface}");
        // One line each: a space or newline would make it another.
        if interface.is_empty() || interface.len() > 15 || interface.contains(char::is_whitespace) {
            return Err(Error::InvalidValue {
                field,
                value: interface.clone(),
                reason: "is not the name of a network interface",
            });
        }
        if on_v1(PRIORITY) {
            let line = format!("{interface} {priority}");
            set(group, missing, PRIORITY, &field, "net_prio.ifpriomap", &line)?;
        } else {
            missing.report(PRIORITY, &field, V2)?;
        }
    }
    Ok(())
}
