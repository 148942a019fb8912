//! Connecting to a port within a sandbox.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpSocket, TcpStream};

use crate::sandbox::{Sandbox, on_node_network};
use crate::service::Service;

/// Within one machine.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Connects to the port on the sandbox's loopback, over IPv4 or else IPv6.
pub(super) async fn dial(service: &Service, sandbox: &Sandbox, port: u16) -> io::Result<TcpStream> {
    let record = sandbox.record();
    let namespace =
        (!on_node_network(&record)).then(|| service.config.namespace_dir(&record.id).join("net"));
    let mut last = None;
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        match connect(namespace.as_deref(), SocketAddr::from((address, port))).await {
            Ok(stream) => return Ok(stream),
            // Where there is no IPv6, what IPv4 said is what helps.
            Err(error) => last = Some(last.unwrap_or(error)),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

async fn connect(namespace: Option<&Path>, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = match namespace {
        Some(path) => {
            let path = path.to_owned();
            tokio::task::spawn_blocking(move || socket_in(&path, address))
                .await
                .map_err(io::Error::other)??
        }
        None => socket(address)?,
    };
    let socket = TcpSocket::from_std_stream(socket.into());
    match tokio::time::timeout(CONNECT_WITHIN, socket.connect(address)).await {
        Ok(connected) => {
            let stream = connected?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A socket belongs to the namespace it was made in, wherever it is used. It is made in a thread of
/// its own, that is in the namespace for the rest of its short life: a thread of a pool must not
/// come back changed. Blocks.
fn socket_in(namespace: &Path, address: SocketAddr) -> io::Result<OwnedFd> {
    let file = std::fs::File::open(namespace)?;
    let maker = std::thread::Builder::new().name("dial".to_owned()).spawn(move || {
        move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&file),
            Some(LinkNameSpaceType::Network),
        )?;
        socket(address)
    })?;
    maker.join().map_err(|_panic| io::Error::other("the thread that makes sockets failed"))?
}

fn socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
}
