//! A node with pods and a client outside, as network namespaces.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use corten_proxy_model::{
    Endpoint, EndpointPort, EndpointSlice, Model, Protocol, Service, ServiceName, ServicePort,
};
use corten_proxy_nftables::{Config, Network, Proxy};
use corten_sys_netlink::in_namespace;
use corten_sys_netlink::route::{
    Address, BridgePort, LinkChange, Links, MacAddress, NewBridge, NewVeth, Route,
};
use corten_tests_harness::{NamespaceOptions, in_new_namespaces};

pub(crate) const LIMIT: Duration = Duration::from_secs(5);
pub(crate) const PORT: u16 = 8080;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A machine on one of the node's bridges.
pub(crate) struct Machine {
    pub(crate) address: IpAddr,
    pub(crate) address6: IpAddr,
    namespace: File,
}

/// The node: the namespace that the test runs in.
pub(crate) struct Node {
    pub(crate) proxy: Proxy,
    pub(crate) model: Model,
    pub(crate) pods: Vec<Machine>,
    pub(crate) outside: Machine,
}

pub(crate) fn config() -> Config {
    let network = |address: &str, prefix| Network { address: ip(address), prefix };
    Config {
        service_networks: vec![network("10.43.0.0", 16), network("fd43::", 112)],
        pod_networks: vec![network("10.42.0.0", 16), network("fd42::", 64)],
        masquerade_all: false,
    }
}

impl Node {
    pub(crate) fn new(pods: u8) -> Self {
        for (setting, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            ("bridge/bridge-nf-call-iptables", "1"),
            ("bridge/bridge-nf-call-ip6tables", "1"),
        ] {
            std::fs::write(format!("/proc/sys/net/{setting}"), value).unwrap();
        }
        let pods = bridge("cni0", "10.42.0", "fd42::", pods);
        let outside = bridge("ext0", "192.168.9", "fd99::", 1).remove(0);
        let mut links = Links::open().unwrap();
        let ext0 = links.link("ext0").unwrap().unwrap().index;
        for (any, gateway) in [("0.0.0.0", outside.address), ("::", outside.address6)] {
            links.add_route(&Route::new(ip(any), 0, Some(gateway), ext0)).unwrap();
        }
        let mut proxy = Proxy::open(config()).unwrap();
        proxy.start().unwrap();
        Self { proxy, model: Model::new(Some("n1")), pods, outside }
    }

    /// Brings the model's changes into the kernel; returns how many there were.
    pub(crate) fn sync(&mut self) -> usize {
        let plan = self.model.plan();
        self.proxy.apply(&plan).unwrap();
        self.proxy.forget_flows(&plan.stale_flows()).unwrap();
        let count = plan.changes.len();
        self.model.commit(plan);
        count
    }

    pub(crate) fn set_endpoints(&mut self, protocol: Protocol, pods: &[usize]) {
        let of_family = |ipv6: bool| EndpointSlice {
            ports: vec![EndpointPort { name: String::new(), protocol, port: PORT }],
            endpoints: pods
                .iter()
                .map(|pod| Endpoint {
                    address: if ipv6 { self.pods[*pod].address6 } else { self.pods[*pod].address },
                    ready: true,
                    serving: true,
                    terminating: false,
                    node: Some("n1".to_owned()),
                })
                .collect(),
        };
        let (four, six) = (of_family(false), of_family(true));
        self.model.set_slice(&name(protocol), "four", four);
        self.model.set_slice(&name(protocol), "six", six);
    }

    /// Sets a Service with the given endpoints and brings it into the kernel.
    pub(crate) fn serve(&mut self, protocol: Protocol, pods: &[usize]) {
        self.model.set_service(&name(protocol), service(protocol));
        self.set_endpoints(protocol, pods);
        self.sync();
    }
}

pub(crate) fn name(protocol: Protocol) -> ServiceName {
    ServiceName::new("default", &protocol.to_string().to_lowercase())
}

pub(crate) fn service(protocol: Protocol) -> Service {
    Service {
        cluster_ips: vec![ip("10.43.0.9"), ip("fd43::9")],
        ports: vec![ServicePort {
            name: String::new(),
            protocol,
            port: 80,
            node_port: Some(30080),
        }],
        ..Service::default()
    }
}

