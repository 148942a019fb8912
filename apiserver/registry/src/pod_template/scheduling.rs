//! Validation of what the scheduler reads: tolerations, affinity, spreading, gates.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::names;
use corten_api_k8s::selector::LabelSelector;
use serde_json::Value;

use super::one_of;
use crate::read::Read;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn validate(spec: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for (i, toleration) in spec.items("/tolerations").iter().enumerate() {
        validate_toleration(toleration, &path.child("tolerations").index(i), errors);
    }
    affinity(spec.at("/affinity"), &path.child("affinity"), errors);
    for (i, constraint) in spec.items("/topologySpreadConstraints").iter().enumerate() {
        spread(constraint, &path.child("topologySpreadConstraints").index(i), errors);
    }
    let gates = spec.items("/schedulingGates");
    for (i, gate) in gates.iter().enumerate() {
        let name = gate.text("/name");
        let path = path.child("schedulingGates").index(i);
        for why in names::qualified_name(name) {
            errors.push(FieldError::invalid(&path, name, why));
        }
        if gates.iter().take(i).any(|g| g.text("/name") == name) {
            errors.push(FieldError::duplicate(&path, name));
        }
    }
    if !gates.is_empty() && !spec.text("/nodeName").is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(&path.child("nodeName"), why));
    }
}

fn validate_toleration(toleration: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let (key, operator) = (toleration.text("/key"), toleration.text("/operator"));
    let (value, effect) = (toleration.text("/value"), toleration.text("/effect"));
    if !key.is_empty() {
        for why in names::qualified_name(key) {
            errors.push(FieldError::invalid(&path.child("key"), key, why));
        }
    } else if operator != "Exists" {
        let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(FieldError::invalid(&path.child("operator"), operator, why));
    }
    if toleration.has("/tolerationSeconds") && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(FieldError::invalid(&path.child("effect"), effect, why));
    }
    match operator {
        "" | "Equal" => {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                let why = wrong.join(";");
                errors.push(FieldError::invalid(&path.child("operator"), value, why));
            }
        }
        "Exists" if !value.is_empty() => {
            let why = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(&path.child("operator"), value, why));
        }
        "Exists" => {}
        other => {
            let allowed = &["Equal", "Exists"];
            errors.push(FieldError::not_supported(&path.child("operator"), other, allowed));
        }
    }
    errors.extend(one_of(effect, &path.child("effect"), EFFECTS));
}

fn affinity(affinity: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    let node = affinity.at("/nodeAffinity");
    let node_path = path.child("nodeAffinity");
    let required = node.at(&format!("/{REQUIRED}"));
    if !required.is_null() {
        let path = node_path.child(REQUIRED).child("nodeSelectorTerms");
        let terms = required.items("/nodeSelectorTerms");
        if terms.is_empty() {
            let why = "must have at least one node selector term";
            errors.push(FieldError::required(&path, why));
        }
        for (i, term) in terms.iter().enumerate() {
            node_term(term, &path.index(i), errors);
        }
    }
    for (i, preferred) in node.items(&format!("/{PREFERRED}")).iter().enumerate() {
        let path = node_path.child(PREFERRED).index(i);
        weight(preferred, &path, errors);
        node_term(preferred.at("/preference"), &path.child("preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = path.child(kind);
        let value = affinity.at(&format!("/{kind}"));
        for (i, term) in value.items(&format!("/{REQUIRED}")).iter().enumerate() {
            pod_term(term, &path.child(REQUIRED).index(i), errors);
        }
        for (i, preferred) in value.items(&format!("/{PREFERRED}")).iter().enumerate() {
            let path = path.child(PREFERRED).index(i);
            weight(preferred, &path, errors);
            pod_term(preferred.at("/podAffinityTerm"), &path.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(value: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let weight = value.int("/weight").unwrap_or_default();
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(
            &path.child("weight"),
            weight,
            "must be in the range 1-100",
        ));
    }
}

fn node_term(term: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for list in ["matchExpressions", "matchFields"] {
        for (i, expression) in term.items(&format!("/{list}")).iter().enumerate() {
            let path = path.child(list).index(i);
            node_expression(expression, list == "matchFields", &path, errors);
        }
    }
}

fn node_expression(
    expression: &Value,
    field: bool,
    path: &FieldPath,
    errors: &mut Vec<FieldError>,
) {
    let (key, operator) = (expression.text("/key"), expression.text("/operator"));
    let values = expression.items("/values").len();
    let path_values = path.child("values");
    match operator {
        "In" | "NotIn" if field && values != 1 => {
            let why =
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&path_values, why));
        }
        "In" | "NotIn" if values == 0 => {
            let why = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path_values, why));
        }
        "In" | "NotIn" => {}
        "Exists" | "DoesNotExist" if !field => {
            if values > 0 {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(FieldError::forbidden(&path_values, why));
            }
        }
        "Gt" | "Lt" if !field => {
            if values != 1 {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::required(&path_values, why));
            }
        }
        other => {
            let why = "not a valid selector operator";
            errors.push(FieldError::invalid(&path.child("operator"), other, why));
        }
    }
    if field {
        if key != "metadata.name" {
            let why = "not a valid field selector key";
            errors.push(FieldError::invalid(&path.child("key"), key, why));
        }
        return;
    }
    for why in names::qualified_name(key) {
        errors.push(FieldError::invalid(&path.child("key"), key, why));
    }
}

fn pod_term(term: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    for selector in ["labelSelector", "namespaceSelector"] {
        let value = term.at(&format!("/{selector}"));
        errors.extend(LabelSelector::new(value).validate(&path.child(selector)));
    }
    for (i, namespace) in term.items("/namespaces").iter().enumerate() {
        let namespace = namespace.as_str().unwrap_or_default();
        for why in names::dns1123_label(namespace) {
            errors.push(FieldError::invalid(&path.child("namespaces").index(i), namespace, why));
        }
    }
    let key = term.text("/topologyKey");
    if key.is_empty() {
        let why = "can not be empty";
        errors.push(FieldError::required(&path.child("topologyKey"), why));
    } else {
        for why in names::qualified_name(key) {
            errors.push(FieldError::invalid(&path.child("topologyKey"), key, why));
        }
    }
}

fn spread(constraint: &Value, path: &FieldPath, errors: &mut Vec<FieldError>) {
    let skew = constraint.int("/maxSkew").unwrap_or_default();
    if skew <= 0 {
        errors.push(FieldError::invalid(&path.child("maxSkew"), skew, "must be greater than zero"));
    }
    if constraint.text("/topologyKey").is_empty() {
        errors.push(FieldError::required(&path.child("topologyKey"), "can not be empty"));
    }
    let allowed = &["DoNotSchedule", "ScheduleAnyway"];
    let action = constraint.text("/whenUnsatisfiable");
    if !allowed.contains(&action) {
        errors.push(FieldError::not_supported(&path.child("whenUnsatisfiable"), action, allowed));
    }
    let selector = LabelSelector::new(constraint.at("/labelSelector"));
    errors.extend(selector.validate(&path.child("labelSelector")));
    for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        let text = constraint.text(&format!("/{policy}"));
        errors.extend(one_of(text, &path.child(policy), &["Honor", "Ignore"]));
    }
}
