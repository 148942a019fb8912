//! The plugins as the real binary, driven by the runtime's side, with real packets.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use corten_cni_invoke::Invoker;
use corten_cni_types::{
    AddResult, Attachment, NetworkConfList, PortMapping, Protocol, RuntimeArgs,
};
use corten_sys_netlink::conntrack::Conntrack;
use corten_sys_netlink::in_namespace;
use corten_sys_netlink::route::{LinkChange, Links};
use corten_sys_netlink::tables::Tables;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces, is_root, skip_unless};
use serde_json::{Value, json};

const ROOT: &str = "network namespaces need root";
const LIMIT: Duration = Duration::from_secs(10);

/// A host with the plugins installed and a network configured.
struct Host {
    dir: tempfile::TempDir,
    invoker: Invoker,
    network: NetworkConfList,
}

/// A container: a named network namespace.
struct Container {
    args: RuntimeArgs,
    namespace: File,
}

impl Host {
    fn new() -> Self {
        Self::with(&json!({}), "10.42.0.0/24")
    }

    fn with(bridge_options: &Value, subnet: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for plugin in ["bridge", "host-local", "loopback", "portmap"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_corten-cni"), bin.join(plugin)).unwrap();
        }
        let mut bridge = json!({
            "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
            "hairpinMode": true,
            "ipam": {
                "type": "host-local",
                "dataDir": dir.path().join("networks"),
                "ranges": [[{ "subnet": subnet }]],
            },
        });
        for (key, value) in bridge_options.as_object().unwrap() {
            bridge[key] = value.clone();
        }
        let list = json!({
            "cniVersion": "1.1.0", "name": "corten",
            "plugins": [
                bridge,
                { "type": "portmap", "capabilities": { "portMappings": true } },
            ],
        });
        let network = NetworkConfList::parse(list.to_string().as_bytes()).unwrap();
        let invoker = Invoker::new(vec![bin], dir.path());
        Self { dir, invoker, network }
    }

    fn container(&self, id: &str) -> Container {
        let path = self.dir.path().join(format!("netns-{id}"));
        File::create(&path).unwrap();
        let namespace = in_new_namespaces(NamespaceOptions::default(), || {
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        // Named by a bind mount in the test's own mount namespace.
        let source = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&namespace));
        rustix::mount::mount_bind(source, &path).unwrap();
        let args = RuntimeArgs {
            container_id: id.to_owned(),
            netns: path,
            ifname: "eth0".to_owned(),
            args: vec![("IgnoreUnknown".into(), "1".into()), ("K8S_POD_NAME".into(), id.into())],
            ..RuntimeArgs::default()
        };
        Container { args, namespace }
    }

    fn add(&self, container: &Container) -> AddResult {
        self.invoker.add(&self.network, &container.args).unwrap()
    }

    fn reservations(&self) -> Vec<String> {
        let dir = self.dir.path().join("networks/corten");
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.parse::<IpAddr>().is_ok())
            .collect();
        names.sort();
        names
    }
}

impl Container {
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.namespace, work).unwrap()
    }

    /// Answers one TCP connection and one datagram with the peer's address.
    fn serve(&self, port: u16) -> std::thread::JoinHandle<()> {
        let (listener, socket) = self.run(|| {
            let any: SocketAddr = format!("[::]:{port}").parse().unwrap();
            (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap())
        });
        std::thread::spawn(move || {
            let udp = std::thread::spawn(move || {
                let mut buffer = [0; 16];
                while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                    if &buffer[..length] == b"end" {
                        return;
                    }
                    socket.send_to(peer.to_string().as_bytes(), peer).unwrap();
                }
            });
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let peer = stream.peer_addr().unwrap();
                let mut word = [0; 3];
                stream.read_exact(&mut word).unwrap();
                if &word == b"end" {
                    break;
                }
                stream.write_all(peer.to_string().as_bytes()).unwrap();
            }
            udp.join().unwrap();
        })
    }

    fn stop(&self, port: u16, server: std::thread::JoinHandle<()>) {
        self.run(|| {
            let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
            TcpStream::connect(address).unwrap().write_all(b"end").unwrap();
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"end", address).unwrap();
        });
        server.join().unwrap();
    }
}

