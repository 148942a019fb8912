//! The profile that Kubernetes calls `RuntimeDefault`.
//!
//! What a program needs that minds its own container, after docker's default profile, by which the
//! world's images have been tried: everything but what reaches the host's kernel, clock, modules or
//! devices, makes namespaces, or has been a way out before. A capability brings the calls that it is
//! for.

use oci_spec::runtime::{
    Arch, Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompOperator as Operator, LinuxSyscall,
};

use crate::abi;

/// Allowed to everybody.
#[rustfmt::skip]
const ALWAYS: &[&str] = &[
    "accept", "accept4", "access", "adjtimex", "alarm", "bind", "brk", "cachestat", "capget",
    "capset", "chdir", "chmod", "chown", "chown32", "clock_adjtime", "clock_adjtime64",
    "clock_getres", "clock_getres_time64", "clock_gettime", "clock_gettime64", "clock_nanosleep",
    "clock_nanosleep_time64", "close", "close_range", "connect", "copy_file_range", "creat", "dup",
    "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve", "execveat",
    "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate",
    "fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat",
    "fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork", "fremovexattr",
    "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
    "ftruncate64", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv",
    "futex_wake", "futimesat", "get_robust_list", "get_thread_area", "getcpu", "getcwd",
    "getdents", "getdents64", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32",
    "getgroups", "getgroups32", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid",
    "getppid", "getpriority", "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32",
    "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday",
    "getuid", "getuid32", "getxattr", "getxattrat", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents",
    "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "ioprio_get",
    "ioprio_set", "ipc", "kill", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "lchown", "lchown32", "lgetxattr", "link", "linkat", "listen",
    "listmount", "listxattr", "listxattrat", "llistxattr", "_llseek", "lremovexattr", "lseek",
    "lsetxattr", "lstat", "lstat64", "madvise", "map_shadow_stack", "membarrier", "memfd_create",
    "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock", "mlock2",
    "mlockall", "mmap", "mmap2", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64",
    "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock",
    "munlockall", "munmap", "name_to_handle_at", "nanosleep", "newfstatat", "_newselect", "open",
    "openat", "openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc",
    "pkey_free", "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl", "pread64", "preadv",
    "preadv2", "prlimit64", "process_mrelease", "process_vm_readv", "process_vm_writev",
    "pselect6", "pselect6_time64", "ptrace", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "recv", "recvfrom", "recvmmsg",
    "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr", "removexattrat", "rename",
    "renameat", "renameat2", "restart_syscall", "riscv_hwprobe", "rmdir", "rseq", "rt_sigaction",
    "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64",
    "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield",
    "seccomp", "select", "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "send",
    "sendfile", "sendfile64", "sendmmsg", "sendmsg", "sendto", "set_robust_list",
    "set_thread_area", "set_tid_address", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32",
    "setgid", "setgid32", "setgroups", "setgroups32", "setitimer", "setpgid", "setpriority",
    "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid",
    "setreuid32", "setrlimit", "setsid", "setsockopt", "setuid", "setuid32", "setxattr",
    "setxattrat", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd",
    "signalfd4", "sigprocmask", "sigreturn", "socketcall", "socketpair", "splice", "stat",
    "stat64", "statfs", "statfs64", "statmount", "statx", "symlink", "symlinkat", "sync",
    "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create",
    "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
    "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
    "timerfd_settime64", "times", "tkill", "truncate", "truncate64", "ugetrlimit", "umask",
    "uname", "unlink", "unlinkat", "uretprobe", "utime", "utimensat", "utimensat_time64", "utimes",
    "vfork", "vmsplice", "wait4", "waitid", "waitpid", "write", "writev",
];

/// Allowed on some architectures: to programs there that could not do without.
const BY_ARCHITECTURE: &[(&[Arch], &[&str])] = &[
    (&[Arch::ScmpArchPpc64le], &["sync_file_range2", "swapcontext"]),
    (
        &[Arch::ScmpArchArm, Arch::ScmpArchAarch64],
        &[
            "arm_fadvise64_64",
            "arm_sync_file_range",
            "sync_file_range2",
            "breakpoint",
            "cacheflush",
            "set_tls",
        ],
    ),
    (&[Arch::ScmpArchX86_64, Arch::ScmpArchX32], &["arch_prctl"]),
    (&[Arch::ScmpArchX86_64, Arch::ScmpArchX32, Arch::ScmpArchX86], &["modify_ldt"]),
    (&[Arch::ScmpArchS390x], &["s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr"]),
    (&[Arch::ScmpArchRiscv64], &["riscv_flush_icache"]),
];

