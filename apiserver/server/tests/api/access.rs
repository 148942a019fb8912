//! Who may do what.

use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster, MAPS, PODS, call, config_map, send};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

async fn as_user(cluster: &Cluster, user: &str, method: &str, path: &str, body: &Value) -> Answer {
    call(cluster.handle.service_as(user, &[]), method, path, "application/json", body).await
}

fn role(name: &str, verbs: &[&str], resources: &[&str]) -> Value {
    json!({
        "metadata": { "name": name },
        "rules": [{ "verbs": verbs, "apiGroups": [""], "resources": resources }],
    })
}

fn binding(name: &str, role: &str, user: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user }],
    })
}

#[tokio::test]
async fn nothing_is_allowed_that_no_binding_allows() {
    let cluster = Cluster::start().await;
    let refusal = as_user(&cluster, "jane", "GET", PODS, &Value::Null).await;
    assert_eq!(
        refusal.refused(403, "Forbidden"),
        "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the \
         namespace \"default\""
    );
    let refusal = as_user(&cluster, "jane", "GET", "/metrics", &Value::Null).await;
    assert_eq!(
        refusal.refused(403, "Forbidden"),
        "forbidden: User \"jane\" cannot get path \"/metrics\""
    );
}

#[tokio::test]
async fn a_binding_is_in_force_once_it_is_acknowledged() {
    let cluster = Cluster::start().await;
    let base = format!("{RBAC}/namespaces/default");
    cluster.post(&format!("{base}/roles"), &role("r", &["list"], &["configmaps"])).await.ok();
    for round in 0..10 {
        let user = format!("user-{round}");
        as_user(&cluster, &user, "GET", MAPS, &Value::Null).await.refused(403, "Forbidden");
        cluster.post(&format!("{base}/rolebindings"), &binding(&user, "r", &user)).await.ok();
        as_user(&cluster, &user, "GET", MAPS, &Value::Null).await.ok();
        cluster.delete(&format!("{base}/rolebindings/{user}"), &Value::Null).await.ok();
        as_user(&cluster, &user, "GET", MAPS, &Value::Null).await.refused(403, "Forbidden");
    }
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let cluster = Cluster::start().await;
    let base = format!("{RBAC}/namespaces/default");
    let mut own = role("own", &["get", "list"], &["configmaps"]);
    own["rules"].as_array_mut().unwrap().push(json!({
        "verbs": ["create"],
        "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["roles", "rolebindings"],
    }));
    cluster.post(&format!("{base}/roles"), &own).await.ok();
    cluster.post(&format!("{base}/roles"), &role("secrets", &["get"], &["secrets"])).await.ok();
    cluster.post(&format!("{base}/rolebindings"), &binding("own", "own", "jane")).await.ok();
    let make = async |body: &Value| {
        as_user(&cluster, "jane", "POST", &format!("{base}/roles"), body).await
    };
    make(&role("fine", &["get"], &["configmaps"])).await.ok();
    let message = make(&role("more", &["get", "delete"], &["configmaps"])).await;
    let message = message.refused(403, "Forbidden");
    assert!(
        message.contains("attempting to grant RBAC permissions not currently held"),
        "{message}"
    );
    assert!(message.contains("Verbs:[\"delete\"]"), "{message}");
    let path = format!("{base}/rolebindings");
    let bind = binding("sneaky", "secrets", "jane");
    as_user(&cluster, "jane", "POST", &path, &bind).await.refused(403, "Forbidden");
    let bind = binding("fine", "fine", "joe");
    as_user(&cluster, "jane", "POST", &path, &bind).await.ok();
}

