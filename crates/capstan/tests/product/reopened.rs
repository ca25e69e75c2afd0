//! A task that is over and begins again: what the command line tells of it.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use crate::process::{Product, eventually};

/// Slow for a message that says so.
const AGENT: &[&str] = &["--exec", "if grep -q slowly; then sleep 3; fi; echo done"];

#[tokio::test]
async fn a_watch_shows_the_whole_history_of_a_reopened_task() -> anyhow::Result<()> {
    let product = Product::start(AGENT).await?;
    let accepted = product.submit("once").await?;
    let id = accepted["task"]["id"].as_str().unwrap().to_owned();
    product.task_in(&id, "done").await?;
    for run in 2..=3 {
        product.command(&["task", "input", &id, "again"]).await?;
        eventually("the task is done again", || async {
            let runs = product.get(&format!("tasks/{id}/runs")).await?;
            let task = product.get(&format!("tasks/{id}")).await?;
            Ok(runs["items"].as_array().map(Vec::len) == Some(run) && task["state"] == "done")
        })
        .await?;
    }
    let shown = product.command(&["task", "watch", &id]).await?;
    let names: Vec<_> = shown.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names.iter().filter(|name| **name == "task-done").count(), 3, "{shown}");
    assert_eq!(names.last(), Some(&"end"), "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_repeated_submission_waits_for_the_run_that_is_under_way() -> anyhow::Result<()> {
    let product = Product::start(AGENT).await?;
    let submit = ["task", "submit", "quickly", "--wait", "--idempotency-key", "k", "-o", "json"];
    let first: Value = serde_json::from_str(&product.command(&submit).await?)?;
    let id = first["id"].as_str().unwrap();
    product.command(&["task", "input", id, "slowly"]).await?;
    let asked = std::time::Instant::now();
    let again: Value = serde_json::from_str(&product.command(&submit).await?)?;
    ensure!(again["id"] == first["id"] && again["state"] == "done", "{again}");
    ensure!(asked.elapsed() > Duration::from_secs(2), "the run under way was not waited for");
    Ok(())
}
