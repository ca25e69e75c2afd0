//! Approved tool calls against a real endpoint: once for each key, whatever dies in between.

use std::time::Duration;

use capstan_contract::WorkspaceCodec;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::Command;
use capstan_domain::task::command::{CheckToolCall, SubmitInput, SubmitTaskInput, ToolCheck};
use capstan_domain::task::event::ToolExecutor;
use capstan_domain::workspace;
use capstan_domain::workspace::settings::ApprovalPolicy;
use capstan_engine::EngineConfig;
use capstan_testkit::eventually::eventually;
use serde_json::json;

use crate::LONG;
use crate::endpoint::Endpoint;
use crate::office::{Office, now};

/// A task whose call of `crm` waits for a decision.
async fn kept(office: &Office, endpoint: &Endpoint) -> StreamKey {
    let tools = json!({ "crm": { "url": endpoint.url, "timeout_ms": 2000 } });
    let updated = json!({ "workspace": "dev", "tools": tools, "updated_at": now() });
    let created = json!({ "workspace": "dev", "display_name": "Dev", "created_at": now() });
    let events = [
        workspace::Event::Created(serde_json::from_value(created).unwrap()),
        workspace::Event::Updated(serde_json::from_value(updated).unwrap()),
    ];
    office.tell::<WorkspaceCodec>("dev/workspace/dev", &events).await;
    let key = office.accept("s1").await;
    let engine = office.engine().await;
    let worker = office.register().await.worker_id;
    let attempt = office.client.lease(worker, 1, LONG).await.unwrap().remove(0);
    engine.stop().await;
    let check = ToolCheck {
        command: CheckToolCall::new("crm", json!({ "id": 1 })),
        arguments_fingerprint: "fingerprint".into(),
        attempt_id: attempt.attempt_id,
        approval_policy: ApprovalPolicy::Ask,
        is_disabled: false,
        is_listed: false,
        executor: Some(ToolExecutor::Http),
    };
    office.send(&key, Command::CheckToolCall(Box::new(check))).await;
    key
}

/// The same approval, sent by somebody who repeats it.
async fn approve(office: &Office, key: &StreamKey) {
    let input_id = capstan_domain::id::InputId(uuid::Uuid::from_u128(77));
    let input = SubmitTaskInput::from_text(key.task_id, "");
    let input = SubmitTaskInput { action: Some("approve".into()), ..input };
    office.send(key, Command::SubmitInput(SubmitInput::new(input_id, input))).await;
}

/// The text for the agent: its live attempt as an input, or its next run as the prompt. A claim that a dead engine left
/// behind is honoured until it passes, which takes longer than anything else here.
async fn carried_out(office: &Office, key: &StreamKey) -> String {
    eventually("the result is told", Duration::from_mins(1), async || {
        let task = office.task(key).await;
        let said = task.inbox.iter().map(|input| input.message.clone());
        let prompts = [task.current_prompt().to_owned()];
        said.chain(prompts).find(|text| text.starts_with("Your call of crm"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_sent_three_times_is_carried_out_once() {
    let office = Office::open(EngineConfig::default()).await;
    let endpoint = Endpoint::open(0, r#"{"exit_code": 0, "stdout": "stored"}"#).await;
    let key = kept(&office, &endpoint).await;
    let engine = office.engine().await;
    for _ in 0..3 {
        approve(&office, &key).await;
    }
    let told = carried_out(&office, &key).await;
    assert!(told.contains("stored") && told.contains("Do not repeat"), "{told}");
    let asked: Vec<_> = endpoint.asked.lock().unwrap().values().copied().collect();
    assert_eq!(asked, [1]);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_killed_between_decision_and_execution_is_followed_by_one_that_executes_once() {
    let office = Office::open(EngineConfig::default()).await;
    let endpoint = Endpoint::open(0, "stored").await;
    let key = kept(&office, &endpoint).await;
    // Nobody leads while the decision is made, which is what a killed engine leaves behind.
    for _ in 0..3 {
        approve(&office, &key).await;
    }
    assert!(endpoint.asked.lock().unwrap().is_empty());
    let first = office.engine().await;
    // Without a farewell, somewhere on its way through claim and call.
    drop(first);
    let second = office.engine().await;
    let told = carried_out(&office, &key).await;
    assert!(told.contains("stored"), "{told}");
    assert_eq!(endpoint.done.lock().unwrap().len(), 1, "one key, however often it was asked");
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_endpoint_is_asked_again_with_the_same_key() {
    let office = Office::open(EngineConfig::default()).await;
    let endpoint = Endpoint::open(2, "stored").await;
    let key = kept(&office, &endpoint).await;
    let engine = office.engine().await;
    approve(&office, &key).await;
    carried_out(&office, &key).await;
    let asked: Vec<_> = endpoint.asked.lock().unwrap().values().copied().collect();
    assert_eq!(asked, [3], "two failures and a success under one key");
    engine.stop().await;
}
