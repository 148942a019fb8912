//! What specifications become, and what is refused.

use std::path::Path;

use corten_runtime_cgroup::{IoRate, IoThrottle, Limit};
use corten_sys_linux::mount;
use serde_json::{Value, json};

use super::*;

fn minimal() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["sh"], "cwd": "/", "env": [] },
        "root": { "path": "rootfs" },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "uts" }] },
    })
}

fn plan(edit: impl FnOnce(&mut Value)) -> Result<Plan, PlanError> {
    let mut spec = minimal();
    edit(&mut spec);
    let id = ContainerId::new("one").unwrap();
    Plan::new(&id, &serde_json::from_value(spec).unwrap(), &PlanOptions::new(Path::new("/b")))
}

/// Sets a field by a path like `linux/seccomp`.
fn set(spec: &mut Value, path: &str, value: Value) {
    let mut at = spec;
    for part in path.split('/') {
        at = &mut at[part];
    }
    *at = value;
}

#[test]
fn the_smallest_specification_is_a_plan() {
    let plan = plan(|_| ()).unwrap();
    assert_eq!(plan.rootfs, Path::new("/b/rootfs"));
    assert_eq!(plan.cgroup.as_str(), "/one");
    assert_eq!(plan.process.caps, corten_sys_linux::caps::Sets::default());
    assert_eq!(plan.keyring.as_deref(), Some(c"_ses.one"));
    assert!(plan.set_up_dev);
    assert_eq!(plan.devices.len(), DEFAULT_DEVICES.len());
}

/// A field of the specification that this runtime knows and does not honour is an error that names
/// it: never silence.
#[test]
fn what_is_not_honoured_is_named() {
    for (path, value) in [
        ("linux/personality", json!({ "domain": "LINUX", "flags": ["X"] })),
        ("linux/resources", json!({ "memory": { "kernel": 3 } })),
        ("linux/resources", json!({ "memory": { "useHierarchy": false } })),
        ("linux/cgroupsPath", json!("system.slice:prefix:name")),
        ("linux/namespaces", json!([{ "type": "mount", "path": "/x" }])),
        (
            "mounts",
            json!([{ "destination": "/x", "source": "/x", "options": ["bind", "remount"] }]),
        ),
        ("mounts", json!([{ "destination": "/x", "type": "tmpfs", "options": ["idmap"] }])),
    ] {
        let error =
            plan(|spec| set(spec, path, value.clone())).expect_err(&format!("{path} {value}"));
        let PlanError::Unsupported { field, .. } = &error else { panic!("{path}: {error}") };
        assert!(field.starts_with(&path.replace('/', ".")), "{path}: {error}");
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    each_is_named(&[
        ("process/args", json!([]), "process.args"),
        ("hooks", json!({ "prestart": [{ "path": "rel" }] }), "hooks.prestart[0].path"),
        (
            "hooks",
            json!({ "poststop": [{ "path": "/a" }, { "path": "/a", "timeout": 0 }] }),
            "hooks.poststop[1].timeout",
        ),
        (
            "hooks",
            json!({ "startContainer": [{ "path": "/a", "env": ["A"] }] }),
            "hooks.startContainer[0].env[0]",
        ),
        ("process/args", json!([""]), "process.args"),
        ("process/args", json!(["a\0b"]), "process.args[0]"),
        ("process/cwd", json!("relative"), "process.cwd"),
        ("process/env", json!(["NOVALUE"]), "process.env[0]"),
        ("process/user", json!({ "uid": u32::MAX, "gid": 0 }), "process.user.uid"),
        ("process/oomScoreAdj", json!(1001), "process.oomScoreAdj"),
        (
            "process/ioPriority",
            json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }),
            "process.ioPriority.priority",
        ),
        (
            "process/scheduler",
            json!({ "policy": "SCHED_OTHER", "nice": 20 }),
            "process.scheduler.nice",
        ),
        (
            "linux/memoryPolicy",
            json!({ "mode": "MPOL_BIND", "nodes": "1024" }),
            "linux.memoryPolicy.nodes",
        ),
        (
            "process/rlimits",
            json!([{ "type": "RLIMIT_CORE", "soft": 2, "hard": 1 }]),
            "process.rlimits[0]",
        ),
        (
            "process/capabilities",
            json!({ "effective": ["CAP_KILL"] }),
            "process.capabilities.effective",
        ),
        ("root/path", json!(""), "root.path"),
        ("hostname", json!("x".repeat(65)), "hostname"),
        ("linux/namespaces", json!([]), "linux.namespaces"),
        (
            "linux/namespaces",
            json!([{ "type": "mount" }, { "type": "mount" }]),
            "linux.namespaces[1]",
        ),
        ("linux/namespaces", json!([{ "type": "mount" }, { "type": "user" }]), "linux.uidMappings"),
        (
            "linux/namespaces",
            json!([{ "type": "mount" }, { "type": "network", "path": "x" }]),
            "linux.namespaces[1]",
        ),
        ("linux/intelRdt", json!({ "closID": "../x" }), "linux.intelRdt.closID"),
        ("linux/intelRdt", json!({ "l3CacheSchema": "x" }), "linux.intelRdt.schemata"),
        ("linux/netDevices", json!({ "eth0": {} }), "linux.netDevices"),
        ("linux/netDevices", json!({ "a": { "name": "e%d" } }), "linux.netDevices.a.name"),
        ("linux/netDevices", json!({ "a/b": {} }), "linux.netDevices.a/b"),
        ("linux/timeOffsets", json!({ "monotonic": { "secs": 1 } }), "linux.timeOffsets"),
        ("linux/timeOffsets", json!({ "tai": { "secs": 1 } }), "linux.timeOffsets.tai"),
        ("linux/cgroupsPath", json!("/a/../../b"), "linux.cgroupsPath"),
        ("linux/cgroupsPath", json!("/"), "linux.cgroupsPath"),
        ("linux/maskedPaths", json!(["proc"]), "linux.maskedPaths[0]"),
        ("linux/rootfsPropagation", json!("loud"), "linux.rootfsPropagation"),
        ("linux/devices", json!([{ "path": "/dev/x", "type": "a" }]), "linux.devices[0].type"),
        ("linux/devices", json!([{ "path": "dev/x", "type": "c" }]), "linux.devices[0].path"),
        (
            "linux/devices",
            json!([{ "path": "/dev/x", "type": "c", "major": -1 }]),
            "linux.devices[0].major",
        ),
    ]);
}