/// The caller's address as the server saw it.
fn ask_tcp(address: &str) -> Result<IpAddr, std::io::Error> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"who")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(seen(&text))
}

fn ask_udp(address: &str) -> Result<IpAddr, std::io::Error> {
    let address: SocketAddr = address.parse().unwrap();
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.connect(address)?;
    socket.send(b"who")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(seen(std::str::from_utf8(&buffer[..length]).unwrap()))
}

fn seen(text: &str) -> IpAddr {
    text.parse::<SocketAddr>().unwrap().ip().to_canonical()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mapping(host_port: u16, protocol: Protocol) -> PortMapping {
    PortMapping { host_port, container_port: 80, protocol, host_ip: None }
}

#[test]
fn containers_reach_each_other_the_host_and_are_cleaned_up() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let (one, two) = (host.container("one"), host.container("two"));
        let result = host.add(&one);
        let names: Vec<_> = result.interfaces.iter().map(|it| it.name.as_str()).collect();
        assert_eq!((names[0], names[2]), ("cni0", "eth0"));
        assert!(names[1].starts_with("veth"));
        assert_eq!(result.interfaces[2].sandbox, one.args.netns.to_str().unwrap());
        assert_eq!(result.ips[0].address.to_string(), "10.42.0.2/24");
        assert_eq!(result.ips[0].gateway, Some(ip("10.42.0.1")));
        assert_eq!(result.routes[0].dst.to_string(), "0.0.0.0/0");
        assert_eq!(host.add(&two).ips[0].address.to_string(), "10.42.0.3/24");
        host.invoker.check(&host.network, &one.args).unwrap();
        host.invoker.status(&host.network).unwrap();

        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        assert_eq!(two.run(|| ask_udp("10.42.0.2:80")).unwrap(), ip("10.42.0.3"));
        assert_eq!(ask_tcp("10.42.0.2:80").unwrap(), ip("10.42.0.1"));
        one.stop(80, server);

        one.run(|| {
            let mut links = Links::open().unwrap();
            let eth0 = links.link("eth0").unwrap().unwrap();
            let down = LinkChange { up: Some(false), ..LinkChange::default() };
            links.set_link(eth0.index, &down).unwrap();
        });
        let error = host.invoker.check(&host.network, &one.args).unwrap_err();
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("route"));

        for container in [&one, &two] {
            host.invoker.del(&host.network, &container.args).unwrap();
            host.invoker.del(&host.network, &container.args).unwrap();
            assert_eq!(container.run(|| Links::open().unwrap().link("eth0").unwrap()), None);
        }
        assert_eq!(host.reservations(), Vec::<String>::new());
        let links = Links::open().unwrap().links().unwrap();
        assert_eq!(links.iter().filter(|link| link.name.starts_with("veth")).count(), 0);
        corten_cni_plugins::cleanup("cni0").unwrap();
        assert_eq!(Links::open().unwrap().link("cni0").unwrap(), None);
        assert_eq!(Tables::open().unwrap().tables().unwrap(), []);
    });
}

