//! Who a container runs as: numbers from names, read from the image's own `/etc/passwd` and
//! `/etc/group`.
//!
//! The root file system is the image's and hostile: the files are opened inside it by the kernel
//! (`RESOLVE_IN_ROOT`), must be regular, and are read only so far.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;

use corten_api_cri::v1::{
    LinuxContainerSecurityContext, LinuxContainerUser, SupplementalGroupsPolicy,
};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use crate::error::{OperationError, Outcome};

/// More than any image has.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The kernel's NGROUPS_MAX is 65536; a process needs few.
const GROUPS_MAX: usize = 4096;

/// Numbers, as the kernel takes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResolvedUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) additional_gids: Vec<u32>,
}

impl ResolvedUser {
    /// As the status of a container tells it.
    pub(crate) fn to_cri(&self) -> LinuxContainerUser {
        LinuxContainerUser {
            uid: self.uid.into(),
            gid: self.gid.into(),
            supplemental_groups: self.additional_gids.iter().map(|gid| i64::from(*gid)).collect(),
        }
    }
}

/// The two files of an image; empty where it has none.
#[derive(Debug, Default)]
pub(crate) struct UserFiles {
    passwd: String,
    group: String,
}

impl UserFiles {
    /// Reads them below `root`, an open folder.
    pub(crate) fn read(root: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self { passwd: read(root, "etc/passwd")?, group: read(root, "etc/group")? })
    }
}

fn read(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    // Not blocking, so that a FIFO in an image does not hold us up.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let opened = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve);
    let fd = match opened {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(String::new()),
        Err(errno) => return Err(errno.into()),
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    let mut bytes = Vec::new();
    File::from(fd).take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One line of passwd(5) that says something.
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

fn accounts(passwd: &str) -> impl Iterator<Item = Account<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Account { name, uid, gid })
    })
}

