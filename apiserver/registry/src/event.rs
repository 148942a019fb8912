//! Event: core/v1, and events.k8s.io/v1, which is another view of the same objects.

use corten_api_k8s::field::{FieldError, FieldPath};
use corten_api_k8s::{kinds, meta, names, time};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::duration;
use crate::metadata::immutable;
use crate::read::Read;
use crate::strategy::{Column, Strategy};

const REPORTER_BYTES_MAX: usize = 128;
const NOTE_BYTES_MAX: usize = 1024;

const COLUMNS: &[Column] = &[
    Column::text("Last Seen"),
    Column::text("Type"),
    Column::text("Reason"),
    Column::text("Object"),
    Column::wide("Subobject"),
    Column::wide("Source"),
    Column::text("Message"),
    Column::wide("First Seen"),
    Column::wide("Count"),
    Column::wide("Name"),
];

/// core/v1.
pub(crate) struct Event;

/// events.k8s.io/v1: stricter.
pub(crate) struct EventsV1;

impl Strategy for Event {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate(object, "reportingComponent")
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ]
    }

    fn field(&self, object: &Value, path: &str) -> String {
        let text = match path {
            "source" => {
                either(object.text("/source/component"), object.text("/reportingComponent"))
            }
            path => object.text(&format!("/{}", path.replace('.', "/"))),
        };
        text.to_owned()
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let seen = |pointer: &str| time::parse(object.text(pointer));
        let first = seen("/firstTimestamp").or_else(|| seen("/eventTime"));
        let last = seen("/lastTimestamp").or(first);
        let (last, count) = match object.has("/series") {
            true => (seen("/series/lastObservedTime"), object.int("/series/count")),
            false => (last, object.int("/count")),
        };
        let kind = object.text("/involvedObject/kind").to_lowercase();
        let target = match object.text("/involvedObject/name") {
            "" => kind,
            name => format!("{kind}/{name}"),
        };
        let component =
            either(object.text("/source/component"), object.text("/reportingComponent"));
        let source = match either(object.text("/source/host"), object.text("/reportingInstance")) {
            "" => component.to_owned(),
            host => format!("{component}, {host}"),
        };
        vec![
            duration::since(last, now).into(),
            object.text("/type").into(),
            object.text("/reason").into(),
            target.into(),
            object.text("/involvedObject/fieldPath").into(),
            source.into(),
            object.text("/message").trim().into(),
            duration::since(first, now).into(),
            count.filter(|c| *c > 0).unwrap_or(1).into(),
            meta::name(object).into(),
        ]
    }
}

impl Strategy for EventsV1 {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = validate(&core_view(object), "reportingController");
        if !object.has("/eventTime") {
            errors.push(FieldError::required(&FieldPath::new("eventTime"), ""));
        }
        if !matches!(object.text("/type"), "Normal" | "Warning") {
            let why = format!("has invalid value: {}", object.text("/type"));
            errors.push(FieldError::invalid(&FieldPath::new("type"), "", why));
        }
        if object.has("/series") && object.int("/series/count").unwrap_or_default() < 2 {
            let path = FieldPath::new("series.count");
            errors.push(FieldError::invalid(&path, "", "should be at least 2"));
        }
        let series = object.at("/series");
        if series.is_object() && !series.has("/lastObservedTime") {
            errors.push(FieldError::required(&FieldPath::new("series.lastObservedTime"), ""));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for field in [
            "regarding",
            "reason",
            "note",
            "type",
            "eventTime",
            "action",
            "related",
            "reportingController",
            "reportingInstance",
        ] {
            let pointer = format!("/{field}");
            immutable(new.at(&pointer), old.at(&pointer), &FieldPath::new(field), &mut errors);
        }
        errors
    }

    fn fields(&self) -> &'static [&'static str] {
        &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ]
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        Event.row(&core_view(object), now)
    }
}

fn core_view(object: &Value) -> Value {
    let kind = |group| kinds::by_gvk(group, "v1", "Event");
    match (kind("events.k8s.io"), kind("")) {
        (Some(events), Some(core)) => kinds::convert(object.clone(), events, core),
        _ => object.clone(),
    }
}

fn either<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

/// What both views refuse; `object` is in the core form.
fn validate(object: &Value, reporter: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let namespace = meta::namespace(object);
    let involved = object.text("/involvedObject/namespace");
    let path = FieldPath::new("involvedObject").child("namespace");
    let mismatch = || FieldError::invalid(&path, json!(involved), "does not match event.namespace");
    if !object.has("/eventTime") {
        // The old way of telling: nothing more is asked of it.
        let fits = match involved {
            "" => matches!(namespace, "" | "default"),
            involved => involved == namespace,
        };
        if !fits {
            errors.push(mismatch());
        }
        return errors;
    }
    if involved.is_empty() && !matches!(namespace, "default" | "kube-system") {
        errors.push(mismatch());
    }
    let controller = object.text("/reportingComponent");
    if controller.is_empty() {
        errors.push(FieldError::required(&FieldPath::new(reporter), ""));
    }
    for why in names::qualified_name(controller) {
        errors.push(FieldError::invalid(&FieldPath::new(reporter), controller, why));
    }
    for field in ["reportingInstance", "action", "reason"] {
        let text = object.text(&format!("/{field}"));
        if text.is_empty() {
            errors.push(FieldError::required(&FieldPath::new(field), ""));
        } else if text.len() > REPORTER_BYTES_MAX {
            let why = format!("can have at most {REPORTER_BYTES_MAX} characters");
            errors.push(FieldError::invalid(&FieldPath::new(field), "", why));
        }
    }
    if object.text("/message").len() > NOTE_BYTES_MAX {
        let why = format!("can have at most {NOTE_BYTES_MAX} characters");
        errors.push(FieldError::invalid(&FieldPath::new("message"), "", why));
    }
    errors
}
