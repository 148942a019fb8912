//! `hugetlb`: huge pages of each size.

use super::set;
use crate::resources::Missing;
use crate::{Cgroup, Error, HugepageStats, Resources, Version};

pub(crate) const NAME: &str = "hugetlb";

pub(crate) fn apply(
    group: &Cgroup,
    wanted: &Resources,
    missing: &mut Missing,
) -> Result<(), Error> {
    let version = group.hierarchies().version_of(NAME).unwrap_or(Version::V2);
    for limit in &wanted.hugepages {
        let size = &limit.page_size;
        let field = format!("hugepages.{size}");
        // It becomes part of a file's name.
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::InvalidValue {
                field,
                value: size.clone(),
                reason: "is not a page size such as 2MB",
            });
        }
        match version {
            Version::V1 => {
                let file = format!("hugetlb.{size}.limit_in_bytes");
                set(group, missing, NAME, &field, &file, &limit.max.v1())?;
            }
            Version::V2 => {
                let file = format!("hugetlb.{size}.max");
                set(group, missing, NAME, &field, &file, &limit.max.v2())?;
            }
        }
    }
    Ok(())
}

pub(crate) fn stats(group: &Cgroup) -> Result<Vec<HugepageStats>, Error> {
    let Some(files) = group.controller(NAME) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for page_size in page_sizes() {
        let (usage, limit) = match files.version() {
            Version::V1 => ("usage_in_bytes", "limit_in_bytes"),
            Version::V2 => ("current", "max"),
        };
        let Some(usage) = files.read_number(&format!("hugetlb.{page_size}.{usage}"))? else {
            continue;
        };
        let limit = files.read_limit(&format!("hugetlb.{page_size}.{limit}"))?;
        all.push(HugepageStats { page_size, usage, limit });
    }
    Ok(all)
}

/// The sizes this machine has, as the controller spells them.
fn page_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let mut sizes: Vec<u64> = entries
        .flatten()
        .filter_map(|entry| {
            entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
        })
        .collect();
    sizes.sort_unstable();
    sizes.into_iter().map(page_size_name).collect()
}

fn page_size_name(kib: u64) -> String {
    match kib {
        kib if kib >= 1 << 20 => format!("{}GB", kib >> 20),
        kib if kib >= 1 << 10 => format!("{}MB", kib >> 10),
        kib => format!("{kib}KB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_spelt_as_the_kernel_does() {
        for (kib, name) in [(64, "64KB"), (2048, "2MB"), (32_768, "32MB"), (1_048_576, "1GB")] {
            assert_eq!(page_size_name(kib), name);
        }
    }
}
