//! What of a process stays in memory.

use rustix::io::Errno;

use crate::syscall::check;

/// Lets go of the pages of this program's own code: those still needed are mapped again at their
/// next use, from the page cache. For a resident process whose start needed much more code than its
/// life does.
///
/// # Errors
/// When `/proc/self/maps` cannot be read; what `madvise(2)` says.
pub fn release_code_pages() -> rustix::io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    for (start, end) in code_ranges(&maps) {
        let Ok(length) = usize::try_from(end - start) else { continue };
        let Ok(start) = usize::try_from(start) else { continue };
        // SAFETY: a private mapping of a file that is executable and not writable: its pages were
        // never written, so what is mapped again is what was there.
        let advised = unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(start), length, libc::MADV_DONTNEED)
        };
        check(advised.into())?;
    }
    Ok(())
}

/// Mappings of files that are executable and not writable, from `/proc/<pid>/maps`
/// (proc_pid_maps(5)): `start-end perms offset device inode path`.
fn code_ranges(maps: &str) -> Vec<(u64, u64)> {
    maps.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let (range, permissions) = (fields.next()?, fields.next()?);
            let (_offset, _device, inode) = (fields.next()?, fields.next()?, fields.next()?);
            let (start, end) = range.split_once('-')?;
            let start = u64::from_str_radix(start, 16).ok()?;
            let end = u64::from_str_radix(end, 16).ok()?;
            (permissions == "r-xp" && inode != "0" && start < end).then_some((start, end))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_let_go() {
        let maps = "\
55d0a000-55d0b000 r--p 00000000 fe:00 42   /usr/bin/x
55d0b000-55d0f000 r-xp 00001000 fe:00 42   /usr/bin/x
55d0f000-55d10000 rw-p 00005000 fe:00 42   /usr/bin/x
55d10000-55d11000 rwxp 00005000 fe:00 42   /usr/bin/x
7ffd0000-7ffd2000 r-xp 00000000 00:00 0    [vdso]
garbage
";
        assert_eq!(code_ranges(maps), [(0x55d0_b000, 0x55d0_f000)]);
    }

    #[test]
    fn a_program_goes_on_without_its_pages() {
        release_code_pages().unwrap();
        assert_eq!((1..=10).map(|n| n * n).sum::<i32>(), 385);
    }
}
