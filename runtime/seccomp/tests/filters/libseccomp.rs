//! libseccomp, as a small C program that exports what it makes of a profile: the same verdict for
//! every number, many arguments, and every architecture.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use corten_runtime_seccomp::{Instruction, compile, number, runtime_default};
use oci_spec::runtime::{Arch, Capability, LinuxSeccomp, LinuxSyscall};
use serde_json::{Value, json};

use crate::interpreter::{Data, run};
use crate::meaning::{self, ENOSYS, audit};

struct Oracle {
    _dir: tempfile::TempDir,
    program: PathBuf,
}

impl Oracle {
    fn build() -> Option<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let program = dir.path().join("export");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/filters/export.c");
        if !std::path::Path::new("/usr/include/seccomp.h").exists() {
            corten_tests_harness::skip("needs cc and libseccomp-dev");
            return None;
        }
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-o"])
            .arg(&program)
            .args([source, "-lseccomp"])
            .status()
            .unwrap();
        assert!(built.success());
        Some(Self { _dir: dir, program })
    }

    fn ask(&self, arguments: &[String], input: &str) -> Vec<u8> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        output.stdout
    }

    /// The number of each name; negative for what libseccomp does not know there.
    fn numbers(&self, arch: Arch, names: &[&str]) -> Vec<i64> {
        let output = self.ask(&["names".into(), (arch as u32).to_string()], &names.join("\n"));
        let text = String::from_utf8(output).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Leaves what is too new for this libseccomp out of a profile.
    fn restrict(&self, profile: &LinuxSeccomp) -> LinuxSeccomp {
        let names: BTreeSet<&str> = profile
            .syscalls()
            .iter()
            .flatten()
            .flat_map(|rule| rule.names())
            .map(String::as_str)
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let known: BTreeSet<&str> = names
            .iter()
            .zip(self.numbers(Arch::ScmpArchX86_64, &names))
            // __NR_SCMP_ERROR; other negative numbers are calls of other architectures.
            .filter(|(_, number)| *number != -1)
            .map(|(name, _)| *name)
            .collect();
        assert!(names.len() - known.len() < 30);
        let mut restricted = profile.clone();
        let rules = profile.syscalls().iter().flatten().filter_map(|rule| {
            let mut rule = rule.clone();
            let names = rule.names().iter().filter(|name| known.contains(name.as_str()));
            let names: Vec<String> = names.cloned().collect();
            rule.set_names(names);
            (!rule.names().is_empty()).then_some(rule)
        });
        restricted.set_syscalls(Some(rules.collect()));
        restricted
    }

    /// The numbers that the kernel has got on an architecture after this libseccomp.
    fn newer(&self, profile: &LinuxSeccomp, arch: Arch) -> BTreeSet<u32> {
        let rules = profile.syscalls().iter().flatten();
        let names: Vec<&str> = rules.flat_map(|rule| rule.names()).map(String::as_str).collect();
        let unknown = names.iter().zip(self.numbers(arch, &names));
        unknown
            .filter(|(_, theirs)| *theirs < 0)
            .filter_map(|(name, _)| number(arch, name))
            .collect()
    }

    fn filter(&self, profile: &LinuxSeccomp, archs: &[Arch]) -> Vec<Instruction> {
        let default = meaning::returns(profile.default_action(), profile.default_errno_ret());
        let mut input = format!("{default}\n");
        for rule in profile.syscalls().iter().flatten() {
            let action = meaning::returns(rule.action(), rule.errno_ret());
            // It refuses a rule that repeats the default, as runc knows.
            if action != default {
                write_rule(&mut input, rule, action);
            }
        }
        let arguments: Vec<String> = std::iter::once("filter".to_owned())
            .chain(archs.iter().map(|arch| (*arch as u32).to_string()))
            .collect();
        self.ask(&arguments, &input)
            .chunks(8)
            .map(|raw| Instruction {
                code: u16::from_ne_bytes([raw[0], raw[1]]),
                jt: raw[2],
                jf: raw[3],
                k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
            })
            .collect()
    }
}

