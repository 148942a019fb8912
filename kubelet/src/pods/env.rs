//! The environment of a container: literals, references, services and `$(VAR)` expansion.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod, Service};

use super::downward;

/// Values of the ConfigMaps and Secrets that a container's environment refers to, in its pod's
/// namespace; `None` for an object that does not exist.
#[derive(Clone, Debug, Default)]
pub(crate) struct References {
    pub(crate) config_maps: HashMap<String, Option<BTreeMap<String, String>>>,
    pub(crate) secrets: HashMap<String, Option<BTreeMap<String, Vec<u8>>>>,
}

/// Why the environment cannot be made: the container waits in `CreateContainerConfigError`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvError {
    #[error("{kind} \"{name}\" not found")]
    NoObject { kind: &'static str, name: String },
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey { kind: &'static str, namespace: String, name: String, key: String },
    #[error("the value of key {key} in Secret {namespace}/{name} is not UTF-8")]
    NotText { namespace: String, name: String, key: String },
    #[error(transparent)]
    Downward(#[from] downward::DownwardError),
    #[error("env {variable} has a source that this kubelet does not know")]
    UnknownSource { variable: String },
}

/// The facts of the node that a variable may tell.
pub(crate) use downward::Facts;

/// Names of the ConfigMaps and Secrets that the environment refers to: (config maps, secrets).
pub(crate) fn referenced(container: &Container) -> (Vec<String>, Vec<String>) {
    let mut config_maps = Vec::new();
    let mut secrets = Vec::new();
    for from in container.env_from.iter().flatten() {
        config_maps.extend(from.config_map_ref.iter().map(|r| r.name.clone()));
        secrets.extend(from.secret_ref.iter().map(|r| r.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|v| v.value_from.as_ref()) {
        config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
        secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
    }
    for list in [&mut config_maps, &mut secrets] {
        list.sort();
        list.dedup();
    }
    (config_maps, secrets)
}

/// The environment in the order in which it is set; a later variable wins over an earlier one.
pub(crate) fn environment(
    pod: &Pod,
    container: &Container,
    references: &References,
    services: &[impl AsRef<Service>],
    facts: &Facts,
) -> Result<Vec<(String, String)>, EnvError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
    let mut list = Ordered::default();
    // Service variables yield to those of the spec, but can be referred to by them.
    let mut known = service_variables(namespace, links, services);
    let from_services = known.clone();
    for (name, value) in from_env_from(container, namespace, references)? {
        known.insert(name.clone(), value.clone());
        list.set(name, value);
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) => Some(expand(value, &known)),
            (None, Some(source)) => {
                from_source(pod, container, variable, source, namespace, references, facts)?
            }
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value.clone());
            list.set(variable.name.clone(), value);
        }
    }
    for (name, value) in from_services {
        list.set_if_absent(name, value);
    }
    Ok(list.0)
}

#[derive(Default)]
struct Ordered(Vec<(String, String)>);

impl Ordered {
    fn set(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name, value)),
        }
    }

    fn set_if_absent(&mut self, name: String, value: String) {
        if !self.0.iter().any(|(known, _)| *known == name) {
            self.0.push((name, value));
        }
    }
}

fn from_env_from(
    container: &Container,
    namespace: &str,
    references: &References,
) -> Result<Vec<(String, String)>, EnvError> {
    let mut list = Vec::new();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(reference) = &from.config_map_ref {
            match references.config_maps.get(&reference.name).and_then(Option::as_ref) {
                Some(data) => list.extend(
                    data.iter()
                        .filter(|(key, _)| is_variable_name(&format!("{prefix}{key}")))
                        .map(|(key, value)| (format!("{prefix}{key}"), value.clone())),
                ),
                None if reference.optional == Some(true) => {}
                None => return Err(no_object("configmap", &reference.name)),
            }
        }
        if let Some(reference) = &from.secret_ref {
            match references.secrets.get(&reference.name).and_then(Option::as_ref) {
                Some(data) => {
                    for (key, value) in data {
                        let name = format!("{prefix}{key}");
                        if is_variable_name(&name) {
                            list.push((name, text(value, namespace, &reference.name, key)?));
                        }
                    }
                }
                None if reference.optional == Some(true) => {}
                None => return Err(no_object("secret", &reference.name)),
            }
        }
    }
    Ok(list)
}

