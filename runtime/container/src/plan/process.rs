//! `process`: the program, and who it runs as.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;

use corten_sys_linux::caps;
use corten_sys_linux::exec::Image;
use oci_spec::runtime::{Capabilities, PosixRlimitType};
use rustix::process::{Gid, Resource, Rlimit, Uid};

use super::c_string;
use super::tuning::Tuning;
use crate::PlanError;

/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Supplementary groups the kernel takes at most (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65_536;

/// A process, laid out for the child.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) image: Image,
    /// What to try to execute, in order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) cwd: CString,
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) groups: Vec<Gid>,
    /// Not where the user namespace forbids it (user_namespaces(7), "setgroups"): there they stay.
    pub(crate) may_set_groups: bool,
    pub(crate) umask: Option<rustix::fs::Mode>,
    pub(crate) caps: caps::Sets,
    pub(crate) no_new_privs: bool,
    pub(crate) tuning: Tuning,
    /// What AppArmor is told for the program: `exec` and the profile.
    pub(crate) apparmor: Option<CString>,
    /// The label that SELinux shall give the program.
    pub(crate) selinux: Option<CString>,
    pub(crate) rlimits: Vec<(CString, Resource, Rlimit)>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) terminal: bool,
    /// Rows and columns.
    pub(crate) console_size: Option<(u16, u16)>,
    pub(crate) preserve_fds: u32,
    /// The environment has no `HOME`: it comes from the container's `/etc/passwd`.
    pub(crate) needs_home: bool,
    env: Vec<CString>,
}

impl Process {
    pub(crate) fn new(given: &oci_spec::runtime::Process, field: &str) -> Result<Self, PlanError> {
        refuse(given, field)?;
        let args = given.args().as_deref().unwrap_or_default();
        let Some(program) = args.first().filter(|program| !program.is_empty()) else {
            return Err(PlanError::invalid(format!("{field}.args"), "must name a program"));
        };
        let cwd = given.cwd();
        if !cwd.is_absolute() {
            return Err(PlanError::invalid(format!("{field}.cwd"), "must be an absolute path"));
        }
        let args = strings(args, &format!("{field}.args"))?;
        let env = environment(given.env().as_deref().unwrap_or_default(), field)?;
        let user = given.user();
        let gids = user.additional_gids().as_deref().unwrap_or_default();
        if gids.len() > GROUPS_MAX {
            return Err(PlanError::invalid(
                format!("{field}.user.additionalGids"),
                "has more than 65536 groups",
            ));
        }
        let id = |value: u32, name: &str| {
            // The kernel takes -1 for "leave as it is", which here would be root.
            if value == u32::MAX {
                Err(PlanError::invalid(format!("{field}.user.{name}"), "4294967295 is no id"))
            } else {
                Ok(value)
            }
        };
        let groups = gids
            .iter()
            .map(|gid| id(*gid, "additionalGids").map(Gid::from_raw))
            .collect::<Result<_, _>>()?;
        let (uid, gid) = (id(user.uid(), "uid")?, id(user.gid(), "gid")?);
        Ok(Self {
            candidates: candidates(program, &env, field)?,
            needs_home: !env.iter().any(|entry| entry.to_bytes().starts_with(b"HOME=")),
            image: Image::new(args, env.clone()),
            env,
            cwd: c_string(&format!("{field}.cwd"), cwd.as_os_str().as_bytes())?,
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups,
            may_set_groups: true,
            umask: user.umask().map(|mask| rustix::fs::Mode::from_raw_mode(mask & 0o777)),
            caps: capabilities(given, field)?,
            no_new_privs: given.no_new_privileges().unwrap_or(false),
            rlimits: rlimits(given, field)?,
            apparmor: text(given.apparmor_profile())
                .map(|profile| {
                    c_string(
                        &format!("{field}.apparmorProfile"),
                        format!("exec {profile}").as_bytes(),
                    )
                })
                .transpose()?,
            selinux: text(given.selinux_label())
                .map(|label| c_string(&format!("{field}.selinuxLabel"), label.as_bytes()))
                .transpose()?,
            tuning: Tuning::of_process(given, field)?,
            oom_score_adj: oom_score_adj(given, field)?,
            terminal: given.terminal().unwrap_or(false),
            console_size: given.console_size().and_then(|size| {
                Some((u16::try_from(size.height()).ok()?, u16::try_from(size.width()).ok()?))
            }),
            preserve_fds: 0,
        })
    }

    /// Adds `HOME` to an environment that lacks it.
    pub(crate) fn set_home(&mut self, home: &std::ffi::CStr) {
        let text = [b"HOME=", home.to_bytes()].concat();
        if let Ok(entry) = CString::new(text) {
            self.env.push(entry);
            self.image = Image::new(self.image.args().to_vec(), self.env.clone());
        }
    }
}

/// Empty is as good as absent.
fn text(given: &Option<String>) -> Option<&String> {
    given.as_ref().filter(|text| !text.is_empty())
}

/// What is for other platforms.
fn refuse(given: &oci_spec::runtime::Process, field: &str) -> Result<(), PlanError> {
    let present = [
        (text(given.command_line()).is_some(), "commandLine"),
        (text(given.user().username()).is_some(), "user.username"),
    ];
    match present.into_iter().find(|(present, _)| *present) {
        Some((_, name)) => Err(PlanError::unsupported(
            format!("{field}.{name}"),
            "it is for Windows; remove the field",
        )),
        None => Ok(()),
    }
}

