//! The same commands over NATS.

use async_nats::HeaderMap;
use async_nats::jetstream;
use capstan_testkit::eventually::eventually;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::harness::{Api, PATIENCE, ask, json_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_with_the_receipt_or_the_problem() {
    let api = Api::start().await;
    let body = json!({ "agent_id": "demo", "message": "by request", "idempotency_key": "r" });
    let answer = ask(&api, "accept-agent-command", body.clone()).await;
    let accepted = json_of(&answer.payload);
    assert_eq!(accepted["task"]["message"], "by request", "{accepted}");
    let headers = answer.headers.unwrap();
    let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Capstan-Status").as_deref(), Some("202"));
    assert_eq!(header("Capstan-Position"), accepted["receipt"]["position"].as_str().map(str::to_owned));
    assert_eq!(header("ETag"), Some(format!("\"{}\"", accepted["receipt"]["version"])));
    let over_http = api.post("/v1/workspaces/dev/tasks", body).await.expect(200);
    assert_eq!(over_http["task"]["id"], accepted["task"]["id"], "both ways are one command");

    let cancel = json!({ "task_id": accepted["task"]["id"], "reason": "enough" });
    assert_eq!(
        json_of(&ask(&api, "cancel-task", cancel.clone()).await.payload)["task"]["state"],
        "cancelled"
    );
    let refused = ask(&api, "cancel-task", cancel).await;
    assert_eq!(json_of(&refused.payload)["code"], "illegal_transition");
    let headers = refused.headers.unwrap();
    assert_eq!(headers.get("Nats-Service-Error-Code").map(async_nats::HeaderValue::as_str), Some("409"));
    let nameless = ask(&api, "cancel-task", json!({})).await;
    assert_eq!(json_of(&nameless.payload)["errors"][0]["pointer"], "/task_id");
}

/// The answer to a request, as JSON.
pub(crate) async fn request(api: &Api, command: &str, body: Value) -> Value {
    json_of(&ask(api, command, body).await.payload)
}

/// Publishes a durable command and waits for its outcome, as JSON.
pub(crate) async fn publish(api: &Api, command: &str, id: &str, body: &str) -> Value {
    json_of(&outcome(api, command, id, body).await.payload)
}

/// Publishes a durable command and waits for its outcome.
async fn outcome(api: &Api, command: &str, id: &str, body: &str) -> async_nats::Message {
    let jetstream = jetstream::new(api.nats.clone());
    let mut outcomes = api.nats.subscribe(format!("capstan.cmd-result.dev.{id}")).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("Capstan-Command-Id", id);
    let subject = api.topology.command_subject("dev", command);
    jetstream.publish_with_headers(subject, headers, body.to_owned().into()).await.unwrap().await.unwrap();
    tokio::time::timeout(PATIENCE, outcomes.next()).await.expect("an outcome").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_command_is_executed_once_however_often_it_comes() {
    let api = Api::start().await;
    let id = "00000000-0000-0000-0000-00000000000a";
    let body = json!({ "agent_id": "demo", "message": "by queue" }).to_string();
    let first = publish(&api, "accept-agent-command", id, &body).await;
    assert_eq!(
        (first["task"]["message"].as_str(), &first["receipt"]["duplicate"]),
        (Some("by queue"), &json!(false))
    );
    let again = publish(&api, "accept-agent-command", id, &body).await;
    assert_eq!((&again["task"]["id"], &again["receipt"]["duplicate"]), (&first["task"]["id"], &json!(true)));
    let list = api.get_now("/v1/workspaces/dev/tasks").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));

    let mut queue =
        jetstream::new(api.nats.clone()).get_stream(api.topology.commands_stream()).await.unwrap();
    eventually("the queue is empty", PATIENCE, async || {
        (queue.info().await.ok()?.state.messages == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_published_command_needs_no_headers() {
    let api = Api::start().await;
    let subject = api.topology.command_subject("dev", "accept-agent-command");
    let body = json!({ "agent_id": "demo", "message": "plain" }).to_string();
    api.nats.publish(subject, body.into()).await.unwrap();
    eventually("the task is there", PATIENCE, async || {
        let list = api.get("/v1/workspaces/dev/tasks").await.expect(200);
        (list["items"][0]["message"] == "plain").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_has_an_outcome_and_an_unreadable_one_is_set_aside() {
    let api = Api::start().await;
    let head = api.head().await;
    let id = |n: u8| format!("00000000-0000-0000-0000-0000000000{n:02x}");
    let nobody = r#"{"agent_id":"nobody","message":"x"}"#;
    let refused = outcome(&api, "accept-agent-command", &id(1), nobody).await;
    assert_eq!(json_of(&refused.payload)["code"], "not_found");
    let headers = refused.headers.unwrap();
    for (name, value) in
        [("Capstan-Status", "404"), ("Nats-Service-Error-Code", "404"), ("Nats-Service-Error", "not_found")]
    {
        assert_eq!(headers.get(name).map(async_nats::HeaderValue::as_str), Some(value), "{name}");
    }
    let unreadable = publish(&api, "accept-agent-command", &id(2), "{").await;
    assert_eq!(unreadable["code"], "malformed_request");
    let unknown = publish(&api, "launch-rocket", &id(3), "{}").await;
    assert_eq!(unknown["code"], "not_found");
    assert_eq!(api.head().await, head, "something was written");

    let dead = jetstream::new(api.nats.clone()).get_stream(api.topology.dead_letters_stream()).await.unwrap();
    let first = dead.get_raw_message(1).await.unwrap();
    assert_eq!(first.payload, "{");
    let header = |name: &str| first.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Capstan-Error-Code").as_deref(), Some("malformed_request"));
    assert_eq!(header("Capstan-Original-Capstan-Command-Id"), Some(id(2)));
    assert_eq!(header("Capstan-Attempts").as_deref(), Some("1"));
    let second = dead.get_raw_message(2).await.unwrap();
    assert_eq!(second.subject.as_str(), "capstan.dlq.cmd.dev.launch-rocket");
}

/// Publishes durable commands without waiting for their outcomes, and waits until each is acknowledged.
async fn work_off(api: &Api, commands: impl Iterator<Item = (&'static str, Value)>) {
    let jetstream = jetstream::new(api.nats.clone());
    for (command, body) in commands {
        let subject = api.topology.command_subject("dev", command);
        jetstream.publish(subject, body.to_string().into()).await.unwrap().await.unwrap();
    }
    let mut queue = jetstream.get_stream(api.topology.commands_stream()).await.unwrap();
    eventually("the queue is empty", PATIENCE, async || {
        (queue.info().await.ok()?.state.messages == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_commands_of_one_task_are_executed_in_their_order() {
    let api = Api::start().await;
    let tasks = [api.task("first").await, api.task("second").await];
    let said =
        |task: &String, number: usize| json!({ "task_id": task, "message": format!("number {number}") });
    let commands = (0..40).flat_map(|number| tasks.iter().map(move |task| (task, number)));
    work_off(&api, commands.map(|(task, number)| ("submit-task-input", said(task, number)))).await;
    for task in &tasks {
        let inputs =
            api.get_now(&format!("/v1/workspaces/dev/tasks/{task}/inputs?limit=100")).await.expect(200);
        let heard: Vec<_> =
            inputs["items"].as_array().unwrap().iter().map(|input| &input["message"]).collect();
        let expected: Vec<_> = (0..40).map(|number| json!(format!("number {number}"))).collect();
        assert_eq!(heard, expected.iter().collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_published_command_has_its_outcome_whichever_were_stored_with_it() {
    let api = Api::start().await;
    let key = |number: usize| format!("00000000-0000-0000-0000-{number:012x}");
    // One refused in four.
    let agent = |number: usize| if number.is_multiple_of(4) { "nobody" } else { "demo" };
    let command = |number| {
        let body = json!({ "agent_id": agent(number), "message": "m", "command_id": key(number) });
        ("accept-agent-command", body)
    };
    work_off(&api, (1..=200).map(command)).await;
    let outcomes = jetstream::new(api.nats.clone());
    let outcomes = outcomes.get_stream(api.topology.command_results_stream()).await.unwrap();
    for number in 1..=200 {
        let subject = format!("capstan.cmd-result.dev.{}", key(number));
        let outcome = outcomes.get_last_raw_message_by_subject(&subject).await.unwrap();
        let status = outcome.headers.get("Capstan-Status").map(|value| value.as_str().to_owned());
        let expected = if number.is_multiple_of(4) { "404" } else { "202" };
        assert_eq!(status.as_deref(), Some(expected), "{number}");
    }
}
