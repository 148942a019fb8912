//! Hosts and containers as network namespaces.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use corten_cni_invoke::{InvokeError, Invoker};
use corten_cni_types::{AddResult, NetworkConfList, PortMapping, Protocol, RuntimeArgs};
use corten_sys_netlink::in_namespace;
use corten_tests_harness::{NamespaceOptions, in_new_namespaces};
use serde_json::{Value, json};

pub(crate) const ROOT: &str = "network namespaces need root";
const LIMIT: Duration = Duration::from_secs(10);

/// A host with the plugins installed and a network configured.
pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) invoker: Invoker,
    pub(crate) network: NetworkConfList,
}

/// A container: a named network namespace.
pub(crate) struct Container {
    pub(crate) args: RuntimeArgs,
    pub(crate) namespace: File,
}

impl Host {
    /// A bridge with addresses of a /24, and port mappings.
    pub(crate) fn new() -> Self {
        Self::with(&json!({}), "10.42.0.0/24")
    }

    pub(crate) fn with(bridge_options: &Value, subnet: &str) -> Self {
        Self::chain("1.1.0", |networks| {
            let ports = json!({ "type": "portmap", "capabilities": { "portMappings": true } });
            vec![bridge(bridge_options, subnet, networks), ports]
        })
    }

    /// Any list of plugins; `plugins` is told where addresses can be kept.
    pub(crate) fn chain(version: &str, plugins: impl FnOnce(&Path) -> Vec<Value>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        for plugin in corten_cni_plugins::names() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_corten-cni"), bin.join(plugin)).unwrap();
        }
        let plugins = plugins(&dir.path().join("networks"));
        let list = json!({ "cniVersion": version, "name": "corten", "plugins": plugins });
        let network = NetworkConfList::parse(list.to_string().as_bytes()).unwrap();
        let invoker = Invoker::new(vec![bin], dir.path());
        Self { dir, invoker, network }
    }

    /// What a call fails with: the plugin's own words.
    pub(crate) fn cause<T: std::fmt::Debug>(outcome: Result<T, InvokeError>) -> String {
        let error = outcome.unwrap_err();
        std::error::Error::source(&error).unwrap_or(&error).to_string()
    }

    pub(crate) fn container(&self, id: &str) -> Container {
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

    /// A container with a port of the host.
    pub(crate) fn ported(&self, id: &str) -> Container {
        let mut container = self.container(id);
        let mappings = [mapping(8080, Protocol::Tcp), mapping(8080, Protocol::Udp)];
        container.args = container.args.with_port_mappings(&mappings);
        container
    }

    /// The container ends, and nothing that the runtime kept of it is left.
    pub(crate) fn forget(&self, container: Container) {
        let path = &container.args.netns;
        rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH).unwrap();
        std::fs::remove_file(path).unwrap();
        drop(container.namespace);
        match std::fs::remove_dir_all(self.dir.path().join("results")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            Ok(()) | Err(_) => {}
        }
    }

    pub(crate) fn add(&self, container: &Container) -> AddResult {
        self.invoker.add(&self.network, &container.args).unwrap()
    }

    pub(crate) fn reservations(&self) -> Vec<String> {
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

/// The bridge plugin, as a node has it.
pub(crate) fn bridge(options: &Value, subnet: &str, networks: &Path) -> Value {
    let mut bridge = json!({
        "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
        "hairpinMode": true, "ipam": host_local(subnet, networks),
    });
    for (key, value) in options.as_object().unwrap() {
        bridge[key] = value.clone();
    }
    bridge
}

/// Addresses of one range.
pub(crate) fn host_local(subnet: &str, networks: &Path) -> Value {
    json!({ "type": "host-local", "dataDir": networks, "ranges": [[{ "subnet": subnet }]] })
}

impl Container {
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.namespace, work).unwrap()
    }

    /// Answers one TCP connection and one datagram with the peer's address.
    pub(crate) fn serve(&self, port: u16) -> std::thread::JoinHandle<()> {
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

    pub(crate) fn stop(&self, port: u16, server: std::thread::JoinHandle<()>) {
        self.run(|| {
            let address: SocketAddr = format!("127.0.0.1:{port}").parse().unwrap();
            TcpStream::connect(address).unwrap().write_all(b"end").unwrap();
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"end", address).unwrap();
        });
        server.join().unwrap();
    }
}

/// The caller's address as the server saw it.
pub(crate) fn ask_tcp(address: &str) -> Result<IpAddr, std::io::Error> {
    let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"who")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(seen(&text))
}

pub(crate) fn ask_udp(address: &str) -> Result<IpAddr, std::io::Error> {
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

pub(crate) fn seen(text: &str) -> IpAddr {
    text.parse::<SocketAddr>().unwrap().ip().to_canonical()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn mapping(host_port: u16, protocol: Protocol) -> PortMapping {
    PortMapping { host_port, container_port: 80, protocol, host_ip: None }
}

/// Starts a plugin by hand.
pub(crate) fn start(
    bin: &Path,
    plugin: &str,
    command: &str,
    container: &Container,
    conf: &Value,
) -> Child {
    let mut child = Command::new(bin.join(plugin))
        .env_clear()
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", &container.args.container_id)
        .env("CNI_NETNS", &container.args.netns)
        .env("CNI_IFNAME", &container.args.ifname)
        .env("CNI_ARGS", "IgnoreUnknown=1")
        .env("CNI_PATH", bin)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(conf.to_string().as_bytes()).unwrap();
    child
}
