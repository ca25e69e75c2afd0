//! Tokens: issued, shown, taken back.

use capstan_eventlog::EventLog as _;
use capstan_testkit::eventually::eventually;
use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::harness::{ADMIN, Answer, Api, PATIENCE, issue, with_token};

async fn started() -> Api {
    let api = Api::start_with(with_token(ADMIN)).await;
    as_token(&api, ADMIN, "POST", "/v1/workspaces", json!({ "workspace": "dev" })).await.expect(201);
    api
}

async fn as_token(api: &Api, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = api.request(method, path).bearer_auth(token);
    api.send(if method == "GET" { request } else { request.body(body.to_string()) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_stored_nowhere() {
    let api = started().await;
    let body = json!({ "name": "ci", "scopes": ["read", "admin"], "idempotency_key": "k" });
    let path = "/v1/workspaces/dev/tokens";
    let first = as_token(&api, ADMIN, "POST", path, body.clone()).await;
    assert_eq!(first.header("cache-control"), "no-store");
    let first = first.expect(201);
    let secret = first["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("cap_dev.") && secret.len() > 100, "{secret}");
    let again = as_token(&api, ADMIN, "POST", path, body).await.expect(200);
    assert!(again["receipt"]["duplicate"] == true && again.get("secret").is_none(), "{again}");

    let listed = as_token(&api, &secret, "GET", path, Value::Null).await.expect(200);
    let token = &listed["items"][0];
    assert_eq!(token["scopes"], json!(["read", "admin"]));
    assert!(secret.ends_with(token["last_four"].as_str().unwrap()));
    let random = secret.rsplit('.').next().unwrap();
    assert!(!listed.to_string().contains(random) && !listed.to_string().contains("hash"), "{listed}");
    for recorded in
        api.log.read_stream(&token_stream(&first), capstan_envelope::Position::START).await.unwrap()
    {
        let stored = String::from_utf8(recorded.commit.to_bytes().unwrap()).unwrap();
        assert!(stored.contains("secret_hash") && !stored.contains(random), "{stored}");
    }
}

fn token_stream(issued: &Value) -> capstan_envelope::StreamId {
    format!("dev/token/{}", issued["token"]["id"].as_str().unwrap()).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_wrong_expired_or_revoked_opens_nothing() {
    let api = started().await;
    let path = "/v1/workspaces/dev/tasks";
    let secret = issue(&api, "dev", &["read"]).await;
    as_token(&api, &secret, "GET", path, Value::Null).await.expect(200);
    let mut forged = secret.clone();
    forged.replace_range(secret.len() - 1.., if secret.ends_with('0') { "1" } else { "0" });
    let unknown = secret.replacen("cap_dev", "cap_other", 1);
    for bad in [forged.as_str(), unknown.as_str(), "cap_dev", "x"] {
        let refused = as_token(&api, bad, "GET", path, Value::Null).await;
        refused.expect_problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), r#"Bearer error="invalid_token""#);
    }

    let soon = Utc::now() + TimeDelta::milliseconds(1_500);
    let body = json!({ "name": "short", "scopes": ["read"], "expires_at": soon });
    let short = as_token(&api, ADMIN, "POST", "/v1/workspaces/dev/tokens", body).await.expect(201);
    let short = short["secret"].as_str().unwrap().to_owned();
    as_token(&api, &short, "GET", path, Value::Null).await.expect(200);
    eventually("the token expires", PATIENCE, async || {
        (as_token(&api, &short, "GET", path, Value::Null).await.status == 401).then_some(())
    })
    .await;
    assert!(Utc::now() >= soon, "it expired before its time");
}

/// Revocation reaches the memory of every process, and ends what it had let stay connected.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_heard_in_every_process() {
    let one = started().await;
    let two = one.replica(with_token(ADMIN)).await;
    let path = "/v1/workspaces/dev/tokens";
    let body = json!({ "name": "lost", "scopes": ["read"] });
    let issued = as_token(&one, ADMIN, "POST", path, body).await.expect(201);
    let secret = issued["secret"].as_str().unwrap();
    let reads = "/v1/workspaces/dev/tasks";
    for api in [&one, &two] {
        as_token(api, secret, "GET", reads, Value::Null).await.expect(200);
    }
    let stream = two.request("GET", "/v1/workspaces/dev/stream").bearer_auth(secret).send().await.unwrap();
    assert_eq!(stream.status(), 200);

    let revoke = format!("{path}/{}", issued["token"]["id"].as_str().unwrap());
    let revoked = as_token(&one, ADMIN, "DELETE", &revoke, json!({ "reason": "lost" })).await.expect(200);
    assert_eq!(revoked["token"]["revoked_reason"], "lost");
    as_token(&one, secret, "GET", reads, Value::Null).await.expect_problem(401, "unauthenticated");
    let began = std::time::Instant::now();
    eventually("the other process hears of it", PATIENCE, async || {
        (as_token(&two, secret, "GET", reads, Value::Null).await.status == 401).then_some(())
    })
    .await;
    assert!(began.elapsed().as_secs() < 3, "the live tail did not tell it: {:?}", began.elapsed());
    let rest = tokio::time::timeout(PATIENCE, stream.bytes()).await.expect("the stream breaks off").unwrap();
    assert!(!String::from_utf8_lossy(&rest).contains(&secret[20..]));
    as_token(&one, ADMIN, "DELETE", &revoke, json!({})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_given_on_request_but_never_into_a_queue() {
    let api = started().await;
    let body = json!({ "name": "by bus", "scopes": ["read"] }).to_string();
    let subject = api.topology.rpc_subject("dev", "issue-token");
    let reply = eventually("the service answers", PATIENCE, async || {
        api.nats.request(subject.clone(), body.clone().into()).await.ok()
    })
    .await;
    let issued: Value = serde_json::from_slice(&reply.payload).unwrap();
    let secret = issued["secret"].as_str().unwrap();
    as_token(&api, secret, "GET", "/v1/workspaces/dev/tasks", Value::Null).await.expect(200);

    let outcome =
        crate::nats::publish(&api, "issue-token", "00000000-0000-0000-0000-00000000000b", &body).await;
    assert_eq!((&outcome["code"], outcome.get("secret")), (&json!("forbidden"), None), "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_hurry_is_told_to_wait() {
    let mut config = with_token(ADMIN);
    config.rate = capstan_api::RateLimit { per_second: 0.01, burst: 2.0 };
    let api = Api::start_with(config).await;
    as_token(&api, ADMIN, "POST", "/v1/workspaces", json!({ "workspace": "dev" })).await.expect(201);
    let secret = issue(&api, "dev", &["read"]).await;
    let path = "/v1/workspaces/dev/tasks";
    for _ in 0..2 {
        as_token(&api, &secret, "GET", path, Value::Null).await.expect(200);
    }
    let refused = as_token(&api, &secret, "GET", path, Value::Null).await;
    refused.expect_problem(429, "rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(refused.body["retry_after"].to_string(), refused.header("retry-after"));
    as_token(&api, ADMIN, "GET", path, Value::Null).await.expect(200);
}
