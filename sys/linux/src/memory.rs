//! What of a process stays in memory.

use rustix::io::Errno;

use crate::syscall::check;

/// Lets go of the pages of this program's own code and constants: those still needed are mapped
/// again at their next use, from the page cache. For a resident process that mostly waits.
///
/// # Errors
/// When `/proc/self/smaps` cannot be read; what `madvise(2)` says.
pub fn release_code_pages() -> rustix::io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/smaps")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    for (start, end) in pristine_ranges(&maps) {
        let Ok(length) = usize::try_from(end - start) else { continue };
        let Ok(start) = usize::try_from(start) else { continue };
        // SAFETY: a private mapping of a file that cannot be written and of which no page ever was
        // (relocated constants are such pages): what is mapped again is what was there.
        let advised = unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, libc::MADV_DONTNEED)
        };
        check(advised.into())?;
    }
    Ok(())
}

/// Mappings of files that cannot be written and have no page of their own (`Anonymous: 0`), from
/// `/proc/<pid>/smaps` (proc_pid_smaps(5)): a line as in `maps`, then one for each property.
fn pristine_ranges(maps: &str) -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    let mut current = None;
    for line in maps.lines() {
        if let Some(range) = header(line) {
            current = range;
        } else if let Some(amount) = line.strip_prefix("Anonymous:")
            && let Some(range) = current.take()
            && amount.trim() == "0 kB"
        {
            ranges.push(range);
        }
    }
    ranges
}

/// `start-end perms offset device inode path`. None: not such a line; `Some(None)`: a mapping to be
/// left alone.
fn header(line: &str) -> Option<Option<(u64, u64)>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    let permissions = fields.next()?;
    let inode = fields.nth(2)?;
    let read_only = matches!(permissions, "r-xp" | "r--p");
    Some((read_only && inode != "0" && start < end).then_some((start, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_never_written_is_let_go() {
        let maps = "\
1000-2000 r--p 00000000 fe:00 42   /usr/bin/x
Rss:                   4 kB
Anonymous:             0 kB
2000-3000 r-xp 00001000 fe:00 42   /usr/bin/x
Anonymous:             0 kB
3000-4000 r--p 00005000 fe:00 42   /usr/bin/x
Anonymous:             4 kB
4000-5000 rw-p 00005000 fe:00 42   /usr/bin/x
Anonymous:             0 kB
5000-6000 rwxp 00005000 fe:00 42   /usr/bin/x
Anonymous:             0 kB
6000-7000 r-xp 00000000 00:00 0    [vdso]
Anonymous:             0 kB
7000-8000 r--s 00000000 fe:00 43   /shared
Anonymous:             0 kB
garbage
";
        assert_eq!(pristine_ranges(maps), [(0x1000, 0x2000), (0x2000, 0x3000)]);
    }

    #[test]
    fn a_program_goes_on_without_its_pages() {
        release_code_pages().unwrap();
        assert_eq!((1..=10).map(|n| n * n).sum::<i32>(), 385);
    }
}