#[test]
fn ports_of_the_host_lead_to_the_container() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let (mut one, two) = (host.container("one"), host.container("two"));
        let mappings = [mapping(8080, Protocol::Tcp), mapping(8080, Protocol::Udp)];
        one.args = one.args.clone().with_port_mappings(&mappings);
        host.add(&one);
        host.add(&two);
        host.invoker.check(&host.network, &one.args).unwrap();
        let server = one.serve(80);
        let gateway = ip("10.42.0.1");
        for address in ["10.42.0.1:8080", "127.0.0.1:8080"] {
            assert_eq!(ask_tcp(address).unwrap(), gateway);
            assert_eq!(ask_udp(address).unwrap(), gateway);
        }
        // From its neighbour, and from itself: both come back by the host.
        for container in [&one, &two] {
            assert_eq!(container.run(|| ask_tcp("10.42.0.1:8080")).unwrap(), gateway);
            assert_eq!(container.run(|| ask_udp("10.42.0.1:8080")).unwrap(), gateway);
        }

        let mut three = host.container("three");
        three.args = three.args.clone().with_port_mappings(&mappings);
        let error = host.invoker.add(&host.network, &three.args).unwrap_err();
        assert_eq!(error.cni_code(), Some(11));
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.contains("host port 8080/tcp is taken by container corten one eth0"),
            "{cause}"
        );
        host.invoker.del(&host.network, &three.args).unwrap();

        // The runtime has forgotten the mappings.
        let bare = RuntimeArgs { capability_args: Default::default(), ..one.args.clone() };
        one.stop(80, server);
        host.invoker.del(&host.network, &bare).unwrap();
        ask_tcp("10.42.0.1:8080").unwrap_err();
        host.add(&three);
    });
}

#[test]
fn what_listens_on_loopback_is_not_reached_from_containers() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let mut one = host.container("one");
        one.args = one.args.clone().with_port_mappings(&[mapping(8080, Protocol::Tcp)]);
        host.add(&one);
        let secret = UdpSocket::bind("127.0.0.1:7777").unwrap();
        secret.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        one.run(|| {
            // Root in the container sends loopback packets out of its link.
            std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
            let mut links = Links::open().unwrap();
            let eth0 = links.link("eth0").unwrap().unwrap().index;
            let lo = links.link("lo").unwrap().unwrap().index;
            let loopback = corten_sys_netlink::route::Address {
                link: lo,
                address: ip("127.0.0.1"),
                prefix: 8,
            };
            links.delete_address(loopback).unwrap();
            let route = corten_sys_netlink::route::Route::new(
                ip("127.0.0.1"),
                32,
                Some(ip("10.42.0.1")),
                eth0,
            );
            links.add_route(&route).unwrap();
            let socket = UdpSocket::bind("10.42.0.2:0").unwrap();
            socket.send_to(b"hello", "127.0.0.1:7777").unwrap();
        });
        let mut buffer = [0; 8];
        assert!(secret.recv_from(&mut buffer).is_err(), "the packet came through");
    });
}

#[test]
fn a_hundred_at_once_get_a_hundred_addresses() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let containers: Vec<_> =
            (0..100).map(|index| host.container(&format!("c{index}"))).collect();
        let addresses: HashSet<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = containers
                .iter()
                .map(|container| scope.spawn(|| host.add(container).ips[0].address.address()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(addresses.len(), 100);
        assert_eq!(host.reservations().len(), 100);
        let rules = Tables::open()
            .unwrap()
            .rules(
                &corten_sys_netlink::tables::Table::new(
                    corten_sys_netlink::tables::Family::Inet,
                    "corten-masquerade",
                ),
                "postrouting",
            )
            .unwrap();
        assert_eq!(rules.len(), 1);
        std::thread::scope(|scope| {
            for container in &containers {
                scope.spawn(|| host.invoker.del(&host.network, &container.args).unwrap());
            }
        });
        assert_eq!(host.reservations(), Vec::<String>::new());
    });
}

#[test]
fn gc_collects_what_a_reboot_left() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let (mut one, two) = (host.container("one"), host.container("two"));
        one.args = one.args.clone().with_port_mappings(&[mapping(8080, Protocol::Tcp)]);
        host.add(&one);
        host.add(&two);
        // The cache is gone: only the plugins know.
        std::fs::remove_dir_all(host.dir.path().join("results")).unwrap();
        let reserved = host.dir.path().join("networks/corten/10.42.0.99");
        std::fs::write(reserved, "").unwrap();
        let valid = [Attachment { container_id: "two".into(), ifname: "eth0".into() }];
        host.invoker.gc(&host.network, &valid).unwrap();
        assert_eq!(host.reservations(), ["10.42.0.3"]);
        ask_tcp("10.42.0.1:8080").unwrap_err();
        host.invoker.gc(&host.network, &[]).unwrap();
        assert_eq!(host.reservations(), Vec::<String>::new());
    });
}

