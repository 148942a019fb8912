//! `linux.devices`, and the nodes and links that every container has.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use oci_spec::runtime::{Linux, LinuxDeviceType};
use rustix::fs::{FileType, Mode};

use super::c_string;
use crate::PlanError;

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) path: CString,
    /// The folder that it is made in.
    pub(crate) dir: CString,
    /// Its name there.
    pub(crate) name: CString,
    pub(crate) kind: FileType,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mode: Mode,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Path, major and minor number of the nodes of every container (runtime-spec, config-linux.md,
/// "Default Devices"; console and ptmx are no plain nodes).
pub(crate) const DEFAULT_DEVICES: [(&CStr, u32, u32); 6] = [
    (c"/dev/null", 1, 3),
    (c"/dev/zero", 1, 5),
    (c"/dev/full", 1, 7),
    (c"/dev/random", 1, 8),
    (c"/dev/urandom", 1, 9),
    (c"/dev/tty", 5, 0),
];

/// Name in `/dev` and text of the links of every container.
pub(crate) const DEV_LINKS: [(&CStr, &CStr); 5] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// The default devices, and after them the specification's own; one that is listed again is the
/// specification's.
pub(super) fn plan(linux: &Linux) -> Result<Vec<Device>, PlanError> {
    let mut devices = Vec::new();
    for (index, device) in linux.devices().iter().flatten().enumerate() {
        let field = format!("linux.devices[{index}]");
        let path = device.path();
        if !path.is_absolute() {
            return Err(PlanError::invalid(format!("{field}.path"), "must be absolute"));
        }
        let kind = match device.typ() {
            LinuxDeviceType::B => FileType::BlockDevice,
            LinuxDeviceType::C | LinuxDeviceType::U => FileType::CharacterDevice,
            LinuxDeviceType::P => FileType::Fifo,
            LinuxDeviceType::A => {
                return Err(PlanError::invalid(format!("{field}.type"), "must be b, c, u or p"));
            }
        };
        let number = |value: i64, name: &str| {
            u32::try_from(value).map_err(|_range| {
                PlanError::invalid(format!("{field}.{name}"), "is not a device number")
            })
        };
        devices.push(Device {
            path: c_string(&field, path.as_os_str().as_bytes())?,
            dir: part(path.parent().map(Path::as_os_str), &field)?,
            name: part(path.file_name(), &field)?,
            kind,
            major: number(device.major(), "major")?,
            minor: number(device.minor(), "minor")?,
            mode: Mode::from_raw_mode(device.file_mode().unwrap_or(0o666) & 0o7777),
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        });
    }
    let defaults = DEFAULT_DEVICES
        .iter()
        .filter(|(path, ..)| !devices.iter().any(|device| device.path.as_c_str() == *path))
        .map(|(path, major, minor)| Device {
            path: (*path).to_owned(),
            dir: c"/dev".to_owned(),
            name: path
                .to_bytes()
                .strip_prefix(b"/dev/")
                .map_or_else(CString::default, |name| CString::new(name).unwrap_or_default()),
            kind: FileType::CharacterDevice,
            major: *major,
            minor: *minor,
            mode: Mode::from_raw_mode(0o666),
            uid: 0,
            gid: 0,
        });
    Ok(defaults.collect::<Vec<_>>().into_iter().chain(devices).collect())
}

fn part(text: Option<&OsStr>, field: &str) -> Result<CString, PlanError> {
    match text {
        Some(text) if !text.is_empty() => c_string(field, text.as_bytes()),
        _none => Err(PlanError::invalid(format!("{field}.path"), "must name a file")),
    }
}
