//! Agents of the line protocol ask before they call a tool, and are spoken to within their turn.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::{Product, eventually, repository};

/// Asks for one call, waits for what comes of it as long as it lives, and says everything it hears.
const AGENT: &str = concat!("python3 ", env!("CARGO_MANIFEST_DIR"), "/tests/product/tool_agent.py");

/// A tool that keeps a line in a file for each time it is carried out.
fn tool(file: &std::path::Path) -> String {
    let file = file.display();
    format!("crm.update=read line; echo \"$line\" >> {file}; echo \"stored $line\"; test -z \"$FAIL\"")
}

async fn outputs(product: &Product, id: &str) -> anyhow::Result<String> {
    Ok(product.get(&format!("tasks/{id}/outputs")).await?.to_string())
}

async fn say(product: &Product, id: &str, body: Value) -> anyhow::Result<Value> {
    let (status, answer) = product.send(Method::POST, &format!("tasks/{id}/input"), &body).await?;
    assert!(matches!(status, StatusCode::ACCEPTED | StatusCode::OK), "{answer}");
    Ok(answer)
}

async fn waits_for_call(product: &Product, id: &str) -> anyhow::Result<Value> {
    product
        .task_when(id, "asking about its call", |task| {
            task["state"] == "waiting" && task["current_blocker"]["tool_call_id"].is_string()
        })
        .await
}

#[tokio::test]
async fn an_approved_call_is_carried_out_once_by_the_workers_tool_and_told_to_the_live_agent()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, tool) = (folder.path().join("calls"), tool(&folder.path().join("calls")));
    let product = Product::start(&["--exec", AGENT, "--tool", &tool]).await?;
    let accepted = product.submit("call live").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    waits_for_call(&product, id).await?;
    for _ in 0..3 {
        say(&product, id, json!({ "action": "approve", "idempotency_key": "yes" })).await?;
    }
    product.task_in(id, "done").await?;
    assert_eq!(std::fs::read_to_string(&file)?, "{\"n\":1}\n", "carried out once");
    let heard = outputs(&product, id).await?;
    assert!(heard.contains("decision deferred") && heard.contains("stored {"), "{heard}");
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "the same process heard it: {runs}");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_does_not_wait_is_resumed_with_the_result_even_when_capstan_dies_meanwhile()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, tool) = (folder.path().join("calls"), tool(&folder.path().join("calls")));
    let product = Product::start(&["--exec", AGENT, "--tool", &tool]).await?;
    let accepted = product.submit("call leave").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    waits_for_call(&product, id).await?;
    eventually("the agent has left", || async {
        let runs = product.get(&format!("tasks/{id}/runs")).await?;
        Ok(runs["items"][0]["attempts"][0]["status"] == "ok")
    })
    .await?;
    let product = product.crash_and_restart().await?;
    say(&product, id, json!({ "action": "approve", "idempotency_key": "yes" })).await?;
    product.task_in(id, "done").await?;
    assert_eq!(std::fs::read_to_string(&file)?.lines().count(), 1, "carried out once");
    let heard = outputs(&product, id).await?;
    assert!(heard.contains("because of tool_call") && heard.contains("stored {"), "{heard}");
    Ok(())
}

#[tokio::test]
async fn a_rejected_call_is_refused_with_the_reason_and_never_carried_out() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, tool) = (folder.path().join("calls"), tool(&folder.path().join("calls")));
    let product = Product::start(&["--exec", AGENT, "--tool", &tool]).await?;
    let accepted = product.submit("call twice").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    waits_for_call(&product, id).await?;
    say(&product, id, json!({ "action": "reject" })).await?;
    product.task_in(id, "done").await?;
    let heard = outputs(&product, id).await?;
    assert!(heard.contains("decision rejected: a person rejected this call"), "{heard}");
    assert!(!file.exists());
    Ok(())
}

