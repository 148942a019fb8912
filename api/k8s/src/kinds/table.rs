//! The table itself. The order is the order of discovery: by group, then by resource.

use super::{Kind, Role, Subresource};
use crate::generated::{
    apps_v1, authentication_v1, authorization_v1, autoscaling_v1, coordination_v1, core_v1,
    discovery_v1, events_v1, policy_v1, rbac_v1,
};
use crate::schema::Type;

const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Namespaces cannot be deleted as a collection.
const NAMESPACE_VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const OBJECT_VERBS: &[&str] = &["get", "patch", "update"];

/// The names of a kind, which with its schema is all that most kinds differ in.
#[derive(Clone, Copy)]
struct Names {
    kind: &'static str,
    list_kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short_names: &'static [&'static str],
}

const fn names(
    kind: &'static str,
    list_kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short_names: &'static [&'static str],
) -> Names {
    Names { kind, list_kind, plural, singular, short_names }
}

const fn stored(
    group: &'static str,
    version: &'static str,
    n: Names,
    schema: &'static Type,
) -> Kind {
    Kind {
        group,
        version,
        kind: n.kind,
        list_kind: n.list_kind,
        plural: n.plural,
        singular: n.singular,
        short_names: n.short_names,
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[],
        role: Role::Stored { group, plural: n.plural },
        schema,
    }
}

const fn review(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    schema: &'static Type,
) -> Kind {
    let kind = stored(group, "v1", names(kind, "", plural, singular, &[]), schema);
    Kind { verbs: CREATE, role: Role::Review, namespaced: false, ..kind }
}

const fn body(group: &'static str, kind: &'static str, schema: &'static Type) -> Kind {
    let kind = stored(group, "v1", names(kind, "", "", "", &[]), schema);
    Kind { verbs: &[], role: Role::Body, ..kind }
}

impl Kind {
    const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn in_all(mut self) -> Self {
        self.categories = &["all"];
        self
    }

    const fn with(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }

    const fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }
}

const fn sub(
    name: &'static str,
    (group, version, kind): (&'static str, &'static str, &'static str),
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, group, version, kind, verbs }
}

const SCALE: Subresource = sub("scale", ("autoscaling", "v1", "Scale"), OBJECT_VERBS);

