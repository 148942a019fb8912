//! Capability sets of the calling thread, as bit masks (`1 << CAP_*`).

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capability_is_in_bounding_set, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
};

/// The highest capability number of any kernel: the sets are 64 bits wide.
const LIMIT: u32 = 64;

/// The five sets of `capabilities(7)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sets {
    /// What a program can gain by exec at most.
    pub bounding: u64,
    /// What counts.
    pub effective: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What survives exec of a program that has it marked inheritable.
    pub inheritable: u64,
    /// What survives exec of any program.
    pub ambient: u64,
}

fn each(mask: u64) -> impl Iterator<Item = CapabilitySet> {
    (0..LIMIT)
        .map(|number| 1_u64 << number)
        .filter(move |bit| mask & bit != 0)
        .map(CapabilitySet::from_bits_retain)
}

/// Takes everything outside `keep` from the bounding set; done while still privileged. Does not
/// allocate.
///
/// # Errors
/// `EPERM` without `CAP_SETPCAP`.
pub fn limit_bounding(keep: u64) -> rustix::io::Result<()> {
    for capability in each(!keep) {
        match capability_is_in_bounding_set(capability) {
            Ok(true) => remove_capability_from_bounding_set(capability)?,
            Ok(false) => (),
            // The numbers have no holes: this kernel knows none from here on.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Sets effective, permitted, inheritable and ambient. The bounding set is
/// [`limit_bounding`]'s. Does not allocate.
///
/// # Errors
/// `EPERM` for what the thread does not have; nothing is ever gained by this.
pub fn apply(sets: &Sets) -> rustix::io::Result<()> {
    set_capabilities(
        None,
        CapabilitySets {
            effective: CapabilitySet::from_bits_retain(sets.effective),
            permitted: CapabilitySet::from_bits_retain(sets.permitted),
            inheritable: CapabilitySet::from_bits_retain(sets.inheritable),
        },
    )?;
    clear_ambient_capability_set()?;
    for capability in each(sets.ambient) {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// The capabilities that the calling thread's bounding set holds.
#[must_use]
pub fn bounding() -> u64 {
    (0..LIMIT)
        .map(|number| 1_u64 << number)
        .take_while(|bit| {
            capability_is_in_bounding_set(CapabilitySet::from_bits_retain(*bit)).is_ok()
        })
        .filter(|bit| {
            capability_is_in_bounding_set(CapabilitySet::from_bits_retain(*bit)) == Ok(true)
        })
        .sum()
}

/// The capabilities that the calling thread has effective.
///
/// # Errors
/// None to be expected.
pub fn effective() -> rustix::io::Result<u64> {
    rustix::thread::capabilities(None).map(|sets| sets.effective.bits())
}
