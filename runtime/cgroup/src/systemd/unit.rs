//! Units: made with a first process, limited, stopped.

use rustix::process::Pid;

use super::bus::{Bus, BusError};
use super::message::{Message, Value, Writer};
use super::properties;
use crate::{CgroupPath, Error, Hierarchies, Mode, Resources, Version};

const SERVICE: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// Where what names no slice goes, as with runc.
const SLICE_DEFAULT: &str = "system.slice";
const PREFIX_DEFAULT: &str = "corten";
/// systemd's bound on the names of units.
const NAME_BYTES_MAX: usize = 255;

/// A transient unit: a scope, or a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    name: String,
    /// The slice that it is in.
    slice: String,
}

impl Unit {
    /// From `slice:prefix:name`, the form that engines give `linux.cgroupsPath` for systemd: the
    /// scope `prefix-name.scope` in that slice; or, if the name is a slice's, that slice. Empty
    /// text is a scope named after the container.
    ///
    /// # Errors
    /// Another form, and what is no unit's name.
    pub fn parse(text: &str, container: &str) -> Result<Self, Error> {
        let invalid = |reason| Error::InvalidPath { path: text.to_owned(), reason };
        let (slice, prefix, name) = if text.is_empty() {
            (SLICE_DEFAULT, PREFIX_DEFAULT, container)
        } else {
            let mut parts = text.split(':');
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(slice), Some(prefix), Some(name), None) => (slice, prefix, name),
                _other => return Err(invalid("is not slice:prefix:name, which systemd needs")),
            }
        };
        let slice = if slice.is_empty() { SLICE_DEFAULT } else { slice };
        let name = if name.ends_with(".slice") {
            name.to_owned()
        } else if prefix.is_empty() {
            format!("{name}.scope")
        } else {
            format!("{prefix}-{name}.scope")
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":_.\\-@".contains(c);
        for part in [slice, &name] {
            if part.len() > NAME_BYTES_MAX || part.starts_with('.') || !part.chars().all(allowed) {
                return Err(invalid("is not made of names that a unit can have"));
            }
        }
        let unit = Self { name, slice: slice.to_owned() };
        unit.cgroup_path()?;
        Ok(unit)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// From its name alone, as a state file keeps it; for what needs no more than the name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), slice: String::new() }
    }

    /// Where systemd puts its cgroup: `a-b.slice` is in `/a.slice/a-b.slice` (systemd.slice(5)).
    ///
    /// # Errors
    /// A slice's name that has no such place.
    pub fn cgroup_path(&self) -> Result<CgroupPath, Error> {
        let invalid = |reason| Error::InvalidPath { path: self.slice.clone(), reason };
        let stem =
            self.slice.strip_suffix(".slice").ok_or_else(|| invalid("does not end in .slice"))?;
        let mut path = CgroupPath::new("/")?;
        if stem != "-" {
            let mut so_far = String::new();
            for part in stem.split('-') {
                if part.is_empty() {
                    return Err(invalid("has an empty part between dashes"));
                }
                so_far.push_str(part);
                path = path.join(&format!("{so_far}.slice"))?;
                so_far.push('-');
            }
        }
        path.join(&self.name)
    }

    fn is_slice(&self) -> bool {
        self.name.ends_with(".slice")
    }
}

/// A connection to systemd.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
}

impl Systemd {
    /// Connects.
    ///
    /// # Errors
    /// Where systemd does not run, or this user may not talk to it.
    pub fn connect() -> Result<Self, Error> {
        Self::over(Bus::connect()?)
    }

    fn over(mut bus: Bus) -> Result<Self, Error> {
        // Without it, systemd tells nobody of jobs.
        bus.call(Message::call(SERVICE, PATH, MANAGER, "Subscribe", Writer::default()))?;
        Ok(Self { bus })
    }

