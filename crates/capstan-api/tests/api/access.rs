//! Access to the server: with a token, without one, and from a web page.

use serde_json::json;

use crate::harness::{ADMIN, Api, with_token};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_token_answers_nobody_without_it() {
    let api = Api::start_with(with_token(ADMIN)).await;
    let body = json!({ "workspace": "dev" }).to_string();
    let head = api.head().await;
    for path in ["/v1/workspaces", "/v1/workers", "/v1/attempts/dev.x.1/finish", "/v1/workspaces/dev/tasks"] {
        let refused = api.send(api.request("POST", path).body(body.clone())).await;
        refused.expect_problem(401, "unauthenticated");
        assert_eq!(refused.header("www-authenticate"), "Bearer");
    }
    for path in ["/v1/workspaces/dev/stream", "/v1/admin/projections", "/v1/workspaces/dev/tasks"] {
        api.send(api.request("GET", path).bearer_auth("wrong")).await.expect_problem(401, "unauthenticated");
    }
    assert_eq!(api.head().await, head, "something was written");
    api.send(api.request("POST", "/v1/workspaces").bearer_auth(ADMIN).body(body)).await.expect(201);
    api.get("/healthz").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_page_cannot_command_a_server_without_a_token() {
    let api = Api::start().await;
    let body = json!({ "agent_id": "demo", "message": "x" }).to_string();
    let request = api.request("POST", "/v1/workspaces/dev/tasks").header("origin", "https://example.org");
    api.send(request.body(body)).await.expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tokens_in_one_request_are_refused() {
    let api = Api::start_with(with_token(ADMIN)).await;
    let request = api.request("GET", "/v1/admin/projections").bearer_auth(ADMIN).bearer_auth(ADMIN);
    api.send(request).await.expect_problem(400, "malformed_request");
}
