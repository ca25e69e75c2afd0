//! A worker in another language, written from the documentation of the protocol.

use std::process::Stdio;

use anyhow::Context;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::process::{Product, eventually, repository, signal};

fn worker(product: &Product, name: &str) -> anyhow::Result<Child> {
    let mut command = Command::new("python3");
    command.args(["examples/worker.py", "--url", &product.url, "--name", name]).current_dir(repository());
    command.env("NO_PROXY", "*").stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().context("start python3")
}

async fn attempts(product: &Product, id: &str) -> anyhow::Result<Vec<Value>> {
    let runs = product.get(&format!("tasks/{id}/runs")).await?;
    Ok(runs["items"][0]["attempts"].as_array().cloned().unwrap_or_default())
}

fn statuses(attempts: &[Value]) -> Vec<&str> {
    attempts.iter().filter_map(|attempt| attempt["status"].as_str()).collect()
}

/// Waits until a worker has begun with the task's newest attempt.
async fn begun(product: &Product, id: &str, count: usize) -> anyhow::Result<()> {
    eventually("the attempt is running", || async {
        let attempts = attempts(product, id).await?;
        Ok(attempts.len() == count && statuses(&attempts).last() == Some(&"running"))
    })
    .await
}

#[tokio::test]
async fn it_works_asks_and_is_cancelled() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker", "--class-concurrency", "4"]).await?;
    let _worker = worker(&product, "python")?;
    let accepted = product.submit("four words to count").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let done = product.task_in(id, "done").await?;
    assert_eq!(done["usage"]["input_tokens"], 4, "{done}");
    let outputs = product.get(&format!("tasks/{id}/outputs")).await?;
    assert_eq!(outputs["items"][0]["data"]["words"], 4, "{outputs}");
    let logs = product.get(&format!("tasks/{id}/logs")).await?.to_string();
    assert!(logs.contains("because of accepted"), "{logs}");

    let accepted = product.submit("ask").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    product.task_in(id, "waiting").await?;
    let answer = json!({ "message": "only these three" });
    let (_, outcome) = product.send(Method::POST, &format!("tasks/{id}/input"), &answer).await?;
    assert_eq!(outcome["outcome"], "delivered");
    product.task_in(id, "done").await?;
    let outputs = product.get(&format!("tasks/{id}/outputs")).await?;
    assert_eq!(outputs["items"][0]["data"]["text"], "only these three", "{outputs}");
    let inputs = product.get(&format!("tasks/{id}/inputs")).await?;
    assert_eq!(inputs["items"][0]["status"], "consumed");

    let accepted = product.submit("sleep 600").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    begun(&product, id, 1).await?;
    product.send(Method::POST, &format!("tasks/{id}/cancel"), &json!({ "reason": "enough" })).await?;
    eventually("the worker confirms the end", || async {
        Ok(statuses(&attempts(&product, id).await?) == ["cancelled"])
    })
    .await
}

#[tokio::test]
async fn another_takes_over_what_it_leaves_and_its_late_words_are_refused() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker", "--lease-ms", "2000"]).await?;
    let accepted = product.submit("sleep 6").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    let mut first = worker(&product, "first")?;
    begun(&product, id, 1).await?;
    first.kill().await?;

    // The second is paused beyond its lease; a third takes over and hands the attempt back when it is told to stop.
    let mut second = worker(&product, "second")?;
    begun(&product, id, 2).await?;
    signal("STOP", second.id().context("a running worker")?).await?;
    let mut third = worker(&product, "third")?;
    begun(&product, id, 3).await?;
    let stale = attempts(&product, id).await?[1].clone();
    signal("TERM", third.id().context("a running worker")?).await?;
    assert!(third.wait().await?.success());
    eventually("the attempt was handed back", || async {
        let attempts = attempts(&product, id).await?;
        Ok(attempts[2]["error"] == "the worker stops")
    })
    .await?;

    // The second comes back: its attempt is over, and it works on the task anew.
    signal("CONT", second.id().context("a running worker")?).await?;
    let done = product.task_in(id, "done").await?;
    let all = attempts(&product, id).await?;
    assert_eq!(statuses(&all), ["lost", "lost", "lost", "ok"], "{all:?}");
    assert_eq!(all[1], stale, "what the second said late changed nothing");
    assert_eq!(done["state"], "done");
    second.kill().await?;
    Ok(())
}
