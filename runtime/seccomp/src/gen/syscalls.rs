// Written by `cargo xtask gen` from linux-raw-sys 0.12.1. Do not edit.

use super::{NONE, Row};

pub(crate) const X86_64: usize = 0;
pub(crate) const X86: usize = 1;
pub(crate) const X32: usize = 2;
pub(crate) const AARCH64: usize = 3;
pub(crate) const ARM: usize = 4;
pub(crate) const RISCV64: usize = 5;
pub(crate) const LOONGARCH64: usize = 6;
pub(crate) const PPC64: usize = 7;
pub(crate) const PPC: usize = 8;
pub(crate) const S390X: usize = 9;
pub(crate) const MIPS64: usize = 10;
pub(crate) const MIPS: usize = 11;
pub(crate) const M68K: usize = 12;

pub(super) const COLUMNS: usize = 13;

/// Sorted.
#[rustfmt::skip]
pub(super) static NAMES: [&str; 505] = [
    "_llseek",
    "_newselect",
    "_sysctl",
    "accept",
    "accept4",
    "access",
    "acct",
    "add_key",
    "adjtimex",
    "afs_syscall",
    "alarm",
    "arch_prctl",
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "atomic_barrier",
    "atomic_cmpxchg_32",
    "bdflush",
    "bind",
    "bpf",
    "break",
    "breakpoint",
    "brk",
    "cachectl",
    "cacheflush",
    "cachestat",
    "capget",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chown32",
    "chroot",
    "clock_adjtime",
    "clock_adjtime64",
    "clock_getres",
    "clock_getres_time64",
    "clock_gettime",
    "clock_gettime64",
    "clock_nanosleep",
    "clock_nanosleep_time64",
    "clock_settime",
    "clock_settime64",
    "clone",
    "clone3",
    "close",
    "close_range",
    "connect",
    "copy_file_range",
    "creat",
    "create_module",
    "delete_module",
    "dup",
    "dup2",
    "dup3",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_ctl_old",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "epoll_wait_old",
    "eventfd",
    "eventfd2",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_init",
    "fanotify_mark",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "file_getattr",
    "file_setattr",
    "finit_module",
    "flistxattr",
    "flock",
    "fork",
    "fremovexattr",
    "fsconfig",
    "fsetxattr",
    "fsmount",
    "fsopen",
    "fspick",
    "fstat",
    "fstat64",
    "fstatat64",
    "fstatfs",
    "fstatfs64",
    "fsync",
    "ftime",
    "ftruncate",
    "ftruncate64",
    "futex",
    "futex_requeue",
    "futex_time64",
    "futex_wait",
    "futex_waitv",
    "futex_wake",
    "futimesat",
    "get_kernel_syms",
    "get_mempolicy",
    "get_robust_list",
    "get_thread_area",
    "get_tls",
    "getcpu",
    "getcwd",
    "getdents",
    "getdents64",
    "getegid",
    "getegid32",
    "geteuid",
    "geteuid32",
    "getgid",
    "getgid32",
    "getgroups",
    "getgroups32",
    "getitimer",
    "getpagesize",
    "getpeername",
    "getpgid",
    "getpgrp",
    "getpid",
    "getpmsg",
    "getppid",
    "getpriority",
    "getrandom",
    "getresgid",
    "getresgid32",
    "getresuid",
    "getresuid32",
    "getrlimit",
    "getrusage",
    "getsid",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "getuid",
    "getuid32",
    "getxattr",
    "getxattrat",
    "gtty",
    "idle",
    "init_module",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "io_cancel",
    "io_destroy",
    "io_getevents",
    "io_pgetevents",
    "io_pgetevents_time64",
    "io_setup",
    "io_submit",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "ioctl",
    "ioperm",
    "iopl",
    "ioprio_get",
    "ioprio_set",
    "ipc",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "kill",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "lchown",
    "lchown32",
    "lgetxattr",
    "link",
    "linkat",
    "listen",
    "listmount",
    "listxattr",
    "listxattrat",
    "llistxattr",
    "lock",
    "lookup_dcookie",
    "lremovexattr",
    "lseek",
    "lsetxattr",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "lstat",
    "lstat64",
    "madvise",
    "map_shadow_stack",
    "mbind",
    "membarrier",
    "memfd_create",
    "memfd_secret",
    "migrate_pages",
    "mincore",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mlock",
    "mlock2",
    "mlockall",
    "mmap",
    "mmap2",
    "modify_ldt",
    "mount",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "mprotect",
    "mpx",
    "mq_getsetattr",
    "mq_notify",
    "mq_open",
    "mq_timedreceive",
    "mq_timedreceive_time64",
    "mq_timedsend",
    "mq_timedsend_time64",
    "mq_unlink",
    "mremap",
    "mseal",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    "msync",
    "multiplexer",
    "munlock",
    "munlockall",
    "munmap",
    "name_to_handle_at",
    "nanosleep",
    "newfstatat",
    "nfsservctl",
    "nice",
    "oldfstat",
    "oldlstat",
    "oldolduname",
    "oldstat",
    "olduname",
    "open",
    "open_by_handle_at",
    "open_tree",
    "open_tree_attr",
    "openat",
    "openat2",
    "pause",
    "pciconfig_iobase",
    "pciconfig_read",
    "pciconfig_write",
    "perf_event_open",
    "personality",
    "pidfd_getfd",
    "pidfd_open",
    "pidfd_send_signal",
    "pipe",
    "pipe2",
    "pivot_root",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    "poll",
    "ppoll",
    "ppoll_time64",
    "prctl",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "process_madvise",
    "process_mrelease",
    "process_vm_readv",
    "process_vm_writev",
    "prof",
    "profil",
    "pselect6",
    "pselect6_time64",
    "ptrace",
    "putpmsg",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "query_module",
    "quotactl",
    "quotactl_fd",
    "read",
    "readahead",
    "readdir",
    "readlink",
    "readlinkat",
    "readv",
    "reboot",
    "recv",
    "recvfrom",
    "recvmmsg",
    "recvmmsg_time64",
    "recvmsg",
    "remap_file_pages",
    "removexattr",
    "removexattrat",
    "rename",
    "renameat",
    "renameat2",
    "request_key",
    "restart_syscall",
    "riscv_flush_icache",
    "riscv_hwprobe",
    "rmdir",
    "rseq",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_sigtimedwait_time64",
    "rt_tgsigqueueinfo",
    "rtas",
    "s390_guarded_storage",
    "s390_pci_mmio_read",
    "s390_pci_mmio_write",
    "s390_runtime_instr",
    "s390_sthyi",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_rr_get_interval_time64",
    "sched_setaffinity",
    "sched_setattr",
    "sched_setparam",
    "sched_setscheduler",
    "sched_yield",
    "seccomp",
    "security",
    "select",
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "semtimedop_time64",
    "send",
    "sendfile",
    "sendfile64",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "set_mempolicy",
    "set_mempolicy_home_node",
    "set_robust_list",
    "set_thread_area",
    "set_tid_address",
    "set_tls",
    "setdomainname",
    "setfsgid",
    "setfsgid32",
    "setfsuid",
    "setfsuid32",
    "setgid",
    "setgid32",
    "setgroups",
    "setgroups32",
    "sethostname",
    "setitimer",
    "setns",
    "setpgid",
    "setpriority",
    "setregid",
    "setregid32",
    "setresgid",
    "setresgid32",
    "setresuid",
    "setresuid32",
    "setreuid",
    "setreuid32",
    "setrlimit",
    "setsid",
    "setsockopt",
    "settimeofday",
    "setuid",
    "setuid32",
    "setxattr",
    "setxattrat",
    "sgetmask",
    "shmat",
    "shmctl",
    "shmdt",
    "shmget",
    "shutdown",
    "sigaction",
    "sigaltstack",
    "signal",
    "signalfd",
    "signalfd4",
    "sigpending",
    "sigprocmask",
    "sigreturn",
    "sigsuspend",
    "socket",
    "socketcall",
    "socketpair",
    "splice",
    "spu_create",
    "spu_run",
    "ssetmask",
    "stat",
    "stat64",
    "statfs",
    "statfs64",
    "statmount",
    "statx",
    "stime",
    "stty",
    "subpage_prot",
    "swapcontext",
    "swapoff",
    "swapon",
    "switch_endian",
    "symlink",
    "symlinkat",
    "sync",
    "sync_file_range",
    "sync_file_range2",
    "syncfs",
    "sys_debug_setcontext",
    "syscall",
    "sysfs",
    "sysinfo",
    "syslog",
    "sysmips",
    "tee",
    "tgkill",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_gettime64",
    "timer_settime",
    "timer_settime64",
    "timerfd",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_gettime64",
    "timerfd_settime",
    "timerfd_settime64",
    "times",
    "tkill",
    "truncate",
    "truncate64",
    "tuxcall",
    "ugetrlimit",
    "ulimit",
    "umask",
    "umount",
    "umount2",
    "uname",
    "unlink",
    "unlinkat",
    "unshare",
    "uretprobe",
    "uselib",
    "userfaultfd",
    "usr26",
    "usr32",
    "ustat",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
    "vfork",
    "vhangup",
    "vm86",
    "vm86old",
    "vmsplice",
    "vserver",
    "wait4",
    "waitid",
    "waitpid",
    "write",
    "writev",
];