#[tokio::test]
async fn components_have_their_rights() {
    let cluster = Cluster::start().await;
    let scheduler = "system:kube-scheduler";
    as_user(&cluster, scheduler, "GET", "/api/v1/pods", &Value::Null).await.ok();
    as_user(&cluster, scheduler, "POST", MAPS, &config_map("a", "1"))
        .await
        .refused(403, "Forbidden");
    let controllers = "system:kube-controller-manager";
    as_user(&cluster, controllers, "GET", "/apis/apps/v1/deployments", &Value::Null).await.ok();
    as_user(&cluster, controllers, "DELETE", &format!("{PODS}/x"), &Value::Null)
        .await
        .refused(404, "NotFound");
    let node = cluster.handle.service_as("system:node:n", &["system:nodes"]);
    let body = json!({ "metadata": { "name": "n" } });
    call(node, "POST", "/api/v1/nodes", "application/json", &body).await.ok();
    // admin takes in edit, edit takes in view.
    let admin = cluster.get(&format!("{RBAC}/clusterroles/admin")).await.ok();
    let reads_slices = admin["rules"].as_array().unwrap().iter().any(|rule| {
        rule["resources"].as_array().is_some_and(|list| list.contains(&json!("endpointslices")))
    });
    assert!(reads_slices);
}

#[tokio::test]
async fn reviews_answer() {
    let cluster = Cluster::start().await;
    let ask = |verb: &str| {
        json!({ "spec": { "resourceAttributes": {
            "namespace": "default", "verb": verb, "resource": "pods",
        }}})
    };
    let own = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = as_user(&cluster, "jane", "POST", own, &ask("get")).await.ok();
    assert_eq!(answer["status"]["allowed"], false);
    let answer = cluster.post(own, &ask("get")).await.ok();
    assert_eq!(answer["status"]["allowed"], true);
    let mut other = ask("list");
    other["spec"]["user"] = json!("system:kube-scheduler");
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(cluster.post(path, &other).await.ok()["status"]["allowed"], true);
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let body = json!({ "spec": { "namespace": "default" } });
    let rules = as_user(&cluster, "jane", "POST", path, &body).await.ok();
    assert_eq!(rules["status"]["incomplete"], false);
    assert!(rules["status"]["nonResourceRules"].to_string().contains("/healthz"));
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let me = as_user(&cluster, "jane", "POST", path, &json!({})).await.ok();
    assert_eq!(me["status"]["userInfo"]["username"], "jane");
    assert_eq!(me["status"]["userInfo"]["groups"], json!(["system:authenticated"]));
}

async fn impersonating(
    cluster: &Cluster,
    user: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = http::Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let service = cluster.handle.service_as(user, &[]);
    send(service, request.body(http_body_util::Full::default()).unwrap()).await
}

#[tokio::test]
async fn acting_as_somebody_else_needs_the_right_to_every_part() {
    let cluster = Cluster::start().await;
    let base = format!("{RBAC}/namespaces/default");
    cluster.post(&format!("{base}/roles"), &role("r", &["list"], &["configmaps"])).await.ok();
    cluster.post(&format!("{base}/rolebindings"), &binding("jane", "r", "jane")).await.ok();
    let as_jane = [("impersonate-user", "jane")];
    let refusal = impersonating(&cluster, "joe", MAPS, &as_jane).await;
    assert_eq!(
        refusal.refused(403, "Forbidden"),
        "users \"jane\" is forbidden: User \"joe\" cannot impersonate resource \"users\" in API \
         group \"\" at the cluster scope"
    );
    let mut may = role("may", &["impersonate"], &["users"]);
    may["rules"][0]["resourceNames"] = json!(["jane"]);
    cluster.post(&format!("{RBAC}/clusterroles"), &may).await.ok();
    let mut bind = binding("joe", "may", "joe");
    bind["roleRef"]["kind"] = json!("ClusterRole");
    cluster.post(&format!("{RBAC}/clusterrolebindings"), &bind).await.ok();
    impersonating(&cluster, "joe", MAPS, &as_jane).await.ok();
    // As jane, and not as joe, is decided what may be done.
    let refusal = impersonating(&cluster, "joe", PODS, &as_jane).await.refused(403, "Forbidden");
    assert!(refusal.contains("User \"jane\" cannot list"), "{refusal}");
    for (name, value, resource) in [
        ("impersonate-group", "system:masters", "groups"),
        ("impersonate-uid", "7", "uids"),
        ("impersonate-extra-a", "b", "userextras/a"),
    ] {
        let headers = [("impersonate-user", "jane"), (name, value)];
        let refusal = impersonating(&cluster, "joe", MAPS, &headers).await;
        let refusal = refusal.refused(403, "Forbidden");
        assert!(refusal.contains(&format!("resource {resource:?}")), "{refusal}");
    }
}