/// Makes a bridge with machines `.2` and on; the node is `.1` and their default gateway.
fn bridge(name: &str, net: &str, net6: &str, machines: u8) -> Vec<Machine> {
    let mut links = Links::open().unwrap();
    let mac = MacAddress::local([2, name.as_bytes()[0], 0, 0, 0, 1]);
    links.add_bridge(&NewBridge { name, mac, mtu: None }).unwrap();
    let index = links.link(name).unwrap().unwrap().index;
    let (gateway, gateway6) = (ip(&format!("{net}.1")), ip(&format!("{net6}1")));
    links.add_address(Address { link: index, address: gateway, prefix: 24 }, false).unwrap();
    links.add_address(Address { link: index, address: gateway6, prefix: 64 }, false).unwrap();
    (2..machines + 2)
        .map(|number| {
            let namespace = in_new_namespaces(NamespaceOptions::default(), || {
                File::open("/proc/thread-self/ns/net").unwrap()
            });
            let port = format!("{name}-{number}");
            let veth = NewVeth {
                name: &port,
                master: index,
                peer_name: "eth0",
                peer_namespace: &namespace,
                peer_mac: None,
                mtu: None,
            };
            links.add_veth(&veth).unwrap();
            let port = links.link(&port).unwrap().unwrap().index;
            links.set_bridge_port(port, BridgePort { hairpin: true, isolated: false }).unwrap();
            let address = ip(&format!("{net}.{number}"));
            let address6 = ip(&format!("{net6}{number}"));
            let machine = Machine { address, address6, namespace };
            machine.run(|| {
                let mut links = Links::open().unwrap();
                let link = links.link("eth0").unwrap().unwrap().index;
                links.add_address(Address { link, address, prefix: 24 }, false).unwrap();
                let address6 = Address { link, address: address6, prefix: 64 };
                links.add_address(address6, false).unwrap();
                let up = LinkChange { up: Some(true), ..LinkChange::default() };
                links.set_link(link, &up).unwrap();
                for (any, gateway) in [("0.0.0.0", gateway), ("::", gateway6)] {
                    links.add_route(&Route::new(ip(any), 0, Some(gateway), link)).unwrap();
                }
            });
            machine
        })
        .collect()
}

impl Machine {
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.namespace, work).unwrap()
    }

    /// Answers connections and datagrams with this machine's address and the caller's, until the
    /// test ends.
    pub(crate) fn answer(&self) {
        let any: SocketAddr = format!("[::]:{PORT}").parse().unwrap();
        let (listener, socket) =
            self.run(|| (TcpListener::bind(any).unwrap(), UdpSocket::bind(any).unwrap()));
        let me = self.address;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || talk(stream, me));
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_length, peer)) = socket.recv_from(&mut buffer) {
                drop(socket.send_to(format!("{me} {}", plain(peer)).as_bytes(), peer));
            }
        });
    }
}

fn talk(mut stream: TcpStream, me: IpAddr) {
    let peer = plain(stream.peer_addr().unwrap());
    let mut byte = [0];
    while matches!(stream.read(&mut byte), Ok(1)) {
        drop(stream.write_all(format!("{me} {peer}\n").as_bytes()));
    }
}

fn plain(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// An open connection.
pub(crate) struct Talk(TcpStream);

impl Talk {
    pub(crate) fn new(address: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address.parse().unwrap(), LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Self(stream))
    }

    /// Who answers, and as whom the caller was seen.
    pub(crate) fn ask(&mut self) -> std::io::Result<(IpAddr, IpAddr)> {
        self.0.write_all(b"?")?;
        let mut text = Vec::new();
        let mut byte = [0];
        loop {
            self.0.read_exact(&mut byte)?;
            if byte[0] == b'\n' {
                return Ok(parse(std::str::from_utf8(&text).unwrap()));
            }
            text.push(byte[0]);
        }
    }
}

fn parse(text: &str) -> (IpAddr, IpAddr) {
    let (server, client) = text.split_once(' ').unwrap();
    (ip(server), ip(client))
}

pub(crate) fn tcp(address: &str) -> std::io::Result<(IpAddr, IpAddr)> {
    Talk::new(address)?.ask()
}

pub(crate) fn udp(address: &str) -> std::io::Result<(IpAddr, IpAddr)> {
    let address: SocketAddr = address.parse().unwrap();
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    datagram(&UdpSocket::bind(any)?, address)
}

pub(crate) fn datagram(
    socket: &UdpSocket,
    address: SocketAddr,
) -> std::io::Result<(IpAddr, IpAddr)> {
    socket.set_read_timeout(Some(LIMIT))?;
    socket.connect(address)?;
    socket.send(b"?")?;
    let mut buffer = [0; 128];
    let length = socket.recv(&mut buffer)?;
    Ok(parse(std::str::from_utf8(&buffer[..length]).unwrap()))
}