    /// Makes a unit that holds a process, with its limits, and waits until it is there. The cgroup
    /// below it is ours (`Delegate`): systemd keeps its hands off what is in it.
    ///
    /// # Errors
    /// What systemd says.
    pub fn start(
        &mut self,
        unit: &Unit,
        description: &str,
        first: Pid,
        hierarchies: &Hierarchies,
        wanted: &Resources,
    ) -> Result<(), Error> {
        let pid = u32::try_from(first.as_raw_nonzero().get()).unwrap_or(0);
        let body = Writer::default()
            .text(&unit.name)
            .text("replace")
            .properties(&start_properties(unit, description, pid, wanted, version(hierarchies)))
            .nothing("a(sa(sv))");
        let call = Message::call(SERVICE, PATH, MANAGER, "StartTransientUnit", body);
        match self.bus.call(call.clone()) {
            // What a container of the same name left behind when it failed.
            Err(BusError::Refused { name, .. }) if name.ends_with(".UnitExists") => {
                self.reset(unit)?;
                let made = self.bus.call(call)?;
                self.wait_for_job(&made, unit)
            }
            other => self.wait_for_job(&other?, unit),
        }
    }

    /// Changes the limits of a unit that is there.
    ///
    /// # Errors
    /// What systemd says.
    pub fn set(
        &mut self,
        unit: &Unit,
        hierarchies: &Hierarchies,
        wanted: &Resources,
    ) -> Result<(), Error> {
        let properties = properties::of(wanted, version(hierarchies));
        if properties.is_empty() {
            return Ok(());
        }
        // For as long as the unit lives: it is transient itself.
        let body = Writer::default().text(&unit.name).flag(true).properties(&properties);
        self.bus.call(Message::call(SERVICE, PATH, MANAGER, "SetUnitProperties", body))?;
        Ok(())
    }

    /// Stops a unit and forgets it; one that is gone is fine.
    ///
    /// # Errors
    /// What systemd says.
    pub fn stop(&mut self, unit: &Unit) -> Result<(), Error> {
        let body = Writer::default().text(&unit.name).text("replace");
        match self.bus.call(Message::call(SERVICE, PATH, MANAGER, "StopUnit", body)) {
            Ok(made) => self.wait_for_job(&made, unit)?,
            Err(BusError::Refused { name, .. }) if name.ends_with(".NoSuchUnit") => return Ok(()),
            Err(other) => return Err(other.into()),
        }
        self.reset(unit)
    }

    /// Forgets that a unit has failed.
    fn reset(&mut self, unit: &Unit) -> Result<(), Error> {
        let body = Writer::default().text(&unit.name);
        match self.bus.call(Message::call(SERVICE, PATH, MANAGER, "ResetFailedUnit", body)) {
            // It is unloaded, or has not failed.
            Ok(_) | Err(BusError::Refused { .. }) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// Waits for the end of the job that a call made: `JobRemoved(id, job, unit, result)`.
    fn wait_for_job(&mut self, made: &Message, unit: &Unit) -> Result<(), Error> {
        let Some(job) = made.texts().pop_front() else {
            return Err(BusError::Garbage { call: made.member.clone() }.into());
        };
        loop {
            let signal = self.bus.signal("JobRemoved")?;
            let mut texts = signal.texts();
            if signal.member != "JobRemoved" || texts.pop_front().as_ref() != Some(&job) {
                continue;
            }
            return match texts.pop_back().as_deref() {
                Some("done" | "skipped") => Ok(()),
                result => Err(BusError::Job {
                    unit: unit.name.clone(),
                    result: result.unwrap_or_default().to_owned(),
                }
                .into()),
            };
        }
    }
}

/// systemd's properties are those of the version that it runs the machine with.
fn version(hierarchies: &Hierarchies) -> Version {
    if hierarchies.mode() == Mode::Unified { Version::V2 } else { Version::V1 }
}

fn start_properties(
    unit: &Unit,
    description: &str,
    pid: u32,
    wanted: &Resources,
    version: Version,
) -> Vec<(&'static str, Value)> {
    let mut made = vec![
        ("Description", Value::Text(description.to_owned())),
        // Without it, a scope would wait for sockets and mounts of the machine, and be stopped
        // before containers have been told at its end.
        ("DefaultDependencies", Value::Flag(false)),
        ("CPUAccounting", Value::Flag(true)),
        ("MemoryAccounting", Value::Flag(true)),
        ("TasksAccounting", Value::Flag(true)),
        ("IOAccounting", Value::Flag(true)),
    ];
    if unit.is_slice() {
        made.push(("Wants", Value::Text(unit.slice.clone())));
    } else {
        made.push(("Slice", Value::Text(unit.slice.clone())));
        made.push(("Delegate", Value::Flag(true)));
        made.push(("PIDs", Value::Numbers(vec![pid])));
    }
    made.extend(properties::of(wanted, version));
    made
}

#[cfg(test)]
mod tests;
