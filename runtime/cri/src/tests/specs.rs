//! From requests to `config.json`, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;

use corten_api_cri::v1::security_profile::ProfileType;
use corten_api_cri::v1::{
    Capability, ContainerConfig, Device, IdMapping, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, LinuxContainerSecurityContext, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, Mount, MountPropagation, NamespaceMode, NamespaceOption,
    PodSandboxConfig, SeLinuxOption, SecurityProfile, UserNamespace,
};
use expect_test::{Expect, expect};
use serde_json::Value;

use super::records::{config, pod};
use crate::host::{Host, HostDevice};
use crate::images::ImageDefaults;
use crate::refuse;
use crate::spec::{self, SpecInput};
use crate::user::ResolvedUser;

fn host() -> Host {
    Host { selinux: false, last_capability: 40, oom_score_adj_min: -1000 }
}

fn image() -> ImageDefaults {
    ImageDefaults {
        env: vec!["PATH=/bin".to_owned(), "LANG=C".to_owned()],
        entrypoint: vec!["/entry".to_owned()],
        cmd: vec!["default".to_owned()],
        working_dir: "/srv".to_owned(),
        ..ImageDefaults::default()
    }
}

fn build_in(sandbox: &PodSandboxConfig, container: &ContainerConfig, host: &Host) -> Value {
    refuse::sandbox(sandbox, "").unwrap();
    refuse::container(container, sandbox, host).unwrap();
    let user = ResolvedUser { uid: 7, gid: 8, additional_gids: vec![8, 9] };
    let device = HostDevice {
        path: "/dev/kmsg".into(),
        block: false,
        major: 1,
        minor: 11,
        mode: 0o644,
        uid: 0,
        gid: 0,
    };
    let spec = spec::build(&SpecInput {
        sandbox,
        container,
        image: &image(),
        user: &user,
        hostname: "web-0",
        rootfs: Path::new("/run/c/rootfs"),
        namespace_dir: Path::new("/run/ns"),
        sandbox_dir: Path::new("/run/pod"),
        shm: Path::new("/run/shm"),
        cgroup_path: "/pods/c",
        host,
        devices: &[device],
        local_seccomp: None,
    })
    .unwrap();
    // What an OCI runtime would say to it.
    serde_json::from_value::<oci_spec::runtime::Spec>(spec.clone()).unwrap();
    spec
}

fn build(container: &ContainerConfig) -> Value {
    build_in(&pod("web"), container, &host())
}

fn check(value: &Value, expected: &Expect) {
    let mut lines = String::new();
    write(value, "", &mut lines);
    expected.assert_eq(&lines);
}

/// A line for each value that holds no others: `/process/cwd "/srv"`.
fn write(value: &Value, path: &str, lines: &mut String) {
    let deep = |value: &Value| value.is_object() || value.is_array();
    if let Some(fields) = value.as_object().filter(|fields| fields.values().any(deep)) {
        for (name, field) in fields {
            write(field, &format!("{path}/{name}"), lines);
        }
    } else if let Some(items) = value.as_array().filter(|items| items.iter().any(Value::is_object))
    {
        for item in items {
            write(item, path, lines);
        }
    } else {
        lines.push_str(&format!("{path} {value}\n"));
    }
}

fn secured(change: impl FnOnce(&mut LinuxContainerSecurityContext)) -> ContainerConfig {
    let mut security = LinuxContainerSecurityContext::default();
    change(&mut security);
    ContainerConfig {
        linux: Some(LinuxContainerConfig {
            security_context: Some(security),
            ..LinuxContainerConfig::default()
        }),
        ..config("nginx")
    }
}