/// Name, number and members of each line of group(5).
fn groups(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some((name, fields.next()?.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

/// The request's user, else the image's, else root; with its groups.
pub(crate) fn resolve(
    security: &LinuxContainerSecurityContext,
    image_user: &str,
    files: &UserFiles,
) -> Outcome<ResolvedUser> {
    let at = |name: &str| format!("config.linux.security_context.{name}");
    let (user, group) = if let Some(uid) = &security.run_as_user {
        (number(uid.value, &at("run_as_user"))?.to_string(), String::new())
    } else if security.run_as_username.is_empty() {
        // Docker's form: user, or user:group, each a name or a number.
        let (user, group) = image_user.split_once(':').unwrap_or((image_user, ""));
        (user.to_owned(), group.to_owned())
    } else {
        (security.run_as_username.clone(), String::new())
    };
    if security.run_as_group.is_some()
        && security.run_as_user.is_none()
        && security.run_as_username.is_empty()
    {
        return Err(OperationError::invalid(at("run_as_group"), "needs run_as_user beside it"));
    }
    let (uid, primary, name) = find_user(&user, files)?;
    let gid = match &security.run_as_group {
        Some(gid) => number(gid.value, &at("run_as_group"))?,
        None if group.is_empty() => primary,
        None => find_group(&group, files)?,
    };
    let mut additional = Vec::new();
    if security.supplemental_groups_policy() == SupplementalGroupsPolicy::Merge
        && let Some(name) = name
    {
        let member = |members: &str| members.split(',').any(|member| member == name);
        additional.extend(
            groups(&files.group).filter(|(_, _, members)| member(members)).map(|(_, gid, _)| gid),
        );
    }
    for (index, gid) in security.supplemental_groups.iter().enumerate() {
        additional.push(number(*gid, &at(&format!("supplemental_groups[{index}]")))?);
    }
    additional.push(gid);
    additional.sort_unstable();
    additional.dedup();
    if additional.len() > GROUPS_MAX {
        return Err(OperationError::invalid(
            at("supplemental_groups"),
            format!("{} groups are more than {GROUPS_MAX}", additional.len()),
        ));
    }
    Ok(ResolvedUser { uid, gid, additional_gids: additional })
}

fn number(value: i64, field: &str) -> Outcome<u32> {
    // The kernel keeps the largest number for "leave as it is", setresuid(2).
    match u32::try_from(value) {
        Ok(number) if number != u32::MAX => Ok(number),
        Ok(_) | Err(_) => Err(OperationError::invalid(field, format!("{value} is no id"))),
    }
}

/// Uid, primary group and, if it has one, name.
fn find_user(user: &str, files: &UserFiles) -> Outcome<(u32, u32, Option<String>)> {
    let wanted = if user.is_empty() { "0" } else { user };
    if let Some(account) = accounts(&files.passwd).find(|account| account.name == wanted) {
        return Ok((account.uid, account.gid, Some(account.name.to_owned())));
    }
    let Some(uid) = parse_id(wanted) else {
        return Err(OperationError::invalid(
            "user",
            format!("{wanted:?} is not in the image's /etc/passwd"),
        ));
    };
    let account = accounts(&files.passwd).find(|account| account.uid == uid);
    Ok(account.map_or((uid, 0, None), |found| (uid, found.gid, Some(found.name.to_owned()))))
}

fn find_group(group: &str, files: &UserFiles) -> Outcome<u32> {
    let named = groups(&files.group).find(|(name, _, _)| *name == group).map(|(_, gid, _)| gid);
    named.or_else(|| parse_id(group)).ok_or_else(|| {
        OperationError::invalid("group", format!("{group:?} is not in the image's /etc/group"))
    })
}

/// Digits alone: "+1" and " 1" are no ids.
fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use corten_api_cri::v1::Int64Value;

    use super::*;

    fn files() -> UserFiles {
        UserFiles {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/:\nbroken\n".to_owned(),
            group: "root:x:0:\nwww:x:33:web,other\nusers:x:100:web\n".to_owned(),
        }
    }

    fn security() -> LinuxContainerSecurityContext {
        LinuxContainerSecurityContext::default()
    }

    #[test]
    fn the_image_says_who_unless_the_request_does() {
        let image = |user: &str| resolve(&security(), user, &files()).unwrap();
        assert_eq!(image("").uid, 0);
        let web = ResolvedUser { uid: 1000, gid: 1001, additional_gids: vec![33, 100, 1001] };
        assert_eq!(image("web"), web);
        assert_eq!(image("1000"), web);
        let other = ResolvedUser { uid: 1003, gid: 33, additional_gids: vec![33] };
        assert_eq!(image("1003:www"), other);
        let asked = LinuxContainerSecurityContext {
            run_as_user: Some(Int64Value { value: 7 }),
            run_as_group: Some(Int64Value { value: 8 }),
            supplemental_groups: vec![9],
            ..security()
        };
        let user = resolve(&asked, "web", &files()).unwrap();
        assert_eq!(user, ResolvedUser { uid: 7, gid: 8, additional_gids: vec![8, 9] });
    }

    #[test]
    fn strict_leaves_out_what_the_image_says_of_groups() {
        let strict = LinuxContainerSecurityContext {
            run_as_username: "web".to_owned(),
            supplemental_groups: vec![5],
            supplemental_groups_policy: SupplementalGroupsPolicy::Strict.into(),
            ..security()
        };
        let user = resolve(&strict, "", &files()).unwrap();
        assert_eq!(user, ResolvedUser { uid: 1000, gid: 1001, additional_gids: vec![5, 1001] });
    }

    #[test]
    fn unknown_names_and_impossible_numbers_are_named() {
        let text = |security: &LinuxContainerSecurityContext, image: &str| {
            resolve(security, image, &files()).unwrap_err().to_string()
        };
        assert_eq!(text(&security(), "no"), "user: \"no\" is not in the image's /etc/passwd");
        assert_eq!(text(&security(), "0:no"), "group: \"no\" is not in the image's /etc/group");
        let huge = LinuxContainerSecurityContext {
            run_as_user: Some(Int64Value { value: 4_294_967_295 }),
            ..security()
        };
        assert_eq!(
            text(&huge, ""),
            "config.linux.security_context.run_as_user: 4294967295 is no id"
        );
        let alone = LinuxContainerSecurityContext {
            run_as_group: Some(Int64Value { value: 1 }),
            ..security()
        };
        assert!(text(&alone, "").contains("run_as_group: needs run_as_user"));
    }

    #[test]
    fn a_link_out_of_the_image_stays_inside_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("../../../../etc/group", dir.path().join("etc/group")).unwrap();
        let root = File::open(dir.path()).unwrap();
        // Both links point at themselves inside the image, which the kernel tells.
        UserFiles::read(root.as_fd()).unwrap_err();
        std::fs::remove_file(dir.path().join("etc/passwd")).unwrap();
        std::fs::remove_file(dir.path().join("etc/group")).unwrap();
        std::fs::create_dir(dir.path().join("etc/passwd")).unwrap();
        UserFiles::read(root.as_fd()).unwrap_err();
        std::fs::remove_dir(dir.path().join("etc/passwd")).unwrap();
        assert_eq!(UserFiles::read(root.as_fd()).unwrap().passwd, "");
    }
}
