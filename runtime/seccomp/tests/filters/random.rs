//! Random profiles and calls: the program says what the profile means.

use corten_runtime_seccomp::{CompileError, compile, number};
use oci_spec::runtime::{Arch, LinuxSeccomp};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::interpreter::{Data, check, run};
use crate::meaning::{audit, verdict};

const NAMES: [&str; 20] = [
    "read",
    "open",
    "clone",
    "clone3",
    "socket",
    "bind",
    "semop",
    "shmctl",
    "socketcall",
    "ipc",
    "personality",
    "exit_group",
    "openat2",
    "futex_time64",
    "arch_prctl",
    "mmap2",
    "recvmsg",
    "ioctl",
    "no_such_call",
    "execve",
];
const NATIVES: [Arch; 8] = [
    Arch::ScmpArchX86_64,
    Arch::ScmpArchAarch64,
    Arch::ScmpArchRiscv64,
    Arch::ScmpArchS390x,
    Arch::ScmpArchPpc64,
    Arch::ScmpArchMipsel64,
    Arch::ScmpArchArm,
    Arch::ScmpArchX86,
];
const OTHERS: [&str; 6] = [
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_X86_64",
];

fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..8,
        Just(0xffff_ffff),
        Just(1 << 32),
        Just((1 << 32) + 1),
        Just(u64::MAX),
        Just(0x7e02_0000),
        any::<u64>(),
    ]
}

fn action() -> impl Strategy<Value = (&'static str, Option<u32>)> {
    prop_oneof![
        Just(("SCMP_ACT_ALLOW", None)),
        Just(("SCMP_ACT_ERRNO", None)),
        (0_u32..=4095).prop_map(|errno| ("SCMP_ACT_ERRNO", Some(errno))),
        (0_u32..=65535).prop_map(|data| ("SCMP_ACT_TRACE", Some(data))),
        Just(("SCMP_ACT_KILL", None)),
        Just(("SCMP_ACT_KILL_PROCESS", None)),
        Just(("SCMP_ACT_KILL_THREAD", None)),
        Just(("SCMP_ACT_TRAP", None)),
        Just(("SCMP_ACT_LOG", None)),
        Just(("SCMP_ACT_NOTIFY", None)),
    ]
}

fn arg() -> impl Strategy<Value = Value> {
    const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let op = proptest::sample::select(&OPERATORS[..]);
    (0_usize..6, word(), proptest::option::of(word()), op).prop_map(|(index, value, two, op)| {
        let mut arg = json!({ "index": index, "value": value, "op": format!("SCMP_CMP_{op}") });
        if let Some(two) = two {
            arg["valueTwo"] = json!(two);
        }
        arg
    })
}

fn rule() -> impl Strategy<Value = Value> {
    let names = proptest::sample::subsequence(&NAMES[..], 1..4);
    // Many that ask one argument for one value are a search of their own.
    let args = prop_oneof![
        proptest::collection::vec(arg(), 0..4),
        (0_u64..8)
            .prop_map(|value| vec![json!({ "index": 1, "value": value, "op": "SCMP_CMP_EQ" })]),
    ];
    (names, action(), args).prop_map(|(names, (action, errno), args)| {
        let mut rule = json!({ "names": names, "action": action, "args": args });
        if let Some(errno) = errno {
            rule["errnoRet"] = json!(errno);
        }
        rule
    })
}

fn profile() -> impl Strategy<Value = LinuxSeccomp> {
    let default =
        action().prop_filter("needs its listener", |(action, _)| *action != "SCMP_ACT_NOTIFY");
    let rules = proptest::collection::vec(rule(), 0..14);
    let archs = proptest::sample::subsequence(&OTHERS[..], 0..4);
    (default, rules, archs).prop_map(|((action, errno), rules, archs)| {
        let mut profile = json!({
            "defaultAction": action, "syscalls": rules, "architectures": archs,
            "listenerPath": "/run/agent",
        });
        if let Some(errno) = errno {
            profile["defaultErrnoRet"] = json!(errno);
        }
        serde_json::from_value(profile).unwrap()
    })
}

/// Every number that could matter, and its neighbours.
fn numbers(native: Arch) -> Vec<(u32, u32)> {
    let archs: Vec<Arch> = OTHERS
        .iter()
        .map(|name| serde_json::from_value(json!(name)).unwrap())
        .chain([native])
        .collect();
    let mut all = vec![(0x1234, 0)];
    for arch in archs {
        let (audit, _) = audit(arch);
        all.extend([0, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, u32::MAX].map(|at| (audit, at)));
        for number in NAMES.iter().filter_map(|name| number(arch, name)) {
            all.extend([number.saturating_sub(1), number, number + 1].map(|at| (audit, at)));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_program_says_what_the_profile_means(
        profile in profile(),
        native in proptest::sample::select(&NATIVES[..]),
        calls in proptest::collection::vec(proptest::array::uniform6(word()), 6),
    ) {
        let filter = compile(&profile, native).unwrap();
        check(&filter.program);
        // The kernel has one endianness, and the filter that of the architecture it is for.
        let kernel_is_little = audit(native).0 & 0x4000_0000;
        for (arch, number) in numbers(native) {
            if arch & 0x4000_0000 != kernel_is_little {
                continue;
            }
            for args in &calls {
                let data = Data::new(arch, number, *args);
                let (got, _) = run(&filter.program, &data);
                prop_assert_eq!(got, verdict(&profile, native, &data), "{:x?}", data);
            }
        }
    }

    /// Whatever parses compiles or is refused, and what compiles the kernel takes.
    #[test]
    fn no_profile_panics(
        names in proptest::collection::vec("[a-z_0-9]{0,8}|read|socket|clone", 0..6),
        actions in proptest::collection::vec((action(), proptest::option::of(any::<u32>())), 0..6),
        args in proptest::collection::vec((any::<usize>(), word(), word()), 0..4),
        repeat in 0_usize..40,
        path in proptest::option::of(".{0,20}"),
        metadata in proptest::option::of(".{0,20}"),
    ) {
        let args: Vec<Value> = args
            .iter()
            .map(|(index, value, two)| json!({
                "index": index % 8, "value": value, "valueTwo": two, "op": "SCMP_CMP_MASKED_EQ",
            }))
            .collect();
        let rules: Vec<Value> = actions
            .iter()
            .cycle()
            .take(if actions.is_empty() { 0 } else { repeat * 20 })
            .map(|((action, _), errno)| {
                let mut rule = json!({ "names": names, "action": action, "args": args });
                if let Some(errno) = errno {
                    rule["errnoRet"] = json!(errno);
                }
                rule
            })
            .collect();
        let mut profile = json!({ "defaultAction": "SCMP_ACT_KILL", "syscalls": rules });
        if let Some(path) = path {
            profile["listenerPath"] = json!(path);
        }
        if let Some(metadata) = metadata {
            profile["listenerMetadata"] = json!(metadata);
        }
        let profile = serde_json::from_value(profile).unwrap();
        match compile(&profile, Arch::ScmpArchX86_64) {
            Ok(filter) => check(&filter.program),
            Err(CompileError::Invalid { field, reason }) => {
                prop_assert!(!field.is_empty() && !reason.is_empty());
            }
            Err(CompileError::TooLong { instructions }) => prop_assert!(instructions > 4096),
        }
    }
}
