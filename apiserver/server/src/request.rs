//! What a request asks for, read from its method and URL as Kubernetes clients mean it.

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, …; for other paths the method in lower case.
    pub(crate) verb: &'static str,
    /// The URL's path.
    pub(crate) path: String,
    /// What API resource it is about, if it is about one.
    pub(crate) resource: Option<ResourceInfo>,
    /// The query, in order.
    pub(crate) query: Query,
}

/// What API resource a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourceInfo {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty for everything in the cluster.
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    /// Empty for a collection.
    pub(crate) name: String,
    /// What follows the subresource, if anything.
    pub(crate) rest: String,
}

/// The parameters of a URL, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(raw: &str) -> Self {
        Self(form_urlencoded::parse(raw.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter, if it is not empty.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A parameter that is a switch: anything but `false` and `0` turns it on.
    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }
}

impl RequestInfo {
    pub(crate) fn new(parts: &Parts) -> Self {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let path = parts.uri.path().to_owned();
        let resource = resource(&path);
        let verb = match &resource {
            Some(resource) => resource_verb(&parts.method, resource, &query),
            None => method_verb(&parts.method),
        };
        let resource = resource.map(|mut resource| {
            // Watching or listing one object by its name needs the right to that object only.
            if resource.name.is_empty()
                && matches!(verb, "list" | "watch" | "deletecollection")
                && let Some(name) = query.get("fieldSelector").and_then(selected_name)
            {
                resource.name = name;
            }
            resource
        });
        Self { verb, path, resource, query }
    }

    /// Whether the request may take as long as its client likes.
    pub(crate) fn is_long_running(&self) -> bool {
        self.verb == "watch"
            || self.resource.as_ref().is_some_and(|resource| {
                matches!(resource.subresource.as_str(), "log" | "exec" | "attach" | "portforward")
            })
    }

    /// Whether the request only reads.
    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch" | "head" | "options")
    }
}

fn selected_name(selector: &str) -> Option<String> {
    selector.split(',').find_map(|part| {
        let (field, value) = part.split_once('=')?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (field == "metadata.name" && !value.is_empty()).then(|| value.to_owned())
    })
}

fn resource(path: &str) -> Option<ResourceInfo> {
    let mut parts = path.split('/').filter(|part| !part.is_empty()).map(decode);
    let mut info = ResourceInfo::default();
    match parts.next()?.as_str() {
        "api" => info.version = parts.next()?,
        "apis" => {
            info.group = parts.next()?;
            info.version = parts.next()?;
        }
        _ => return None,
    }
    let first = parts.next()?;
    let rest: Vec<String> = parts.collect();
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match (first.as_str(), rest.as_slice()) {
        // Below a namespace is either one of its two subresources or a resource in it.
        ("namespaces", [name, sub @ ("status" | "finalize")]) => {
            info.resource = "namespaces".to_owned();
            info.name = (*name).to_owned();
            info.namespace = (*name).to_owned();
            info.subresource = (*sub).to_owned();
        }
        ("namespaces", [namespace, resource, rest @ ..]) => {
            info.namespace = (*namespace).to_owned();
            info.resource = (*resource).to_owned();
            below(&mut info, rest);
        }
        ("namespaces", [name]) => {
            info.resource = "namespaces".to_owned();
            info.name = (*name).to_owned();
            info.namespace = (*name).to_owned();
        }
        (resource, rest) => {
            info.resource = resource.to_owned();
            below(&mut info, rest);
        }
    }
    Some(info)
}

fn below(info: &mut ResourceInfo, rest: &[&str]) {
    let mut rest = rest.iter();
    info.name = rest.next().map_or(String::new(), |s| (*s).to_owned());
    info.subresource = rest.next().map_or(String::new(), |s| (*s).to_owned());
    info.rest = rest.copied().collect::<Vec<_>>().join("/");
}

fn resource_verb(method: &Method, resource: &ResourceInfo, query: &Query) -> &'static str {
    let collection = resource.name.is_empty();
    match *method {
        Method::GET | Method::HEAD if !collection => "get",
        Method::GET | Method::HEAD if query.flag("watch") == Some(true) => "watch",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    }
}

fn method_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(method: Method, uri: &str) -> RequestInfo {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        RequestInfo::new(&request.into_parts().0)
    }

    fn check(method: Method, uri: &str, verb: &str, fields: [&str; 6]) {
        let info = info(method, uri);
        let r = info.resource.unwrap();
        assert_eq!(info.verb, verb, "{uri}");
        assert_eq!(
            [r.group, r.version, r.namespace, r.resource, r.name, r.subresource],
            fields,
            "{uri}"
        );
    }

    #[test]
    fn resources_and_verbs() {
        let get = Method::GET;
        check(get.clone(), "/api/v1/pods", "list", ["", "v1", "", "pods", "", ""]);
        check(
            get.clone(),
            "/api/v1/namespaces/a/pods?watch=1",
            "watch",
            ["", "v1", "a", "pods", "", ""],
        );
        check(
            get.clone(),
            "/api/v1/namespaces/a/pods/p/log?follow=true",
            "get",
            ["", "v1", "a", "pods", "p", "log"],
        );
        check(get, "/api/v1/namespaces/a", "get", ["", "v1", "a", "namespaces", "a", ""]);
        check(
            Method::PUT,
            "/api/v1/namespaces/a/finalize",
            "update",
            ["", "v1", "a", "namespaces", "a", "finalize"],
        );
        check(
            Method::DELETE,
            "/apis/apps/v1/namespaces/a/deployments",
            "deletecollection",
            ["apps", "v1", "a", "deployments", "", ""],
        );
        check(
            Method::GET,
            "/api/v1/nodes?watch=true&fieldSelector=metadata.name%3Dn1",
            "watch",
            ["", "v1", "", "nodes", "n1", ""],
        );
    }

    #[test]
    fn other_paths_are_no_resources() {
        assert_eq!(info(Method::GET, "/healthz").resource, None);
        assert_eq!(info(Method::GET, "/apis/apps/v1").resource, None);
        assert_eq!(info(Method::GET, "/openapi/v3").verb, "get");
    }

    #[test]
    fn query_values_are_decoded() {
        let query = Query::parse("labelSelector=a%3Db%2Cc&x=1+2&watch=false&bad=%zz");
        assert_eq!(query.get("labelSelector"), Some("a=b,c"));
        assert_eq!(query.get("x"), Some("1 2"));
        assert_eq!(query.flag("watch"), Some(false));
        assert_eq!(query.get("bad"), Some("%zz"));
    }
}