#[test]
fn a_failed_add_leaves_nothing() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let host = Host::new();
        let one = host.container("one");
        host.add(&one);
        // The address of another network is in the way.
        let other = Host::with(&json!({}), "10.99.0.0/24");
        let two = other.container("two");
        let error = other.invoker.add(&other.network, &two.args).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("bridge cni0 has address 10.42.0.1/24 already"), "{cause}");
        assert_eq!(other.reservations(), Vec::<String>::new());
        assert_eq!(two.run(|| Links::open().unwrap().link("eth0").unwrap()), None);
        // A container that is attached already keeps its address.
        let error = host.invoker.add(&host.network, &one.args).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("one's eth0 has address 10.42.0.2 already"), "{cause}");
        assert_eq!(host.reservations(), ["10.42.0.2"]);
        // A full range.
        let ipam = json!({"type": "host-local", "dataDir": host.dir.path().join("small"),
            "ranges": [[{"subnet": "10.42.0.0/24", "rangeStart": "10.42.0.5", "rangeEnd": "10.42.0.5"}]]});
        let small = Host::with(&json!({ "ipam": ipam }), "10.42.0.0/24");
        small.add(&small.container("three"));
        let error = small.invoker.status(&small.network).unwrap_err();
        assert_eq!(error.cni_code(), Some(50));
        let four = small.container("four");
        let error = small.invoker.add(&small.network, &four.args).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("no address is left in ranges 10.42.0.5-10.42.0.5"), "{cause}");
    });
}

#[test]
fn both_families() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let scratch = tempfile::tempdir().unwrap();
        let ipam = json!({"type": "host-local", "dataDir": scratch.path(),
            "ranges": [[{"subnet": "10.42.0.0/24"}], [{"subnet": "fd42::/64"}]]});
        let host = Host::with(&json!({ "ipam": ipam }), "10.42.0.0/24");
        let (mut one, two) = (host.container("one"), host.container("two"));
        let mappings = [mapping(8080, Protocol::Tcp), mapping(8080, Protocol::Udp)];
        one.args = one.args.clone().with_port_mappings(&mappings);
        let result = host.add(&one);
        assert_eq!(result.ips[1].address.to_string(), "fd42::2/64");
        assert_eq!(result.routes.len(), 2);
        host.add(&two);
        let server = one.serve(80);
        assert_eq!(two.run(|| ask_tcp("[fd42::2]:80")).unwrap(), ip("fd42::3"));
        assert_eq!(ask_tcp("[fd42::1]:8080").unwrap(), ip("fd42::1"));
        assert_eq!(ask_udp("[fd42::1]:8080").unwrap(), ip("fd42::1"));
        assert_eq!(two.run(|| ask_tcp("[fd42::1]:8080")).unwrap(), ip("fd42::1"));
        one.stop(80, server);
        drop(Conntrack::open().unwrap());
    });
}