/// Every kind, in discovery order.
pub static KINDS: &[Kind] = &[
    Kind { namespaced: true, ..review("", "Binding", "bindings", "binding", &core_v1::BINDING) },
    stored(
        "",
        "v1",
        names("ConfigMap", "ConfigMapList", "configmaps", "configmap", &["cm"]),
        &core_v1::CONFIG_MAP,
    ),
    stored(
        "",
        "v1",
        names("Endpoints", "EndpointsList", "endpoints", "endpoints", &["ep"]),
        &core_v1::ENDPOINTS,
    ),
    stored("", "v1", names("Event", "EventList", "events", "event", &["ev"]), &core_v1::EVENT),
    stored(
        "",
        "v1",
        names("Namespace", "NamespaceList", "namespaces", "namespace", &["ns"]),
        &core_v1::NAMESPACE,
    )
    .cluster()
    .verbs(NAMESPACE_VERBS)
    .with(&[
        sub("finalize", ("", "v1", "Namespace"), &["update"]),
        sub("status", ("", "v1", "Namespace"), OBJECT_VERBS),
    ]),
    stored("", "v1", names("Node", "NodeList", "nodes", "node", &["no"]), &core_v1::NODE)
        .cluster()
        .with(&[sub("status", ("", "v1", "Node"), OBJECT_VERBS)]),
    stored("", "v1", names("Pod", "PodList", "pods", "pod", &["po"]), &core_v1::POD).in_all().with(
        &[
            sub("binding", ("", "v1", "Binding"), CREATE),
            sub("eviction", ("policy", "v1", "Eviction"), CREATE),
            sub("log", ("", "v1", "Pod"), &["get"]),
            sub("status", ("", "v1", "Pod"), OBJECT_VERBS),
        ],
    ),
    stored("", "v1", names("Secret", "SecretList", "secrets", "secret", &[]), &core_v1::SECRET),
    stored(
        "",
        "v1",
        names("ServiceAccount", "ServiceAccountList", "serviceaccounts", "serviceaccount", &["sa"]),
        &core_v1::SERVICE_ACCOUNT,
    )
    .with(&[sub("token", ("authentication.k8s.io", "v1", "TokenRequest"), CREATE)]),
    stored(
        "",
        "v1",
        names("Service", "ServiceList", "services", "service", &["svc"]),
        &core_v1::SERVICE,
    )
    .in_all()
    .with(&[sub("status", ("", "v1", "Service"), OBJECT_VERBS)]),
    stored(
        "apps",
        "v1",
        names("Deployment", "DeploymentList", "deployments", "deployment", &["deploy"]),
        &apps_v1::DEPLOYMENT,
    )
    .in_all()
    .with(&[SCALE, sub("status", ("apps", "v1", "Deployment"), OBJECT_VERBS)]),
    stored(
        "apps",
        "v1",
        names("ReplicaSet", "ReplicaSetList", "replicasets", "replicaset", &["rs"]),
        &apps_v1::REPLICA_SET,
    )
    .in_all()
    .with(&[SCALE, sub("status", ("apps", "v1", "ReplicaSet"), OBJECT_VERBS)]),
    Kind {
        role: Role::Stored { group: "", plural: "events" },
        ..stored(
            "events.k8s.io",
            "v1",
            names("Event", "EventList", "events", "event", &["ev"]),
            &events_v1::EVENT,
        )
    },
    review(
        "authentication.k8s.io",
        "SelfSubjectReview",
        "selfsubjectreviews",
        "selfsubjectreview",
        &authentication_v1::SELF_SUBJECT_REVIEW,
    ),
    review(
        "authentication.k8s.io",
        "TokenReview",
        "tokenreviews",
        "tokenreview",
        &authentication_v1::TOKEN_REVIEW,
    ),
    body("authentication.k8s.io", "TokenRequest", &authentication_v1::TOKEN_REQUEST),
    Kind {
        namespaced: true,
        ..review(
            "authorization.k8s.io",
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
            "localsubjectaccessreview",
            &authorization_v1::LOCAL_SUBJECT_ACCESS_REVIEW,
        )
    },
    review(
        "authorization.k8s.io",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        "selfsubjectaccessreview",
        &authorization_v1::SELF_SUBJECT_ACCESS_REVIEW,
    ),
    review(
        "authorization.k8s.io",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        "selfsubjectrulesreview",
        &authorization_v1::SELF_SUBJECT_RULES_REVIEW,
    ),
    review(
        "authorization.k8s.io",
        "SubjectAccessReview",
        "subjectaccessreviews",
        "subjectaccessreview",
        &authorization_v1::SUBJECT_ACCESS_REVIEW,
    ),
    body("autoscaling", "Scale", &autoscaling_v1::SCALE),
    body("policy", "Eviction", &policy_v1::EVICTION),
    stored(
        "rbac.authorization.k8s.io",
        "v1",
        names(
            "ClusterRoleBinding",
            "ClusterRoleBindingList",
            "clusterrolebindings",
            "clusterrolebinding",
            &[],
        ),
        &rbac_v1::CLUSTER_ROLE_BINDING,
    )
    .cluster(),
    stored(
        "rbac.authorization.k8s.io",
        "v1",
        names("ClusterRole", "ClusterRoleList", "clusterroles", "clusterrole", &[]),
        &rbac_v1::CLUSTER_ROLE,
    )
    .cluster(),
    stored(
        "rbac.authorization.k8s.io",
        "v1",
        names("RoleBinding", "RoleBindingList", "rolebindings", "rolebinding", &[]),
        &rbac_v1::ROLE_BINDING,
    ),
    stored(
        "rbac.authorization.k8s.io",
        "v1",
        names("Role", "RoleList", "roles", "role", &[]),
        &rbac_v1::ROLE,
    ),
    stored(
        "coordination.k8s.io",
        "v1",
        names("Lease", "LeaseList", "leases", "lease", &[]),
        &coordination_v1::LEASE,
    ),
    stored(
        "discovery.k8s.io",
        "v1",
        names("EndpointSlice", "EndpointSliceList", "endpointslices", "endpointslice", &[]),
        &discovery_v1::ENDPOINT_SLICE,
    ),
];
