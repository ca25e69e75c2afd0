//! Answers while NATS or Postgres is down, and after it is back.

use capstan_testkit::eventually::eventually;
use serde_json::json;

use crate::harness::{Api, PATIENCE};

const TASKS: &str = "/v1/workspaces/dev/tasks";

async fn until_ready(api: &Api, ready: bool) {
    let what = if ready { "the server is ready" } else { "the server is not ready" };
    eventually(what, PATIENCE, async || ((api.get("/readyz").await.status == 200) == ready).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_log_commands_wait_for_better_times() {
    let api = Api::start().await;
    until_ready(&api, true).await;
    let body = json!({ "agent_id": "demo", "message": "x", "idempotency_key": "k" });
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    api.servers.servers().stop_nats().await;
    let call = json!({ "tool": "gmail.send", "is_write": true, "arguments": {} });
    let gate = api.report(&lease, "tool-calls", call).await;
    gate.expect_problem(503, "log_unavailable");
    let refused = api.post(TASKS, body.clone()).await;
    refused.expect_problem(503, "log_unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    until_ready(&api, false).await;
    assert!(api.get("/readyz").await.body["reasons"][0].as_str().unwrap().starts_with("log: "));
    api.servers.servers().resume_nats().await.unwrap();
    until_ready(&api, true).await;
    let answer = eventually("the command is taken", PATIENCE, async || {
        let answer = api.post(TASKS, body.clone()).await;
        (answer.status < 300).then_some(answer)
    })
    .await;
    let list = api.get_now(TASKS).await.expect(200);
    assert_eq!(list["items"][0]["id"], answer.body["task"]["id"]);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "one key, one task");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_commands_go_on_and_reads_say_so() {
    let api = Api::start().await;
    until_ready(&api, true).await;
    api.servers.servers().stop_postgres().await;
    let task = api.task("while it is gone").await;
    api.get(&format!("{TASKS}/{task}")).await.expect_problem(503, "read_model_unavailable");
    until_ready(&api, false).await;
    api.servers.servers().resume_postgres().await.unwrap();
    until_ready(&api, true).await;
    assert_eq!(api.get_now(&format!("{TASKS}/{task}")).await.expect(200)["message"], "while it is gone");
}