fn no_object(kind: &'static str, name: &str) -> EnvError {
    EnvError::NoObject { kind, name: name.to_owned() }
}

fn text(value: &[u8], namespace: &str, name: &str, key: &str) -> Result<String, EnvError> {
    String::from_utf8(value.to_vec()).map_err(|_invalid| EnvError::NotText {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        key: key.to_owned(),
    })
}

/// A name that the kernel and a shell can live with: no `=`, no NUL, not empty.
fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && c != '=')
}

fn from_source(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    source: &EnvVarSource,
    namespace: &str,
    references: &References,
    facts: &Facts,
) -> Result<Option<String>, EnvError> {
    if let Some(field) = &source.field_ref {
        return Ok(Some(downward::field(pod, &field.field_path, facts)?));
    }
    if let Some(resource) = &source.resource_field_ref {
        return Ok(Some(downward::resource(pod, Some(container), resource, facts)?));
    }
    if let Some(reference) = &source.config_map_key_ref {
        let data = references.config_maps.get(&reference.name).and_then(Option::as_ref);
        let optional = reference.optional == Some(true);
        return match (data, data.and_then(|d| d.get(&reference.key))) {
            (_, Some(value)) => Ok(Some(value.clone())),
            (_, None) if optional => Ok(None),
            (None, None) => Err(no_object("configmap", &reference.name)),
            (Some(_), None) => Err(EnvError::NoKey {
                kind: "ConfigMap",
                namespace: namespace.to_owned(),
                name: reference.name.clone(),
                key: reference.key.clone(),
            }),
        };
    }
    if let Some(reference) = &source.secret_key_ref {
        let data = references.secrets.get(&reference.name).and_then(Option::as_ref);
        let optional = reference.optional == Some(true);
        return match (data, data.and_then(|d| d.get(&reference.key))) {
            (_, Some(value)) => text(value, namespace, &reference.name, &reference.key).map(Some),
            (_, None) if optional => Ok(None),
            (None, None) => Err(no_object("secret", &reference.name)),
            (Some(_), None) => Err(EnvError::NoKey {
                kind: "Secret",
                namespace: namespace.to_owned(),
                name: reference.name.clone(),
                key: reference.key.clone(),
            }),
        };
    }
    Err(EnvError::UnknownSource { variable: variable.name.clone() })
}

/// The variables of the services of the pod's namespace, in the style of Docker links, and those
/// of `kubernetes` of the namespace `default` always.
fn service_variables(
    namespace: &str,
    links: bool,
    services: &[impl AsRef<Service>],
) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    let place = |s: &Service| {
        (
            s.metadata.namespace.clone().unwrap_or_default(),
            s.metadata.name.clone().unwrap_or_default(),
        )
    };
    let mut sorted: Vec<&Service> = services.iter().map(AsRef::as_ref).collect();
    sorted.sort_by_key(|s| place(s));
    let master = |s: &Service| place(s) == ("default".to_owned(), "kubernetes".to_owned());
    // The pod's own namespace is written last, so that it wins.
    let (own, foreign): (Vec<&Service>, Vec<&Service>) =
        sorted.into_iter().partition(|s| s.metadata.namespace.as_deref() == Some(namespace));
    for service in foreign.into_iter().filter(|s| master(s)) {
        one_service(service, &mut known);
    }
    for service in own.into_iter().filter(|s| links || master(s)) {
        one_service(service, &mut known);
    }
    known
}

