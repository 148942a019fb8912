//! What `features` says of seccomp.

use oci_spec::runtime::{LinuxSeccompAction as Action, Seccomp, SeccompBuilder};

use crate::abi;

const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

/// Flags, and the kernel that brought each.
const FLAGS: [(&str, (u32, u32)); 4] = [
    ("SECCOMP_FILTER_FLAG_TSYNC", (3, 17)),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", (4, 17)),
    ("SECCOMP_FILTER_FLAG_LOG", (4, 14)),
    ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", (5, 19)),
];

/// The block `linux.seccomp` of the features document (runtime-spec, features-linux.md), for a
/// kernel of this version (major, minor).
#[must_use]
pub fn features(kernel: (u32, u32)) -> Seccomp {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let known = FLAGS.map(|(flag, _)| flag);
    let supported: Vec<&str> =
        FLAGS.iter().filter(|(_, since)| *since <= kernel).map(|(flag, _)| *flag).collect();
    let block = SeccompBuilder::default()
        .enabled(true)
        .actions(vec![
            Action::ScmpActAllow,
            Action::ScmpActErrno,
            Action::ScmpActKill,
            Action::ScmpActKillProcess,
            Action::ScmpActKillThread,
            Action::ScmpActLog,
            Action::ScmpActNotify,
            Action::ScmpActTrace,
            Action::ScmpActTrap,
        ])
        .operators(texts(&OPERATORS))
        .archs(abi::ALL.to_vec())
        .known_flags(texts(&known))
        .supported_flags(texts(&supported))
        .build();
    // The builder knows no field that must be set.
    block.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_lacks_a_flag() {
        let flags = |kernel| features(kernel).supported_flags().clone().unwrap();
        assert_eq!(flags((6, 1)).len(), 4);
        assert!(!flags((5, 15)).iter().any(|flag| flag.contains("KILLABLE")));
        assert_eq!(features((5, 15)).known_flags().clone().unwrap().len(), 4);
        assert_eq!(features((6, 1)).enabled(), &Some(true));
    }
}