#[test]
fn mounts_that_make_no_sense_are_named() {
    each_is_named(&[
        ("mounts", json!([{ "destination": "/", "type": "tmpfs" }]), "mounts[0].destination"),
        ("mounts", json!([{ "destination": "/x/.." , "type": "tmpfs" }]), "mounts[0].destination"),
        ("mounts", json!([{ "destination": "/x" }]), "mounts[0].type"),
        (
            "mounts",
            json!([{ "destination": "/x", "type": "ext4", "options": ["tmpcopyup"] }]),
            "mounts[0].options",
        ),
        (
            "mounts",
            json!([{ "destination": "/x", "source": "/x", "options": ["bind"],
                     "uidMappings": [{ "containerID": 0, "hostID": 1, "size": 1 }] }]),
            "mounts[0].gidMappings",
        ),
        ("mounts", json!([{ "destination": "/x", "options": ["bind"] }]), "mounts[0].source"),
        (
            "mounts",
            json!([{ "destination": "/x", "source": "/y", "options": ["bind", "size=1"] }]),
            "mounts[0].options",
        ),
        (
            "mounts",
            json!([{ "destination": "/proc/self/x", "source": "/y", "options": ["bind"] }]),
            "mounts[0].destination",
        ),
        (
            "mounts",
            json!([{ "destination": "/proc//../proc/sys", "type": "tmpfs" }]),
            "mounts[0].destination",
        ),
    ]);
}

/// Path of the specification, value, and the field that the error names.
fn each_is_named(cases: &[(&str, Value, &str)]) {
    for (path, value, expected) in cases {
        let error =
            plan(|spec| set(spec, path, value.clone())).expect_err(&format!("{path} {value}"));
        let PlanError::Invalid { field, .. } = &error else { panic!("{path}: {error}") };
        assert_eq!(field, expected, "{error}");
    }
}

