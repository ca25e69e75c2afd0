//! A task that does not run can always say why.

use reqwest::Method;
use serde_json::json;

use crate::process::{Product, eventually};

#[tokio::test]
async fn every_task_that_does_not_run_names_its_reason() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "sleep 600"]).await?;
    let running = product.submit("first").await?;
    let running = running["task"]["id"].as_str().unwrap();
    product.task_in(running, "running").await?;
    assert_eq!(product.get(&format!("tasks/{running}/why")).await?["reasons"], json!([]));

    // Tasks of one agent and lane run one after another.
    let second = product.submit("second").await?;
    let second = second["task"]["id"].as_str().unwrap();
    eventually("the second task waits for its class", || async {
        let why = product.get(&format!("tasks/{second}/why")).await?;
        Ok(why["state"] == "queued" && why["reasons"][0]["reason"] == "class_full")
    })
    .await?;

    let delayed = json!({ "agent_id": "demo", "message": "later", "dispatch_delay_ms": 3_600_000 });
    let (_, delayed) = product.send(Method::POST, "tasks", &delayed).await?;
    let why = product.get(&format!("tasks/{}/why", delayed["task"]["id"].as_str().unwrap())).await?;
    assert_eq!((&why["state"], &why["reasons"][0]["reason"]), (&json!("sleeping"), &json!("sleeping")));
    assert_eq!(why["reasons"][0]["until"], delayed["task"]["wake_at"]);

    product.send(Method::POST, &format!("tasks/{second}/cancel"), &json!({})).await?;
    assert_eq!(product.get(&format!("tasks/{second}/why")).await?["reasons"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_task_nobody_can_run_says_so() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker"]).await?;
    let accepted = product.submit("alone").await?;
    let id = accepted["task"]["id"].as_str().unwrap();
    eventually("the task says that there is no worker", || async {
        Ok(product.get(&format!("tasks/{id}/why")).await?["reasons"][0]["reason"] == "no_worker")
    })
    .await
}