#[tokio::test]
async fn an_agent_whose_input_is_closed_gets_no_decision_and_nobody_is_asked() -> anyhow::Result<()> {
    let ask = r#"{"capstan":"tool_call","tool":"crm.update","arguments":{}}"#;
    let exec = format!("cat > /dev/null; echo '{ask}'");
    let product = Product::start(&["--exec", &exec]).await?;
    let accepted = product.submit("call").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let done = product.task_in(id, "done").await?;
    assert_eq!(done["current_blocker"], Value::Null, "{done}");
    let logs = product.get(&format!("tasks/{id}/logs")).await?.to_string();
    assert!(logs.contains("refused: message tool_call: standard input is closed"), "{logs}");
    Ok(())
}

#[tokio::test]
async fn a_worker_of_tools_alone_carries_out_what_agents_elsewhere_ask_for() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let tool = tool(&folder.path().join("calls"));
    let product = Product::start(&["--exec", AGENT]).await?;
    let mut worker = tokio::process::Command::new(crate::process::CAPSTAN)
        .args([
            "worker",
            "--url",
            &product.url,
            "--tool",
            &tool,
            "--tool-env",
            "FAIL",
            "--tool-timeout-ms",
            "5000",
        ])
        .env("FAIL", "yes")
        .current_dir(repository())
        .kill_on_drop(true)
        .spawn()?;
    let accepted = eventually_with_executor(&product).await?;
    let id = accepted.as_str();
    say(&product, id, json!({ "action": "approve" })).await?;
    product.task_in(id, "done").await?;
    let heard = outputs(&product, id).await?;
    assert!(heard.contains("but it failed") && heard.contains("Exit code: 1"), "{heard}");
    worker.kill().await?;
    Ok(())
}

/// A task whose call was kept when a worker of the tool was there already; the worker needs a moment to register.
async fn eventually_with_executor(product: &Product) -> anyhow::Result<String> {
    for _ in 0..100 {
        let accepted = product.submit("call live").await?;
        let id = accepted["task"]["id"].as_str().unwrap();
        waits_for_call(product, id).await?;
        let history = product.get(&format!("tasks/{id}/history")).await?.to_string();
        if history.contains(r#""executor":"worker""#) {
            return Ok(id.to_owned());
        }
        product.send(Method::POST, &format!("tasks/{id}/cancel"), &json!({})).await?;
        product.task_in(id, "cancelled").await?;
    }
    anyhow::bail!("no worker of the tool shows up")
}

#[tokio::test]
async fn a_steering_input_reaches_the_agent_within_its_turn() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", AGENT]).await?;
    let accepted = product.submit("listen").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    eventually("the agent listens", || async {
        Ok(product.get(&format!("tasks/{id}/logs")).await?.to_string().contains("listening"))
    })
    .await?;
    let outcome = say(&product, id, json!({ "message": "go left", "queue_mode": "steer" })).await?;
    assert_eq!(outcome["outcome"], "delivered", "{outcome}");
    product.task_in(id, "done").await?;
    let heard = outputs(&product, id).await?;
    assert!(heard.contains("heard go left"), "{heard}");
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "within the turn: {runs}");
    Ok(())
}

#[tokio::test]
async fn a_steering_input_an_agent_cannot_hear_is_deferred_to_the_next_run() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let go = folder.path().join("go");
    let exec = format!("cat; echo deaf; while [ ! -e {} ]; do sleep 0.05; done", go.display());
    let product = Product::start(&["--exec", &exec]).await?;
    let accepted = product.submit("work").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    eventually("the agent works", || async {
        Ok(product.get(&format!("tasks/{id}/logs")).await?.to_string().contains("deaf"))
    })
    .await?;
    say(&product, id, json!({ "message": "go left", "queue_mode": "steer" })).await?;
    eventually("the input is deferred", || async {
        Ok(product.get(&format!("tasks/{id}/history")).await?.to_string().contains("input-deferred"))
    })
    .await?;
    std::fs::write(&go, "")?;
    eventually("a second run has it as its prompt", || async {
        let runs = product.get(&format!("tasks/{id}/runs")).await?;
        let logs = product.get(&format!("tasks/{id}/logs")).await?.to_string();
        Ok(runs["items"].as_array().map(Vec::len) == Some(2) && logs.contains("go left"))
    })
    .await?;
    product.task_in(id, "done").await?;
    Ok(())
}