#[test]
fn a_name_needs_a_namespace_to_be_set_in() {
    let error = plan(|spec| {
        set(spec, "linux/namespaces", json!([{ "type": "mount" }]));
        set(spec, "hostname", json!("box"));
    })
    .unwrap_err();
    assert!(error.to_string().starts_with("hostname: needs a uts namespace"), "{error}");
}

#[test]
fn only_parameters_of_own_namespaces_are_set() {
    let with = |key: &str, namespaces: &[&str]| {
        plan(|spec| {
            let mut list = vec![json!({ "type": "mount" })];
            list.extend(namespaces.iter().map(|kind| json!({ "type": kind })));
            set(spec, "linux/namespaces", json!(list));
            set(spec, "linux/sysctl", json!({ key: "1" }));
        })
    };
    for (key, namespace, path) in [
        ("net.ipv4.ip_forward", "network", c"sys/net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.7/rp_filter", "network", c"sys/net/ipv4/conf/eth0.7/rp_filter"),
        ("net.ipv4.conf.eth0/7.rp_filter", "network", c"sys/net/ipv4/conf/eth0.7/rp_filter"),
        ("kernel.shmmax", "ipc", c"sys/kernel/shmmax"),
        ("fs.mqueue.msg_max", "ipc", c"sys/fs/mqueue/msg_max"),
        ("kernel.domainname", "uts", c"sys/kernel/domainname"),
    ] {
        let plan = with(key, &[namespace]).unwrap();
        assert_eq!(plan.sysctls[0].0.as_c_str(), path);
        with(key, &[]).unwrap_err();
    }
    for key in
        ["kernel.core_pattern", "vm.overcommit_memory", "net/../kernel/core_pattern", "net..x", ""]
    {
        with(key, &["network", "ipc", "uts"]).unwrap_err();
    }
}

#[test]
fn options_are_sorted_and_the_last_one_counts() {
    let mount = |options: Value| {
        plan(|spec| {
            set(
                spec,
                "mounts",
                json!([{ "destination": "/a/./b/", "type": "tmpfs", "options": options }]),
            );
        })
        .unwrap()
        .mounts
        .remove(0)
    };
    let one =
        mount(json!(["nosuid", "ro", "rw", "noatime", "size=64k", "sync", "rslave", "private"]));
    assert_eq!(one.destination.as_c_str(), c"/a/b");
    assert_eq!(one.attributes.set, mount::NOSUID | mount::NOATIME);
    assert_eq!(one.attributes.clear & mount::RDONLY, mount::RDONLY);
    assert_eq!(one.attributes.propagation, mount::PRIVATE);
    assert_eq!(one.recursive_attributes.propagation, mount::SLAVE);
    let MountKind::Filesystem { options, .. } = one.kind else { panic!("not a file system") };
    assert_eq!(
        options,
        [(c"size".to_owned(), Some(c"64k".to_owned())), (c"sync".to_owned(), None)]
    );
    let strict = mount(json!(["noatime", "strictatime"]));
    assert_eq!(strict.attributes.set, mount::STRICTATIME);
    assert_eq!(strict.attributes.clear, mount::ATIME_MASK);
    assert_eq!(mount(json!(["rro"])).recursive_attributes.set, mount::RDONLY);
}

