//! Amounts of resources that pods request and nodes offer.

use std::collections::BTreeMap;

use corten_api_k8s::quantity::Quantity as Amount;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// CPU that a container without a request is taken to use when nodes are scored, in millicores.
const UNREQUESTED_MILLI_CPU: i64 = 100;
/// Memory that a container without a request is taken to use when nodes are scored.
const UNREQUESTED_MEMORY_BYTES: i64 = 200 * 1024 * 1024;

/// A quantity of a pod or a node that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {value:?} is not a quantity")]
pub struct BadQuantity {
    /// Where it stands.
    pub field: String,
    /// What stands there.
    pub value: String,
}

/// An amount of every resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in millicores.
    pub milli_cpu: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Local ephemeral storage in bytes.
    pub ephemeral_storage_bytes: i64,
    /// Everything else, by name: huge pages and extended resources, in whole units.
    pub extended: BTreeMap<String, i64>,
}

type Quantities = BTreeMap<String, Quantity>;

/// Reads a quantity; what it is asked for is rounded up, so that no request is counted smaller
/// than it is.
pub(crate) fn amount(
    quantity: &Quantity,
    field: impl FnOnce() -> String,
) -> Result<Amount, BadQuantity> {
    let bad = |_no_quantity| BadQuantity { field: field(), value: quantity.0.clone() };
    quantity.0.parse().map_err(bad)
}

impl Resources {
    /// Reads a list such as `resources.requests`; `pods` is left out, as it is no amount of a pod.
    ///
    /// # Errors
    /// [`BadQuantity`], its field beginning with `field`.
    pub fn read(list: Option<&Quantities>, field: &str) -> Result<Self, BadQuantity> {
        let mut read = Self::default();
        for (name, quantity) in list.into_iter().flatten() {
            if name == "pods" {
                continue;
            }
            let amount = amount(quantity, || format!("{field}[{name}]"))?;
            match name.as_str() {
                "cpu" => read.milli_cpu = amount.milli_value(),
                "memory" => read.memory_bytes = amount.value(),
                "ephemeral-storage" => read.ephemeral_storage_bytes = amount.value(),
                _ => {
                    read.extended.insert(name.clone(), amount.value());
                }
            }
        }
        Ok(read)
    }

    /// Adds `other` to each resource.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes `other` off each resource.
    pub fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
        self.extended.retain(|_, amount| *amount != 0);
    }

    fn raise(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory_bytes = with(self.memory_bytes, other.memory_bytes);
        self.ephemeral_storage_bytes =
            with(self.ephemeral_storage_bytes, other.ephemeral_storage_bytes);
        for (name, amount) in &other.extended {
            let mine = self.extended.entry(name.clone()).or_default();
            *mine = with(*mine, *amount);
        }
    }
}

/// What a pod asks for: for the decision whether it fits, and for scoring, where containers
/// without requests count a little too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRequests {
    /// What must be free on the node.
    pub fit: Resources,
    /// What is counted when nodes are compared.
    pub score: Resources,
}

impl PodRequests {
    /// Adds up the requests of a pod by the rules of KEP-753 (sidecars) and KEP-2837 (requests on
    /// the pod level), overhead included.
    ///
    /// # Errors
    /// [`BadQuantity`] names the field.
    pub fn of(spec: &PodSpec) -> Result<Self, BadQuantity> {
        let fit = total(spec, |container, field| {
            let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
            Resources::read(requests, field)
        })?;
        let score = total(spec, |container, field| {
            let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
            let mut read = Resources::read(requests, field)?;
            let named = |name: &str| requests.is_some_and(|list| list.contains_key(name));
            if !named("cpu") {
                read.milli_cpu = UNREQUESTED_MILLI_CPU;
            }
            if !named("memory") {
                read.memory_bytes = UNREQUESTED_MEMORY_BYTES;
            }
            Ok(read)
        })?;
        Ok(Self { fit, score })
    }
}

fn total(
    spec: &PodSpec,
    of_container: impl Fn(&Container, &str) -> Result<Resources, BadQuantity>,
) -> Result<Resources, BadQuantity> {
    let mut running = Resources::default();
    for (index, container) in spec.containers.iter().enumerate() {
        let field = format!("spec.containers[{index}].resources.requests");
        running.add(&of_container(container, &field)?);
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let field = format!("spec.initContainers[{index}].resources.requests");
        let requests = of_container(container, &field)?;
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&requests);
            sidecars.add(&requests);
            starting.raise(&sidecars);
        } else {
            let mut beside_sidecars = requests;
            beside_sidecars.add(&sidecars);
            starting.raise(&beside_sidecars);
        }
    }
    running.raise(&starting);
    if let Some(requests) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let of_pod = Resources::read(Some(requests), "spec.resources.requests")?;
        if requests.contains_key("cpu") {
            running.milli_cpu = of_pod.milli_cpu;
        }
        if requests.contains_key("memory") {
            running.memory_bytes = of_pod.memory_bytes;
        }
        running.extended.extend(of_pod.extended);
    }
    running.add(&Resources::read(spec.overhead.as_ref(), "spec.overhead")?);
    Ok(running)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn requests(spec: serde_json::Value) -> Resources {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        PodRequests::of(&spec).unwrap().fit
    }

    fn container(cpu: &str, policy: Option<&str>) -> serde_json::Value {
        json!({ "name": "c", "restartPolicy": policy, "resources": { "requests": { "cpu": cpu } } })
    }

    #[test]
    fn containers_add_up_and_init_containers_count_by_the_largest() {
        let spec = json!({
            "containers": [container("200m", None), container("300m", None)],
            "initContainers": [container("700m", None), container("100m", None)],
        });
        assert_eq!(requests(spec).milli_cpu, 700);
    }

    #[test]
    fn sidecars_run_beside_later_init_containers() {
        let spec = json!({
            "containers": [container("200m", None)],
            "initContainers": [container("500m", Some("Always")), container("400m", None)],
        });
        assert_eq!(requests(spec).milli_cpu, 900);
    }

    #[test]
    fn requests_of_the_pod_win_and_overhead_is_added() {
        let spec = json!({
            "containers": [container("200m", None)],
            "resources": { "requests": { "cpu": "1" } },
            "overhead": { "cpu": "50m", "memory": "10Mi" },
        });
        let requests = requests(spec);
        assert_eq!((requests.milli_cpu, requests.memory_bytes), (1050, 10 << 20));
    }

    #[test]
    fn a_container_without_requests_counts_when_scored() {
        let spec = json!({ "containers": [{ "name": "c" }] });
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let requests = PodRequests::of(&spec).unwrap();
        assert_eq!(requests.fit, Resources::default());
        assert_eq!(requests.score.milli_cpu, UNREQUESTED_MILLI_CPU);
        assert_eq!(requests.score.memory_bytes, UNREQUESTED_MEMORY_BYTES);
    }

    #[test]
    fn a_bad_quantity_names_its_field() {
        let spec = json!({ "containers": [container("a lot", None)] });
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let error = PodRequests::of(&spec).unwrap_err();
        assert_eq!(
            error.to_string(),
            "spec.containers[0].resources.requests[cpu]: \"a lot\" is not a quantity"
        );
    }
}
