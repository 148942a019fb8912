//! Service-account tokens.

use bytes::Bytes;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::cluster::{Answer, Cluster, PODS, call, pod, send};

const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

async fn who(cluster: &Cluster, token: &str) -> Answer {
    let request = http::Request::post(WHO)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(b"{}")))
        .unwrap();
    send(cluster.handle.service(), request).await
}

async fn token(cluster: &Cluster, spec: &Value) -> String {
    let answer = cluster.post(TOKEN, &json!({ "spec": spec })).await.ok();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_is_its_account_and_dies_with_its_pod() {
    let cluster = Cluster::start().await;
    let created = cluster.post(PODS, &pod("p")).await.ok();
    assert_eq!(created["spec"]["serviceAccountName"], "default");
    let reference = json!({
        "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": created["metadata"]["uid"],
    });
    let spec = json!({ "boundObjectRef": reference, "expirationSeconds": 3607 });
    let token = token(&cluster, &spec).await;
    let me = who(&cluster, &token).await.ok();
    let user = &me["status"]["userInfo"];
    assert_eq!(user["username"], "system:serviceaccount:default:default");
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["p"]));
    assert!(user["groups"].as_array().unwrap().contains(&json!("system:serviceaccounts")));
    let review = json!({ "spec": { "token": token } });
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    assert_eq!(cluster.post(path, &review).await.ok()["status"]["authenticated"], true);
    cluster.delete(&format!("{PODS}/p"), &json!({ "gracePeriodSeconds": 0 })).await.ok();
    // Another pod of that name is another pod.
    cluster.post(PODS, &pod("p")).await.ok();
    who(&cluster, &token).await.refused(401, "Unauthorized");
    let reviewed = cluster.post(path, &review).await.ok();
    assert_eq!(reviewed["status"]["authenticated"], Value::Null);
    assert!(reviewed["status"]["error"].as_str().unwrap().contains("which is gone"));
}

#[tokio::test]
async fn a_token_for_others_is_no_credential_here() {
    let cluster = Cluster::start().await;
    let other = token(&cluster, &json!({ "audiences": ["vault"] })).await;
    who(&cluster, &other).await.refused(401, "Unauthorized");
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = json!({ "spec": { "token": other, "audiences": ["vault", "x"] } });
    let reviewed = cluster.post(path, &review).await.ok();
    assert_eq!(reviewed["status"]["audiences"], json!(["vault"]));
}

#[tokio::test]
async fn forged_and_altered_tokens_are_refused() {
    let cluster = Cluster::start().await;
    let another = Cluster::start().await;
    let foreign = token(&another, &json!({ "audiences": [] })).await;
    who(&cluster, &foreign).await.refused(401, "Unauthorized");
    let own = token(&cluster, &json!({ "audiences": [] })).await;
    who(&cluster, &own).await.ok();
    let (body, signature) = own.rsplit_once('.').unwrap();
    let (head, _) = body.split_once('.').unwrap();
    who(&cluster, &format!("{head}.e30.{signature}")).await.refused(401, "Unauthorized");
    who(&cluster, &format!("{body}.")).await.refused(401, "Unauthorized");
    who(&cluster, "").await.refused(401, "Unauthorized");
}

#[tokio::test]
async fn lifetimes_are_bounded() {
    let cluster = Cluster::start().await;
    let short = json!({ "spec": { "expirationSeconds": 10 } });
    let message = cluster.post(TOKEN, &short).await.refused(422, "Invalid");
    assert!(message.contains("may not specify a duration less than 10 minutes"), "{message}");
}

#[tokio::test]
async fn keys_can_be_discovered() {
    let cluster = Cluster::start().await;
    let keys = cluster.get("/openid/v1/jwks").await.ok();
    assert_eq!(keys["keys"][0]["crv"], "P-256");
    assert_eq!(keys["keys"][0]["x"].as_str().unwrap().len(), 43);
    let document = cluster.get("/.well-known/openid-configuration").await.ok();
    assert_eq!(document["issuer"], "https://kubernetes.default.svc.cluster.local");
}

#[tokio::test]
async fn nobody_in_particular_sees_health_and_little_else() {
    let cluster = Cluster::start().await;
    let get =
        async |path: &str| call(cluster.handle.service(), "GET", path, "", &Value::Null).await;
    assert_eq!(get("/healthz").await.ok(), json!("ok"));
    assert_eq!(get("/version").await.ok()["major"], json!("1"));
    let message = get("/api/v1/pods").await.refused(403, "Forbidden");
    assert!(message.contains("User \"system:anonymous\" cannot list"), "{message}");
    get("/openapi/v3").await.refused(403, "Forbidden");
}
