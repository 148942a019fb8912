//! A server alone, with its own authority, store and admin kubeconfig in one folder:
//! `apiserver <folder> [listen address]`.

#![allow(clippy::print_stdout, reason = "an example talks on its output")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use corten_apiserver_server::{Config, KeyPairPem, KubeletConfig, SigningKeyPem, serve};
use corten_apiserver_store::{Embedded, Options};
use corten_pki::{Authority, Issued, Kubeconfig, Request, San, ServiceAccountKey, Usage};
use corten_task::Tasks;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn request(name: &str, group: Option<&str>, usage: Usage, sans: Vec<San>) -> Request {
    Request {
        common_name: name.to_owned(),
        organization: group.map(str::to_owned),
        sans,
        usage,
        lifetime: Duration::from_secs(30 * 24 * 3600),
    }
}

fn pair(issued: Issued) -> KeyPairPem {
    KeyPairPem { certificate_pem: issued.certificate_pem, key_pem: issued.key_pem }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("usage: apiserver <folder> [address]")?);
    let listen: SocketAddr =
        arguments.next().unwrap_or_else(|| "127.0.0.1:6443".to_owned()).parse()?;
    std::fs::create_dir_all(&folder)?;
    let ca = Authority::load_or_create(&folder, "ca", "corten-example-ca")?;
    let sans = vec![
        San::Ip(listen.ip()),
        San::Ip([10, 43, 0, 1].into()),
        San::Dns("localhost".to_owned()),
        San::Dns("kubernetes".to_owned()),
        San::Dns("kubernetes.default".to_owned()),
        San::Dns("kubernetes.default.svc".to_owned()),
        San::Dns("kubernetes.default.svc.cluster.local".to_owned()),
    ];
    let serving =
        ca.issue_to(&request("kube-apiserver", None, Usage::Server, sans), &folder, "apiserver")?;
    let kubelet_client = ca.issue_to(
        &request("kube-apiserver-kubelet-client", Some("system:masters"), Usage::Client, vec![]),
        &folder,
        "apiserver-kubelet-client",
    )?;
    let admin = ca.issue_to(
        &request("kubernetes-admin", Some("system:masters"), Usage::Client, vec![]),
        &folder,
        "admin",
    )?;
    corten_pki::write_kubeconfig(
        &folder.join("admin.kubeconfig"),
        &Kubeconfig {
            server_url: &format!("https://{listen}"),
            ca_pem: ca.certificate_pem(),
            client_certificate_pem: &admin.certificate_pem,
            client_key_pem: &admin.key_pem,
            user: "kubernetes-admin",
            cluster: "corten",
        },
    )?;
    let key = ServiceAccountKey::load_or_create(&folder)?;
    let mut config = Config::new(
        listen,
        pair(serving),
        ca.certificate_pem().to_owned(),
        SigningKeyPem {
            private_pem: key.private_pem().to_owned(),
            public_pem: key.public_pem().to_owned(),
            public_point: key.public_point().to_owned(),
        },
        KubeletConfig { client: pair(kubelet_client), ca_pem: ca.certificate_pem().to_owned() },
    );
    config.advertise_address = Some(listen.ip());
    let path = folder.join("store");
    let store = tokio::task::spawn_blocking(move || Embedded::open(&path, &Options::default()));
    let tasks = Tasks::new();
    let handle = serve(config, Arc::new(store.await??), &tasks).await?;
    println!("https://{} {}", handle.address(), folder.join("admin.kubeconfig").display());
    tokio::signal::ctrl_c().await?;
    tasks.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}
