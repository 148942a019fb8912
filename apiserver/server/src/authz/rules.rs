//! RBAC rules and what they match. Pure.

use serde_json::{Value, json};

/// A `PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    pub(crate) non_resource_urls: Vec<String>,
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) target: Target<'a>,
}

/// To what.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// An API resource; empty fields mean none.
    Resource {
        group: &'a str,
        namespace: &'a str,
        resource: &'a str,
        subresource: &'a str,
        name: &'a str,
    },
    /// Another path.
    Url(&'a str),
}

fn strings(value: &Value, field: &str) -> Vec<String> {
    let list = value.get(field).and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    /// Reads a rule of a role.
    pub(crate) fn parse(value: &Value) -> Self {
        Self {
            verbs: strings(value, "verbs"),
            api_groups: strings(value, "apiGroups"),
            resources: strings(value, "resources"),
            resource_names: strings(value, "resourceNames"),
            non_resource_urls: strings(value, "nonResourceURLs"),
        }
    }

    /// Reads the rules of a role.
    pub(crate) fn parse_all(role: &Value) -> Vec<Self> {
        let rules = role.get("rules").and_then(Value::as_array);
        rules.map(|rules| rules.iter().map(Self::parse).collect()).unwrap_or_default()
    }

    pub(crate) fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        Self { verbs: all(), api_groups: all(), resources: all(), ..Self::default() }
    }

    pub(crate) fn every_url() -> Self {
        let all = || vec!["*".to_owned()];
        Self { verbs: all(), non_resource_urls: all(), ..Self::default() }
    }

    pub(crate) fn allows(&self, wanted: &Attributes<'_>) -> bool {
        if !has(&self.verbs, wanted.verb) {
            return false;
        }
        match &wanted.target {
            Target::Url(path) => self.non_resource_urls.iter().any(|own| url_matches(own, path)),
            Target::Resource { group, resource, subresource, name, .. } => {
                has(&self.api_groups, group)
                    && self.matches_resource(resource, subresource)
                    && (self.resource_names.is_empty()
                        || self.resource_names.iter().any(|own| own == name))
            }
        }
    }

    fn matches_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|own| match own.split_once('/') {
            _ if own == "*" => true,
            None => subresource.is_empty() && own == resource,
            Some(("*", sub)) => sub == subresource,
            Some((own, sub)) => own == resource && sub == subresource,
        })
    }

    /// The rule as an object of the API.
    pub(crate) fn to_value(&self) -> Value {
        let mut out = json!({ "verbs": self.verbs });
        let mut put = |field: &str, list: &[String]| {
            if !list.is_empty() {
                out[field] = json!(list);
            }
        };
        put("apiGroups", &self.api_groups);
        put("resources", &self.resources);
        put("resourceNames", &self.resource_names);
        put("nonResourceURLs", &self.non_resource_urls);
        out
    }

    /// Every single right the rule gives: one verb on one resource, name or URL each. For
    /// comparing rules that are written differently.
    pub(crate) fn singles(&self) -> Vec<Rule> {
        let mut out = Vec::new();
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                out.push(Rule {
                    verbs: vec![verb.clone()],
                    non_resource_urls: vec![url.clone()],
                    ..Rule::default()
                });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let single = Rule {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        ..Rule::default()
                    };
                    if self.resource_names.is_empty() {
                        out.push(single);
                        continue;
                    }
                    for name in &self.resource_names {
                        out.push(Rule { resource_names: vec![name.clone()], ..single.clone() });
                    }
                }
            }
        }
        out
    }

    /// Whether this rule gives everything that `single` (one of [`Rule::singles`]) gives.
    pub(crate) fn covers(&self, single: &Rule) -> bool {
        let all_in = |own: &[String], wanted: &[String]| {
            own.iter().any(|o| o == "*") || wanted.iter().all(|w| own.contains(w))
        };
        if !all_in(&self.verbs, &single.verbs) {
            return false;
        }
        if let [url] = single.non_resource_urls.as_slice() {
            return self.non_resource_urls.iter().any(|own| url_matches(own, url));
        }
        let resource_covered = single.resources.iter().all(|wanted| {
            self.resources.iter().any(|own| {
                own == "*"
                    || own == wanted
                    || matches!(
                        (own.strip_prefix("*/"), wanted.split_once('/')),
                        (Some(own), Some((_, sub))) if own == sub
                    )
            })
        });
        resource_covered
            && all_in(&self.api_groups, &single.api_groups)
            && (self.resource_names.is_empty()
                || (!single.resource_names.is_empty()
                    && single.resource_names.iter().all(|n| self.resource_names.contains(n))))
    }
}

fn url_matches(own: &str, path: &str) -> bool {
    own == "*"
        || own == path
        || own.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
        let list = |text: &str| -> Vec<String> {
            if text == "-" { Vec::new() } else { text.split(' ').map(str::to_owned).collect() }
        };
        Rule {
            verbs: list(verbs),
            api_groups: groups.split(' ').map(|g| g.replace("core", "")).collect(),
            resources: list(resources),
            resource_names: list(names),
            non_resource_urls: Vec::new(),
        }
    }

    fn may(rule: &Rule, verb: &str, group: &str, resource: &str, sub: &str, name: &str) -> bool {
        let target = Target::Resource { group, namespace: "n", resource, subresource: sub, name };
        rule.allows(&Attributes { verb, target })
    }

    #[test]
    fn a_resource_does_not_include_its_subresources() {
        let pods = rule("get", "core", "pods", "-");
        assert!(may(&pods, "get", "", "pods", "", "p"));
        assert!(!may(&pods, "get", "", "pods", "log", "p"));
        assert!(!may(&pods, "list", "", "pods", "", ""));
        assert!(!may(&pods, "get", "apps", "pods", "", "p"));
        let scale = rule("*", "*", "*/scale", "-");
        assert!(may(&scale, "update", "apps", "deployments", "scale", "d"));
        assert!(!may(&scale, "update", "apps", "deployments", "", "d"));
    }

    #[test]
    fn names_restrict() {
        let one = rule("get", "core", "secrets", "a b");
        assert!(may(&one, "get", "", "secrets", "", "b"));
        assert!(!may(&one, "get", "", "secrets", "", "c"));
        assert!(!may(&one, "get", "", "secrets", "", ""));
    }

    #[test]
    fn urls_match_by_prefix() {
        let url = Rule {
            verbs: vec!["get".into()],
            non_resource_urls: vec!["/api/*".into(), "/healthz".into()],
            ..Rule::default()
        };
        let may = |path| url.allows(&Attributes { verb: "get", target: Target::Url(path) });
        assert!(may("/api/v1") && may("/healthz"));
        assert!(!may("/healthz/x") && !may("/metrics"));
    }

    #[test]
    fn wider_rules_cover_narrower_ones() {
        let wanted = rule("get list", "core apps", "pods pods/log", "-");
        let covered = |own: &Rule| wanted.singles().iter().all(|single| own.covers(single));
        assert_eq!(wanted.singles().len(), 8);
        assert!(covered(&Rule::everything()));
        assert!(covered(&rule("*", "*", "pods pods/log", "-")));
        assert!(!covered(&rule("*", "*", "pods", "-")));
        assert!(!covered(&rule("*", "core", "*", "-")));
        assert!(!covered(&rule("*", "*", "*", "one")));
    }
}