fn strings(list: &[String], field: &str) -> Result<Vec<CString>, PlanError> {
    list.iter()
        .enumerate()
        .map(|(index, text)| c_string(&format!("{field}[{index}]"), text.as_bytes()))
        .collect()
}

pub(super) fn environment(list: &[String], field: &str) -> Result<Vec<CString>, PlanError> {
    for (index, entry) in list.iter().enumerate() {
        if entry.starts_with('=') || !entry.contains('=') {
            return Err(PlanError::invalid(
                format!("{field}.env[{index}]"),
                format!("{entry:?} is not NAME=value"),
            ));
        }
    }
    strings(list, &format!("{field}.env"))
}

/// A name with a slash is a path; any other is looked for in the container's `PATH`.
fn candidates(program: &str, env: &[CString], field: &str) -> Result<Vec<CString>, PlanError> {
    let args = format!("{field}.args[0]");
    if program.contains('/') {
        return Ok(vec![c_string(&args, program.as_bytes())?]);
    }
    // The last one counts, as with a shell that set it twice.
    let path = env
        .iter()
        .rev()
        .find_map(|entry| entry.to_bytes().strip_prefix(b"PATH="))
        .unwrap_or(DEFAULT_PATH.as_bytes());
    path.split(|byte| *byte == b':')
        .map(|dir| if dir.is_empty() { b".".as_slice() } else { dir })
        .map(|dir| c_string(&args, &[dir, b"/", program.as_bytes()].concat()))
        .collect()
}

fn capabilities(given: &oci_spec::runtime::Process, field: &str) -> Result<caps::Sets, PlanError> {
    // Without the field a process has none at all.
    let Some(given) = given.capabilities() else { return Ok(caps::Sets::default()) };
    let mask = |set: &Option<Capabilities>| {
        set.iter().flatten().fold(0_u64, |mask, capability| {
            let name = format!("CAP_{capability}");
            // Both crates have the kernel's full list.
            name.parse::<::caps::Capability>().map_or(mask, |known| mask | known.bitmask())
        })
    };
    let sets = caps::Sets {
        bounding: mask(given.bounding()),
        effective: mask(given.effective()),
        permitted: mask(given.permitted()),
        inheritable: mask(given.inheritable()),
        ambient: mask(given.ambient()),
    };
    let subset = |one: u64, of: u64, name: &str, whole: &str| {
        if one & !of == 0 {
            Ok(())
        } else {
            Err(PlanError::invalid(
                format!("{field}.capabilities.{name}"),
                format!("holds capabilities that {whole} does not"),
            ))
        }
    };
    subset(sets.effective, sets.permitted, "effective", "permitted")?;
    subset(
        sets.ambient,
        sets.permitted & sets.inheritable,
        "ambient",
        "permitted and inheritable",
    )?;
    Ok(sets)
}

fn rlimits(
    given: &oci_spec::runtime::Process,
    field: &str,
) -> Result<Vec<(CString, Resource, Rlimit)>, PlanError> {
    let mut made: Vec<(CString, Resource, Rlimit)> = Vec::new();
    for (index, limit) in given.rlimits().iter().flatten().enumerate() {
        let field = format!("{field}.rlimits[{index}]");
        let resource = resource(limit.typ());
        if made.iter().any(|(_, other, _)| *other == resource) {
            return Err(PlanError::invalid(field, format!("{} is set twice", limit.typ())));
        }
        if limit.soft() > limit.hard() {
            return Err(PlanError::invalid(field, "soft is above hard"));
        }
        let value = |value: u64| (value != u64::MAX).then_some(value);
        made.push((
            c_string(&field, limit.typ().to_string().as_bytes())?,
            resource,
            Rlimit { current: value(limit.soft()), maximum: value(limit.hard()) },
        ));
    }
    Ok(made)
}

fn resource(typ: PosixRlimitType) -> Resource {
    match typ {
        PosixRlimitType::RlimitCpu => Resource::Cpu,
        PosixRlimitType::RlimitFsize => Resource::Fsize,
        PosixRlimitType::RlimitData => Resource::Data,
        PosixRlimitType::RlimitStack => Resource::Stack,
        PosixRlimitType::RlimitCore => Resource::Core,
        PosixRlimitType::RlimitRss => Resource::Rss,
        PosixRlimitType::RlimitNproc => Resource::Nproc,
        PosixRlimitType::RlimitNofile => Resource::Nofile,
        PosixRlimitType::RlimitMemlock => Resource::Memlock,
        PosixRlimitType::RlimitAs => Resource::As,
        PosixRlimitType::RlimitLocks => Resource::Locks,
        PosixRlimitType::RlimitSigpending => Resource::Sigpending,
        PosixRlimitType::RlimitMsgqueue => Resource::Msgqueue,
        PosixRlimitType::RlimitNice => Resource::Nice,
        PosixRlimitType::RlimitRtprio => Resource::Rtprio,
        PosixRlimitType::RlimitRttime => Resource::Rttime,
    }
}

fn oom_score_adj(
    given: &oci_spec::runtime::Process,
    field: &str,
) -> Result<Option<i32>, PlanError> {
    match given.oom_score_adj() {
        Some(score) if !(-1000..=1000).contains(&score) => Err(PlanError::invalid(
            format!("{field}.oomScoreAdj"),
            format!("{score} is not between -1000 and 1000"),
        )),
        other => Ok(other),
    }
}
