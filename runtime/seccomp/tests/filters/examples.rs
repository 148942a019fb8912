//! Single rules of the specification, each by an example.

use corten_runtime_seccomp::{CompileError, Filter, compile};
use oci_spec::runtime::{Arch, LinuxSeccomp};
use serde_json::{Value, json};

use crate::interpreter::{Data, check, run};

const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0000 | 38;
const KILL: u32 = 0;

fn profile(text: Value) -> LinuxSeccomp {
    serde_json::from_value(text).unwrap()
}

fn filter(text: Value) -> Filter {
    let filter = compile(&profile(text), Arch::ScmpArchX86_64).unwrap();
    check(&filter.program);
    filter
}

fn ask(filter: &Filter, arch: u32, number: u32, args: [u64; 6]) -> u32 {
    run(&filter.program, &Data::new(arch, number, args)).0
}

fn refused(text: Value) -> String {
    compile(&profile(text), Arch::ScmpArchX86_64).unwrap_err().to_string()
}

#[test]
fn an_architecture_that_is_not_named_is_killed() {
    let filter = filter(json!({ "defaultAction": "SCMP_ACT_ALLOW" }));
    assert_eq!(ask(&filter, X86_64, 0, [0; 6]), ALLOW);
    assert_eq!(ask(&filter, I386, 3, [0; 6]), KILL);
    assert_eq!(ask(&filter, X86_64, 0x4000_0000, [0; 6]), KILL);
    // A tracer's way to skip a call.
    assert_eq!(ask(&filter, X86_64, u32::MAX, [0; 6]), ALLOW);
}

#[test]
fn a_call_newer_than_the_profile_does_not_exist() {
    let rules = json!([{ "names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW" }]);
    let denies = filter(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules }));
    assert_eq!(ask(&denies, X86_64, 437, [0; 6]), ALLOW);
    assert_eq!(ask(&denies, X86_64, 436, [0; 6]), EPERM);
    assert_eq!(ask(&denies, X86_64, 438, [0; 6]), ENOSYS);
    assert_eq!(ask(&denies, X86_64, 0x3fff_ffff, [0; 6]), ENOSYS);
    let rules = json!([{ "names": ["openat2"], "action": "SCMP_ACT_ERRNO" }]);
    let allows = filter(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules }));
    assert_eq!(ask(&allows, X86_64, 438, [0; 6]), ALLOW);
    assert_eq!(ask(&allows, X86_64, 437, [0; 6]), EPERM);
}

/// A socket is made on 32-bit x86 by either of two calls.
#[test]
fn a_denied_socket_is_not_got_through_socketcall() {
    let filter = filter(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
        "syscalls": [
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["semop"], "action": "SCMP_ACT_ERRNO" },
        ],
    }));
    assert_eq!(ask(&filter, I386, 359, [0; 6]), EPERM);
    assert_eq!(ask(&filter, I386, 102, [1, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(ask(&filter, I386, 102, [2, 0, 0, 0, 0, 0]), ALLOW);
    // The version in the upper half changes nothing.
    assert_eq!(ask(&filter, I386, 117, [0x1_0001, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn errno_of_the_rule_and_of_the_default() {
    let filter = filter(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13,
        "syscalls": [
            { "names": ["read", "setns"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 },
            { "names": ["write"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["open"], "action": "SCMP_ACT_TRACE", "errnoRet": 7 },
        ],
    }));
    assert_eq!(ask(&filter, X86_64, 0, [0; 6]), 0x0005_0000 | 95);
    assert_eq!(ask(&filter, X86_64, 1, [0; 6]), EPERM);
    assert_eq!(ask(&filter, X86_64, 2, [0; 6]), 0x7ff0_0007);
    assert_eq!(ask(&filter, X86_64, 3, [0; 6]), 0x0005_0000 | 13);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let rule = |rule: Value| json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
    for (text, wanted) in [
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1 }),
            "defaultErrnoRet: SCMP_ACT_ALLOW takes no number",
        ),
        (json!({ "defaultAction": "SCMP_ACT_NOTIFY" }), "defaultAction: cannot be SCMP_ACT_NOTIFY"),
        (
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x" }),
            "listenerMetadata: needs a listenerPath",
        ),
        (rule(json!({ "names": [], "action": "SCMP_ACT_ALLOW" })), "syscalls[0].names: is empty"),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1 })),
            "syscalls[0].errnoRet: SCMP_ACT_KILL takes no number",
        ),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4096 })),
            "syscalls[0].errnoRet: 4096 is above 4095",
        ),
        (
            rule(json!({ "names": ["read"], "action": "SCMP_ACT_NOTIFY" })),
            "SCMP_ACT_NOTIFY: needs a listenerPath",
        ),
        (
            rule(json!({ "names": ["write"], "action": "SCMP_ACT_NOTIFY" })),
            "syscalls[0].names: write cannot have SCMP_ACT_NOTIFY",
        ),
        (
            rule(json!({
                "names": ["read"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }],
            })),
            "syscalls[0].args[0].index: 6 is not between 0 and 5",
        ),
    ] {
        let error = refused(text);
        assert!(error.starts_with(wanted), "{error}");
    }
}

#[test]
fn a_program_that_the_kernel_would_not_take_is_an_error() {
    let rules: Vec<Value> = (0..2000)
        .map(|value| {
            json!({
                "names": ["ioctl"], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": 1, "value": value * 3, "op": "SCMP_CMP_GT" }],
            })
        })
        .collect();
    let text = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules });
    let error = compile(&profile(text), Arch::ScmpArchX86_64).unwrap_err();
    assert!(matches!(error, CompileError::TooLong { .. }), "{error}");
    assert!(error.to_string().contains("the kernel takes 4096"), "{error}");
}

/// More than 255 instructions lie between.
#[test]
fn far_jumps_arrive() {
    let rules: Vec<Value> = (0..400)
        .map(|value| {
            json!({
                "names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": value + 1,
                "args": [{ "index": 1, "value": value, "op": "SCMP_CMP_LE" }],
            })
        })
        .collect();
    let filter = filter(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules }));
    assert!(filter.program.len() > 1000);
    for value in 0..400 {
        let got = ask(&filter, X86_64, 16, [0, u64::from(value), 0, 0, 0, 0]);
        assert_eq!(got, 0x0005_0000 | (value + 1));
    }
    assert_eq!(ask(&filter, X86_64, 16, [0, 400, 0, 0, 0, 0]), ALLOW);
    assert_eq!(ask(&filter, X86_64, 16, [0, 1 << 32, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn flags_and_listener() {
    let text = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": [
            "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ],
        "listenerPath": "/run/agent", "listenerMetadata": "x",
        "architectures": ["SCMP_ARCH_ARM", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["frobnicate"], "action": "SCMP_ACT_ERRNO" }],
    });
    let quiet = filter(text.clone());
    assert_eq!((quiet.flags, &quiet.listener), (0b110, &None));
    assert_eq!(quiet.unknown, ["frobnicate"]);
    assert_eq!(quiet.left_out, [Arch::ScmpArchArm]);
    let mut text = text;
    text["syscalls"] = json!([{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]);
    let asks = filter(text);
    assert_eq!(asks.flags, 0b10_1110);
    let listener = asks.listener.clone().unwrap();
    assert_eq!(listener.path.to_str(), Some("/run/agent"));
    assert_eq!(listener.metadata.as_deref(), Some("x"));
    let stored = serde_json::to_string(&asks).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&stored).unwrap(), asks);
}
