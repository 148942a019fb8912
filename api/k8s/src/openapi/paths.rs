//! Operations.

use serde_json::{Map, Value, json};

use super::schemas::{Schemas, gvk};
use crate::kinds::{Kind, Subresource};
use crate::schema::{self, Type};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const BODIES: &[&str] = &["application/json", "application/yaml"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Query parameters by name and type.
type Parameters = &'static [(&'static str, &'static str)];

const READ: Parameters = &[("pretty", "string")];
const LIST: Parameters = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("pretty", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE: Parameters = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("pretty", "string"),
];
const PATCH: Parameters = &[
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
    ("force", "boolean"),
    ("pretty", "string"),
];
const DELETE: Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("pretty", "string"),
    ("propagationPolicy", "string"),
];
const LOG: Parameters = &[
    ("container", "string"),
    ("follow", "boolean"),
    ("limitBytes", "integer"),
    ("previous", "boolean"),
    ("sinceSeconds", "integer"),
    ("tailLines", "integer"),
    ("timestamps", "boolean"),
];

/// Adds the paths of a kind.
pub(super) fn add(kind: &'static Kind, schemas: &mut Schemas, paths: &mut Map<String, Value>) {
    let root = format!("/{}", super::root(kind.group, kind.version));
    let prefix = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{prefix}/{}", kind.plural);
    let own = (kind.group, kind.version, kind.kind);
    let list = schema::by_gvk(kind.group, kind.version, kind.list_kind);
    let op = |verb: &'static str| Operation { kind, sub: "", gvk: own, verb };
    if let (true, Some(list)) = (kind.namespaced && kind.verbs.contains(&"list"), list) {
        let everywhere = json!({"get": op("list").build(LIST, None, list, schemas)});
        paths.insert(format!("{root}/{}", kind.plural), everywhere);
    }
    let mut many = Map::new();
    let mut one = Map::new();
    for verb in kind.verbs {
        let (item, method, operation) = match *verb {
            "create" => {
                let body = Some((kind.schema, BODIES));
                (&mut many, "post", op("post").build(WRITE, body, kind.schema, schemas))
            }
            "list" => {
                let Some(list) = list else { continue };
                (&mut many, "get", op("list").build(LIST, None, list, schemas))
            }
            "deletecollection" => (&mut many, "delete", op("deletecollection").deletion(schemas)),
            "get" => (&mut one, "get", op("get").build(READ, None, kind.schema, schemas)),
            "update" => {
                let body = Some((kind.schema, BODIES));
                (&mut one, "put", op("put").build(WRITE, body, kind.schema, schemas))
            }
            "patch" => {
                let body = Some((kind.schema, PATCHES));
                (&mut one, "patch", op("patch").build(PATCH, body, kind.schema, schemas))
            }
            "delete" => (&mut one, "delete", op("delete").deletion(schemas)),
            // `watch` is a parameter of list.
            _ => continue,
        };
        item.insert(method.to_owned(), operation);
    }
    let item = format!("{collection}/{{name}}");
    insert(paths, &collection, many, kind.namespaced, false);
    for sub in kind.subresources {
        let operations = subresource(kind, sub, schemas);
        insert(paths, &format!("{item}/{}", sub.name), operations, kind.namespaced, true);
    }
    insert(paths, &item, one, kind.namespaced, true);
}

fn insert(
    paths: &mut Map<String, Value>,
    path: &str,
    mut item: Map<String, Value>,
    namespaced: bool,
    named: bool,
) {
    if item.is_empty() {
        return;
    }
    let wanted = [(named, "name"), (namespaced, "namespace")];
    let parameters: Vec<Value> = wanted
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, name)| {
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "schema": {"type": "string", "uniqueItems": true},
            })
        })
        .collect();
    if !parameters.is_empty() {
        item.insert("parameters".into(), Value::Array(parameters));
    }
    paths.insert(path.to_owned(), Value::Object(item));
}