/// Runs a plugin by hand.
fn call(plugin: &str, variables: &[(&str, &str)], input: &str) -> (bool, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(plugin);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_corten-cni"), &path).unwrap();
    let mut child = Command::new(&path)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A plugin that does not read its input closes the pipe.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Plugin, environment, input; code and a part of the error that is to come.
type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a str, u32, &'a str);

#[test]
fn the_protocol_without_a_network() {
    let (ok, out, err) = call("bridge", &[], "");
    assert!(ok && out.is_empty() && err.starts_with("CNI plugin bridge"), "{err}");
    let (ok, out, _) = call("portmap", &[("CNI_COMMAND", "VERSION")], "{}");
    let versions: Value = serde_json::from_str(&out).unwrap();
    assert!(ok);
    assert_eq!(versions["supportedVersions"], json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));

    let add = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/nowhere"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
    ];
    let with = |key: &str, value: &'static str| -> Vec<(&str, &str)> {
        add.iter().map(|&(name, old)| (name, if name == key { value } else { old })).collect()
    };
    let good = r#"{"cniVersion":"1.1.0","name":"n","type":"bridge"}"#;
    let cases: &[Case<'_>] = &[
        ("bridge", vec![("CNI_COMMAND", "ADD")], good, 4, "[CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME"),
        ("bridge", vec![("CNI_COMMAND", "X")], good, 4, "bad CNI_COMMAND"),
        ("bridge", with("CNI_CONTAINERID", "../x"), good, 4, "CNI_CONTAINERID"),
        ("bridge", with("CNI_IFNAME", "a/b"), good, 4, "CNI_IFNAME"),
        ("bridge", with("", ""), "{", 6, "decode"),
        ("bridge", with("", ""), r#"{"cniVersion":"9.9.9","name":"n"}"#, 1, "incompatible"),
        ("bridge", with("", ""), r#"{"cniVersion":"1.1.0"}"#, 7, "missing network name"),
        ("bridge", with("", ""), good, 3, "/run/netns/nowhere is not a network namespace"),
        ("bridge", with("CNI_NETNS", "/proc/self/ns/net"), good, 8, "should not be the same"),
        (
            "bridge",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","vlanning":5}"#,
            2,
            "option vlanning is not supported",
        ),
        (
            "bridge",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","ipMasqBackend":"iptables"}"#,
            2,
            "ipMasqBackend",
        ),
        (
            "bridge",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","hairpinMode":true,"promiscMode":true}"#,
            7,
            "exclude each other",
        ),
        (
            "host-local",
            with("", ""),
            r#"{"cniVersion":"1.1.0","name":"n","ipam":{"type":"host-local","ranges":
               [[{"subnet":"10.0.0.0/8"}],[{"subnet":"10.1.0.0/16"}]]}}"#,
            7,
            "ipam.ranges[0] overlaps with ipam.ranges[1]",
        ),
        ("portmap", with("CNI_COMMAND", "GC"), good, 7, "GC needs cni.dev/valid-attachments"),
        (
            "portmap",
            with("CNI_COMMAND", "GC"),
            r#"{"cniVersion":"1.0.0","name":"n"}"#,
            1,
            "config version does not allow GC",
        ),
        ("unheard-of", with("", ""), good, 7, "no plugin \"unheard-of\""),
    ];
    for (plugin, variables, input, code, expected) in cases {
        let (ok, out, _) = call(plugin, variables, input);
        let error: Value = serde_json::from_str(&out).unwrap();
        assert!(!ok, "{out}");
        assert_eq!(error["code"], json!(code), "{out}");
        assert!(out.contains(&expected.replace('"', "\\\"")), "{out}");
    }
}

#[test]
fn loopback_comes_up() {
    skip_unless!(is_root(), ROOT);
    in_new_namespaces(NamespaceOptions::default(), || {
        let mut host = Host::new();
        let list = r#"{"cniVersion":"0.4.0","name":"lo","plugins":[{"type":"loopback"}]}"#;
        host.network = NetworkConfList::parse(list.as_bytes()).unwrap();
        let mut one = host.container("one");
        one.args.ifname = "lo".to_owned();
        one.run(|| {
            let mut links = Links::open().unwrap();
            let down = LinkChange { up: Some(false), ..LinkChange::default() };
            links.set_link(1, &down).unwrap();
        });
        let result = host.add(&one);
        assert_eq!(result.ips[0].address.to_string(), "127.0.0.1/8");
        host.invoker.check(&host.network, &one.args).unwrap();
        host.invoker.del(&host.network, &one.args).unwrap();
        assert!(!one.run(|| Links::open().unwrap().link("lo").unwrap().unwrap().up));
        let gone = RuntimeArgs { netns: PathBuf::new(), ..one.args.clone() };
        host.invoker.del(&host.network, &gone).unwrap();
        assert!(!Path::new("/run/netns/one").exists());
    });
}