/// An option of a file system may have 255 bytes.
#[test]
fn many_layers_are_told_one_by_one() {
    let layers = |lower: String| {
        let plan = plan(|spec| {
            let options = json!(["index=off", format!("lowerdir={lower}"), "xino=off"]);
            let mount = json!({ "destination": "/x", "type": "overlay", "options": options });
            set(spec, "mounts", json!([mount]));
        });
        let MountKind::Filesystem { options, .. } = plan.unwrap().mounts.remove(0).kind else {
            panic!("not a file system")
        };
        let text = |text: std::ffi::CString| text.into_string().unwrap();
        options
            .into_iter()
            .map(|(key, value)| (text(key), text(value.unwrap())))
            .collect::<Vec<_>>()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let (off, xino) = (pair("index", "off"), pair("xino", "off"));
    assert_eq!(layers("/a:/b".to_owned()), [off.clone(), pair("lowerdir", "/a:/b"), xino.clone()]);
    let long = format!("/{}", "l".repeat(254));
    assert_eq!(
        layers(format!("{long}:/a\\:b")),
        [off, pair("lowerdir+", &long), pair("lowerdir+", "/a:b"), xino]
    );
}

#[test]
fn limits_become_those_of_a_cgroup() {
    let resources = plan(|spec| {
        set(
            spec,
            "linux/resources",
            json!({
                "cpu": { "shares": 512, "quota": -1, "period": 50000, "cpus": "0", "burst": 9 },
                "memory": { "limit": 100, "swap": 150, "reservation": 50, "swappiness": 3 },
                "blockIO": {
                    "weight": 10,
                    "throttleReadBpsDevice": [{ "major": 8, "minor": 1, "rate": 7 }],
                },
                "network": { "classID": 5, "priorities": [{ "name": "lo", "priority": 2 }] },
                "rdma": { "mlx": { "hcaHandles": 1 } },
                "pids": { "limit": 0 },
                "unified": { "memory.high": "90" },
            }),
        );
    })
    .unwrap()
    .resources;
    assert_eq!(resources.cpu.shares, Some(512));
    assert_eq!(resources.cpu.quota_us, Some(Limit::Max));
    assert_eq!(resources.cpu.period_us, Some(50_000));
    assert_eq!(resources.memory.max, Some(Limit::Value(100)));
    assert_eq!(resources.cpu.burst_us, Some(9));
    assert_eq!(resources.memory.with_swap, Some(Limit::Value(150)));
    assert_eq!(resources.memory.swappiness, Some(3));
    let throttle = IoThrottle { major: 8, minor: 1, of: IoRate::ReadBytes, rate: 7 };
    assert_eq!((resources.io.weight, resources.io.throttle), (Some(10), vec![throttle]));
    assert_eq!((resources.network.class_id, resources.network.priorities["lo"]), (Some(5), 2));
    assert_eq!(resources.rdma["mlx"].handles, Some(1));
    assert_eq!(resources.pids.max, None);
    assert_eq!(resources.unified["memory.high"], "90");
    for resources in [
        json!({ "memory": { "swap": 5 } }),
        json!({ "memory": { "limit": 10, "swap": 5 } }),
        json!({ "blockIO": { "weightDevice": [{ "major": -1, "minor": 0, "weight": 10 }] } }),
    ] {
        plan(|spec| set(spec, "linux/resources", resources)).unwrap_err();
    }
}

#[test]
fn devices_are_denied_unless_allowed() {
    let rules = plan(|_| ()).unwrap().resources.devices.unwrap();
    assert!(!rules[0].allow && rules[0].major.is_none());
    assert!(rules[1..].iter().all(|rule| rule.allow));
    let narrow = |rule: Value| {
        plan(|spec| set(spec, "linux/resources", json!({ "devices": [rule] })))
            .map(|plan| plan.resources.devices.unwrap_or_default())
    };
    // A rule for both kinds that is not for everything must not grow into one.
    let both = narrow(json!({ "allow": true, "type": "a", "major": 7, "access": "r" })).unwrap();
    assert_eq!((both[1].major, both[2].major), (Some(7), Some(7)));
    assert_ne!(both[1].kind, both[2].kind);
    narrow(json!({ "allow": true, "access": "rwx" })).unwrap_err();
}

#[test]
fn programs_are_looked_for_in_the_containers_path() {
    let candidates = |program: &str, env: Value| {
        plan(|spec| {
            set(spec, "process/args", json!([program]));
            set(spec, "process/env", env);
        })
        .unwrap()
        .process
        .candidates
    };
    let cwd = [c"/a/x".to_owned(), c"./x".to_owned(), c"/b/x".to_owned()];
    assert_eq!(candidates("x", json!(["PATH=/old", "PATH=/a::/b"])), cwd);
    assert_eq!(candidates("./x", json!(["PATH=/a"])), [c"./x".to_owned()]);
    assert_eq!(candidates("x", json!([])).len(), 6);
}
