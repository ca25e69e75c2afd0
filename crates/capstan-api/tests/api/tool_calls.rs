//! The gate of tool calls, and decisions about what it keeps back.

use serde_json::{Value, json};

use crate::harness::{Api, Lease};

async fn check(api: &Api, lease: &Lease, tool: &str, arguments: Value) -> Value {
    api.report(lease, "tool-calls", json!({ "tool": tool, "arguments": arguments })).await.expect(200)
}

async fn settings(api: &Api, settings: Value) {
    let body = json!({ "settings": settings }).to_string();
    api.send(api.request("PATCH", "/v1/workspaces/dev").body(body)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_passes_writing_is_kept_and_the_question_stands_in_the_inbox() {
    let api = Api::start().await;
    let task = api.task("write to Ada").await;
    let lease = api.lease(&task).await;
    let read = json!({ "tool": "crm.read", "is_write": false });
    assert_eq!(api.report(&lease, "tool-calls", read).await.expect(200)["decision"], "allow");
    let email = || json!({ "to": "ada@x", "subject": "Hello" });
    let kept = check(&api, &lease, "gmail.send", email()).await;
    assert_eq!(kept["decision"], "deferred");
    let inbox = api.get_now("/v1/workspaces/dev/inbox").await.expect(200);
    assert_eq!(inbox["items"][0]["summary"], "Send an email to ada@x about Hello");
    assert_eq!(inbox["items"][0]["id"], kept["blocker_id"]);
    let again = check(&api, &lease, "gmail.send", email()).await;
    assert_eq!((&again["decision"], &again["tool_call_id"]), (&json!("pending"), &kept["tool_call_id"]));
    assert_eq!(check(&api, &lease, "crm.write", json!({})).await["decision"], "pending");
}

/// Without an executor: approved is the agent's to repeat, once.
#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_without_an_executor_passes_once() {
    let api = Api::start().await;
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    check(&api, &lease, "crm.write", json!({ "n": 1 })).await;
    let input = format!("/v1/workspaces/dev/tasks/{task}/input");
    let given = api.post(&input, json!({ "action": "approve" })).await.expect(202);
    assert_eq!((&given["outcome"], &given["task"]["state"]), (&json!("delivered"), &json!("running")));
    let told = api.report(&lease, "inputs/claim", json!({})).await.expect(200);
    assert!(told["input"]["message"].as_str().unwrap().contains("same call again"));
    assert_eq!(check(&api, &lease, "crm.write", json!({ "n": 1 })).await["decision"], "allow");
    assert_eq!(check(&api, &lease, "crm.write", json!({ "n": 1 })).await["decision"], "deferred");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_call_is_refused_without_another_question() {
    let api = Api::start().await;
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    check(&api, &lease, "crm.write", json!({ "n": 1 })).await;
    let input = format!("/v1/workspaces/dev/tasks/{task}/input");
    api.post(&input, json!({ "action": "reject" })).await.expect(202);
    let head = api.head().await;
    assert_eq!(check(&api, &lease, "crm.write", json!({ "n": 1 })).await["decision"], "rejected");
    assert_eq!(api.head().await, head, "nothing was written");
    assert_eq!(check(&api, &lease, "crm.write", json!({ "n": 2 })).await["decision"], "deferred");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_workspaces_rules_hold_at_once() {
    let api = Api::start().await;
    let lease = api.lease(&api.task("write").await).await;
    settings(&api, json!({ "approval_policy": "approve_emails_only", "disabled_tools": ["slack.post"] }))
        .await;
    assert_eq!(check(&api, &lease, "crm.write", json!({})).await["decision"], "allow");
    assert_eq!(check(&api, &lease, "slack.post", json!({})).await["decision"], "rejected");
    settings(&api, json!({ "approval_policy": "auto_approve_all" })).await;
    assert_eq!(check(&api, &lease, "gmail.send", json!({})).await["decision"], "allow");
    settings(&api, json!({ "approval_policy": "ask" })).await;
    assert_eq!(check(&api, &lease, "gmail.send", json!({})).await["decision"], "deferred");
}

/// Those of the configuration the task was accepted with, whatever the agent's became.
#[tokio::test(flavor = "multi_thread")]
async fn under_on_miss_only_the_listed_tools_pass_without_a_question() {
    let api = Api::start().await;
    let accepted = async || {
        let body = json!({ "agent_id": "demo", "message": "write", "policy": { "ask": "on-miss" } });
        let answer = api.post("/v1/workspaces/dev/tasks", body).await.expect(202);
        api.lease(answer["task"]["id"].as_str().unwrap()).await
    };
    let listing = async |tools: Value| {
        let body = json!({ "config": { "allowed_tools": tools } }).to_string();
        api.send(api.request("PATCH", "/v1/workspaces/dev/agents/demo").body(body)).await.expect(200);
    };
    listing(json!(["crm.write"])).await;
    let first = accepted().await;
    assert_eq!(check(&api, &first, "crm.write", json!({})).await["decision"], "allow");
    listing(json!(["slack.post"])).await;
    let second = accepted().await;
    for (lease, listed, asked) in [(first, "crm.write", "slack.post"), (second, "slack.post", "crm.write")] {
        // Found in the agent's stream, and then in memory.
        for _ in 0..2 {
            assert_eq!(check(&api, &lease, listed, json!({})).await["decision"], "allow");
        }
        assert_eq!(check(&api, &lease, asked, json!({})).await["decision"], "deferred");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_with_an_executor_keeps_the_task_waiting_and_says_so() {
    let api = Api::start().await;
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    settings(&api, json!({ "tools": { "crm.write": { "url": "http://127.0.0.1:9/x" } } })).await;
    let kept = check(&api, &lease, "crm.write", json!({ "n": 1 })).await;
    let input = format!("/v1/workspaces/dev/tasks/{task}/input");
    for duplicate in [false, true] {
        let body = json!({ "action": "approve", "idempotency_key": "yes" });
        let given = api.post(&input, body).await.expect(if duplicate { 200 } else { 202 });
        assert_eq!(
            (&given["outcome"], &given["receipt"]["duplicate"]),
            (&json!(if duplicate { "duplicate" } else { "recorded" }), &json!(duplicate))
        );
    }
    let why = api.get(&format!("/v1/workspaces/dev/tasks/{task}/why")).await.expect(200);
    let reason = json!({ "reason": "tool_call", "tool_call_id": kept["tool_call_id"], "tool": "crm.write" });
    assert_eq!((&why["state"], &why["reasons"]), (&json!("waiting"), &json!([reason])));
    let claim = format!("dev.{task}.{}.1", kept["tool_call_id"].as_str().unwrap());
    let worker = uuid::Uuid::from_u128(5);
    let path = format!("/v1/workers/{worker}/tool-calls/{claim}/result");
    let stranger = api.post(&path, json!({ "stdout": "done" })).await;
    stranger.expect_problem(409, "illegal_transition");
    api.post(&format!("/v1/workers/{worker}/tool-calls/nonsense/result"), json!({}))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_lease_or_a_tool_nothing_is_answered() {
    let api = Api::start().await;
    let task = api.task("write").await;
    let lease = api.lease(&task).await;
    api.report(&lease, "tool-calls", json!({ "arguments": {} }))
        .await
        .expect_problem(422, "validation_failed");
    api.post(&format!("/v1/workspaces/dev/tasks/{task}/cancel"), json!({})).await.expect(202);
    let late = api.report(&lease, "tool-calls", json!({ "tool": "crm", "is_write": false })).await;
    late.expect_problem(409, "lease_lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_that_spends_the_budget_stops_the_run() {
    let api = Api::start().await;
    let body = json!({ "agent_id": "demo", "message": "spend", "budget_usd": 1.0 });
    let answer = api.post("/v1/workspaces/dev/tasks", body).await.expect(202);
    let task = answer["task"]["id"].as_str().unwrap().to_owned();
    let lease = api.lease(&task).await;
    api.report(&lease, "usage", json!({ "usage": { "cost_usd": 1.0 } })).await.expect(200);
    let shown = api.get_now(&format!("/v1/workspaces/dev/tasks/{task}")).await.expect(200);
    assert_eq!(shown["state"], "waiting");
    let why = api.get(&format!("/v1/workspaces/dev/tasks/{task}/why")).await.expect(200);
    assert_eq!(
        (&why["reasons"][0]["reason"], &why["reasons"][0]["scope"]),
        (&json!("waiting_for_budget"), &json!("task"))
    );
    let late = api.report(&lease, "tool-calls", json!({ "tool": "crm", "is_write": false })).await;
    late.expect_problem(409, "lease_lost");
}