fn write_rule(input: &mut String, rule: &LinuxSyscall, action: u32) {
    let args = rule.args().clone().unwrap_or_default();
    for name in rule.names() {
        write!(input, "{action} {name} {}", args.len()).unwrap();
        for arg in &args {
            let two = arg.value_two().unwrap_or(0);
            write!(input, " {} {} {} {two}", arg.index(), arg.op() as u32, arg.value()).unwrap();
        }
        input.push('\n');
    }
}

/// Arguments worth trying: each place with what rules ask for, and with neighbours.
fn arguments() -> Vec<[u64; 6]> {
    let values = (0..48).chain([
        0x20000,
        0x20008,
        0x7e02_0000,
        0x1000_0000,
        0x0002_0011,
        0xffff_ffff,
        1 << 32,
        (1 << 32) + 1,
        (1 << 32) + 40,
        u64::MAX,
    ]);
    let mut all = Vec::new();
    for value in values {
        all.push([value; 6]);
        for place in 0..2 {
            let mut args = [0; 6];
            args[place] = value;
            all.push(args);
        }
    }
    all
}

fn compare(oracle: &Oracle, profile: &LinuxSeccomp, archs: &[Arch]) {
    let native = archs[0];
    let mut profile = oracle.restrict(profile);
    profile.set_architectures(Some(archs.to_vec()));
    let ours = compile(&profile, native).unwrap();
    let theirs = oracle.filter(&profile, archs);
    let denies =
        !matches!(profile.default_action(), oci_spec::runtime::LinuxSeccompAction::ScmpActAllow);
    let arguments = arguments();
    let names = || profile.syscalls().iter().flatten().flat_map(|rule| rule.names());
    let (mut our_steps, mut their_steps, mut asked) = (0, 0, 0);
    for arch in archs {
        let (audit, _) = audit(*arch);
        let newer = oracle.newer(&profile, *arch);
        let base = number(*arch, "read").unwrap() & 0xffff_f000 & !0x0f00;
        let highest = names().filter_map(|name| number(*arch, name)).max();
        // What x86_64 and x32 share is an example of its own.
        let private = (0xf_0000..0xf_0010).filter(|_| audit != 0xc000_003e);
        for number in (base..base + 700).chain(private) {
            if newer.contains(&number) {
                continue;
            }
            for args in &arguments {
                let data = Data::new(audit, number, *args);
                let (got, steps) = run(&ours.program, &data);
                let (wanted, other) = run(&theirs, &data);
                let beyond = denies && highest.is_some_and(|highest| number > highest);
                let wanted = if beyond { ENOSYS } else { wanted };
                assert_eq!(got, wanted, "{arch} {data:x?}");
                our_steps += steps;
                their_steps += other;
                asked += 1;
            }
        }
    }
    for (arch, number) in [(0x1234, 0), (0xc000_003e, 0x4000_0000), (0x4000_0003, 1)] {
        let data = Data::new(arch, number, [0; 6]);
        let named = archs.iter().any(|named| audit(*named).0 == arch);
        if !named {
            assert_eq!(run(&ours.program, &data).0, run(&theirs, &data).0, "{data:x?}");
        }
    }
    // Fewer steps is what the search is for.
    assert!(our_steps < their_steps && asked > 0, "{our_steps} {their_steps}");
}

