//! Replacing the program: everything allocated beforehand, then one call.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::syscall::check;

/// Ends the process without running destructors or flushing anything: the only way out for a
/// cloned child.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit has no preconditions and does not return.
    unsafe { libc::_exit(code) }
}

/// Arguments and environment in the shape `execve(2)` takes, made before a clone.
pub struct Image {
    args: Vec<CString>,
    env: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Image").field("args", &self.args).field("env", &self.env).finish()
    }
}

impl Clone for Image {
    fn clone(&self) -> Self {
        // Pointers of its own: the copy's strings lie elsewhere.
        Self::new(self.args.clone(), self.env.clone())
    }
}

// SAFETY: the pointers point into the heap buffers of the CStrings that the same value owns and
// never changes; moving the value to another thread moves neither.
unsafe impl Send for Image {}
// SAFETY: shared access only reads those buffers.
unsafe impl Sync for Image {}

impl Image {
    /// Takes the strings and lays out the pointers.
    #[must_use]
    pub fn new(args: Vec<CString>, env: Vec<CString>) -> Self {
        let pointers = |strings: &[CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
        };
        let (argv, envp) = (pointers(&args), pointers(&env));
        Self { args, env, argv, envp }
    }

    /// The arguments, the first being the program's name.
    #[must_use]
    pub fn args(&self) -> &[CString] {
        &self.args
    }

    /// `execve(path)`; comes back only with an error. Does not allocate.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn exec(&self, path: &CStr) -> rustix::io::Result<Infallible> {
        // SAFETY: path, argv and envp are NUL-terminated and live as long as `self` and `path`.
        let failed = unsafe {
            libc::syscall(libc::SYS_execve, path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr())
        };
        check(failed).and(Err(Errno::INVAL))
    }

    /// `execveat(fd, "", AT_EMPTY_PATH)`: the program behind a descriptor. Does not allocate.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn exec_fd(&self, fd: BorrowedFd<'_>) -> rustix::io::Result<Infallible> {
        // SAFETY: the strings are NUL-terminated and live as long as `self`.
        let failed = unsafe {
            libc::syscall(
                libc::SYS_execveat,
                fd.as_raw_fd(),
                c"".as_ptr(),
                self.argv.as_ptr(),
                self.envp.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        check(failed).and(Err(Errno::INVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::{CloneArgs, clone3};
    use crate::pidfd::{Exit, Pidfd};

    #[test]
    fn the_program_gets_arguments_and_environment() {
        let image = Image::new(
            ["sh", "-c", "test \"$WORD\" = hello && exit 3"]
                .map(|s| CString::new(s).unwrap())
                .into(),
            vec![c"WORD=hello".into()],
        );
        let child =
            clone3(&CloneArgs::default(), || if image.exec(c"/bin/sh").is_err() { 99 } else { 0 })
                .unwrap();
        assert_eq!(Pidfd::from(child.pidfd).wait().unwrap(), Exit::Code(3));
    }
}
