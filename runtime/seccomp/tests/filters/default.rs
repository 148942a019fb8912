//! The default profile.

use corten_runtime_seccomp::{NATIVE, compile, number, runtime_default};
use oci_spec::runtime::{Arch, Capability};

use crate::interpreter::{Data, check, run};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0000 | 38;

fn ask(capabilities: &[Capability], name: &str, args: [u64; 6]) -> u32 {
    let bounding = capabilities.iter().copied().collect();
    let profile = runtime_default(&bounding, Arch::ScmpArchX86_64);
    let filter = compile(&profile, Arch::ScmpArchX86_64).unwrap();
    check(&filter.program);
    let number = number(Arch::ScmpArchX86_64, name).unwrap();
    run(&filter.program, &Data::new(0xc000_003e, number, args)).0
}

#[test]
fn what_it_lets_pass() {
    let plain = |name| ask(&[], name, [0; 6]);
    for name in ["read", "execve", "futex", "openat2", "clone", "ptrace", "personality"] {
        assert_eq!(plain(name), ALLOW, "{name}");
    }
    for name in [
        "mount",
        "setns",
        "unshare",
        "keyctl",
        "add_key",
        "bpf",
        "kexec_load",
        "swapon",
        "reboot",
        "io_uring_setup",
        "userfaultfd",
        "open_by_handle_at",
        "chroot",
    ] {
        assert_eq!(plain(name), EPERM, "{name}");
    }
    assert_eq!(plain("clone3"), ENOSYS);
    assert_eq!(ask(&[], "clone", [0x1000_0011, 0, 0, 0, 0, 0]), EPERM);
    for (family, wanted) in [(1, ALLOW), (2, ALLOW), (10, ALLOW), (38, EPERM), (40, EPERM)] {
        assert_eq!(ask(&[], "socket", [family, 1, 0, 0, 0, 0]), wanted, "{family}");
    }
    assert_eq!(ask(&[], "personality", [0x0040_0000, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn a_capability_brings_its_calls() {
    for (capability, name) in [
        (Capability::SysAdmin, "mount"),
        (Capability::SysAdmin, "clone3"),
        (Capability::SysChroot, "chroot"),
        (Capability::SysBoot, "reboot"),
        (Capability::Bpf, "bpf"),
        (Capability::SysNice, "mbind"),
    ] {
        assert_eq!(ask(&[capability], name, [0; 6]), ALLOW, "{name}");
    }
    assert_eq!(ask(&[Capability::SysAdmin], "clone", [0x1000_0011, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn it_compiles_for_every_architecture_and_knows_its_names() {
    for arch in [
        NATIVE,
        Arch::ScmpArchAarch64,
        Arch::ScmpArchArm,
        Arch::ScmpArchRiscv64,
        Arch::ScmpArchPpc64le,
        Arch::ScmpArchS390x,
        Arch::ScmpArchMips64,
        Arch::ScmpArchLoongarch64,
        Arch::ScmpArchM68k,
    ] {
        let profile = runtime_default(&std::collections::HashSet::new(), arch);
        let filter = compile(&profile, arch).unwrap();
        check(&filter.program);
        // A name that no kernel has got would be a slip of the pen.
        let never = ["fstatat64", "getsid"];
        let unknown: Vec<_> =
            filter.unknown.iter().filter(|name| !never.contains(&name.as_str())).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(filter.left_out.is_empty());
    }
}