#[test]
fn a_container_of_defaults() {
    let mut container = config("nginx");
    container.command.clear();
    container.envs = vec![KeyValue { key: "LANG".to_owned(), value: b"de_DE.UTF-8".to_vec() }];
    check(
        &build(&container),
        &expect![[r#"
        /ociVersion "1.3.0"
        /process/terminal false
        /process/user/uid 7
        /process/user/gid 8
        /process/user/additionalGids [8,9]
        /process/args ["/entry","default"]
        /process/env ["PATH=/bin","HOSTNAME=web-0","LANG=de_DE.UTF-8"]
        /process/cwd "/srv"
        /process/capabilities/bounding ["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_SETGID","CAP_SETUID","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SYS_CHROOT","CAP_MKNOD","CAP_AUDIT_WRITE","CAP_SETFCAP"]
        /process/capabilities/effective ["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_SETGID","CAP_SETUID","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SYS_CHROOT","CAP_MKNOD","CAP_AUDIT_WRITE","CAP_SETFCAP"]
        /process/capabilities/permitted ["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_SETGID","CAP_SETUID","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SYS_CHROOT","CAP_MKNOD","CAP_AUDIT_WRITE","CAP_SETFCAP"]
        /process/capabilities/inheritable []
        /process/capabilities/ambient []
        /process/noNewPrivileges false
        /process/oomScoreAdj 0
        /root {"path":"/run/c/rootfs","readonly":false}
        /mounts/destination "/proc"
        /mounts/type "proc"
        /mounts/source "proc"
        /mounts/options ["nosuid","noexec","nodev"]
        /mounts/destination "/dev"
        /mounts/type "tmpfs"
        /mounts/source "tmpfs"
        /mounts/options ["nosuid","strictatime","mode=755","size=65536k"]
        /mounts/destination "/dev/pts"
        /mounts/type "devpts"
        /mounts/source "devpts"
        /mounts/options ["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]
        /mounts/destination "/dev/mqueue"
        /mounts/type "mqueue"
        /mounts/source "mqueue"
        /mounts/options ["nosuid","noexec","nodev"]
        /mounts/destination "/dev/shm"
        /mounts/type "bind"
        /mounts/source "/run/shm"
        /mounts/options ["rbind","nosuid","noexec","nodev"]
        /mounts/destination "/sys"
        /mounts/type "sysfs"
        /mounts/source "sysfs"
        /mounts/options ["nosuid","noexec","nodev","ro"]
        /mounts/destination "/sys/fs/cgroup"
        /mounts/type "cgroup"
        /mounts/source "cgroup"
        /mounts/options ["nosuid","noexec","nodev","relatime","ro"]
        /mounts/destination "/etc/resolv.conf"
        /mounts/type "bind"
        /mounts/source "/run/pod/resolv.conf"
        /mounts/options ["rbind","rprivate","rw"]
        /mounts/destination "/etc/hostname"
        /mounts/type "bind"
        /mounts/source "/run/pod/hostname"
        /mounts/options ["rbind","rprivate","rw"]
        /linux/cgroupsPath "/pods/c"
        /linux/namespaces {"type":"mount"}
        /linux/namespaces {"type":"network","path":"/run/ns/net"}
        /linux/namespaces {"type":"uts","path":"/run/ns/uts"}
        /linux/namespaces {"type":"ipc","path":"/run/ns/ipc"}
        /linux/namespaces {"type":"pid","path":"/run/ns/pid"}
        /linux/namespaces {"type":"cgroup"}
        /linux/resources/devices {"allow":false,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","access":"m"}
        /linux/resources/devices {"allow":true,"type":"b","access":"m"}
        /linux/resources/devices {"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","major":1,"minor":5,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","major":1,"minor":7,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","major":5,"minor":0,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","major":1,"minor":8,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","major":1,"minor":9,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","major":5,"minor":2,"access":"rwm"}
        /linux/resources/devices {"allow":true,"type":"c","major":136,"access":"rwm"}
        /linux/maskedPaths ["/proc/asound","/proc/acpi","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/timer_list","/proc/timer_stats","/proc/sched_debug","/proc/scsi","/sys/firmware","/sys/devices/virtual/powercap"]
        /linux/readonlyPaths ["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]
        /linux/rootfsPropagation "rprivate"
        /annotations {"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"nginx","io.kubernetes.cri.sandbox-name":"web","io.kubernetes.cri.sandbox-namespace":"default"}
    "#]],
    );
}

#[test]
fn commands_and_arguments_take_the_images_place() {
    let args = |command: &[&str], args: &[&str]| {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let container =
            ContainerConfig { command: words(command), args: words(args), ..config("nginx") };
        build(&container)["process"]["args"].to_string()
    };
    assert_eq!(args(&[], &[]), r#"["/entry","default"]"#);
    assert_eq!(args(&[], &["x"]), r#"["/entry","x"]"#);
    assert_eq!(args(&["sh"], &[]), r#"["sh"]"#);
    assert_eq!(args(&["sh"], &["-c", "y"]), r#"["sh","-c","y"]"#);
}

#[test]
fn mounts_of_the_request_take_the_place_of_ours_and_parents_come_first() {
    let mount = |path: &str, propagation: MountPropagation, readonly| Mount {
        container_path: path.to_owned(),
        host_path: "/host".to_owned(),
        propagation: propagation.into(),
        readonly,
        ..Mount::default()
    };
    let container = ContainerConfig {
        mounts: vec![
            mount("/data/deep", MountPropagation::PropagationPrivate, true),
            mount("/data", MountPropagation::PropagationBidirectional, false),
            mount("/etc/hostname", MountPropagation::PropagationPrivate, false),
            mount("/dev/shm", MountPropagation::PropagationHostToContainer, false),
        ],
        ..config("nginx")
    };
    let spec = build(&container);
    let list: Vec<String> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            let options = mount["options"].as_array().unwrap();
            let options: Vec<_> = options.iter().map(|option| option.as_str().unwrap()).collect();
            let text = |name: &str| mount[name].as_str().unwrap().to_owned();
            format!("{} {} {}", text("destination"), text("source"), options.join(","))
        })
        .collect();
    expect![[r#"
        /proc proc nosuid,noexec,nodev
        /dev tmpfs nosuid,strictatime,mode=755,size=65536k
        /dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5
        /dev/mqueue mqueue nosuid,noexec,nodev
        /sys sysfs nosuid,noexec,nodev,ro
        /sys/fs/cgroup cgroup nosuid,noexec,nodev,relatime,ro
        /data /host rbind,rshared,rw
        /etc/resolv.conf /run/pod/resolv.conf rbind,rprivate,rw
        /data/deep /host rbind,rprivate,ro
        /etc/hostname /host rbind,rprivate,rw
        /dev/shm /host rbind,rslave,rw
    "#]]
    .assert_eq(&format!("{}\n", list.join("\n")));
    assert_eq!(spec["linux"]["rootfsPropagation"], "rshared");
}

#[test]
fn capabilities_are_added_to_and_dropped_from_the_default() {
    let bounding = |add: &[&str], drop: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let container = secured(|security| {
            security.capabilities = Some(Capability {
                add_capabilities: names(add),
                drop_capabilities: names(drop),
                add_ambient_capabilities: Vec::new(),
            });
        });
        let spec = build(&container);
        let list = spec["process"]["capabilities"]["bounding"].as_array().unwrap().clone();
        list.iter().map(|name| name.as_str().unwrap()["CAP_".len()..].to_owned()).collect()
    };
    let default: Vec<String> = bounding(&[], &[]);
    assert_eq!(default.len(), 14);
    let more: Vec<String> = bounding(&["NET_ADMIN"], &["CAP_CHOWN"]);
    assert!(more.contains(&"NET_ADMIN".to_owned()) && !more.contains(&"CHOWN".to_owned()));
    assert_eq!(bounding(&["chown"], &["ALL"]), ["CHOWN"]);
    let all: Vec<String> = bounding(&["ALL"], &["SYS_ADMIN"]);
    assert_eq!(all.len(), 40);
    assert!(!all.contains(&"SYS_ADMIN".to_owned()));
}

#[test]
fn limits_are_written_as_they_are_given() {
    let container = ContainerConfig {
        linux: Some(LinuxContainerConfig {
            resources: Some(LinuxContainerResources {
                cpu_period: 100_000,
                cpu_quota: 50_000,
                cpu_shares: 512,
                memory_limit_in_bytes: 64 << 20,
                oom_score_adj: -997,
                cpuset_cpus: "0-1".to_owned(),
                unified: BTreeMap::from([("memory.oom.group".to_owned(), "1".to_owned())]),
                ..LinuxContainerResources::default()
            }),
            ..LinuxContainerConfig::default()
        }),
        ..config("nginx")
    };
    let mut spec = build(&container);
    assert_eq!(spec["process"]["oomScoreAdj"], -997);
    spec["linux"]["resources"]["devices"].take();
    check(
        &spec["linux"]["resources"],
        &expect![[r#"
        /devices null
        /cpu {"shares":512,"quota":50000,"period":100000,"cpus":"0-1"}
        /memory {"limit":67108864}
        /unified {"memory.oom.group":"1"}
    "#]],
    );
    // Without the right to lower it, it is the lowest that there is.
    let tied = Host { oom_score_adj_min: 0, ..host() };
    assert_eq!(build_in(&pod("web"), &container, &tied)["process"]["oomScoreAdj"], 0);
}

#[test]
fn a_pod_on_the_nodes_namespaces() {
    let options = NamespaceOption {
        network: NamespaceMode::Node.into(),
        ipc: NamespaceMode::Node.into(),
        pid: NamespaceMode::Node.into(),
        ..NamespaceOption::default()
    };
    let mut sandbox = pod("web");
    sandbox.linux = Some(LinuxPodSandboxConfig {
        security_context: Some(LinuxSandboxSecurityContext {
            namespace_options: Some(options.clone()),
            ..LinuxSandboxSecurityContext::default()
        }),
        ..LinuxPodSandboxConfig::default()
    });
    let container = secured(|security| security.namespace_options = Some(options));
    let spec = build_in(&sandbox, &container, &host());
    assert_eq!(spec["linux"]["namespaces"].to_string(), r#"[{"type":"mount"},{"type":"cgroup"}]"#);
    let shm =
        spec["mounts"].as_array().unwrap().iter().find(|one| one["destination"] == "/dev/shm");
    assert_eq!(shm.unwrap()["source"], "/dev/shm");
}

#[test]
fn a_containers_namespaces_are_within_its_sandboxs() {
    let sandbox = |pid: NamespaceMode| {
        let mut sandbox = pod("web");
        sandbox.linux = Some(LinuxPodSandboxConfig {
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(NamespaceOption {
                    pid: pid.into(),
                    ..NamespaceOption::default()
                }),
                ..LinuxSandboxSecurityContext::default()
            }),
            ..LinuxPodSandboxConfig::default()
        });
        sandbox
    };
    let pid_of = |container: &ContainerConfig, mode: NamespaceMode| {
        let spec = build_in(&sandbox(mode), container, &host());
        let list = spec["linux"]["namespaces"].as_array().unwrap().clone();
        list.into_iter().find(|one| one["type"] == "pid").map(|one| one["path"].is_null())
    };
    // Who says nothing does as the sandbox says: its own, the sandbox's, the node's.
    assert_eq!(pid_of(&config("nginx"), NamespaceMode::Container), Some(true));
    assert_eq!(pid_of(&config("nginx"), NamespaceMode::Pod), Some(false));
    assert_eq!(pid_of(&config("nginx"), NamespaceMode::Node), None);
    let asks = |mode: NamespaceMode| {
        secured(|security| {
            security.namespace_options =
                Some(NamespaceOption { pid: mode.into(), ..NamespaceOption::default() });
        })
    };
    assert_eq!(pid_of(&asks(NamespaceMode::Container), NamespaceMode::Pod), Some(true));
    for (asked, made) in
        [(NamespaceMode::Node, NamespaceMode::Pod), (NamespaceMode::Pod, NamespaceMode::Container)]
    {
        let error = refuse::container(&asks(asked), &sandbox(made), &host()).unwrap_err();
        assert!(error.to_string().contains("namespace_options.pid: "), "{error}");
    }
}

#[test]
fn a_privileged_container_has_the_machine() {
    let container = secured(|security| {
        security.privileged = true;
        security.seccomp = Some(SecurityProfile::default());
    });
    let mut sandbox = pod("web");
    let error = refuse::container(&container, &sandbox, &host()).unwrap_err();
    assert!(error.to_string().contains("security_context.privileged"), "{error}");
    sandbox.linux = Some(LinuxPodSandboxConfig {
        security_context: Some(LinuxSandboxSecurityContext {
            privileged: true,
            ..LinuxSandboxSecurityContext::default()
        }),
        ..LinuxPodSandboxConfig::default()
    });
    let spec = build_in(&sandbox, &container, &host());
    assert_eq!(spec["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 41);
    assert_eq!(spec["linux"]["maskedPaths"].to_string(), "[]");
    assert_eq!(spec["linux"]["devices"][0]["path"], "/dev/kmsg");
    assert_eq!(
        spec["linux"]["resources"]["devices"].to_string(),
        r#"[{"allow":true,"access":"rwm"}]"#
    );
}

#[test]
fn what_is_not_honoured_is_refused_by_name() {
    let refused = |container: &ContainerConfig| {
        let selinux = Host { selinux: true, ..host() };
        refuse::container(container, &pod("web"), &selinux).unwrap_err().to_string()
    };
    let mount = Mount {
        container_path: "/data".to_owned(),
        host_path: "/host".to_owned(),
        ..Mount::default()
    };
    let mounted = |mount: Mount| ContainerConfig { mounts: vec![mount], ..config("nginx") };
    let profile = |kind: ProfileType| {
        Some(SecurityProfile { profile_type: kind.into(), localhost_ref: String::new() })
    };
    let cases = [
        (
            ContainerConfig { devices: vec![Device::default()], ..config("nginx") },
            "config.devices is not supported",
        ),
        (
            ContainerConfig { log_path: "../../etc/passwd".to_owned(), ..config("nginx") },
            "config.log_path: ",
        ),
        (
            mounted(Mount { uid_mappings: vec![IdMapping::default()], ..mount.clone() }),
            "config.mounts[0].uidMappings is not supported",
        ),
        (
            mounted(Mount { recursive_read_only: true, readonly: true, ..mount.clone() }),
            "config.mounts[0].recursive_read_only is not supported",
        ),
        (
            mounted(Mount { selinux_relabel: true, ..mount.clone() }),
            "config.mounts[0].selinux_relabel is not supported",
        ),
        (
            mounted(Mount { host_path: "data".to_owned(), ..mount }),
            "config.mounts[0].host_path: \"data\" is no absolute path",
        ),
        (
            secured(|security| security.seccomp = profile(ProfileType::Localhost)),
            "config.linux.security_context.seccomp.localhost_ref: \"\" is no absolute path",
        ),
        (
            secured(|security| security.apparmor = profile(ProfileType::Localhost)),
            "config.linux.security_context.apparmor (Localhost) is not supported",
        ),
        (
            secured(|security| {
                security.selinux_options =
                    Some(SeLinuxOption { level: "s0".to_owned(), ..SeLinuxOption::default() });
            }),
            "config.linux.security_context.selinux_options is not supported",
        ),
        (
            secured(|security| {
                security.namespace_options = Some(NamespaceOption {
                    userns_options: Some(UserNamespace::default()),
                    ..NamespaceOption::default()
                });
            }),
            "namespace_options.userns_options is not supported",
        ),
        (
            secured(|security| {
                security.namespace_options = Some(NamespaceOption {
                    pid: NamespaceMode::Target.into(),
                    ..NamespaceOption::default()
                });
            }),
            "namespace_options.pid is not supported",
        ),
    ];
    for (container, expected) in &cases {
        let error = refused(container);
        assert!(error.contains(expected), "{error} does not contain {expected}");
    }
    let unconfined = secured(|security| security.seccomp = profile(ProfileType::Unconfined));
    refuse::container(&unconfined, &pod("web"), &host()).unwrap();
}

#[test]
fn a_default_filter_grows_with_the_capabilities() {
    let filtered = |add: &[&str]| {
        let container = secured(|security| {
            security.seccomp = Some(SecurityProfile {
                profile_type: ProfileType::RuntimeDefault.into(),
                localhost_ref: String::new(),
            });
            security.capabilities = Some(Capability {
                add_capabilities: add.iter().map(|name| (*name).to_owned()).collect(),
                ..Capability::default()
            });
        });
        build_in(&pod("web"), &container, &host())["linux"]["seccomp"].clone()
    };
    let plain = filtered(&[]);
    assert_eq!(plain["defaultAction"], "SCMP_ACT_ERRNO");
    assert!(!plain.to_string().contains("\"mount\""), "{plain}");
    assert!(filtered(&["SYS_ADMIN"]).to_string().contains("\"mount\""));
    let none = build_in(&pod("web"), &config("nginx"), &host());
    assert!(none["linux"]["seccomp"].is_null(), "{none}");
}

#[test]
fn a_profile_of_the_node_is_read_or_named() {
    use crate::spec::seccomp;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.json");
    let security = LinuxContainerSecurityContext {
        seccomp: Some(SecurityProfile {
            profile_type: ProfileType::Localhost.into(),
            localhost_ref: path.display().to_string(),
        }),
        ..LinuxContainerSecurityContext::default()
    };
    let error = seccomp::read(&security).unwrap_err().to_string();
    assert!(error.contains("profile.json"), "{error}");
    std::fs::write(&path, "{\"defaultAction\": \"NONE\"}").unwrap();
    let error = seccomp::read(&security).unwrap_err().to_string();
    assert!(error.contains("profile.json") && error.contains("NONE"), "{error}");
    std::fs::write(&path, "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}").unwrap();
    assert!(seccomp::read(&security).unwrap().is_some());
    let privileged = LinuxContainerSecurityContext { privileged: true, ..security };
    assert!(seccomp::read(&privileged).unwrap().is_none());
}

#[test]
fn a_pod_sets_only_parameters_of_its_own() {
    let refused = |name: &str, network: NamespaceMode| {
        let mut sandbox = pod("web");
        sandbox.linux = Some(LinuxPodSandboxConfig {
            sysctls: BTreeMap::from([(name.to_owned(), "1".to_owned())]),
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(NamespaceOption {
                    network: network.into(),
                    ..NamespaceOption::default()
                }),
                ..LinuxSandboxSecurityContext::default()
            }),
            ..LinuxPodSandboxConfig::default()
        });
        refuse::sandbox(&sandbox, "").is_err()
    };
    assert!(!refused("net.ipv4.ip_forward", NamespaceMode::Pod));
    assert!(!refused("net/ipv4/ip_forward", NamespaceMode::Pod));
    assert!(!refused("kernel.shmmax", NamespaceMode::Pod));
    assert!(refused("net.ipv4.ip_forward", NamespaceMode::Node));
    assert!(refused("kernel.panic", NamespaceMode::Pod));
    assert!(refused("net/../kernel/panic", NamespaceMode::Pod));
    assert!(refused("vm.swappiness", NamespaceMode::Pod));
}

#[test]
fn impossible_sandboxes_are_refused() {
    let refused = |change: fn(&mut PodSandboxConfig)| {
        let mut sandbox = pod("web");
        change(&mut sandbox);
        refuse::sandbox(&sandbox, "").unwrap_err().to_string()
    };
    assert_eq!(refused(|pod| pod.metadata = None), "config.metadata: missing");
    let slice = refused(|pod| {
        pod.linux = Some(LinuxPodSandboxConfig {
            cgroup_parent: "kubepods.slice".to_owned(),
            ..LinuxPodSandboxConfig::default()
        });
    });
    assert!(slice.starts_with("config.linux.cgroup_parent: "), "{slice}");
    let dns = refused(|pod| {
        pod.dns_config = Some(corten_api_cri::v1::DnsConfig {
            servers: vec!["10.0.0.1\nnameserver 6.6.6.6".to_owned()],
            ..Default::default()
        });
    });
    assert!(dns.starts_with("config.dns_config.servers[0]: "), "{dns}");
    let handler = refuse::sandbox(&pod("web"), "kata").unwrap_err().to_string();
    assert_eq!(handler, "runtime_handler: \"kata\" is not known; there is \"corten\"");
}
