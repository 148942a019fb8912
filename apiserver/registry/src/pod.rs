//! core/v1 Pod.

mod print;
mod qos;
mod update;

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::meta;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::pod_template;
use crate::read::{self, Read};
use crate::strategy::{Column, Grace, Strategy, spec_generation};

pub(crate) struct Pod;

impl Strategy for Pod {
    fn default(&self, object: &mut Value) {
        pod_template::default_pod(read::object(object, "spec"));
    }

    fn prepare_create(&self, object: &mut Value) {
        // Admission may have named a service account.
        pod_template::default_pod(read::object(object, "spec"));
        object["status"] = json!({"phase": "Pending", "qosClass": qos::class(object)});
        if !object.items("/spec/schedulingGates").is_empty() {
            object["status"]["conditions"] = json!([{
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }]);
        }
    }

    fn prepare_update(&self, new: &mut Value, _old: &Value) {
        pod_template::default_pod(read::object(new, "spec"));
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        pod_template::validate_spec(object.at("/spec"), &FieldPath::new("spec"))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        update::validate(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let path = FieldPath::new("status").child("qosClass");
        let (was, is) = (old.text("/status/qosClass"), new.text("/status/qosClass"));
        if is.is_empty() || is == was {
            return Vec::new();
        }
        vec![FieldError::invalid(&path, is, crate::metadata::IMMUTABLE)]
    }

    fn next_generation(&self, new: &Value, old: Option<&Value>) -> Option<i64> {
        Some(spec_generation(new, old))
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ]
    }

    fn field(&self, object: &Value, path: &str) -> String {
        match path {
            "spec.hostNetwork" => object.flag("/spec/hostNetwork").to_string(),
            "status.podIP" | "status.podIPs" => object.text("/status/podIP").to_owned(),
            path => object.text(&format!("/{}", path.replace('.', "/"))).to_owned(),
        }
    }

    fn columns(&self) -> &'static [Column] {
        print::COLUMNS
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        print::row(object, now)
    }

    fn row_conditions(&self, object: &Value) -> Option<Value> {
        let (reason, message) = match object.text("/status/phase") {
            "Succeeded" => ("Succeeded", "The pod has completed successfully."),
            "Failed" => ("Failed", "The pod failed."),
            _ => return None,
        };
        Some(json!([
            {"type": "Completed", "status": "True", "reason": reason, "message": message},
        ]))
    }

    fn grace(&self, object: &Value, wished_seconds: Option<i64>) -> Grace {
        // Nobody runs it: not scheduled yet, or done.
        let idle = object.text("/spec/nodeName").is_empty()
            || matches!(object.text("/status/phase"), "Succeeded" | "Failed");
        let seconds = wished_seconds.or(object.int("/spec/terminationGracePeriodSeconds"));
        match seconds.unwrap_or_default() {
            _ if idle => Grace::Now,
            0 => Grace::Now,
            // Negative stands for the shortest there is.
            ..0 => Grace::Seconds(1),
            seconds => match meta::deletion_grace_period_seconds(object) {
                // A second request can only hurry it.
                Some(running) if meta::deletion_timestamp(object).is_some() => {
                    Grace::Seconds(seconds.min(running))
                }
                _ => Grace::Seconds(seconds),
            },
        }
    }
}

#[cfg(test)]
mod tests;
