//! The roles and bindings that every cluster has: a table.
//!
//! Names and rights are Kubernetes' own (the default roles of its RBAC documentation), cut down to
//! the resources that are served. The group of a rule is written `core` for the empty one; lists
//! are separated by spaces.

use serde_json::{Value, json};

/// A right in the table.
#[derive(Debug)]
pub(crate) struct Row {
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
    urls: &'static str,
}

/// A `ClusterRole` in the table.
#[derive(Debug)]
pub(crate) struct RoleRow {
    pub(crate) name: &'static str,
    /// Which aggregating roles (`admin`, `edit`, `view`) take it in.
    feeds: &'static str,
    /// Whether it is one of those: then its rules are the union of what feeds it.
    aggregates: bool,
    rules: &'static [Row],
}

/// A `ClusterRoleBinding` in the table.
#[derive(Debug)]
pub(crate) struct BindingRow {
    pub(crate) name: &'static str,
    role: &'static str,
    /// `kind:name`, separated by spaces; a service account as `account:namespace:name`.
    subjects: &'static str,
}

const fn on(verbs: &'static str, groups: &'static str, resources: &'static str) -> Row {
    Row { verbs, groups, resources, names: "", urls: "" }
}

const fn named(
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
) -> Row {
    Row { verbs, groups, resources, names, urls: "" }
}

const fn urls(urls: &'static str) -> Row {
    Row { verbs: "get", groups: "", resources: "", names: "", urls }
}

const fn role(name: &'static str, rules: &'static [Row]) -> RoleRow {
    RoleRow { name, feeds: "", aggregates: false, rules }
}

const fn part(name: &'static str, feeds: &'static str, rules: &'static [Row]) -> RoleRow {
    RoleRow { name, feeds, aggregates: false, rules }
}

const fn union(name: &'static str, feeds: &'static str) -> RoleRow {
    RoleRow { name, feeds, aggregates: true, rules: &[] }
}

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const ALL: &str = "create delete deletecollection get list patch update watch";
const EVENTS: Row = on("create patch update", "core events.k8s.io", "events");
const RBAC: &str = "rbac.authorization.k8s.io";