fn one_service(service: &Service, known: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let ip = spec.cluster_ip.as_deref().unwrap_or_default();
    let ports: Vec<_> = spec.ports.iter().flatten().collect();
    let Some(first) = ports.first() else { return };
    if ip.is_empty() || ip == "None" {
        return;
    }
    let upper = |text: &str| text.to_uppercase().replace('-', "_");
    let name = upper(service.metadata.name.as_deref().unwrap_or_default());
    let mut set = |key: String, value: String| known.insert(key, value);
    set(format!("{name}_SERVICE_HOST"), ip.to_owned());
    set(format!("{name}_SERVICE_PORT"), first.port.to_string());
    for port in &ports {
        if let Some(port_name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            set(format!("{name}_SERVICE_PORT_{}", upper(port_name)), port.port.to_string());
        }
    }
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            set(format!("{name}_PORT"), url.clone());
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        set(format!("{prefix}_PROTO"), protocol.to_lowercase());
        set(format!("{prefix}_PORT"), port.port.to_string());
        set(format!("{prefix}_ADDR"), ip.to_owned());
        set(prefix, url);
    }
}

/// Replaces `$(NAME)` where NAME is known; `$$` is a literal `$`.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match known.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn variables_expand_as_upstream_does() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        for (text, expected) in [
            ("$(A)-$(A)", "1-1"),
            ("$$(A)", "$(A)"),
            ("$(B)", "$(B)"),
            ("$A $(A", "$A $(A"),
            ("$", "$"),
            ("$$$(A)", "$1"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    fn facts() -> Facts {
        Facts {
            node_ip: "192.0.2.1".to_owned(),
            pod_ips: vec!["10.0.0.2".to_owned()],
            cpu_allocatable_milli: 2000,
            memory_allocatable_bytes: 1 << 30,
        }
    }

    #[test]
    fn a_later_variable_sees_an_earlier_one_and_services() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "a", "image": "i",
                "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}],
                "env": [{"name": "X", "value": "$(P_k)"},
                        {"name": "Y", "value": "$(X)$(WEB_SERVICE_HOST)"},
                        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                        {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                        {"name": "O", "valueFrom": {"secretKeyRef":
                            {"name": "none", "key": "k", "optional": true}}}]}]}
        })).unwrap();
        let service: Service = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "n"},
            "spec": {"clusterIP": "10.43.0.9", "ports": [{"port": 80, "name": "http"}]}
        }))
        .unwrap();
        let references = References {
            config_maps: HashMap::from([(
                "m".to_owned(),
                Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])),
            )]),
            secrets: HashMap::new(),
        };
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let list =
            environment(&pod, container, &references, &[Arc::new(service)], &facts()).unwrap();
        let map: BTreeMap<_, _> = list.into_iter().collect();
        assert_eq!(map["X"], "v");
        assert_eq!(map["Y"], "v10.43.0.9");
        assert_eq!(map["IP"], "10.0.0.2");
        assert_eq!(map["C"], "2");
        assert_eq!(map["WEB_PORT_80_TCP"], "tcp://10.43.0.9:80");
        assert_eq!(map["WEB_SERVICE_PORT_HTTP"], "80");
        assert!(!map.contains_key("O"));
    }

    #[test]
    fn a_missing_key_is_told() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {"containers": [{"name": "a", "image": "i", "env": [{"name": "X",
                "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}]}
        }))
        .unwrap();
        let mut references = References::default();
        references.config_maps.insert("m".to_owned(), None);
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let none: &[Arc<Service>] = &[];
        let error = environment(&pod, container, &references, none, &facts()).unwrap_err();
        assert_eq!(error.to_string(), "configmap \"m\" not found");
        references.config_maps.insert("m".to_owned(), Some(BTreeMap::new()));
        let error = environment(&pod, container, &references, none, &facts()).unwrap_err();
        assert_eq!(error.to_string(), "couldn't find key k in ConfigMap n/m");
    }
}
