//! The life of one task with everything in it, through HTTP only: approvals, a tool call that survives a crash, a sleep, a
//! source event, subtasks that report back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::{Product, eventually};
use crate::worker_by_hand::Worker;

/// Executions by the endpoint, for each key.
type Carried = Arc<Mutex<BTreeMap<String, u32>>>;

/// An endpoint that carries a call out once per key and answers a repeat with the first result, as executors must. Its
/// first answer is held back until the test lets it go, so that capstan can be killed in the middle.
async fn endpoint(carried: Carried) -> anyhow::Result<String> {
    async fn carry_out(
        State(carried): State<Carried>,
        headers: HeaderMap,
        Json(call): Json<Value>,
    ) -> Json<Value> {
        let key =
            headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
        let asked = carried.lock().map(|mut carried| {
            let asked = carried.entry(key).or_default();
            *asked += 1;
            *asked
        });
        if asked.is_ok_and(|asked| asked == 1) {
            // Nobody will read this answer: its caller is killed meanwhile.
            std::future::pending::<()>().await;
        }
        Json(json!({ "exit_code": 0, "stdout": format!("booked {}", call["arguments"]["seat"]) }))
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/book", listener.local_addr()?);
    let router = Router::new().route("/book", post(carry_out)).with_state(carried);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

#[tokio::test]
async fn one_task_lives_through_everything_and_its_history_tells_it() -> anyhow::Result<()> {
    let carried = Carried::default();
    let tool = endpoint(carried.clone()).await?;
    let mut product =
        Product::start(&["--no-worker", "--lease-ms", "60000", "--class-concurrency", "4"]).await?;
    let settings =
        json!({ "settings": { "tools": { "booking.reserve": { "url": tool, "timeout_ms": 3_000 } } } });
    let workspace = format!("{}/v1/workspaces/dev", product.url);
    let changed = product.http.patch(workspace).json(&settings).send().await?;
    ensure!(changed.status().is_success(), "PATCH workspace: {}", changed.text().await?);
    let worker = Worker::register(&product).await?;
    let accepted = product.submit("plan the journey").await?;
    let id = accepted["task"]["id"].as_str().context("a task")?.to_owned();
    let input = format!("tasks/{id}/input");

    // It asks for the approval of two offers; one is approved, one is rejected with a reason; it revises that one.
    let attempt = worker.take(&product).await?;
    ensure!(attempt.prompt == "plan the journey");
    let (train, hotel) =
        (attempt.produce(&product, "Train").await?, attempt.produce(&product, "Hotel").await?);
    let question = json!({ "kind": "approval", "summary": "Take these?", "output_ids": [train, hotel] });
    attempt.report(&product, "blockers", question).await?;
    let decisions = json!({ "items": [
        { "output_id": train, "action": "approve" },
        { "output_id": hotel, "action": "reject", "reason": "too far out" },
    ] });
    let (status, answer) = product.send(Method::POST, &input, &decisions).await?;
    ensure!(status == StatusCode::ACCEPTED && answer["outcome"] == "delivered", "{status} {answer}");
    let heard = attempt.hear(&product).await?;
    ensure!(heard.contains("Train") && heard.contains("Hotel") && heard.contains("too far out"), "{heard}");
    let nearer = attempt.produce(&product, "Hotel in the centre").await?;
    let question = json!({ "kind": "approval", "summary": "And this one?", "output_ids": [nearer] });
    attempt.report(&product, "blockers", question).await?;
    product.send(Method::POST, &input, &json!({ "action": "approve" })).await?;
    attempt.hear(&product).await?;

    // A tool call is kept back and approved; the approval is sent three times, and capstan dies while it is carried out.
    let call = json!({ "tool": "booking.reserve", "arguments": { "seat": 7 } });
    let kept = attempt.report(&product, "tool-calls", call).await?;
    ensure!(kept["decision"] == "deferred", "{kept}");
    let approval = json!({ "action": "approve", "blocker_id": kept["blocker_id"], "idempotency_key": "yes" });
    let (status, first) = product.send(Method::POST, &input, &approval).await?;
    ensure!(status == StatusCode::ACCEPTED, "{status} {first}");
    let reached = carried.clone();
    eventually("the endpoint is asked", || async {
        Ok(reached.lock().is_ok_and(|carried| !carried.is_empty()))
    })
    .await?;
    product = product.crash_and_restart().await?;
    for _ in 0..2 {
        let (status, again) = product.send(Method::POST, &input, &approval).await?;
        ensure!(status.is_success() && again["receipt"]["duplicate"] == true, "{status} {again}");
        ensure!(again["receipt"]["position"] == first["receipt"]["position"], "{again}");
    }
    product.task_in(&id, "running").await?;
    let heard = attempt.hear(&product).await?;
    ensure!(heard.contains("booked 7"), "{heard}");
    let keys = carried.lock().map(|carried| carried.clone()).unwrap_or_default();
    ensure!(keys.len() == 1, "one approval, one key: {keys:?}");

    // It sleeps, and a source event wakes it.
    let watch = json!({ "integration": "gmail", "thread_id": "t-1", "reason": "the confirmation" });
    let plan = json!({ "outcome": "ok", "wake": { "delay_minutes": 600 }, "source_watches": [watch] });
    attempt.report(&product, "finish", plan).await?;
    product.task_in(&id, "sleeping").await?;
    let outputs = product.get(&format!("tasks/{id}/outputs")).await?;
    let status_of = |output: &str| {
        let outputs = outputs["items"].as_array().cloned().unwrap_or_default();
        outputs.iter().find(|shown| shown["id"] == output).map(|shown| shown["status"].clone())
    };
    ensure!(
        status_of(&train) == Some(json!("active")) && status_of(&hotel) == Some(json!("rejected")),
        "{outputs}"
    );
    let mail = json!({ "integration": "gmail", "correlation_keys": ["t-1"], "items": ["m-9"] });
    let (status, matched) = product.send(Method::POST, "source-events", &mail).await?;
    ensure!(status == StatusCode::ACCEPTED && matched.to_string().contains(&id), "{status} {matched}");

    // It spawns two subtasks, waits for both, and gets their results.
    let worker = Worker::register(&product).await?;
    let attempt = worker.take(&product).await?;
    ensure!(attempt.task_id == id && attempt.prompt.contains("m-9"), "{}", attempt.prompt);
    let subtasks =
        json!([{ "prompt": "pack", "label": "Packing" }, { "prompt": "water", "label": "Plants" }]);
    attempt
        .report(&product, "finish", json!({ "outcome": "ok", "subtasks": subtasks, "join": "all" }))
        .await?;
    for _ in 0..2 {
        let child = worker.take(&product).await?;
        ensure!(child.task_id != id, "a child");
        let result = json!({ "outcome": "ok", "result": format!("{} is done", child.prompt) });
        child.report(&product, "finish", result).await?;
    }
    let attempt = worker.take(&product).await?;
    ensure!(attempt.task_id == id, "the parent goes on");
    ensure!(
        attempt.prompt.contains("pack is done") && attempt.prompt.contains("water is done"),
        "{}",
        attempt.prompt
    );
    attempt.report(&product, "finish", json!({ "outcome": "ok", "result": "have a good journey" })).await?;
    product.task_in(&id, "done").await?;

    // Its history tells all that in words, in this order.
    let history = product.get(&format!("tasks/{id}/history?limit=500")).await?;
    let told: Vec<String> = history["items"]
        .as_array()
        .context("a history")?
        .iter()
        .map(|entry| entry["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    let mut rest = told.iter();
    for word in [
        "Accepted for agent",
        "Asks for approval of 2 outputs",
        "1 approved, 1 rejected",
        "Asks for approval of an output",
        "Requests to call booking.reserve",
        "The tool call was approved",
        "The approved call succeeded",
        "Watches gmail",
        "Sleeps until",
        "The watch fired",
        "Spawned 2 subtasks and waits for all of them",
        "Subtask Packing ended as done",
        "Done",
    ] {
        ensure!(rest.any(|line| line.contains(word)), "{word:?} is not told in its place: {told:#?}");
    }
    Ok(())
}