/// In the order of the names.
#[rustfmt::skip]
pub(super) static NUMBERS: [Row; 505] = [
    [NONE, 140, NONE, NONE, 140, NONE, NONE, 140, 140, NONE, NONE, 4140, 140], // _llseek
    [NONE, 142, NONE, NONE, 142, NONE, NONE, 142, 142, NONE, 5022, 4142, 142], // _newselect
    [156, 149, NONE, NONE, 149, NONE, NONE, 149, 149, 149, 5152, 4153, 149], // _sysctl
    [43, NONE, 1073741867, 202, 285, 202, 202, 330, 330, NONE, 5042, 4168, NONE], // accept
    [288, 364, 1073742112, 242, 366, 242, 242, 344, 344, 364, 5293, 4334, 361], // accept4
    [21, 33, 1073741845, NONE, 33, NONE, NONE, 33, 33, 33, 5020, 4033, 33], // access
    [163, 51, 1073741987, 89, 51, 89, 89, 51, 51, 51, 5158, 4051, 51], // acct
    [248, 286, 1073742072, 217, 309, 217, 217, 269, 269, 278, 5239, 4280, 279], // add_key
    [159, 124, 1073741983, 171, 124, 171, 171, 124, 124, 124, 5154, 4124, 124], // adjtimex
    [183, 137, 1073742007, NONE, NONE, NONE, NONE, 137, 137, 137, 5176, 4137, NONE], // afs_syscall
    [37, 27, 1073741861, NONE, NONE, NONE, NONE, 27, 27, 27, 5037, 4027, 27], // alarm
    [158, 384, 1073741982, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // arch_prctl
    [NONE, NONE, NONE, NONE, 270, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // arm_fadvise64_64
    [NONE, NONE, NONE, NONE, 341, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // arm_sync_file_range
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 336], // atomic_barrier
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 335], // atomic_cmpxchg_32
    [NONE, 134, NONE, NONE, 134, NONE, NONE, 134, 134, 134, NONE, 4134, 134], // bdflush
    [49, 361, 1073741873, 200, 282, 200, 200, 327, 327, 361, 5048, 4169, 358], // bind
    [321, 357, 1073742145, 280, 386, 280, 280, 361, 361, 351, 5315, 4355, 354], // bpf
    [NONE, 17, NONE, NONE, NONE, NONE, NONE, 17, 17, NONE, NONE, 4017, NONE], // break
    [NONE, NONE, NONE, NONE, 983041, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // breakpoint
    [12, 45, 1073741836, 214, 45, 214, 214, 45, 45, 45, 5012, 4045, 45], // brk
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 5198, 4148, NONE], // cachectl
    [NONE, NONE, NONE, NONE, 983042, NONE, NONE, NONE, NONE, NONE, 5197, 4147, 123], // cacheflush
    [451, 451, 1073742275, 451, 451, 451, 451, 451, 451, 451, 5451, 4451, 451], // cachestat
    [125, 184, 1073741949, 90, 184, 90, 90, 183, 183, 184, 5123, 4204, 184], // capget
    [126, 185, 1073741950, 91, 185, 91, 91, 184, 184, 185, 5124, 4205, 185], // capset
    [80, 12, 1073741904, 49, 12, 49, 49, 12, 12, 12, 5078, 4012, 12], // chdir
    [90, 15, 1073741914, NONE, 15, NONE, NONE, 15, 15, 15, 5088, 4015, 15], // chmod
    [92, 182, 1073741916, NONE, 182, NONE, NONE, 181, 181, 212, 5090, 4202, 16], // chown
    [NONE, 212, NONE, NONE, 212, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 198], // chown32
    [161, 61, 1073741985, 51, 61, 51, 51, 61, 61, 61, 5156, 4061, 61], // chroot
    [305, 343, 1073742129, 266, 372, 266, 266, 347, 347, 337, 5300, 4341, 342], // clock_adjtime
    [NONE, 405, NONE, NONE, 405, NONE, NONE, NONE, 405, NONE, NONE, 4405, 405], // clock_adjtime64
    [229, 266, 1073742053, 114, 264, 114, 114, 247, 247, 261, 5223, 4264, 261], // clock_getres
    [NONE, 406, NONE, NONE, 406, NONE, NONE, NONE, 406, NONE, NONE, 4406, 406], // clock_getres_time64
    [228, 265, 1073742052, 113, 263, 113, 113, 246, 246, 260, 5222, 4263, 260], // clock_gettime
    [NONE, 403, NONE, NONE, 403, NONE, NONE, NONE, 403, NONE, NONE, 4403, 403], // clock_gettime64
    [230, 267, 1073742054, 115, 265, 115, 115, 248, 248, 262, 5224, 4265, 262], // clock_nanosleep
    [NONE, 407, NONE, NONE, 407, NONE, NONE, NONE, 407, NONE, NONE, 4407, 407], // clock_nanosleep_time64
    [227, 264, 1073742051, 112, 262, 112, 112, 245, 245, 259, 5221, 4262, 259], // clock_settime
    [NONE, 404, NONE, NONE, 404, NONE, NONE, NONE, 404, NONE, NONE, 4404, 404], // clock_settime64
    [56, 120, 1073741880, 220, 120, 220, 220, 120, 120, 120, 5055, 4120, 120], // clone
    [435, 435, 1073742259, 435, 435, 435, 435, 435, 435, 435, 5435, 4435, 435], // clone3
    [3, 6, 1073741827, 57, 6, 57, 57, 6, 6, 6, 5003, 4006, 6], // close
    [436, 436, 1073742260, 436, 436, 436, 436, 436, 436, 436, 5436, 4436, 436], // close_range
    [42, 362, 1073741866, 203, 283, 203, 203, 328, 328, 362, 5041, 4170, 359], // connect
    [326, 377, 1073742150, 285, 391, 285, 285, 379, 379, 375, 5320, 4360, 376], // copy_file_range
    [85, 8, 1073741909, NONE, 8, NONE, NONE, 8, 8, 8, 5083, 4008, 8], // creat
    [174, 127, NONE, NONE, NONE, NONE, NONE, 127, 127, 127, 5167, 4127, 127], // create_module
    [176, 129, 1073742000, 106, 129, 106, 106, 129, 129, 129, 5169, 4129, 129], // delete_module
    [32, 41, 1073741856, 23, 41, 23, 23, 41, 41, 41, 5031, 4041, 41], // dup
    [33, 63, 1073741857, NONE, 63, NONE, NONE, 63, 63, 63, 5032, 4063, 63], // dup2
    [292, 330, 1073742116, 24, 358, 24, 24, 316, 316, 326, 5286, 4327, 326], // dup3
    [213, 254, 1073742037, NONE, 250, NONE, NONE, 236, 236, 249, 5207, 4248, 249], // epoll_create
    [291, 329, 1073742115, 20, 357, 20, 20, 315, 315, 327, 5285, 4326, 325], // epoll_create1
    [233, 255, 1073742057, 21, 251, 21, 21, 237, 237, 250, 5208, 4249, 250], // epoll_ctl
    [214, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // epoll_ctl_old
    [281, 319, 1073742105, 22, 346, 22, 22, 303, 303, 312, 5272, 4313, 315], // epoll_pwait
    [441, 441, 1073742265, 441, 441, 441, 441, 441, 441, 441, 5441, 4441, 441], // epoll_pwait2
    [232, 256, 1073742056, NONE, 252, NONE, NONE, 238, 238, 251, 5209, 4250, 251], // epoll_wait
    [215, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // epoll_wait_old
    [284, 323, 1073742108, NONE, 351, NONE, NONE, 307, 307, 318, 5278, 4319, 319], // eventfd
    [290, 328, 1073742114, 19, 356, 19, 19, 314, 314, 323, 5284, 4325, 324], // eventfd2
    [59, 11, 1073742344, 221, 11, 221, 221, 11, 11, 11, 5057, 4011, 11], // execve
    [322, 358, 1073742369, 281, 387, 281, 281, 362, 362, 354, 5316, 4356, 355], // execveat
    [60, 1, 1073741884, 93, 1, 93, 93, 1, 1, 1, 5058, 4001, 1], // exit
    [231, 252, 1073742055, 94, 248, 94, 94, 234, 234, 248, 5205, 4246, 247], // exit_group
    [269, 307, 1073742093, 48, 334, 48, 48, 298, 298, 300, 5259, 4300, 300], // faccessat
    [439, 439, 1073742263, 439, 439, 439, 439, 439, 439, 439, 5439, 4439, 439], // faccessat2
    [221, 250, 1073742045, 223, NONE, 223, 223, 233, 233, 253, 5215, 4254, 246], // fadvise64
    [NONE, 272, NONE, NONE, NONE, NONE, NONE, NONE, 254, NONE, NONE, NONE, 267], // fadvise64_64
    [285, 324, 1073742109, 47, 352, 47, 47, 309, 309, 314, 5279, 4320, 320], // fallocate
    [300, 338, 1073742124, 262, 367, 262, 262, 323, 323, 332, 5295, 4336, 337], // fanotify_init
    [301, 339, 1073742125, 263, 368, 263, 263, 324, 324, 333, 5296, 4337, 338], // fanotify_mark
    [81, 133, 1073741905, 50, 133, 50, 50, 133, 133, 133, 5079, 4133, 133], // fchdir
    [91, 94, 1073741915, 52, 94, 52, 52, 94, 94, 94, 5089, 4094, 94], // fchmod
    [268, 306, 1073742092, 53, 333, 53, 53, 297, 297, 299, 5258, 4299, 299], // fchmodat
    [452, 452, 1073742276, 452, 452, 452, 452, 452, 452, 452, 5452, 4452, 452], // fchmodat2
    [93, 95, 1073741917, 55, 95, 55, 55, 95, 95, 207, 5091, 4095, 95], // fchown
    [NONE, 207, NONE, NONE, 207, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 207], // fchown32
    [260, 298, 1073742084, 54, 325, 54, 54, 289, 289, 291, 5250, 4291, 291], // fchownat
    [72, 55, 1073741896, 25, 55, 25, 25, 55, 55, 55, 5070, 4055, 55], // fcntl
    [NONE, 221, NONE, NONE, 221, NONE, NONE, NONE, 204, NONE, NONE, 4220, 239], // fcntl64
    [75, 148, 1073741899, 83, 148, 83, 83, 148, 148, 148, 5073, 4152, 148], // fdatasync
    [193, 231, 1073742017, 10, 231, 10, 10, 214, 214, 229, 5185, 4229, 228], // fgetxattr
    [468, 468, 1073742292, 468, 468, 468, 468, 468, 468, 468, 5468, 4468, 468], // file_getattr
    [469, 469, 1073742293, 469, 469, 469, 469, 469, 469, 469, 5469, 4469, 469], // file_setattr
    [313, 350, 1073742137, 273, 379, 273, 273, 353, 353, 344, 5307, 4348, 348], // finit_module
    [196, 234, 1073742020, 13, 234, 13, 13, 217, 217, 232, 5188, 4232, 231], // flistxattr
    [73, 143, 1073741897, 32, 143, 32, 32, 143, 143, 143, 5071, 4143, 143], // flock
    [57, 2, 1073741881, NONE, 2, NONE, NONE, 2, 2, 2, 5056, 4002, 2], // fork
    [199, 237, 1073742023, 16, 237, 16, 16, 220, 220, 235, 5191, 4235, 234], // fremovexattr
    [431, 431, 1073742255, 431, 431, 431, 431, 431, 431, 431, 5431, 4431, 431], // fsconfig
    [190, 228, 1073742014, 7, 228, 7, 7, 211, 211, 226, 5182, 4226, 225], // fsetxattr
    [432, 432, 1073742256, 432, 432, 432, 432, 432, 432, 432, 5432, 4432, 432], // fsmount
    [430, 430, 1073742254, 430, 430, 430, 430, 430, 430, 430, 5430, 4430, 430], // fsopen
    [433, 433, 1073742257, 433, 433, 433, 433, 433, 433, 433, 5433, 4433, 433], // fspick
    [5, 108, 1073741829, 80, 108, 80, 80, 108, 108, 108, 5005, 4108, 108], // fstat
    [NONE, 197, NONE, NONE, 197, NONE, NONE, NONE, 197, NONE, NONE, 4215, 197], // fstat64
    [NONE, 300, NONE, NONE, 327, NONE, NONE, NONE, 291, NONE, NONE, 4293, 293], // fstatat64
    [138, 100, 1073741962, 44, 100, 44, 44, 100, 100, 100, 5135, 4100, 100], // fstatfs
    [NONE, 269, NONE, NONE, 267, NONE, NONE, 253, 253, 266, NONE, 4256, 264], // fstatfs64
    [74, 118, 1073741898, 82, 118, 82, 82, 118, 118, 118, 5072, 4118, 118], // fsync
    [NONE, 35, NONE, NONE, NONE, NONE, NONE, 35, 35, NONE, NONE, 4035, NONE], // ftime
    [77, 93, 1073741901, 46, 93, 46, 46, 93, 93, 93, 5075, 4093, 93], // ftruncate
    [NONE, 194, NONE, NONE, 194, NONE, NONE, NONE, 194, NONE, NONE, 4212, 194], // ftruncate64
    [202, 240, 1073742026, 98, 240, 98, 98, 221, 221, 238, 5194, 4238, 235], // futex
    [456, 456, 1073742280, 456, 456, 456, 456, 456, 456, 456, 5456, 4456, 456], // futex_requeue
    [NONE, 422, NONE, NONE, 422, NONE, NONE, NONE, 422, NONE, NONE, 4422, 422], // futex_time64
    [455, 455, 1073742279, 455, 455, 455, 455, 455, 455, 455, 5455, 4455, 455], // futex_wait
    [449, 449, 1073742273, 449, 449, 449, 449, 449, 449, 449, 5449, 4449, 449], // futex_waitv
    [454, 454, 1073742278, 454, 454, 454, 454, 454, 454, 454, 5454, 4454, 454], // futex_wake
    [261, 299, 1073742085, NONE, 326, NONE, NONE, 290, 290, 292, 5251, 4292, 292], // futimesat
    [177, 130, NONE, NONE, NONE, NONE, NONE, 130, 130, 130, 5170, 4130, 130], // get_kernel_syms
    [239, 275, 1073742063, 236, 320, 236, 236, 260, 260, 269, 5228, 4269, 269], // get_mempolicy
    [274, 312, 1073742355, 100, 339, 100, 100, 299, 299, 305, 5269, 4310, 305], // get_robust_list
    [211, 244, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 333], // get_thread_area
    [NONE, NONE, NONE, NONE, 983046, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // get_tls
    [309, 318, 1073742133, 168, 345, 168, 168, 302, 302, 311, 5271, 4312, 314], // getcpu
    [79, 183, 1073741903, 17, 183, 17, 17, 182, 182, 183, 5077, 4203, 183], // getcwd
    [78, 141, 1073741902, NONE, 141, NONE, NONE, 141, 141, 141, 5076, 4141, 141], // getdents
    [217, 220, 1073742041, 61, 217, 61, 61, 202, 202, 220, 5308, 4219, 220], // getdents64
    [108, 50, 1073741932, 177, 50, 177, 177, 50, 50, 202, 5106, 4050, 50], // getegid
    [NONE, 202, NONE, NONE, 202, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 202], // getegid32
    [107, 49, 1073741931, 175, 49, 175, 175, 49, 49, 201, 5105, 4049, 49], // geteuid
    [NONE, 201, NONE, NONE, 201, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 201], // geteuid32
    [104, 47, 1073741928, 176, 47, 176, 176, 47, 47, 200, 5102, 4047, 47], // getgid
    [NONE, 200, NONE, NONE, 200, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 200], // getgid32
    [115, 80, 1073741939, 158, 80, 158, 158, 80, 80, 205, 5113, 4080, 80], // getgroups
    [NONE, 205, NONE, NONE, 205, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 205], // getgroups32
    [36, 105, 1073741860, 102, 105, 102, 102, 105, 105, 105, 5035, 4105, 105], // getitimer
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 166], // getpagesize
    [52, 368, 1073741876, 205, 287, 205, 205, 332, 332, 368, 5051, 4171, 365], // getpeername
    [121, 132, 1073741945, 155, 132, 155, 155, 132, 132, 132, 5119, 4132, 132], // getpgid
    [111, 65, 1073741935, NONE, 65, NONE, NONE, 65, 65, 65, 5109, 4065, 65], // getpgrp
    [39, 20, 1073741863, 172, 20, 172, 172, 20, 20, 20, 5038, 4020, 20], // getpid
    [181, 188, 1073742005, NONE, NONE, NONE, NONE, 187, 187, 188, 5174, 4208, 188], // getpmsg
    [110, 64, 1073741934, 173, 64, 173, 173, 64, 64, 64, 5108, 4064, 64], // getppid
    [140, 96, 1073741964, 141, 96, 141, 141, 96, 96, 96, 5137, 4096, 96], // getpriority
    [318, 355, 1073742142, 278, 384, 278, 278, 359, 359, 349, 5313, 4353, 352], // getrandom
    [120, 171, 1073741944, 150, 171, 150, 150, 170, 170, 211, 5118, 4191, 171], // getresgid
    [NONE, 211, NONE, NONE, 211, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 211], // getresgid32
    [118, 165, 1073741942, 148, 165, 148, 148, 165, 165, 209, 5116, 4186, 165], // getresuid
    [NONE, 209, NONE, NONE, 209, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 209], // getresuid32
    [97, 76, 1073741921, 163, NONE, 163, NONE, 76, 76, 191, 5095, 4076, 76], // getrlimit
    [98, 77, 1073741922, 165, 77, 165, 165, 77, 77, 77, 5096, 4077, 77], // getrusage
    [124, 147, 1073741948, 156, 147, 156, 156, 147, 147, 147, 5122, 4151, 147], // getsid
    [51, 367, 1073741875, 204, 286, 204, 204, 331, 331, 367, 5050, 4172, 364], // getsockname
    [55, 365, 1073742366, 209, 295, 209, 209, 340, 340, 365, 5054, 4173, 362], // getsockopt
    [186, 224, 1073742010, 178, 224, 178, 178, 207, 207, 236, 5178, 4222, 221], // gettid
    [96, 78, 1073741920, 169, 78, 169, 169, 78, 78, 78, 5094, 4078, 78], // gettimeofday
    [102, 24, 1073741926, 174, 24, 174, 174, 24, 24, 199, 5100, 4024, 24], // getuid
    [NONE, 199, NONE, NONE, 199, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 199], // getuid32
    [191, 229, 1073742015, 8, 229, 8, 8, 212, 212, 227, 5183, 4227, 226], // getxattr
    [464, 464, 1073742288, 464, 464, 464, 464, 464, 464, 464, 5464, 4464, 464], // getxattrat
    [NONE, 32, NONE, NONE, NONE, NONE, NONE, 32, 32, NONE, NONE, 4032, NONE], // gtty
    [NONE, 112, NONE, NONE, NONE, NONE, NONE, 112, 112, 112, NONE, 4112, NONE], // idle
    [175, 128, 1073741999, 105, 128, 105, 105, 128, 128, 128, 5168, 4128, 128], // init_module
    [254, 292, 1073742078, 27, 317, 27, 27, 276, 276, 285, 5244, 4285, 285], // inotify_add_watch
    [253, 291, 1073742077, NONE, 316, NONE, NONE, 275, 275, 284, 5243, 4284, 284], // inotify_init
    [294, 332, 1073742118, 26, 360, 26, 26, 318, 318, 324, 5288, 4329, 328], // inotify_init1
    [255, 293, 1073742079, 28, 318, 28, 28, 277, 277, 286, 5245, 4286, 286], // inotify_rm_watch
    [210, 249, 1073742034, 3, 247, 3, 3, 231, 231, 247, 5204, 4245, 245], // io_cancel
    [207, 246, 1073742031, 1, 244, 1, 1, 228, 228, 244, 5201, 4242, 242], // io_destroy
    [208, 247, 1073742032, 4, 245, 4, 4, 229, 229, 245, 5202, 4243, 243], // io_getevents
    [333, 385, 1073742157, 292, 399, 292, 292, 388, 388, 382, 5328, 4368, NONE], // io_pgetevents
    [NONE, 416, NONE, NONE, 416, NONE, NONE, NONE, 416, NONE, NONE, 4416, 416], // io_pgetevents_time64
    [206, 245, 1073742367, 0, 243, 0, 0, 227, 227, 243, 5200, 4241, 241], // io_setup
    [209, 248, 1073742368, 2, 246, 2, 2, 230, 230, 246, 5203, 4244, 244], // io_submit
    [426, 426, 1073742250, 426, 426, 426, 426, 426, 426, 426, 5426, 4426, 426], // io_uring_enter
    [427, 427, 1073742251, 427, 427, 427, 427, 427, 427, 427, 5427, 4427, 427], // io_uring_register
    [425, 425, 1073742249, 425, 425, 425, 425, 425, 425, 425, 5425, 4425, 425], // io_uring_setup
    [16, 54, 1073742338, 29, 54, 29, 29, 54, 54, 54, 5015, 4054, 54], // ioctl
    [173, 101, 1073741997, NONE, NONE, NONE, NONE, 101, 101, NONE, NONE, 4101, NONE], // ioperm
    [172, 110, 1073741996, NONE, NONE, NONE, NONE, 110, 110, NONE, NONE, 4110, NONE], // iopl
    [252, 290, 1073742076, 31, 315, 31, 31, 274, 274, 283, 5274, 4315, 283], // ioprio_get
    [251, 289, 1073742075, 30, 314, 30, 30, 273, 273, 282, 5273, 4314, 282], // ioprio_set
    [NONE, 117, NONE, NONE, NONE, NONE, NONE, 117, 117, 117, NONE, 4117, 117], // ipc
    [312, 349, 1073742136, 272, 378, 272, 272, 354, 354, 343, 5306, 4347, 347], // kcmp
    [320, NONE, 1073742144, 294, 401, 294, 294, 382, 382, 381, NONE, NONE, NONE], // kexec_file_load
    [246, 283, 1073742352, 104, 347, 104, 104, 268, 268, 277, 5270, 4311, 313], // kexec_load
    [250, 288, 1073742074, 219, 311, 219, 219, 271, 271, 280, 5241, 4282, 281], // keyctl
    [62, 37, 1073741886, 129, 37, 129, 129, 37, 37, 37, 5060, 4037, 37], // kill
    [445, 445, 1073742269, 445, 445, 445, 445, 445, 445, 445, 5445, 4445, 445], // landlock_add_rule
    [444, 444, 1073742268, 444, 444, 444, 444, 444, 444, 444, 5444, 4444, 444], // landlock_create_ruleset
    [446, 446, 1073742270, 446, 446, 446, 446, 446, 446, 446, 5446, 4446, 446], // landlock_restrict_self
    [94, 16, 1073741918, NONE, 16, NONE, NONE, 16, 16, 198, 5092, 4016, 182], // lchown
    [NONE, 198, NONE, NONE, 198, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 212], // lchown32
    [192, 230, 1073742016, 9, 230, 9, 9, 213, 213, 228, 5184, 4228, 227], // lgetxattr
    [86, 9, 1073741910, NONE, 9, NONE, NONE, 9, 9, 9, 5084, 4009, 9], // link
    [265, 303, 1073742089, 37, 330, 37, 37, 294, 294, 296, 5255, 4296, 296], // linkat
    [50, 363, 1073741874, 201, 284, 201, 201, 329, 329, 363, 5049, 4174, 360], // listen
    [458, 458, 1073742282, 458, 458, 458, 458, 458, 458, 458, 5458, 4458, 458], // listmount
    [194, 232, 1073742018, 11, 232, 11, 11, 215, 215, 230, 5186, 4230, 229], // listxattr
    [465, 465, 1073742289, 465, 465, 465, 465, 465, 465, 465, 5465, 4465, 465], // listxattrat
    [195, 233, 1073742019, 12, 233, 12, 12, 216, 216, 231, 5187, 4231, 230], // llistxattr
    [NONE, 53, NONE, NONE, NONE, NONE, NONE, 53, 53, NONE, NONE, 4053, NONE], // lock
    [212, 253, 1073742036, 18, 249, 18, 18, 235, 235, 110, 5206, 4247, 248], // lookup_dcookie
    [198, 236, 1073742022, 15, 236, 15, 15, 219, 219, 234, 5190, 4234, 233], // lremovexattr
    [8, 19, 1073741832, 62, 19, 62, 62, 19, 19, 19, 5008, 4019, 19], // lseek
    [189, 227, 1073742013, 6, 227, 6, 6, 210, 210, 225, 5181, 4225, 224], // lsetxattr
    [459, 459, 1073742283, 459, 459, 459, 459, 459, 459, 459, 5459, 4459, 459], // lsm_get_self_attr
    [461, 461, 1073742285, 461, 461, 461, 461, 461, 461, 461, 5461, 4461, 461], // lsm_list_modules
    [460, 460, 1073742284, 460, 460, 460, 460, 460, 460, 460, 5460, 4460, 460], // lsm_set_self_attr
    [6, 107, 1073741830, NONE, 107, NONE, NONE, 107, 107, 107, 5006, 4107, 107], // lstat
    [NONE, 196, NONE, NONE, 196, NONE, NONE, NONE, 196, NONE, NONE, 4214, 196], // lstat64
    [28, 219, 1073741852, 233, 220, 233, 233, 205, 205, 219, 5027, 4218, 238], // madvise
    [453, 453, 1073742277, 453, 453, 453, 453, 453, 453, 453, 5453, 4453, 453], // map_shadow_stack
    [237, 274, 1073742061, 235, 319, 235, 235, 259, 259, 268, 5227, 4268, 268], // mbind
    [324, 375, 1073742148, 283, 389, 283, 283, 365, 365, 356, 5318, 4358, 374], // membarrier
    [319, 356, 1073742143, 279, 385, 279, 279, 360, 360, 350, 5314, 4354, 353], // memfd_create
    [447, 447, 1073742271, 447, NONE, 447, NONE, NONE, NONE, 447, NONE, NONE, NONE], // memfd_secret
    [256, 294, 1073742080, 238, 400, 238, 238, 258, 258, 287, 5246, 4287, 287], // migrate_pages
    [27, 218, 1073741851, 232, 219, 232, 232, 206, 206, 218, 5026, 4217, 237], // mincore
    [83, 39, 1073741907, NONE, 39, NONE, NONE, 39, 39, 39, 5081, 4039, 39], // mkdir
    [258, 296, 1073742082, 34, 323, 34, 34, 287, 287, 289, 5248, 4289, 289], // mkdirat
    [133, 14, 1073741957, NONE, 14, NONE, NONE, 14, 14, 14, 5131, 4014, 14], // mknod
    [259, 297, 1073742083, 33, 324, 33, 33, 288, 288, 290, 5249, 4290, 290], // mknodat
    [149, 150, 1073741973, 228, 150, 228, 228, 150, 150, 150, 5146, 4154, 150], // mlock
    [325, 376, 1073742149, 284, 390, 284, 284, 378, 378, 374, 5319, 4359, 375], // mlock2
    [151, 152, 1073741975, 230, 152, 230, 230, 152, 152, 152, 5148, 4156, 152], // mlockall
    [9, 90, 1073741833, 222, NONE, 222, 222, 90, 90, 90, 5009, 4090, 90], // mmap
    [NONE, 192, NONE, NONE, 192, NONE, NONE, NONE, 192, NONE, NONE, 4210, 192], // mmap2
    [154, 123, 1073741978, NONE, NONE, NONE, NONE, 123, 123, NONE, NONE, 4123, NONE], // modify_ldt
    [165, 21, 1073741989, 40, 21, 40, 40, 21, 21, 21, 5160, 4021, 21], // mount
    [442, 442, 1073742266, 442, 442, 442, 442, 442, 442, 442, 5442, 4442, 442], // mount_setattr
    [429, 429, 1073742253, 429, 429, 429, 429, 429, 429, 429, 5429, 4429, 429], // move_mount
    [279, 317, 1073742357, 239, 344, 239, 239, 301, 301, 310, 5267, 4308, 310], // move_pages
    [10, 125, 1073741834, 226, 125, 226, 226, 125, 125, 125, 5010, 4125, 125], // mprotect
    [NONE, 56, NONE, NONE, NONE, NONE, NONE, 56, 56, NONE, NONE, 4056, NONE], // mpx
    [245, 282, 1073742069, 185, 279, 185, 185, 267, 267, 276, 5235, 4276, 276], // mq_getsetattr
    [244, 281, 1073742351, 184, 278, 184, 184, 266, 266, 275, 5234, 4275, 275], // mq_notify
    [240, 277, 1073742064, 180, 274, 180, 180, 262, 262, 271, 5230, 4271, 271], // mq_open
    [243, 280, 1073742067, 183, 277, 183, 183, 265, 265, 274, 5233, 4274, 274], // mq_timedreceive
    [NONE, 419, NONE, NONE, 419, NONE, NONE, NONE, 419, NONE, NONE, 4419, 419], // mq_timedreceive_time64
    [242, 279, 1073742066, 182, 276, 182, 182, 264, 264, 273, 5232, 4273, 273], // mq_timedsend
    [NONE, 418, NONE, NONE, 418, NONE, NONE, NONE, 418, NONE, NONE, 4418, 418], // mq_timedsend_time64
    [241, 278, 1073742065, 181, 275, 181, 181, 263, 263, 272, 5231, 4272, 272], // mq_unlink
    [25, 163, 1073741849, 216, 163, 216, 216, 163, 163, 163, 5024, 4167, 163], // mremap
    [462, 462, 1073742286, 462, 462, 462, 462, 462, 462, 462, 5462, 4462, 462], // mseal
    [71, 402, 1073741895, 187, 304, 187, 187, 402, 402, 402, 5069, 4402, 402], // msgctl
    [68, 399, 1073741892, 186, 303, 186, 186, 399, 399, 399, 5066, 4399, 399], // msgget
    [70, 401, 1073741894, 188, 302, 188, 188, 401, 401, 401, 5068, 4401, 401], // msgrcv
    [69, 400, 1073741893, 189, 301, 189, 189, 400, 400, 400, 5067, 4400, 400], // msgsnd
    [26, 144, 1073741850, 227, 144, 227, 227, 144, 144, 144, 5025, 4144, 144], // msync
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 201, 201, NONE, NONE, NONE, NONE], // multiplexer
    [150, 151, 1073741974, 229, 151, 229, 229, 151, 151, 151, 5147, 4155, 151], // munlock
    [152, 153, 1073741976, 231, 153, 231, 231, 153, 153, 153, 5149, 4157, 153], // munlockall
    [11, 91, 1073741835, 215, 91, 215, 215, 91, 91, 91, 5011, 4091, 91], // munmap
    [303, 341, 1073742127, 264, 370, 264, 264, 345, 345, 335, 5298, 4339, 340], // name_to_handle_at
    [35, 162, 1073741859, 101, 162, 101, 101, 162, 162, 162, 5034, 4166, 162], // nanosleep
    [262, NONE, 1073742086, 79, NONE, 79, 79, 291, NONE, 293, 5252, NONE, NONE], // newfstatat
    [180, 169, NONE, 42, 169, 42, 42, 168, 168, 169, 5173, 4189, 169], // nfsservctl
    [NONE, 34, NONE, NONE, 34, NONE, NONE, 34, 34, 34, NONE, 4034, 34], // nice
    [NONE, 28, NONE, NONE, NONE, NONE, NONE, 28, 28, NONE, NONE, NONE, 28], // oldfstat
    [NONE, 84, NONE, NONE, NONE, NONE, NONE, 84, 84, NONE, NONE, NONE, 84], // oldlstat
    [NONE, 59, NONE, NONE, NONE, NONE, NONE, 59, 59, NONE, NONE, NONE, NONE], // oldolduname
    [NONE, 18, NONE, NONE, NONE, NONE, NONE, 18, 18, NONE, NONE, NONE, 18], // oldstat
    [NONE, 109, NONE, NONE, NONE, NONE, NONE, 109, 109, NONE, NONE, NONE, NONE], // olduname
    [2, 5, 1073741826, NONE, 5, NONE, NONE, 5, 5, 5, 5002, 4005, 5], // open
    [304, 342, 1073742128, 265, 371, 265, 265, 346, 346, 336, 5299, 4340, 341], // open_by_handle_at
    [428, 428, 1073742252, 428, 428, 428, 428, 428, 428, 428, 5428, 4428, 428], // open_tree
    [467, 467, 1073742291, 467, 467, 467, 467, 467, 467, 467, 5467, 4467, 467], // open_tree_attr
    [257, 295, 1073742081, 56, 322, 56, 56, 286, 286, 288, 5247, 4288, 288], // openat
    [437, 437, 1073742261, 437, 437, 437, 437, 437, 437, 437, 5437, 4437, 437], // openat2
    [34, 29, 1073741858, NONE, 29, NONE, NONE, 29, 29, 29, 5033, 4029, 29], // pause
    [NONE, NONE, NONE, NONE, 271, NONE, NONE, 200, 200, NONE, NONE, NONE, NONE], // pciconfig_iobase
    [NONE, NONE, NONE, NONE, 272, NONE, NONE, 198, 198, NONE, NONE, NONE, NONE], // pciconfig_read
    [NONE, NONE, NONE, NONE, 273, NONE, NONE, 199, 199, NONE, NONE, NONE, NONE], // pciconfig_write
    [298, 336, 1073742122, 241, 364, 241, 241, 319, 319, 331, 5292, 4333, 332], // perf_event_open
    [135, 136, 1073741959, 92, 136, 92, 92, 136, 136, 136, 5132, 4136, 136], // personality
    [438, 438, 1073742262, 438, 438, 438, 438, 438, 438, 438, 5438, 4438, 438], // pidfd_getfd
    [434, 434, 1073742258, 434, 434, 434, 434, 434, 434, 434, 5434, 4434, 434], // pidfd_open
    [424, 424, 1073742248, 424, 424, 424, 424, 424, 424, 424, 5424, 4424, 424], // pidfd_send_signal
    [22, 42, 1073741846, NONE, 42, NONE, NONE, 42, 42, 42, 5021, 4042, 42], // pipe
    [293, 331, 1073742117, 59, 359, 59, 59, 317, 317, 325, 5287, 4328, 327], // pipe2
    [155, 217, 1073741979, 41, 218, 41, 41, 203, 203, 217, 5151, 4216, 217], // pivot_root
    [330, 381, 1073742154, 289, 395, 289, 289, 384, 384, 385, 5324, 4364, 382], // pkey_alloc
    [331, 382, 1073742155, 290, 396, 290, 290, 385, 385, 386, 5325, 4365, 383], // pkey_free
    [329, 380, 1073742153, 288, 394, 288, 288, 386, 386, 384, 5323, 4363, 381], // pkey_mprotect
    [7, 168, 1073741831, NONE, 168, NONE, NONE, 167, 167, 168, 5007, 4188, 168], // poll
    [271, 309, 1073742095, 73, 336, 73, 73, 281, 281, 302, 5261, 4302, 302], // ppoll
    [NONE, 414, NONE, NONE, 414, NONE, NONE, NONE, 414, NONE, NONE, 4414, 414], // ppoll_time64
    [157, 172, 1073741981, 167, 172, 167, 167, 171, 171, 172, 5153, 4192, 172], // prctl
    [17, 180, 1073741841, 67, 180, 67, 67, 179, 179, 180, 5016, 4200, 180], // pread64
    [295, 333, 1073742358, 69, 361, 69, 69, 320, 320, 328, 5289, 4330, 329], // preadv
    [327, 378, 1073742370, 286, 392, 286, 286, 380, 380, 376, 5321, 4361, 377], // preadv2
    [302, 340, 1073742126, 261, 369, 261, 261, 325, 325, 334, 5297, 4338, 339], // prlimit64
    [440, 440, 1073742264, 440, 440, 440, 440, 440, 440, 440, 5440, 4440, 440], // process_madvise
    [448, 448, 1073742272, 448, 448, 448, 448, 448, 448, 448, 5448, 4448, 448], // process_mrelease
    [310, 347, 1073742363, 270, 376, 270, 270, 351, 351, 340, 5304, 4345, 345], // process_vm_readv
    [311, 348, 1073742364, 271, 377, 271, 271, 352, 352, 341, 5305, 4346, 346], // process_vm_writev
    [NONE, 44, NONE, NONE, NONE, NONE, NONE, 44, 44, NONE, NONE, 4044, NONE], // prof
    [NONE, 98, NONE, NONE, NONE, NONE, NONE, 98, 98, NONE, NONE, 4098, NONE], // profil
    [270, 308, 1073742094, 72, 335, 72, 72, 280, 280, 301, 5260, 4301, 301], // pselect6
    [NONE, 413, NONE, NONE, 413, NONE, NONE, NONE, 413, NONE, NONE, 4413, 413], // pselect6_time64
    [101, 26, 1073742345, 117, 26, 117, 117, 26, 26, 26, 5099, 4026, 26], // ptrace
    [182, 189, 1073742006, NONE, NONE, NONE, NONE, 188, 188, 189, 5175, 4209, 189], // putpmsg
    [18, 181, 1073741842, 68, 181, 68, 68, 180, 180, 181, 5017, 4201, 181], // pwrite64
    [296, 334, 1073742359, 70, 362, 70, 70, 321, 321, 329, 5290, 4331, 330], // pwritev
    [328, 379, 1073742371, 287, 393, 287, 287, 381, 381, 377, 5322, 4362, 378], // pwritev2
    [178, 167, NONE, NONE, NONE, NONE, NONE, 166, 166, 167, 5171, 4187, 167], // query_module
    [179, 131, 1073742003, 60, 131, 60, 60, 131, 131, 131, 5172, 4131, 131], // quotactl
    [443, 443, 1073742267, 443, 443, 443, 443, 443, 443, 443, 5443, 4443, 443], // quotactl_fd
    [0, 3, 1073741824, 63, 3, 63, 63, 3, 3, 3, 5000, 4003, 3], // read
    [187, 225, 1073742011, 213, 225, 213, 213, 191, 191, 222, 5179, 4223, 240], // readahead
    [NONE, 89, NONE, NONE, NONE, NONE, NONE, 89, 89, 89, NONE, 4089, 89], // readdir
    [89, 85, 1073741913, NONE, 85, NONE, NONE, 85, 85, 85, 5087, 4085, 85], // readlink
    [267, 305, 1073742091, 78, 332, 78, 78, 296, 296, 298, 5257, 4298, 298], // readlinkat
    [19, 145, 1073742339, 65, 145, 65, 65, 145, 145, 145, 5018, 4145, 145], // readv
    [169, 88, 1073741993, 142, 88, 142, 142, 88, 88, 88, 5164, 4088, 88], // reboot
    [NONE, NONE, NONE, NONE, 291, NONE, NONE, 336, 336, NONE, NONE, 4175, NONE], // recv
    [45, 371, 1073742341, 207, 292, 207, 207, 337, 337, 371, 5044, 4176, 368], // recvfrom
    [299, 337, 1073742361, 243, 365, 243, 243, 343, 343, 357, 5294, 4335, 371], // recvmmsg
    [NONE, 417, NONE, NONE, 417, NONE, NONE, NONE, 417, NONE, NONE, 4417, 417], // recvmmsg_time64
    [47, 372, 1073742343, 212, 297, 212, 212, 342, 342, 372, 5046, 4177, 369], // recvmsg
    [216, 257, 1073742040, 234, 253, 234, 234, 239, 239, 267, 5210, 4251, 252], // remap_file_pages
    [197, 235, 1073742021, 14, 235, 14, 14, 218, 218, 233, 5189, 4233, 232], // removexattr
    [466, 466, 1073742290, 466, 466, 466, 466, 466, 466, 466, 5466, 4466, 466], // removexattrat
    [82, 38, 1073741906, NONE, 38, NONE, NONE, 38, 38, 38, 5080, 4038, 38], // rename
    [264, 302, 1073742088, 38, 329, NONE, NONE, 293, 293, 295, 5254, 4295, 295], // renameat
    [316, 353, 1073742140, 276, 382, 276, 276, 357, 357, 347, 5311, 4351, 351], // renameat2
    [249, 287, 1073742073, 218, 310, 218, 218, 270, 270, 279, 5240, 4281, 280], // request_key
    [219, 0, 1073742043, 128, 0, 128, 128, 0, 0, 7, 5213, 4253, 0], // restart_syscall
    [NONE, NONE, NONE, NONE, NONE, 259, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // riscv_flush_icache
    [NONE, NONE, NONE, NONE, NONE, 258, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // riscv_hwprobe
    [84, 40, 1073741908, NONE, 40, NONE, NONE, 40, 40, 40, 5082, 4040, 40], // rmdir
    [334, 386, 1073742158, 293, 398, 293, 293, 387, 387, 383, 5327, 4367, 384], // rseq
    [13, 174, 1073742336, 134, 174, 134, 134, 173, 173, 174, 5013, 4194, 174], // rt_sigaction
    [127, 176, 1073742346, 136, 176, 136, 136, 175, 175, 176, 5125, 4196, 176], // rt_sigpending
    [14, 175, 1073741838, 135, 175, 135, 135, 174, 174, 175, 5014, 4195, 175], // rt_sigprocmask
    [129, 178, 1073742348, 138, 178, 138, 138, 177, 177, 178, 5127, 4198, 178], // rt_sigqueueinfo
    [15, 173, 1073742337, 139, 173, 139, 139, 172, 172, 173, 5211, 4193, 173], // rt_sigreturn
    [130, 179, 1073741954, 133, 179, 133, 133, 178, 178, 179, 5128, 4199, 179], // rt_sigsuspend
    [128, 177, 1073742347, 137, 177, 137, 137, 176, 176, 177, 5126, 4197, 177], // rt_sigtimedwait
    [NONE, 421, NONE, NONE, 421, NONE, NONE, NONE, 421, NONE, NONE, 4421, 421], // rt_sigtimedwait_time64
    [297, 335, 1073742360, 240, 363, 240, 240, 322, 322, 330, 5291, 4332, 331], // rt_tgsigqueueinfo
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 255, 255, NONE, NONE, NONE, NONE], // rtas
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 378, NONE, NONE, NONE], // s390_guarded_storage
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 353, NONE, NONE, NONE], // s390_pci_mmio_read
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 352, NONE, NONE, NONE], // s390_pci_mmio_write
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 342, NONE, NONE, NONE], // s390_runtime_instr
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 380, NONE, NONE, NONE], // s390_sthyi
    [146, 159, 1073741970, 125, 159, 125, 125, 159, 159, 159, 5143, 4163, 159], // sched_get_priority_max
    [147, 160, 1073741971, 126, 160, 126, 126, 160, 160, 160, 5144, 4164, 160], // sched_get_priority_min
    [204, 242, 1073742028, 123, 242, 123, 123, 223, 223, 240, 5196, 4240, 312], // sched_getaffinity
    [315, 352, 1073742139, 275, 381, 275, 275, 356, 356, 346, 5310, 4350, 350], // sched_getattr
    [143, 155, 1073741967, 121, 155, 121, 121, 155, 155, 155, 5140, 4159, 155], // sched_getparam
    [145, 157, 1073741969, 120, 157, 120, 120, 157, 157, 157, 5142, 4161, 157], // sched_getscheduler
    [148, 161, 1073741972, 127, 161, 127, 127, 161, 161, 161, 5145, 4165, 161], // sched_rr_get_interval
    [NONE, 423, NONE, NONE, 423, NONE, NONE, NONE, 423, NONE, NONE, 4423, 423], // sched_rr_get_interval_time64
    [203, 241, 1073742027, 122, 241, 122, 122, 222, 222, 239, 5195, 4239, 311], // sched_setaffinity
    [314, 351, 1073742138, 274, 380, 274, 274, 355, 355, 345, 5309, 4349, 349], // sched_setattr
    [142, 154, 1073741966, 118, 154, 118, 118, 154, 154, 154, 5139, 4158, 154], // sched_setparam
    [144, 156, 1073741968, 119, 156, 119, 119, 156, 156, 156, 5141, 4160, 156], // sched_setscheduler
    [24, 158, 1073741848, 124, 158, 124, 124, 158, 158, 158, 5023, 4162, 158], // sched_yield
    [317, 354, 1073742141, 277, 383, 277, 277, 358, 358, 348, 5312, 4352, 380], // seccomp
    [185, NONE, 1073742009, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // security
    [23, 82, 1073741847, NONE, NONE, NONE, NONE, 82, 82, 142, NONE, NONE, 82], // select
    [66, 394, 1073741890, 191, 300, 191, 191, 394, 394, 394, 5064, 4394, 394], // semctl
    [64, 393, 1073741888, 190, 299, 190, 190, 393, 393, 393, 5062, 4393, 393], // semget
    [65, NONE, 1073741889, 193, 298, 193, 193, NONE, NONE, NONE, 5063, NONE, NONE], // semop
    [220, NONE, 1073742044, 192, 312, 192, 192, 392, NONE, 392, 5214, NONE, NONE], // semtimedop
    [NONE, 420, NONE, NONE, 420, NONE, NONE, NONE, 420, NONE, NONE, 4420, 420], // semtimedop_time64
    [NONE, NONE, NONE, NONE, 289, NONE, NONE, 334, 334, NONE, NONE, 4178, NONE], // send
    [40, 187, 1073741864, 71, 187, 71, 71, 186, 186, 187, 5039, 4207, 187], // sendfile
    [NONE, 239, NONE, NONE, 239, NONE, NONE, NONE, 226, NONE, NONE, 4237, 236], // sendfile64
    [307, 345, 1073742362, 269, 374, 269, 269, 349, 349, 358, 5302, 4343, 372], // sendmmsg
    [46, 370, 1073742342, 211, 296, 211, 211, 341, 341, 370, 5045, 4179, 367], // sendmsg
    [44, 369, 1073741868, 206, 290, 206, 206, 335, 335, 369, 5043, 4180, 366], // sendto
    [238, 276, 1073742062, 237, 321, 237, 237, 261, 261, 270, 5229, 4270, 270], // set_mempolicy
    [450, 450, 1073742274, 450, 450, 450, 450, 450, 450, 450, 5450, 4450, 450], // set_mempolicy_home_node
    [273, 311, 1073742354, 99, 338, 99, 99, 300, 300, 304, 5268, 4309, 304], // set_robust_list
    [205, 243, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 5242, 4283, 334], // set_thread_area
    [218, 258, 1073742042, 96, 256, 96, 96, 232, 232, 252, 5212, 4252, 253], // set_tid_address
    [NONE, NONE, NONE, NONE, 983045, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // set_tls
    [171, 121, 1073741995, 162, 121, 162, 162, 121, 121, 121, 5166, 4121, 121], // setdomainname
    [123, 139, 1073741947, 152, 139, 152, 152, 139, 139, 216, 5121, 4139, 139], // setfsgid
    [NONE, 216, NONE, NONE, 216, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 216], // setfsgid32
    [122, 138, 1073741946, 151, 138, 151, 151, 138, 138, 215, 5120, 4138, 138], // setfsuid
    [NONE, 215, NONE, NONE, 215, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 215], // setfsuid32
    [106, 46, 1073741930, 144, 46, 144, 144, 46, 46, 214, 5104, 4046, 46], // setgid
    [NONE, 214, NONE, NONE, 214, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 214], // setgid32
    [116, 81, 1073741940, 159, 81, 159, 159, 81, 81, 206, 5114, 4081, 81], // setgroups
    [NONE, 206, NONE, NONE, 206, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 206], // setgroups32
    [170, 74, 1073741994, 161, 74, 161, 161, 74, 74, 74, 5165, 4074, 74], // sethostname
    [38, 104, 1073741862, 103, 104, 103, 103, 104, 104, 104, 5036, 4104, 104], // setitimer
    [308, 346, 1073742132, 268, 375, 268, 268, 350, 350, 339, 5303, 4344, 344], // setns
    [109, 57, 1073741933, 154, 57, 154, 154, 57, 57, 57, 5107, 4057, 57], // setpgid
    [141, 97, 1073741965, 140, 97, 140, 140, 97, 97, 97, 5138, 4097, 97], // setpriority
    [114, 71, 1073741938, 143, 71, 143, 143, 71, 71, 204, 5112, 4071, 71], // setregid
    [NONE, 204, NONE, NONE, 204, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 204], // setregid32
    [119, 170, 1073741943, 149, 170, 149, 149, 169, 169, 210, 5117, 4190, 170], // setresgid
    [NONE, 210, NONE, NONE, 210, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 210], // setresgid32
    [117, 164, 1073741941, 147, 164, 147, 147, 164, 164, 208, 5115, 4185, 164], // setresuid
    [NONE, 208, NONE, NONE, 208, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 208], // setresuid32
    [113, 70, 1073741937, 145, 70, 145, 145, 70, 70, 203, 5111, 4070, 70], // setreuid
    [NONE, 203, NONE, NONE, 203, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 203], // setreuid32
    [160, 75, 1073741984, 164, 75, 164, NONE, 75, 75, 75, 5155, 4075, 75], // setrlimit
    [112, 66, 1073741936, 157, 66, 157, 157, 66, 66, 66, 5110, 4066, 66], // setsid
    [54, 366, 1073742365, 208, 294, 208, 208, 339, 339, 366, 5053, 4181, 363], // setsockopt
    [164, 79, 1073741988, 170, 79, 170, 170, 79, 79, 79, 5159, 4079, 79], // settimeofday
    [105, 23, 1073741929, 146, 23, 146, 146, 23, 23, 213, 5103, 4023, 23], // setuid
    [NONE, 213, NONE, NONE, 213, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 213], // setuid32
    [188, 226, 1073742012, 5, 226, 5, 5, 209, 209, 224, 5180, 4224, 223], // setxattr
    [463, 463, 1073742287, 463, 463, 463, 463, 463, 463, 463, 5463, 4463, 463], // setxattrat
    [NONE, 68, NONE, NONE, NONE, NONE, NONE, 68, 68, NONE, NONE, 4068, 68], // sgetmask
    [30, 397, 1073741854, 196, 305, 196, 196, 397, 397, 397, 5029, 4397, 397], // shmat
    [31, 396, 1073741855, 195, 308, 195, 195, 396, 396, 396, 5030, 4396, 396], // shmctl
    [67, 398, 1073741891, 197, 306, 197, 197, 398, 398, 398, 5065, 4398, 398], // shmdt
    [29, 395, 1073741853, 194, 307, 194, 194, 395, 395, 395, 5028, 4395, 395], // shmget
    [48, 373, 1073741872, 210, 293, 210, 210, 338, 338, 373, 5047, 4182, 370], // shutdown
    [NONE, 67, NONE, NONE, 67, NONE, NONE, 67, 67, 67, NONE, 4067, 67], // sigaction
    [131, 186, 1073742349, 132, 186, 132, 132, 185, 185, 186, 5129, 4206, 186], // sigaltstack
    [NONE, 48, NONE, NONE, NONE, NONE, NONE, 48, 48, 48, NONE, 4048, 48], // signal
    [282, 321, 1073742106, NONE, 349, NONE, NONE, 305, 305, 316, 5276, 4317, 317], // signalfd
    [289, 327, 1073742113, 74, 355, 74, 74, 313, 313, 322, 5283, 4324, 323], // signalfd4
    [NONE, 73, NONE, NONE, 73, NONE, NONE, 73, 73, 73, NONE, 4073, 73], // sigpending
    [NONE, 126, NONE, NONE, 126, NONE, NONE, 126, 126, 126, NONE, 4126, 126], // sigprocmask
    [NONE, 119, NONE, NONE, 119, NONE, NONE, 119, 119, 119, NONE, 4119, 119], // sigreturn
    [NONE, 72, NONE, NONE, 72, NONE, NONE, 72, 72, 72, NONE, 4072, 72], // sigsuspend
    [41, 359, 1073741865, 198, 281, 198, 198, 326, 326, 359, 5040, 4183, 356], // socket
    [NONE, 102, NONE, NONE, NONE, NONE, NONE, 102, 102, 102, NONE, 4102, 102], // socketcall
    [53, 360, 1073741877, 199, 288, 199, 199, 333, 333, 360, 5052, 4184, 357], // socketpair
    [275, 313, 1073742099, 76, 340, 76, 76, 283, 283, 306, 5263, 4304, 306], // splice
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 279, 279, NONE, NONE, NONE, NONE], // spu_create
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 278, 278, NONE, NONE, NONE, NONE], // spu_run
    [NONE, 69, NONE, NONE, NONE, NONE, NONE, 69, 69, NONE, NONE, 4069, 69], // ssetmask
    [4, 106, 1073741828, NONE, 106, NONE, NONE, 106, 106, 106, 5004, 4106, 106], // stat
    [NONE, 195, NONE, NONE, 195, NONE, NONE, NONE, 195, NONE, NONE, 4213, 195], // stat64
    [137, 99, 1073741961, 43, 99, 43, 43, 99, 99, 99, 5134, 4099, 99], // statfs
    [NONE, 268, NONE, NONE, 266, NONE, NONE, 252, 252, 265, NONE, 4255, 263], // statfs64
    [457, 457, 1073742281, 457, 457, 457, 457, 457, 457, 457, 5457, 4457, 457], // statmount
    [332, 383, 1073742156, 291, 397, 291, 291, 383, 383, 379, 5326, 4366, 379], // statx
    [NONE, 25, NONE, NONE, NONE, NONE, NONE, 25, 25, NONE, NONE, 4025, 25], // stime
    [NONE, 31, NONE, NONE, NONE, NONE, NONE, 31, 31, NONE, NONE, 4031, NONE], // stty
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 310, 310, NONE, NONE, NONE, NONE], // subpage_prot
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 249, 249, NONE, NONE, NONE, NONE], // swapcontext
    [168, 115, 1073741992, 225, 115, 225, 225, 115, 115, 115, 5163, 4115, 115], // swapoff
    [167, 87, 1073741991, 224, 87, 224, 224, 87, 87, 87, 5162, 4087, 87], // swapon
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 363, 363, NONE, NONE, NONE, NONE], // switch_endian
    [88, 83, 1073741912, NONE, 83, NONE, NONE, 83, 83, 83, 5086, 4083, 83], // symlink
    [266, 304, 1073742090, 36, 331, 36, 36, 295, 295, 297, 5256, 4297, 297], // symlinkat
    [162, 36, 1073741986, 81, 36, 81, 81, 36, 36, 36, 5157, 4036, 36], // sync
    [277, 314, 1073742101, 84, NONE, 84, 84, NONE, NONE, 307, 5264, 4305, 307], // sync_file_range
    [NONE, NONE, NONE, NONE, 341, NONE, NONE, 308, 308, NONE, NONE, NONE, NONE], // sync_file_range2
    [306, 344, 1073742130, 267, 373, 267, 267, 348, 348, 338, 5301, 4342, 343], // syncfs
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, 256, 256, NONE, NONE, NONE, NONE], // sys_debug_setcontext
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 4000, NONE], // syscall
    [139, 135, 1073741963, NONE, 135, NONE, NONE, 135, 135, 135, 5136, 4135, 135], // sysfs
    [99, 116, 1073741923, 179, 116, 179, 179, 116, 116, 116, 5097, 4116, 116], // sysinfo
    [103, 103, 1073741927, 116, 103, 116, 116, 103, 103, 103, 5101, 4103, 103], // syslog
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 5199, 4149, NONE], // sysmips
    [276, 315, 1073742100, 77, 342, 77, 77, 284, 284, 308, 5265, 4306, 308], // tee
    [234, 270, 1073742058, 131, 268, 131, 131, 250, 250, 241, 5225, 4266, 265], // tgkill
    [201, 13, 1073742025, NONE, NONE, NONE, NONE, 13, 13, NONE, NONE, 4013, 13], // time
    [222, 259, 1073742350, 107, 257, 107, 107, 240, 240, 254, 5216, 4257, 254], // timer_create
    [226, 263, 1073742050, 111, 261, 111, 111, 244, 244, 258, 5220, 4261, 258], // timer_delete
    [225, 262, 1073742049, 109, 260, 109, 109, 243, 243, 257, 5219, 4260, 257], // timer_getoverrun
    [224, 261, 1073742048, 108, 259, 108, 108, 242, 242, 256, 5218, 4259, 256], // timer_gettime
    [NONE, 408, NONE, NONE, 408, NONE, NONE, NONE, 408, NONE, NONE, 4408, 408], // timer_gettime64
    [223, 260, 1073742047, 110, 258, 110, 110, 241, 241, 255, 5217, 4258, 255], // timer_settime
    [NONE, 409, NONE, NONE, 409, NONE, NONE, NONE, 409, NONE, NONE, 4409, 409], // timer_settime64
    [NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 317, 5277, 4318, NONE], // timerfd
    [283, 322, 1073742107, 85, 350, 85, 85, 306, 306, 319, 5280, 4321, 318], // timerfd_create
    [287, 326, 1073742111, 87, 354, 87, 87, 312, 312, 321, 5281, 4322, 322], // timerfd_gettime
    [NONE, 410, NONE, NONE, 410, NONE, NONE, NONE, 410, NONE, NONE, 4410, 410], // timerfd_gettime64
    [286, 325, 1073742110, 86, 353, 86, 86, 311, 311, 320, 5282, 4323, 321], // timerfd_settime
    [NONE, 411, NONE, NONE, 411, NONE, NONE, NONE, 411, NONE, NONE, 4411, 411], // timerfd_settime64
    [100, 43, 1073741924, 153, 43, 153, 153, 43, 43, 43, 5098, 4043, 43], // times
    [200, 238, 1073742024, 130, 238, 130, 130, 208, 208, 237, 5192, 4236, 222], // tkill
    [76, 92, 1073741900, 45, 92, 45, 45, 92, 92, 92, 5074, 4092, 92], // truncate
    [NONE, 193, NONE, NONE, 193, NONE, NONE, NONE, 193, NONE, NONE, 4211, 193], // truncate64
    [184, NONE, 1073742008, NONE, NONE, NONE, NONE, 225, 225, NONE, NONE, NONE, NONE], // tuxcall
    [NONE, 191, NONE, NONE, 191, NONE, NONE, 190, 190, NONE, NONE, NONE, 191], // ugetrlimit
    [NONE, 58, NONE, NONE, NONE, NONE, NONE, 58, 58, NONE, NONE, 4058, NONE], // ulimit
    [95, 60, 1073741919, 166, 60, 166, 166, 60, 60, 60, 5093, 4060, 60], // umask
    [NONE, 22, NONE, NONE, NONE, NONE, NONE, 22, 22, 22, NONE, 4022, 22], // umount
    [166, 52, 1073741990, 39, 52, 39, 39, 52, 52, 52, 5161, 4052, 52], // umount2
    [63, 122, 1073741887, 160, 122, 160, 160, 122, 122, 122, 5061, 4122, 122], // uname
    [87, 10, 1073741911, NONE, 10, NONE, NONE, 10, 10, 10, 5085, 4010, 10], // unlink
    [263, 301, 1073742087, 35, 328, 35, 35, 292, 292, 294, 5253, 4294, 294], // unlinkat
    [272, 310, 1073742096, 97, 337, 97, 97, 282, 282, 303, 5262, 4303, 303], // unshare
    [335, NONE, 1073742159, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // uretprobe
    [134, 86, NONE, NONE, 86, NONE, NONE, 86, 86, 86, NONE, 4086, 86], // uselib
    [323, 374, 1073742147, 282, 388, 282, 282, 364, 364, 355, 5317, 4357, 373], // userfaultfd
    [NONE, NONE, NONE, NONE, 983043, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // usr26
    [NONE, NONE, NONE, NONE, 983044, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // usr32
    [136, 62, 1073741960, NONE, 62, NONE, NONE, 62, 62, 62, 5133, 4062, 62], // ustat
    [132, 30, 1073741956, NONE, NONE, NONE, NONE, 30, 30, 30, 5130, 4030, 30], // utime
    [280, 320, 1073742104, 88, 348, 88, 88, 304, 304, 315, 5275, 4316, 316], // utimensat
    [NONE, 412, NONE, NONE, 412, NONE, NONE, NONE, 412, NONE, NONE, 4412, 412], // utimensat_time64
    [235, 271, 1073742059, NONE, 269, NONE, NONE, 251, 251, 313, 5226, 4267, 266], // utimes
    [58, 190, 1073741882, NONE, 190, NONE, NONE, 189, 189, 190, NONE, NONE, 190], // vfork
    [153, 111, 1073741977, 58, 111, 58, 58, 111, 111, 111, 5150, 4111, 111], // vhangup
    [NONE, 166, NONE, NONE, NONE, NONE, NONE, 113, 113, NONE, NONE, 4113, NONE], // vm86
    [NONE, 113, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE], // vm86old
    [278, 316, 1073742356, 75, 343, 75, 75, 285, 285, 309, 5266, 4307, 309], // vmsplice
    [236, 273, NONE, NONE, 313, NONE, NONE, NONE, NONE, NONE, 5236, 4277, NONE], // vserver
    [61, 114, 1073741885, 260, 114, 260, 260, 114, 114, 114, 5059, 4114, 114], // wait4
    [247, 284, 1073742353, 95, 280, 95, 95, 272, 272, 281, 5237, 4278, 277], // waitid
    [NONE, 7, NONE, NONE, NONE, NONE, NONE, 7, 7, NONE, NONE, 4007, 7], // waitpid
    [1, 4, 1073741825, 64, 4, 64, 64, 4, 4, 4, 5001, 4004, 4], // write
    [20, 146, 1073742340, 66, 146, 66, 66, 146, 146, 146, 5019, 4146, 146], // writev
];
