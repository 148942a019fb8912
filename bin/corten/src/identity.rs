//! Who is who in the cluster: the certificates that the components show each other.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use corten_pki::{Authority, Issued, Kubeconfig, Request, San, ServiceAccountKey, Usage};

use crate::config::Config;

/// Renewed at every start once a fifth of it is left.
const LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
const ADMIN: &str = "kubernetes-admin";

/// The certificates and keys of a server with its node.
#[derive(Debug)]
pub(crate) struct Identities {
    pub(crate) ca_pem: String,
    /// What the API server shows its clients.
    pub(crate) apiserver: Issued,
    /// What the API server shows kubelets.
    pub(crate) kubelet_client: Issued,
    pub(crate) service_accounts: ServiceAccountKey,
}

/// Makes what is missing below `<data_dir>/pki`, and the administrator's kubeconfig.
///
/// # Errors
/// Names the file that can't be used.
pub(crate) fn establish(config: &Config, node_name: &str, node_ip: IpAddr) -> Result<Identities> {
    let folder = config.data_dir.join("pki");
    let authority =
        Authority::load_or_create(&folder, "ca", "corten-ca").context("the cluster's authority")?;
    let (kubernetes, _) = config.service_addresses()?;
    let mut names = vec![
        San::Ip(IpAddr::from([127, 0, 0, 1])),
        San::Ip(node_ip),
        San::Ip(kubernetes),
        San::Dns("localhost".to_owned()),
        San::Dns(node_name.to_owned()),
        San::Dns("kubernetes".to_owned()),
        San::Dns("kubernetes.default".to_owned()),
        San::Dns("kubernetes.default.svc".to_owned()),
        San::Dns(format!("kubernetes.default.svc.{}", config.cluster_domain)),
    ];
    names.extend(config.apiserver.extra_sans.iter().map(|name| match name.parse() {
        Ok(address) => San::Ip(address),
        Err(_name) => San::Dns(name.clone()),
    }));
    names.sort();
    names.dedup();
    let issue = |stem: &str, request: Request| {
        authority.issue_to(&request, &folder, stem).with_context(|| format!("certificate {stem}"))
    };
    let apiserver = issue("apiserver", server("kube-apiserver", None, names))?;
    let kubelet_client = issue(
        "apiserver-kubelet-client",
        client("kube-apiserver-kubelet-client", "system:masters"),
    )?;
    let node = format!("system:node:{node_name}");
    let own = vec![San::Dns(node_name.to_owned()), San::Ip(node_ip)];
    issue("kubelet", server(&node, Some("system:nodes"), own))?;
    let admin = issue("admin", client(ADMIN, "system:masters"))?;
    write_kubeconfig(config, authority.certificate_pem(), &admin)?;
    Ok(Identities {
        ca_pem: authority.certificate_pem().to_owned(),
        apiserver,
        kubelet_client,
        service_accounts: service_account_key(&folder)?,
    })
}

fn service_account_key(folder: &Path) -> Result<ServiceAccountKey> {
    ServiceAccountKey::load_or_create(folder).context("the key of service-account tokens")
}

fn write_kubeconfig(config: &Config, ca_pem: &str, admin: &Issued) -> Result<()> {
    let server_url = format!("https://127.0.0.1:{}", config.apiserver.port);
    let kubeconfig = Kubeconfig {
        server_url: &server_url,
        ca_pem,
        client_certificate_pem: &admin.certificate_pem,
        client_key_pem: &admin.key_pem,
        user: ADMIN,
        cluster: "corten",
    };
    corten_pki::write_kubeconfig(&config.kubeconfig, &kubeconfig)
        .with_context(|| format!("write {}", config.kubeconfig.display()))
}

fn server(common_name: &str, organization: Option<&str>, sans: Vec<San>) -> Request {
    Request {
        common_name: common_name.to_owned(),
        organization: organization.map(str::to_owned),
        sans,
        usage: Usage::Server,
        lifetime: LIFETIME,
    }
}

fn client(common_name: &str, organization: &str) -> Request {
    Request {
        common_name: common_name.to_owned(),
        organization: Some(organization.to_owned()),
        sans: Vec::new(),
        usage: Usage::Client,
        lifetime: LIFETIME,
    }
}