/// Allowed to who has the capability that the kernel will ask for.
const BY_CAPABILITY: &[(Capability, &[&str])] = &[
    (Capability::DacReadSearch, &["open_by_handle_at"]),
    (
        Capability::SysAdmin,
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "lsm_get_self_attr",
            "lsm_list_modules",
            "lsm_set_self_attr",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    (Capability::SysBoot, &["reboot"]),
    (Capability::SysChroot, &["chroot"]),
    (Capability::SysModule, &["delete_module", "init_module", "finit_module"]),
    (Capability::SysPacct, &["acct"]),
    (Capability::SysPtrace, &["kcmp", "pidfd_getfd", "process_madvise"]),
    (Capability::SysRawio, &["iopl", "ioperm"]),
    (Capability::SysTime, &["settimeofday", "stime", "clock_settime", "clock_settime64"]),
    (Capability::SysTtyConfig, &["vhangup"]),
    (Capability::SysNice, &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"]),
    (Capability::Syslog, &["syslog"]),
    (Capability::Bpf, &["bpf"]),
    (Capability::Perfmon, &["perf_event_open"]),
];

/// The families that `socket(2)` makes sockets of. Left out: those that no kernel has any more
/// (12, 19, 20, 23, 25, 34, 37), the kernel's crypto (`AF_ALG`, 38: no container needs it, and it
/// has been a way to root), and `AF_VSOCK` (40), which leads to the hypervisor past every network
/// namespace.
const SOCKET_FAMILIES: &[u64] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31,
    32, 33, 35, 36, 39, 41, 42, 43, 44, 45,
];

/// What `personality(2)` may set: Linux, a 32-bit machine, the oldest version number (`UNAME26`),
/// both, or nothing (a query).
const PERSONALITIES: &[u64] = &[0, 0x0008, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

/// `CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET`.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

const EPERM: u32 = 1;

/// The default profile for a container with these capabilities in its bounding set, on a kernel of
/// the architecture `native` ([`crate::NATIVE`] but in tests).
#[must_use]
pub fn runtime_default(bounding: &Capabilities, native: Arch) -> LinuxSeccomp {
    let mut rules = vec![allow(ALWAYS, None)];
    for family in SOCKET_FAMILIES {
        rules.push(allow(&["socket"], Some(arg(0, Operator::ScmpCmpEq, *family, None))));
    }
    for value in PERSONALITIES {
        rules.push(allow(&["personality"], Some(arg(0, Operator::ScmpCmpEq, *value, None))));
    }
    for (architectures, names) in BY_ARCHITECTURE {
        if architectures.contains(&native) {
            rules.push(allow(names, None));
        }
    }
    for (capability, names) in BY_CAPABILITY {
        if bounding.contains(capability) {
            rules.push(allow(names, None));
        }
    }
    if !bounding.contains(&Capability::SysAdmin) {
        // s390x has the first two arguments the other way round (clone(2)).
        let flags = usize::from(native == Arch::ScmpArchS390x);
        let no_namespace = arg(flags, Operator::ScmpCmpMaskedEq, NEW_NAMESPACES, Some(0));
        rules.push(allow(&["clone"], Some(no_namespace)));
        // Its flags are behind a pointer. C libraries fall back to clone where it is not there.
        rules.push(rule(&["clone3"], Action::ScmpActErrno, Some(crate::action::ENOSYS), None));
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(Action::ScmpActErrno)
        .set_default_errno_ret(Some(EPERM))
        .set_architectures(Some(abi::family(native).iter().map(|abi| abi.arch).collect()))
        .set_syscalls(Some(rules));
    profile
}

fn allow(names: &[&str], arg: Option<LinuxSeccompArg>) -> LinuxSyscall {
    rule(names, Action::ScmpActAllow, None, arg)
}

fn rule(
    names: &[&str],
    action: Action,
    errno: Option<u32>,
    arg: Option<LinuxSeccompArg>,
) -> LinuxSyscall {
    let mut made = LinuxSyscall::default();
    made.set_names(names.iter().map(|name| (*name).to_owned()).collect())
        .set_action(action)
        .set_errno_ret(errno)
        .set_args(arg.map(|arg| vec![arg]));
    made
}

fn arg(index: usize, op: Operator, value: u64, two: Option<u64>) -> LinuxSeccompArg {
    let made = LinuxSeccompArgBuilder::default().index(index).op(op).value(value);
    let made = two.into_iter().fold(made, LinuxSeccompArgBuilder::value_two);
    made.build().expect("every field has a default")
}
