//! Bad input gets a clear problem, and nothing is written.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::Product;

/// Method, path, body text, expected status and code.
fn cases(task: &str) -> Vec<(Method, String, String, u16, &'static str)> {
    let post =
        |path: &str, body: &str, status, code| (Method::POST, path.to_owned(), body.to_owned(), status, code);
    let missing = "00000000-0000-4000-8000-000000000000";
    vec![
        post("dev/tasks", "{", 400, "malformed_request"),
        post("dev/tasks", "{} {}", 400, "malformed_request"),
        post("dev/tasks", r#"{"agent_id":"demo","message":"x","nonsense":1}"#, 422, "validation_failed"),
        post("dev/tasks", r#"{"agent_id":"demo","message":7}"#, 422, "validation_failed"),
        post("dev/tasks", r#"{"agent_id":"demo","message":" "}"#, 422, "validation_failed"),
        post("dev/tasks", r#"{"agent_id":"demo"}"#, 422, "validation_failed"),
        post("dev/tasks", r#"{"agent_id":"nobody","message":"x"}"#, 404, "not_found"),
        post("dev/tasks", r#"{"agent_id":"demo","message":"x","timeout_ms":-1}"#, 422, "validation_failed"),
        post("dev/tasks", r#"{"agent_id":"demo","message":"x","priority":"asap"}"#, 422, "validation_failed"),
        post(
            "dev/tasks",
            r#"{"agent_id":"demo","message":"x","policy":{"host":"vm"}}"#,
            422,
            "validation_failed",
        ),
        post(
            "dev/tasks",
            &json!({"agent_id": "demo", "message": "x".repeat(300 * 1024)}).to_string(),
            413,
            "payload_too_large",
        ),
        post("dev/tasks", &json!({"message": "x".repeat(2 << 20)}).to_string(), 413, "payload_too_large"),
        post("nowhere/tasks", r#"{"agent_id":"demo","message":"x"}"#, 404, "not_found"),
        post(&format!("dev/tasks/{missing}/cancel"), "{}", 404, "not_found"),
        post(&format!("dev/tasks/{missing}/input"), r#"{"message":"x"}"#, 404, "not_found"),
        post(&format!("dev/tasks/{task}/input"), r#"{"message":""}"#, 422, "message_required"),
        post(&format!("dev/tasks/{task}/cancel"), "{}", 409, "illegal_transition"),
        post("dev/agents", r#"{"agent_key":"demo","name":"Again"}"#, 409, "agent_exists"),
        post("dev/agents", r#"{"agent_key":"new","name":" "}"#, 422, "validation_failed"),
        (Method::GET, format!("dev/tasks/{missing}"), String::new(), 404, "not_found"),
        (Method::GET, "dev/tasks/not-an-id".to_owned(), String::new(), 404, "not_found"),
        (Method::GET, "dev/tasks?cursor=garbage".to_owned(), String::new(), 422, "validation_failed"),
        (Method::GET, "dev/tasks?state=nonsense".to_owned(), String::new(), 422, "validation_failed"),
        (Method::GET, format!("dev/runs/{missing}"), String::new(), 404, "not_found"),
        (Method::GET, "nowhere/tasks".to_owned(), String::new(), 404, "not_found"),
    ]
}

#[tokio::test]
async fn every_bad_request_is_explained_and_writes_nothing() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let accepted = product.submit("done soon").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    product.task_in(id, "done").await?;
    let before = log_head(&product).await?;
    for (method, path, body, status, code) in cases(id) {
        let request = product.http.request(method.clone(), format!("{}/v1/workspaces/{path}", product.url));
        let answer = request.header("content-type", "application/json").body(body.clone()).send().await?;
        let found = answer.status();
        let kind = answer.headers()["content-type"].to_str()?.to_owned();
        let problem: Value = answer.json().await?;
        let told: String = body.chars().take(80).collect();
        assert_eq!(
            (found, &problem["code"]),
            (StatusCode::from_u16(status)?, &json!(code)),
            "{method} {path} {told}: {problem}"
        );
        assert_eq!(kind, "application/problem+json");
        assert!(problem["detail"].is_string() || problem["errors"].is_array(), "{problem}");
        if code == "validation_failed" {
            assert!(problem["errors"][0]["pointer"].is_string(), "no field is named: {problem}");
        }
    }
    assert_eq!(log_head(&product).await?, before, "something was written");
    Ok(())
}

/// The position of the last commit, as the log itself tells it.
async fn log_head(product: &Product) -> anyhow::Result<u64> {
    let client = async_nats::connect(product.servers()?["nats_url"].as_str().unwrap()).await?;
    let mut stream = async_nats::jetstream::new(client).get_stream("CAPSTAN_EVENTS").await?;
    Ok(stream.info().await?.state.last_sequence)
}
