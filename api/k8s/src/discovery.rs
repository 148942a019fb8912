//! Discovery documents: aggregated (`APIGroupDiscoveryList`) and the older ones, one per group and
//! version.

use serde_json::{Map, Value, json};

use crate::kinds::{self, KINDS, Kind, Subresource};

/// The version of `apidiscovery.k8s.io` in which the aggregated document is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `v2`.
    V2,
    /// `v2beta1`.
    V2Beta1,
}

impl Version {
    /// The version as it stands in `apiVersion` and in the media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::V2 => "v2",
            Version::V2Beta1 => "v2beta1",
        }
    }

    /// The media type of the document.
    pub fn content_type(self) -> String {
        let version = self.as_str();
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
    }
}

/// What `/api` answers: the core group.
pub fn aggregated_core(version: Version) -> Value {
    aggregated(version, |group| group.is_empty())
}

/// What `/apis` answers: all other groups.
pub fn aggregated_groups(version: Version) -> Value {
    aggregated(version, |group| !group.is_empty())
}

fn aggregated(version: Version, wanted: impl Fn(&str) -> bool) -> Value {
    let items: Vec<Value> = kinds::groups()
        .into_iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| {
                    let resources: Vec<Value> =
                        served(group, version).map(aggregated_resource).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let mut metadata = Map::new();
            if !group.is_empty() {
                metadata.insert("name".into(), group.into());
            }
            metadata.insert("creationTimestamp".into(), Value::Null);
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", version.as_str()),
        "metadata": {},
        "items": items,
    })
}

fn served(group: &str, version: &str) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |k| !k.plural.is_empty() && k.group == group && k.version == version)
}

fn aggregated_resource(kind: &'static Kind) -> Value {
    let mut out = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        out["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        out["categories"] = json!(kind.categories);
    }
    if !kind.subresources.is_empty() {
        let subresources = kind.subresources.iter().map(|s: &Subresource| {
            json!({
                "subresource": s.name,
                "responseKind": {"group": s.group, "version": s.version, "kind": s.kind},
                "verbs": s.verbs,
            })
        });
        out["subresources"] = subresources.collect();
    }
    out
}

/// What `/api` answers to older clients; `server_address` is `host:port`.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server_address},
        ],
    })
}

/// What `/apis` answers to older clients.
pub fn group_list() -> Value {
    let groups: Vec<Value> = kinds::groups()
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_entry(group, &versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// What `/apis/<group>` answers.
pub fn group(name: &str) -> Option<Value> {
    let (group, versions) =
        kinds::groups().into_iter().find(|(group, _)| !name.is_empty() && *group == name)?;
    let mut out = json!({"kind": "APIGroup", "apiVersion": "v1"});
    if let (Value::Object(out), Value::Object(entry)) = (&mut out, group_entry(group, &versions)) {
        out.extend(entry);
    }
    Some(out)
}

fn group_entry(group: &str, versions: &[&str]) -> Value {
    let entry = |version: &&str| json!({"groupVersion": kinds::group_version(group, version), "version": version});
    json!({
        "name": group,
        "versions": versions.iter().map(entry).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(entry),
    })
}

/// What `/api/v1` and `/apis/<group>/<version>` answer.
pub fn resource_list(group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in served(group, version) {
        let mut resource = json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": kind.verbs,
        });
        if !kind.short_names.is_empty() {
            resource["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            resource["categories"] = json!(kind.categories);
        }
        resources.push(resource);
        for sub in kind.subresources {
            let mut resource = json!({
                "name": format!("{}/{}", kind.plural, sub.name),
                "singularName": "",
                "namespaced": kind.namespaced,
            });
            if (sub.group, sub.version) != (group, version) {
                resource["group"] = sub.group.into();
                resource["version"] = sub.version.into();
            }
            resource["kind"] = sub.kind.into();
            resource["verbs"] = json!(sub.verbs);
            resources.push(resource);
        }
    }
    if resources.is_empty() {
        return None;
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": kinds::group_version(group, version),
        "resources": resources,
    }))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn both_forms_name_the_same_resources() {
        for (group, versions) in kinds::groups() {
            for version in versions {
                let list = resource_list(group, version).unwrap();
                let names: Vec<&str> = list["resources"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|r| r["name"].as_str())
                    .collect();
                let document = if group.is_empty() {
                    aggregated_core(Version::V2)
                } else {
                    aggregated_groups(Version::V2Beta1)
                };
                let items = document["items"].as_array().unwrap();
                let item = items
                    .iter()
                    .find(|i| i["metadata"]["name"].as_str().unwrap_or_default() == group)
                    .unwrap();
                let mut aggregated = Vec::new();
                for resource in item["versions"][0]["resources"].as_array().unwrap() {
                    let name = resource["resource"].as_str().unwrap();
                    aggregated.push(name.to_owned());
                    for sub in resource["subresources"].as_array().into_iter().flatten() {
                        aggregated.push(format!("{name}/{}", sub["subresource"].as_str().unwrap()));
                    }
                }
                assert_eq!(names, aggregated);
            }
        }
        assert_eq!(resource_list("apps", "v2"), None);
        assert_eq!(group(""), None);
    }

    #[test]
    fn one_resource() {
        let deployments = kinds::by_resource("apps", "v1", "deployments").unwrap();
        expect![[r#"{"resource":"deployments","responseKind":{"group":"apps","version":"v1","kind":"Deployment"},"scope":"Namespaced","singularResource":"deployment","verbs":["create","delete","deletecollection","get","list","patch","update","watch"],"shortNames":["deploy"],"categories":["all"],"subresources":[{"subresource":"scale","responseKind":{"group":"autoscaling","version":"v1","kind":"Scale"},"verbs":["get","patch","update"]},{"subresource":"status","responseKind":{"group":"apps","version":"v1","kind":"Deployment"},"verbs":["get","patch","update"]}]}"#]]
            .assert_eq(&aggregated_resource(deployments).to_string());
        expect![[r#"{"kind":"APIGroup","apiVersion":"v1","name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],"preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}"#]]
            .assert_eq(&group("apps").unwrap().to_string());
    }
}
