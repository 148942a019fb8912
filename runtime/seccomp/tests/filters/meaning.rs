//! What a profile says of one call, worked out rule by rule and without a program.

use corten_runtime_seccomp::number;
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg};

use crate::interpreter::Data;

const KILL_THREAD: u32 = 0;
pub(crate) const ENOSYS: u32 = 0x0005_0000 | 38;
const X32_BIT: u32 = 0x4000_0000;

/// `AUDIT_ARCH_*` of an architecture, and whether its arguments have 64 bits.
pub(crate) fn audit(arch: Arch) -> (u32, bool) {
    if arch == Arch::ScmpArchX32 {
        return (0xc000_003e, false);
    }
    // As libseccomp, the specification's library takes the kernel's constants for the others.
    (arch as u32, arch as u32 & 0x8000_0000 != 0)
}

pub(crate) fn returns(action: Action, errno: Option<u32>) -> u32 {
    match action {
        Action::ScmpActKill | Action::ScmpActKillThread => 0,
        Action::ScmpActKillProcess => 0x8000_0000,
        Action::ScmpActTrap => 0x0003_0000,
        Action::ScmpActErrno => 0x0005_0000 | errno.unwrap_or(1),
        Action::ScmpActNotify => 0x7fc0_0000,
        Action::ScmpActTrace => 0x7ff0_0000 | errno.unwrap_or(1),
        Action::ScmpActLog => 0x7ffc_0000,
        Action::ScmpActAllow => 0x7fff_0000,
    }
}

fn holds(arg: &LinuxSeccompArg, data: &Data, wide: bool) -> bool {
    use oci_spec::runtime::LinuxSeccompOperator as Op;
    let cut = |value: u64| if wide { value } else { value & 0xffff_ffff };
    let (given, value) = (cut(data.args[arg.index()]), cut(arg.value()));
    match arg.op() {
        Op::ScmpCmpEq => given == value,
        Op::ScmpCmpNe => given != value,
        Op::ScmpCmpLt => given < value,
        Op::ScmpCmpLe => given <= value,
        Op::ScmpCmpGt => given > value,
        Op::ScmpCmpGe => given >= value,
        Op::ScmpCmpMaskedEq => given & value == cut(arg.value_two().unwrap_or(0)),
    }
}

const SOCKET_CALLS: &str = "socket bind connect listen accept getsockname getpeername socketpair \
                            send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg \
                            recvmsg accept4 recvmmsg sendmmsg";
const IPC_CALLS: &str = "- semop semget semctl semtimedop - - - - - - msgsnd msgrcv msgget msgctl - \
                         - - - - - shmat shmdt shmget shmctl";

/// The call that `socketcall` or `ipc` carries here.
fn carried(arch: Arch, data: &Data) -> Option<&'static str> {
    let is = |name| number(arch, name) == Some(data.number);
    if is("socketcall") {
        let index = (data.args[0] & 0xffff_ffff).checked_sub(1)?;
        return SOCKET_CALLS.split_whitespace().nth(usize::try_from(index).unwrap());
    }
    let index = usize::try_from(data.args[0] & 0xffff).unwrap();
    is("ipc").then(|| IPC_CALLS.split_whitespace().nth(index)).flatten()
}

/// What a kernel runs besides its own programs.
fn runs(native: Arch) -> &'static [Arch] {
    const FAMILIES: [(Arch, &[Arch]); 4] = [
        (Arch::ScmpArchX86_64, &[Arch::ScmpArchX86, Arch::ScmpArchX32]),
        (Arch::ScmpArchAarch64, &[Arch::ScmpArchArm]),
        (Arch::ScmpArchPpc64, &[Arch::ScmpArchPpc]),
        (Arch::ScmpArchMipsel64, &[Arch::ScmpArchMipsel]),
    ];
    FAMILIES.iter().find(|(kernel, _)| *kernel == native).map_or(&[], |(_, runs)| runs)
}

/// What becomes of a call.
pub(crate) fn verdict(profile: &LinuxSeccomp, native: Arch, data: &Data) -> u32 {
    let mut archs = profile.architectures().clone().unwrap_or_default();
    archs.retain(|arch| runs(native).contains(arch));
    archs.push(native);
    let default = returns(profile.default_action(), profile.default_errno_ret());
    let x32 = data.arch == 0xc000_003e && data.number & X32_BIT != 0;
    let has_x32 = archs.contains(&Arch::ScmpArchX32);
    if x32 && !has_x32 && archs.contains(&Arch::ScmpArchX86_64) && data.number == u32::MAX {
        return default;
    }
    let arch = archs.into_iter().find(|arch| {
        audit(*arch).0 == data.arch
            && (data.arch != 0xc000_003e || x32 == (*arch == Arch::ScmpArchX32))
    });
    let Some(arch) = arch else { return KILL_THREAD };
    let rules = || profile.syscalls().iter().flatten();
    let known = |name: &String| {
        let carrier = if SOCKET_CALLS.split(' ').any(|call| call == name) {
            number(arch, "socketcall")
        } else if name != "-" && IPC_CALLS.split(' ').any(|call| call == name) {
            number(arch, "ipc")
        } else {
            None
        };
        number(arch, name).max(carrier)
    };
    let highest = rules().flat_map(|rule| rule.names()).filter_map(known).max();
    let passes = matches!(
        profile.default_action(),
        Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace
    );
    if !passes {
        let multiplexer = arch == Arch::ScmpArchS390x && data.number == 0;
        if highest.is_some_and(|highest| data.number > highest || multiplexer) {
            return ENOSYS;
        }
    }
    let speaking = || {
        rules()
            .map(|rule| (rule, returns(rule.action(), rule.errno_ret())))
            .filter(|(_, returns)| *returns != default)
    };
    let carried = carried(arch, data);
    let mut conditional = None;
    for (rule, returns) in speaking() {
        for name in rule.names() {
            let args = rule.args().clone().unwrap_or_default();
            if carried == Some(name) {
                conditional.get_or_insert(returns);
            }
            if number(arch, name) != Some(data.number) {
                continue;
            }
            if args.is_empty() {
                return returns;
            }
            let wide = audit(arch).1;
            let mut indices: Vec<usize> = args.iter().map(LinuxSeccompArg::index).collect();
            indices.sort_unstable();
            indices.dedup();
            let several = indices.len() < args.len();
            let held = if several {
                args.iter().any(|arg| holds(arg, data, wide))
            } else {
                args.iter().all(|arg| holds(arg, data, wide))
            };
            if held {
                conditional.get_or_insert(returns);
            }
        }
    }
    conditional.unwrap_or(default)
}
