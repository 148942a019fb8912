//! fstab-style options, sorted into mount attributes, propagation and what is the file system's own.

use corten_sys_linux::mount::{self, Attributes, FsOption};

use super::c_string;
use crate::PlanError;

/// fstab-style options, sorted.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) bind: bool,
    pub(super) recursive: bool,
    pub(super) attributes: Attributes,
    pub(super) recursive_attributes: Attributes,
    /// `tmpcopyup`
    pub(super) copy_up: bool,
    /// `idmap`; `Some(true)` is `ridmap`.
    pub(super) idmap: Option<bool>,
    pub(super) data: Vec<FsOption>,
}

/// Option, bits it sets, bits it clears (runtime-spec, config.md, "Linux mount options"); with an
/// `r` before it an option holds for everything below as well.
const ATTRIBUTES: [(&str, u64, u64); 16] = [
    ("ro", mount::RDONLY, 0),
    ("rw", 0, mount::RDONLY),
    ("nosuid", mount::NOSUID, 0),
    ("suid", 0, mount::NOSUID),
    ("nodev", mount::NODEV, 0),
    ("dev", 0, mount::NODEV),
    ("noexec", mount::NOEXEC, 0),
    ("exec", 0, mount::NOEXEC),
    ("nodiratime", mount::NODIRATIME, 0),
    ("diratime", 0, mount::NODIRATIME),
    ("nosymfollow", mount::NOSYMFOLLOW, 0),
    ("symfollow", 0, mount::NOSYMFOLLOW),
    ("noatime", mount::NOATIME, mount::ATIME_MASK),
    ("strictatime", mount::STRICTATIME, mount::ATIME_MASK),
    ("relatime", 0, mount::ATIME_MASK),
    ("atime", 0, mount::ATIME_MASK),
];

/// What a new mount is without being told; and words that only mount(8) reads.
const IGNORED: [&str; 14] = [
    "defaults",
    "async",
    "noiversion",
    "nolazytime",
    "loud",
    "silent",
    "nomand",
    "norelatime",
    "nostrictatime",
    "rnorelatime",
    "rnostrictatime",
    "auto",
    "noauto",
    "nouser",
];

/// Flags of a file system itself, which goes by them without a value.
const FLAGS: [&str; 5] = ["dirsync", "iversion", "lazytime", "mand", "sync"];

/// Every option that is not a file system's own, as `features` tells them.
pub(crate) fn all() -> Vec<String> {
    let attributes = ATTRIBUTES.iter().map(|one| one.0).chain(PROPAGATION.iter().map(|one| one.0));
    let mut all: Vec<String> =
        attributes.flat_map(|name| [name.to_owned(), format!("r{name}")]).collect();
    let others = ["bind", "rbind", "idmap", "ridmap", "tmpcopyup"];
    all.extend(others.iter().chain(&IGNORED).chain(&FLAGS).map(|name| (*name).to_owned()));
    all.sort();
    all
}

const PROPAGATION: [(&str, u64); 4] = [
    ("private", mount::PRIVATE),
    ("slave", mount::SLAVE),
    ("shared", mount::SHARED),
    ("unbindable", mount::UNBINDABLE),
];

impl Options {
    pub(super) fn add(&mut self, option: &str, field: &str) -> Result<(), PlanError> {
        let recursive = option.strip_prefix('r');
        if let Some((_, set, clear)) = find(&ATTRIBUTES, option, |one| one.0) {
            self.attributes.merge(*set, *clear);
        } else if let Some((_, bits)) = find(&PROPAGATION, option, |one| one.0) {
            self.attributes.propagation = *bits;
        } else if let Some((_, set, clear)) =
            recursive.and_then(|plain| find(&ATTRIBUTES, plain, |one| one.0))
        {
            self.recursive_attributes.merge(*set, *clear);
        } else if let Some((_, bits)) =
            recursive.and_then(|plain| find(&PROPAGATION, plain, |one| one.0))
        {
            self.recursive_attributes.propagation = *bits;
        } else {
            self.add_other(option, field)?;
        }
        Ok(())
    }

    fn add_other(&mut self, option: &str, field: &str) -> Result<(), PlanError> {
        match option {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.idmap = Some(false),
            "ridmap" => self.idmap = Some(true),
            "" => (),
            ignored if IGNORED.contains(&ignored) => (),
            "remount" | "copy-symlink" => {
                return Err(PlanError::unsupported(
                    field,
                    format!(
                        "{option:?} changes what is there already, and every mount is new here"
                    ),
                ));
            }
            data => {
                let (key, value) = match data.split_once('=') {
                    Some((key, value)) => (key, Some(c_string(field, value.as_bytes())?)),
                    None => (data, None),
                };
                self.data.push((c_string(field, key.as_bytes())?, value));
            }
        }
        Ok(())
    }
}

fn find<'a, T>(table: &'a [T], name: &str, key: impl Fn(&T) -> &str) -> Option<&'a T> {
    table.iter().find(|one| key(one) == name)
}

trait Merge {
    fn merge(&mut self, set: u64, clear: u64);
}

impl Merge for Attributes {
    /// A later option wins over an earlier one.
    fn merge(&mut self, set: u64, clear: u64) {
        let atime = (clear & mount::ATIME_MASK) != 0;
        if atime {
            self.set &= !mount::ATIME_MASK;
        }
        self.set = (self.set & !clear) | set;
        self.clear = (self.clear & !set) | clear;
        if atime {
            // One field of several bits: it has to be cleared whole before it is set.
            self.clear |= mount::ATIME_MASK;
        }
    }
}
