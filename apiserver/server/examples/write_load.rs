//! Writes ConfigMaps through a running server as fast as it acknowledges them:
//! `write_load <folder of the example server> <address> [clients] [seconds]`. Each client has a
//! connection of its own and waits for each answer.

#![allow(clippy::print_stdout, reason = "an example talks on its output")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use corten_task::Tasks;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn tls(folder: &Path) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.crt"))?)?;
    let chain = vec![CertificateDer::from_pem_file(folder.join("admin.crt"))?];
    let key = PrivateKeyDer::from_pem_file(folder.join("admin.key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn connect(
    tls: &TlsConnector,
    address: &str,
    tasks: &Tasks,
) -> Result<SendRequest<Full<Bytes>>, Error> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = tls.connect(ServerName::try_from("localhost")?, stream).await?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tasks.spawn("connection", async move {
        drop(connection.await);
    });
    Ok(sender)
}

async fn write(
    sender: &mut SendRequest<Full<Bytes>>,
    address: &str,
    name: &str,
) -> Result<Duration, Error> {
    let data = "x".repeat(500);
    let body = format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"x":"{data}"}}}}"#
    );
    let request = Request::post("/api/v1/namespaces/default/configmaps")
        .header("host", address)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let start = Instant::now();
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if status != StatusCode::CREATED {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(start.elapsed())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, address, rest @ ..] = arguments.as_slice() else {
        return Err("usage: write_load <folder> <address> [clients] [seconds]".into());
    };
    let number = |index: usize, default: u64| rest.get(index).map_or(Ok(default), |n| n.parse());
    let (clients, seconds) = (number(0, 200)?, number(1, 10)?);
    let tls = tls(Path::new(folder))?;
    let tasks = Tasks::new();
    let (results, mut outcomes) = mpsc::channel(1024);
    let begin = Instant::now();
    for client in 0..clients {
        let mut sender = connect(&tls, address, &tasks).await?;
        let (results, address) = (results.clone(), address.clone());
        tasks.spawn("client", async move {
            let run = std::process::id();
            for n in 0_u64.. {
                if begin.elapsed() > Duration::from_secs(seconds) {
                    return;
                }
                let name = format!("load-{run}-{client}-{n}");
                let outcome = write(&mut sender, &address, &name).await;
                if results.send(outcome).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(results);
    let (mut latencies, mut errors) = (Vec::new(), 0);
    while let Some(outcome) = outcomes.recv().await {
        match outcome {
            Ok(latency) => latencies.push(latency),
            Err(error) => {
                errors += 1;
                if errors < 5 {
                    println!("{error}");
                }
            }
        }
    }
    let elapsed = begin.elapsed();
    latencies.sort();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    println!(
        "{clients} clients, {:.1} s: {:.0} writes/s, p50 {:?}, p99 {:?}, max {:?}, {errors} errors",
        elapsed.as_secs_f64(),
        latencies.len() as f64 / elapsed.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
    tasks.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