/// The cluster roles.
pub(crate) const ROLES: &[RoleRow] = &[
    role(
        "cluster-admin",
        &[on("*", "*", "*"), Row { verbs: "*", groups: "", resources: "", names: "", urls: "*" }],
    ),
    union("admin", ""),
    union("edit", "admin"),
    union("view", "edit"),
    part(
        "system:aggregate-to-admin",
        "admin",
        &[
            on("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            on(ALL, RBAC, "rolebindings roles"),
        ],
    ),
    part(
        "system:aggregate-to-edit",
        "edit",
        &[
            on(
                READ,
                "core",
                "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
            ),
            on("impersonate", "core", "serviceaccounts"),
            on(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
            on("create", "core", "pods/eviction"),
            on(
                WRITE,
                "core",
                "configmaps events persistentvolumeclaims replicationcontrollers \
             replicationcontrollers/scale secrets serviceaccounts services services/proxy",
            ),
            on("create", "core", "serviceaccounts/token"),
            on(
                WRITE,
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets \
             replicasets/scale statefulsets statefulsets/scale",
            ),
            on(WRITE, "autoscaling", "horizontalpodautoscalers"),
            on(WRITE, "batch", "cronjobs jobs"),
            on(WRITE, "policy", "poddisruptionbudgets"),
            on(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
            on(ALL, "coordination.k8s.io", "leases"),
        ],
    ),
    part(
        "system:aggregate-to-view",
        "view",
        &[
            on(
                READ,
                "core",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
             replicationcontrollers replicationcontrollers/scale serviceaccounts services \
             services/status",
            ),
            on(
                READ,
                "core",
                "bindings events limitranges namespaces/status pods/log pods/status \
             replicationcontrollers/status resourcequotas resourcequotas/status",
            ),
            on(READ, "core", "namespaces"),
            on(READ, "discovery.k8s.io", "endpointslices"),
            on(
                READ,
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale \
             deployments/status replicasets replicasets/scale replicasets/status statefulsets \
             statefulsets/scale statefulsets/status",
            ),
            on(READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
            on(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
            on(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
            on(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
        ],
    ),
    role(
        "system:discovery",
        &[urls(
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    role("system:public-info-viewer", &[urls("/healthz /livez /readyz /version /version/")]),
    role(
        "system:service-account-issuer-discovery",
        &[urls("/.well-known/openid-configuration /openid/v1/jwks")],
    ),
    role(
        "system:monitoring",
        &[urls("/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*")],
    ),
    role(
        "system:basic-user",
        &[
            on(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            on("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    role(
        "system:auth-delegator",
        &[
            on("create", "authentication.k8s.io", "tokenreviews"),
            on("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            on(READ, "core", "nodes"),
            on("proxy", "core", "nodes"),
            on("*", "core", "nodes/log nodes/metrics nodes/proxy nodes/stats"),
        ],
    ),
    role(
        "system:node",
        &[
            on("create", "authentication.k8s.io", "tokenreviews"),
            on("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
            on(READ, "core", "services"),
            on("create get list watch patch update", "core", "nodes"),
            on("patch update", "core", "nodes/status"),
            EVENTS,
            on("get list watch create delete", "core", "pods"),
            on("patch update", "core", "pods/status"),
            on("create", "core", "pods/eviction serviceaccounts/token"),
            on(READ, "core", "configmaps secrets"),
            on("get", "core", "endpoints"),
            on("create delete get patch update", "coordination.k8s.io", "leases"),
        ],
    ),
    role(
        "system:node-proxier",
        &[
            on("list watch", "core", "endpoints services"),
            on(READ, "core", "nodes"),
            EVENTS,
            on("list watch", "discovery.k8s.io", "endpointslices"),
        ],
    ),
    role(
        "system:kube-dns",
        &[
            on("list watch", "core", "endpoints services"),
            on("list watch", "discovery.k8s.io", "endpointslices"),
        ],
    ),
    role(
        "system:kube-scheduler",
        &[
            EVENTS,
            on("create", "coordination.k8s.io", "leases"),
            named("get update", "coordination.k8s.io", "leases", "kube-scheduler"),
            on(READ, "core", "nodes namespaces replicationcontrollers services"),
            on("delete get list watch", "core", "pods"),
            on("create", "core", "bindings pods/binding"),
            on("patch update", "core", "pods/status"),
            on(READ, "apps", "replicasets statefulsets"),
            on(READ, "policy", "poddisruptionbudgets"),
            on("create", "authentication.k8s.io", "tokenreviews"),
            on("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    role(
        "system:kube-controller-manager",
        &[
            EVENTS,
            on("create", "coordination.k8s.io", "leases"),
            named("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
            on("create get update", "core", "secrets serviceaccounts"),
            on("delete", "core", "secrets"),
            on("get", "core", "configmaps namespaces"),
            on("create", "core", "serviceaccounts/token"),
            on("create", "authentication.k8s.io", "tokenreviews"),
            on("create", "authorization.k8s.io", "subjectaccessreviews"),
            on("list watch", "*", "*"),
        ],
    ),
    role(
        "system:controller:clusterrole-aggregation-controller",
        &[on("escalate get list patch update watch", RBAC, "clusterroles")],
    ),
    role(
        "system:controller:deployment-controller",
        &[
            on("get list update watch patch", "apps", "deployments"),
            on("update patch", "apps", "deployments/status deployments/finalizers"),
            on("create delete get list patch update watch", "apps", "replicasets"),
            on("get list update watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:replicaset-controller",
        &[
            on("get list update watch patch", "apps", "replicasets"),
            on("update patch", "apps", "replicasets/status replicasets/finalizers"),
            on("create delete list patch watch get", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpoint-controller",
        &[
            on(READ, "core", "pods services"),
            on("create delete get list update patch watch", "core", "endpoints"),
            on("create", "core", "endpoints/restricted"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpointslice-controller",
        &[
            on(READ, "core", "nodes pods services"),
            on("update", "core", "services/finalizers"),
            on("create delete get list update patch watch", "discovery.k8s.io", "endpointslices"),
            on("create", "discovery.k8s.io", "endpointslices/restricted"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:namespace-controller",
        &[
            on("delete get list watch", "core", "namespaces"),
            on("update patch", "core", "namespaces/finalize namespaces/status"),
            on("delete deletecollection get list", "*", "*"),
        ],
    ),
    role(
        "system:controller:generic-garbage-collector",
        &[on("delete get list patch update watch", "*", "*"), EVENTS],
    ),
    role(
        "system:controller:service-account-controller",
        &[on("create", "core", "serviceaccounts"), EVENTS],
    ),
    role(
        "system:controller:root-ca-cert-publisher",
        &[on("create update get list watch", "core", "configmaps"), EVENTS],
    ),
    role(
        "system:controller:node-controller",
        &[
            on("delete get list patch update watch", "core", "nodes"),
            on("patch update", "core", "nodes/status"),
            on("patch update", "core", "pods/status"),
            on("delete get list watch", "core", "pods"),
            on(READ, "coordination.k8s.io", "leases"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:pod-garbage-collector",
        &[
            on("delete list watch", "core", "pods"),
            on("get list", "core", "nodes"),
            on("patch update", "core", "pods/status"),
        ],
    ),
];

/// The user that the controllers act as, where they do not act as an account each.
const CONTROLLERS: &str = "user:system:kube-controller-manager";

/// The cluster role bindings, but for those of the controllers (see [`bindings`]).
const BINDINGS: &[BindingRow] = &[
    bind("cluster-admin", "cluster-admin", "group:system:masters"),
    bind("system:discovery", "system:discovery", "group:system:authenticated"),
    bind("system:basic-user", "system:basic-user", "group:system:authenticated"),
    bind(
        "system:public-info-viewer",
        "system:public-info-viewer",
        "group:system:authenticated group:system:unauthenticated",
    ),
    bind("system:node-proxier", "system:node-proxier", "user:system:kube-proxy"),
    bind("system:kube-dns", "system:kube-dns", "account:kube-system:kube-dns"),
    bind("system:kube-scheduler", "system:kube-scheduler", "user:system:kube-scheduler"),
    bind("system:kube-controller-manager", "system:kube-controller-manager", CONTROLLERS),
    bind("system:monitoring", "system:monitoring", "group:system:monitoring"),
    // Nodes get their role by group: there is no authorizer that knows each node's own objects.
    bind("system:node", "system:node", "group:system:nodes"),
    bind(
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        "group:system:serviceaccounts",
    ),
    bind(
        "kube-apiserver-kubelet-admin",
        "system:kubelet-api-admin",
        "user:kube-apiserver-kubelet-client",
    ),
];

const fn bind(name: &'static str, role: &'static str, subjects: &'static str) -> BindingRow {
    BindingRow { name, role, subjects }
}

/// Every binding as an object: the table's, and one for each controller's role, for both the
/// account of that name and the user that all controllers share.
pub(crate) fn bindings() -> impl Iterator<Item = Value> {
    let controllers = ROLES.iter().filter_map(|role| {
        let account = role.name.strip_prefix("system:controller:")?;
        let subjects = format!("account:kube-system:{account} {CONTROLLERS}");
        Some(binding(role.name, role.name, &subjects))
    });
    BINDINGS.iter().map(|row| binding(row.name, row.role, row.subjects)).chain(controllers)
}

/// Every role as an object.
pub(crate) fn roles() -> impl Iterator<Item = Value> {
    ROLES.iter().map(RoleRow::to_value)
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "true" },
        "labels": { "kubernetes.io/bootstrapping": "rbac-defaults" },
    })
}

fn aggregation_label(to: &str) -> String {
    format!("{RBAC}/aggregate-to-{to}")
}

impl RoleRow {
    fn to_value(&self) -> Value {
        let mut metadata = metadata(self.name);
        for to in self.feeds.split_whitespace() {
            metadata["labels"][aggregation_label(to)] = json!("true");
        }
        let mut role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": metadata,
            "rules": self.rules.iter().map(Row::to_value).collect::<Vec<_>>(),
        });
        if self.aggregates {
            let selector = json!({ "matchLabels": { aggregation_label(self.name): "true" } });
            role["aggregationRule"] = json!({ "clusterRoleSelectors": [selector] });
        }
        role
    }
}

impl Row {
    fn to_value(&self) -> Value {
        let list = |text: &str| -> Vec<String> {
            text.split_whitespace()
                .map(|word| if word == "core" { String::new() } else { word.to_owned() })
                .collect()
        };
        let mut rule = json!({});
        let mut put = |field: &str, text: &str| {
            if !text.is_empty() {
                rule[field] = json!(list(text));
            }
        };
        put("verbs", self.verbs);
        put("apiGroups", self.groups);
        put("resources", self.resources);
        put("resourceNames", self.names);
        put("nonResourceURLs", self.urls);
        rule
    }
}

fn binding(name: &str, role: &str, subjects: &str) -> Value {
    let subjects: Vec<Value> = subjects.split_whitespace().filter_map(subject).collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": metadata(name),
        "roleRef": { "apiGroup": RBAC, "kind": "ClusterRole", "name": role },
        "subjects": subjects,
    })
}

fn subject(text: &str) -> Option<Value> {
    let (kind, name) = text.split_once(':')?;
    Some(match kind {
        "user" => json!({ "apiGroup": RBAC, "kind": "User", "name": name }),
        "group" => json!({ "apiGroup": RBAC, "kind": "Group", "name": name }),
        _ => {
            let (namespace, name) = name.split_once(':')?;
            json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace })
        }
    })
}