fn subresource(
    kind: &'static Kind,
    sub: &Subresource,
    schemas: &mut Schemas,
) -> Map<String, Value> {
    let mut item = Map::new();
    let gvk = (sub.group, sub.version, sub.kind);
    let Some(ty) = schema::by_gvk(sub.group, sub.version, sub.kind) else { return item };
    let op = |verb: &'static str| Operation { kind, sub: sub.name, gvk, verb };
    for verb in sub.verbs {
        let (method, operation) = match *verb {
            "get" if sub.name == "log" => ("get", op("get").text(LOG)),
            "get" => ("get", op("get").build(READ, None, ty, schemas)),
            "create" => ("post", op("post").build(WRITE, Some((ty, BODIES)), ty, schemas)),
            "update" => ("put", op("put").build(WRITE, Some((ty, BODIES)), ty, schemas)),
            "patch" => ("patch", op("patch").build(PATCH, Some((ty, PATCHES)), ty, schemas)),
            "delete" => ("delete", op("delete").deletion(schemas)),
            _ => continue,
        };
        item.insert(method.to_owned(), operation);
    }
    item
}

struct Operation {
    kind: &'static Kind,
    sub: &'static str,
    gvk: (&'static str, &'static str, &'static str),
    verb: &'static str,
}

impl Operation {
    fn build(
        &self,
        parameters: Parameters,
        body: Option<(&'static Type, &[&str])>,
        answer: &'static Type,
        schemas: &mut Schemas,
    ) -> Value {
        let mut out = self.frame(parameters);
        if let Some((ty, media_types)) = body {
            // A patch is any object; its type says only that.
            let patch = schema_of_patch(media_types);
            let content: Map<String, Value> = media_types
                .iter()
                .map(|m| {
                    let schema =
                        if patch { json!({"type": "object"}) } else { schemas.reference(ty) };
                    ((*m).to_owned(), json!({"schema": schema}))
                })
                .collect();
            out.insert("requestBody".into(), json!({"content": content, "required": true}));
        }
        let code = if self.verb == "post" { "201" } else { "200" };
        let content: Map<String, Value> = BODIES
            .iter()
            .map(|m| ((*m).to_owned(), json!({"schema": schemas.reference(answer)})))
            .collect();
        out.insert(
            "responses".into(),
            json!({code: {"description": "", "content": content}, "401": {"description": "Unauthorized"}}),
        );
        Value::Object(out)
    }

    fn deletion(&self, schemas: &mut Schemas) -> Value {
        let options = schema::by_name(&format!("{META}DeleteOptions"));
        let status = schema::by_name(&format!("{META}Status"));
        let body = options.map(|ty| (ty, BODIES));
        self.build(DELETE, body, status.unwrap_or(self.kind.schema), schemas)
    }

    fn text(&self, parameters: Parameters) -> Value {
        let mut out = self.frame(parameters);
        let content = json!({"text/plain": {"schema": {"type": "string"}}});
        out.insert("responses".into(), json!({"200": {"description": "", "content": content}}));
        Value::Object(out)
    }

    fn frame(&self, parameters: Parameters) -> Map<String, Value> {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|(name, ty)| {
                json!({"name": name, "in": "query", "schema": {"type": ty, "uniqueItems": true}})
            })
            .collect();
        let id = format!(
            "{}{}{}{}{}",
            self.verb,
            camel(self.kind.group.split('.').next().unwrap_or_default()),
            camel(self.kind.version),
            self.kind.kind,
            camel(self.sub)
        );
        let mut out = Map::new();
        out.insert("operationId".into(), id.into());
        out.insert("parameters".into(), Value::Array(parameters));
        out.insert("x-kubernetes-action".into(), self.verb.into());
        out.insert("x-kubernetes-group-version-kind".into(), gvk(&self.gvk));
        out
    }
}

fn schema_of_patch(media_types: &[&str]) -> bool {
    media_types.iter().any(|m| m.contains("patch"))
}

fn camel(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
