//! `unified`: v2 files by name, for what has no field of its own.

use super::set;
use crate::resources::Missing;
use crate::{Cgroup, Error, Resources, Version};

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    for (file, value) in &wanted.unified {
        let field = format!("unified.{file}");
        let invalid =
            |reason| Error::InvalidValue { field: field.clone(), value: value.clone(), reason };
        let Some((controller, _)) = file.split_once('.') else {
            return Err(invalid("is not the name of a controller's file"));
        };
        if !file.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')) {
            return Err(invalid("is not the name of a controller's file"));
        }
        // Freezing, killing and moving processes are no limits.
        if controller == "cgroup"
            && !matches!(&**file, "cgroup.max.depth" | "cgroup.max.descendants")
        {
            return Err(invalid("is not a limit"));
        }
        if controller == "cgroup" {
            match group.unified() {
                Some(files) => files.write(file, value)?,
                None => missing.report(controller, &field, "there is no v2 hierarchy")?,
            }
        } else if group.hierarchies().version_of(controller) == Some(Version::V1) {
            missing.report(controller, &field, "it is bound to a cgroup v1 hierarchy")?;
        } else {
            for line in value.lines() {
                set(group, missing, controller, &field, file, line)?;
            }
        }
    }
    Ok(())
}
