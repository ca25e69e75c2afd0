//! The same commands over NATS, by plain clients.

use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::process::{Product, eventually, repository};

pub(crate) async fn bus(product: &Product) -> anyhow::Result<async_nats::Client> {
    Ok(async_nats::connect(product.servers()?["nats_url"].as_str().context("a NATS address")?).await?)
}

/// The commits of these tasks as they are published. The server has taken the subscription when this returns: an answer
/// on the same connection follows it, so a commit of another connection cannot be missed.
pub(crate) async fn commits(product: &Product, task: &str) -> anyhow::Result<async_nats::Subscriber> {
    let client = bus(product).await?;
    let commits = client.subscribe(format!("capstan.evt.dev.task.{task}")).await?;
    client.request("$JS.API.INFO", "".into()).await?;
    Ok(commits)
}

#[tokio::test]
async fn a_durable_command_makes_a_task_and_its_outcome_is_published() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let client = bus(&product).await?;
    let command_id = uuid::Uuid::now_v7();
    let mut results = client.subscribe(format!("capstan.cmd-result.dev.{command_id}")).await?;
    client.flush().await?;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Capstan-Command-Id", command_id.to_string());
    let body = json!({ "agent_id": "demo", "message": "from the bus" }).to_string();
    let stored = async_nats::jetstream::new(client.clone())
        .publish_with_headers("capstan.cmd.dev.accept-agent-command", headers, body.into())
        .await?
        .await?;
    assert_eq!(stored.stream, "CAPSTAN_COMMANDS");
    let result =
        tokio::time::timeout(Duration::from_secs(30), results.next()).await?.context("an outcome")?;
    let result: Value = serde_json::from_slice(&result.payload)?;
    let id = result["task"]["id"].as_str().with_context(|| result.to_string())?;
    product.task_in(id, "done").await?;
    Ok(())
}

#[tokio::test]
async fn a_command_published_twice_is_applied_once() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let client = bus(&product).await?;
    let body = json!({ "agent_id": "demo", "message": "once", "idempotency_key": "bus-1" }).to_string();
    for _ in 0..2 {
        client.publish("capstan.cmd.dev.accept-agent-command", body.clone().into()).await?;
    }
    client.flush().await?;
    eventually("both messages are worked off", || async {
        let mut stream = async_nats::jetstream::new(client.clone()).get_stream("CAPSTAN_COMMANDS").await?;
        let state = &stream.info().await?.state;
        Ok(state.last_sequence == 2 && state.messages == 0)
    })
    .await?;
    let tasks = product.get("tasks").await?;
    assert_eq!(tasks["items"].as_array().map(Vec::len), Some(1), "{tasks}");
    Ok(())
}

#[tokio::test]
async fn a_request_is_answered_with_the_receipt_or_the_problem() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let client = bus(&product).await?;
    let request = async |body: Value| -> anyhow::Result<Value> {
        let answer = client.request("capstan.rpc.dev.accept-agent-command", body.to_string().into()).await?;
        Ok(serde_json::from_slice(&answer.payload)?)
    };
    let answer = request(json!({ "agent_id": "demo", "message": "asked" })).await?;
    assert!(answer["receipt"]["position"].is_string(), "{answer}");
    product.task_in(answer["task"]["id"].as_str().unwrap(), "done").await?;
    let problem = request(json!({ "agent_id": "demo", "message": "" })).await?;
    assert_eq!(problem["code"], "validation_failed");
    // The service can be discovered by any NATS tool.
    let answer = client.request("$SRV.PING.capstan", "".into()).await?;
    assert_eq!(serde_json::from_slice::<Value>(&answer.payload)?["name"], "capstan");
    Ok(())
}

#[tokio::test]
async fn a_message_that_is_no_command_is_kept_as_a_dead_letter() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let client = bus(&product).await?;
    client.publish("capstan.cmd.dev.accept-agent-command", "not json".into()).await?;
    client.publish("capstan.cmd.dev.no-such-command", "{}".into()).await?;
    client.flush().await?;
    eventually("both are dead letters", || async {
        let mut stream = async_nats::jetstream::new(client.clone()).get_stream("CAPSTAN_DEADLETTERS").await?;
        Ok(stream.info().await?.state.messages == 2)
    })
    .await
}

#[tokio::test]
async fn a_plain_python_client_commands_and_asks() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "true"]).await?;
    let folder = tempfile::tempdir()?;
    let python = folder.path().join("venv/bin/python");
    for command in [
        vec!["python3".into(), "-m".into(), "venv".into(), folder.path().join("venv").display().to_string()],
        vec![
            python.display().to_string(),
            "-m".into(),
            "pip".into(),
            "install".into(),
            "--quiet".into(),
            "nats-py==2.16.0".into(),
        ],
    ] {
        let status = tokio::process::Command::new(&command[0]).args(&command[1..]).status().await?;
        anyhow::ensure!(status.success(), "{command:?} failed");
    }
    let output = tokio::process::Command::new(&python)
        .arg(repository().join("examples/nats_producer.py"))
        .arg(product.servers()?["nats_url"].as_str().unwrap())
        .output()
        .await?;
    let text = String::from_utf8(output.stdout)?;
    anyhow::ensure!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let printed: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(printed.len(), 2, "the durable and the asked one: {text}");
    for answer in printed {
        product.task_in(answer["task"]["id"].as_str().unwrap(), "done").await?;
    }
    Ok(())
}