const FAMILIES: [&[Arch]; 6] = [
    &[Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
    &[Arch::ScmpArchX86_64],
    &[Arch::ScmpArchAarch64, Arch::ScmpArchArm],
    &[Arch::ScmpArchRiscv64],
    &[Arch::ScmpArchPpc64le],
    &[Arch::ScmpArchMipsel64, Arch::ScmpArchMipsel],
];

#[test]
fn the_default_profile_is_judged_alike() {
    let Some(oracle) = Oracle::build() else { return };
    let capabilities = [
        vec![],
        vec![Capability::SysAdmin, Capability::SysPtrace],
        vec![Capability::SysChroot, Capability::SysTime, Capability::Bpf, Capability::SysNice],
    ];
    for archs in FAMILIES {
        for bounding in &capabilities {
            let bounding = bounding.iter().copied().collect();
            compare(&oracle, &runtime_default(&bounding, archs[0]), archs);
        }
    }
}

#[test]
fn every_operator_and_action_is_judged_alike() {
    let Some(oracle) = Oracle::build() else { return };
    let operators = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];
    let names = ["read", "ioctl", "madvise", "getpriority", "fcntl", "lseek", "prctl"];
    for value in [0_u64, 5, 0xffff_ffff, 1 << 32, (1 << 32) + 7, u64::MAX - 1] {
        let mut rules: Vec<Value> = operators
            .iter()
            .zip(names)
            .zip(3..)
            .map(|((op, name), least)| {
                // For a mask of nothing, libseccomp 2.5 forgets to load the number.
                let value = if *op == "MASKED_EQ" { value.max(1) } else { value };
                json!({
                    "names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 77,
                    "args": [
                        { "index": 0, "op": format!("SCMP_CMP_{op}"), "value": value,
                          "valueTwo": value & 5 },
                        { "index": 1, "op": "SCMP_CMP_GE", "value": least },
                    ],
                })
            })
            .collect();
        for (name, action) in [
            ("mkdirat", "SCMP_ACT_KILL"),
            ("unlinkat", "SCMP_ACT_KILL_PROCESS"),
            ("linkat", "SCMP_ACT_TRAP"),
            ("symlinkat", "SCMP_ACT_LOG"),
            ("fchmodat", "SCMP_ACT_TRACE"),
            ("fchownat", "SCMP_ACT_ERRNO"),
        ] {
            rules.push(json!({ "names": [name], "action": action }));
        }
        for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"] {
            let mut rules = rules.clone();
            rules.retain(|rule| rule["action"] != default);
            let profile = json!({ "defaultAction": default, "syscalls": rules });
            let profile = serde_json::from_value(profile).unwrap();
            // One at a time, with calls that all of them have, and no two rules alike in their
            // ends: else libseccomp 2.5 now and then jumps past the load that a block begins with,
            // and compares what was loaded before.
            for arch in FAMILIES.concat() {
                if arch != Arch::ScmpArchX32 {
                    compare(&oracle, &profile, &[arch]);
                }
            }
        }
    }
}

/// The numbers themselves.
#[test]
fn numbers_are_those_that_libseccomp_knows() {
    let Some(oracle) = Oracle::build() else { return };
    let bounding = [Capability::SysAdmin].into_iter().collect();
    for arch in [
        Arch::ScmpArchX86_64,
        Arch::ScmpArchX86,
        Arch::ScmpArchX32,
        Arch::ScmpArchAarch64,
        Arch::ScmpArchArm,
        Arch::ScmpArchRiscv64,
        Arch::ScmpArchPpc64,
        Arch::ScmpArchPpc,
        Arch::ScmpArchS390x,
        Arch::ScmpArchMips64,
        Arch::ScmpArchMips,
    ] {
        let profile = runtime_default(&bounding, arch);
        let names: Vec<&str> = profile
            .syscalls()
            .iter()
            .flatten()
            .flat_map(|rule| rule.names())
            .map(String::as_str)
            .collect();
        let mut both = 0;
        for (name, theirs) in names.iter().zip(oracle.numbers(arch, &names)) {
            let (Some(ours), Ok(theirs)) = (number(arch, name), u32::try_from(theirs)) else {
                continue;
            };
            assert_eq!(ours, theirs, "{name} on {arch}");
            both += 1;
        }
        assert!(both > 250, "{both} on {arch}");
    }
}
