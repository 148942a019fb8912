//! What the service is, and how it does.

use std::collections::BTreeMap;
use std::path::Path;

use corten_api_cri::v1::{
    CgroupDriver, LinuxRuntimeConfiguration, RuntimeCondition, RuntimeConfigResponse,
    RuntimeFeatures, RuntimeHandler, RuntimeHandlerFeatures, RuntimeStatus, StatusResponse,
    UpdateRuntimeConfigRequest, VersionResponse,
};
use serde_json::json;

use crate::error::{OperationError, Outcome, chain};
use crate::refuse::HANDLERS;
use crate::service::Service;

/// The version of the kubelet's interface that clients ask for; the answer repeats it.
const KUBELET_API_VERSION: &str = "0.1.0";
const NAME: &str = "corten";
const CRI_VERSION: &str = "v1";

pub(super) fn version() -> VersionResponse {
    VersionResponse {
        version: KUBELET_API_VERSION.to_owned(),
        runtime_name: NAME.to_owned(),
        runtime_version: env!("CARGO_PKG_VERSION").to_owned(),
        runtime_api_version: CRI_VERSION.to_owned(),
    }
}

fn condition(kind: &str, problem: Option<(&str, String)>) -> RuntimeCondition {
    let status = problem.is_none();
    let (reason, message) = problem.unwrap_or_default();
    RuntimeCondition { r#type: kind.to_owned(), status, reason: reason.to_owned(), message }
}

pub(super) async fn status(service: &Service, verbose: bool) -> Outcome<StatusResponse> {
    let binary = service.config.shim_binary.clone();
    let (runtime, network) = service
        .blocking("ask for readiness", move |parts| {
            (executable(&binary), parts.network.ready().map_err(|error| chain(&error)))
        })
        .await?;
    let features =
        RuntimeHandlerFeatures { recursive_read_only_mounts: false, user_namespaces: false };
    let handler =
        |name: &&str| RuntimeHandler { name: (*name).to_owned(), features: Some(features) };
    let mut info = BTreeMap::new();
    if verbose {
        let text = json!({ "config": service.config, "version": version().runtime_version });
        info.insert("config".to_owned(), text.to_string());
    }
    Ok(StatusResponse {
        status: Some(RuntimeStatus {
            conditions: vec![
                condition("RuntimeReady", runtime.err().map(|why| ("ShimMissing", why))),
                condition("NetworkReady", network.err().map(|why| ("NetworkPluginNotReady", why))),
            ],
        }),
        info,
        runtime_handlers: HANDLERS.iter().map(handler).collect(),
        features: Some(RuntimeFeatures {
            supplemental_groups_policy: true,
            user_namespaces_host_network: false,
        }),
    })
}

fn executable(path: &Path) -> Result<(), String> {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK)
        .map_err(|errno| format!("{} cannot be run: {errno}", path.display()))
}

pub(super) fn runtime_config() -> RuntimeConfigResponse {
    RuntimeConfigResponse {
        linux: Some(LinuxRuntimeConfiguration { cgroup_driver: CgroupDriver::Cgroupfs.into() }),
    }
}

/// The only thing that can be changed is the range of pod addresses, and those are the network
/// plugins' to give: it is checked and told of.
pub(super) fn update_runtime_config(request: &UpdateRuntimeConfigRequest) -> Outcome<()> {
    let network = request.runtime_config.as_ref().and_then(|config| config.network_config.as_ref());
    let ranges = network.map(|network| network.pod_cidr.as_str()).unwrap_or_default();
    if ranges.is_empty() {
        return Ok(());
    }
    for range in ranges.split(',') {
        if range.trim().parse::<corten_cni_types::IpNet>().is_err() {
            return Err(OperationError::invalid(
                "runtime_config.network_config.pod_cidr",
                format!("{range:?} is no address range"),
            ));
        }
    }
    tracing::info!(ranges, "pod addresses come from the CNI configuration, which is not changed");
    Ok(())
}
