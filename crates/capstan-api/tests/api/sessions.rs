//! Further commands on a session.

use serde_json::{Value, json};

use crate::harness::{Api, ask, json_of};

const TASKS: &str = "/v1/workspaces/dev/tasks";

#[expect(clippy::needless_pass_by_value, reason = "the value is made for this call")]
fn say(message: &str, more: Value) -> Value {
    let mut body = json!({ "agent_id": "demo", "session_id": "s-1", "message": message });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_command_becomes_an_input_of_the_sessions_task_however_often_it_is_sent() {
    let api = Api::start().await;
    let first = say("begin", json!({ "idempotency_key": "k1", "priority": "high" }));
    let begun = api.post(TASKS, first.clone()).await.expect(202);
    let task = begun["task"]["id"].as_str().unwrap().to_owned();
    assert_eq!(begun.get("continued"), None);
    let further = say("go on", json!({ "idempotency_key": "k2" }));
    let told = api.post(TASKS, further.clone()).await.expect(202);
    assert_eq!(
        (told["continued"].as_bool(), told["outcome"].as_str(), told["task"]["id"].as_str()),
        (Some(true), Some("queued"), Some(task.as_str()))
    );
    let head = api.head().await;
    for _ in 0..2 {
        let again = api.post(TASKS, further.clone()).await.expect(200);
        assert_eq!(
            (again["receipt"]["duplicate"].as_bool(), &again["input_id"]),
            (Some(true), &told["input_id"])
        );
        assert_eq!(
            (again["outcome"].as_str(), again["continued"].as_bool()),
            (Some("duplicate"), Some(true))
        );
    }
    let again = api.post(TASKS, first).await.expect(200);
    assert_eq!((&again["task"]["id"], again.get("continued")), (&json!(task), None));
    let over_nats = ask(&api, "accept-agent-command", further).await;
    assert_eq!(json_of(&over_nats.payload)["input_id"], told["input_id"], "both ways are one command");
    let other = say("go elsewhere", json!({ "idempotency_key": "k2" }));
    api.post(TASKS, other).await.expect_problem(409, "idempotency_conflict");
    let elsewhere = json!({ "agent_id": "demo", "message": "begin", "idempotency_key": "k1" });
    api.post(TASKS, elsewhere.clone()).await.expect_problem(409, "idempotency_conflict");
    let mut elsewhere = elsewhere;
    elsewhere["session_id"] = json!("s-2");
    api.post(TASKS, elsewhere).await.expect_problem(409, "idempotency_conflict");
    assert_eq!(api.head().await, head, "a repeat or a refusal wrote something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_on_a_session_whose_task_is_over_opens_it_again() {
    let api = Api::start().await;
    let begun = api.post(TASKS, say("begin", json!({}))).await.expect(202);
    let task = begun["task"]["id"].as_str().unwrap();
    let lease = api.lease(task).await;
    api.report(&lease, "finish", json!({ "outcome": "ok" })).await.expect(200);
    let reject = say("once more", json!({ "queue_mode": "reject" }));
    let told = api.post(TASKS, reject.clone()).await.expect(202);
    assert_eq!(
        (told["outcome"].as_str(), &told["task"]["id"], told["task"]["state"].as_str()),
        (Some("resumed"), &json!(task), Some("queued"))
    );
    api.post(TASKS, reject).await.expect_problem(409, "session_busy");
    let _again = api.lease(task).await;
    assert_eq!(api.prompt(task).await, "once more");
    for (mode, outcome) in [("steer", "delivered"), ("interrupt", "interrupted")] {
        let told = api.post(TASKS, say("now", json!({ "queue_mode": mode }))).await.expect(202);
        assert_eq!(told["outcome"], outcome);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_follow_up_cannot_have_is_refused_and_the_queue_takes_it() {
    let api = Api::start().await;
    let begun = api.post(TASKS, say("begin", json!({}))).await.expect(202);
    let with = json!({ "priority": "low", "label": "x", "timeout_ms": 5, "attachments": [{}], "not_before": "2030-01-01T00:00:00Z" });
    let refused = api.post(TASKS, say("more", with.clone())).await;
    refused.expect_problem(422, "validation_failed");
    let pointers: Vec<_> = refused.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers, ["/attachments", "/label", "/not_before", "/priority", "/timeout_ms"]);
    let mut queue = with.clone();
    queue["queue_mode"] = json!("queue");
    let behind = api.post(TASKS, say("more", queue)).await.expect(202);
    assert_ne!(behind["task"]["id"], begun["task"]["id"]);
    let follow_up = api.post(TASKS, say("and this", json!({}))).await.expect(202);
    assert_eq!(follow_up["task"]["id"], behind["task"]["id"], "the session has moved on");
    let by_hook = api.post(TASKS, say("news", json!({ "hook_id": "h" }))).await.expect(202);
    assert_eq!(by_hook.get("continued"), None, "a hook begins a task of its own");
    let mode = say("x", json!({ "queue_mode": "later" }));
    let refused = api.post(TASKS, mode).await;
    assert_eq!(refused.body["errors"][0]["pointer"], "/queue_mode");
    let nowhere = json!({ "agent_id": "demo", "message": "x", "queue_mode": "later" });
    assert_eq!(api.post(TASKS, nowhere).await.body["errors"][0]["pointer"], "/queue_mode");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_session_and_another_agents_are_other_sessions() {
    let api = Api::start().await;
    let agent = json!({ "agent_key": "second", "name": "Second", "config": { "runner": "process" } });
    api.post("/v1/workspaces/dev/agents", agent).await.expect(201);
    let mut sessions = Vec::new();
    for body in [
        json!({ "agent_id": "demo", "message": "x", "session_id": " " }),
        json!({ "agent_id": "demo", "message": "x" }),
        say("x", json!({})),
        say("x", json!({ "agent_id": "second" })),
    ] {
        let accepted = api.post(TASKS, body).await.expect(202);
        assert_eq!((accepted.get("continued"), &accepted["receipt"]["duplicate"]), (None, &json!(false)));
        sessions.push(accepted["task"]["session_id"].as_str().unwrap().to_owned());
    }
    assert!(sessions.iter().all(|session| !session.trim().is_empty()), "{sessions:?}");
    assert_ne!(sessions[0], sessions[1]);
}
