//! A task runs under the configuration its agent had when the task was accepted, however the agent changes.

use anyhow::ensure;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::process::Product;
use crate::worker_by_hand::Worker;

async fn configure(product: &Product, style: &str) -> anyhow::Result<()> {
    let config = json!({ "config": { "style": style, "api_key": "kept for the agent" } });
    let (status, answer) = product.send(Method::PATCH, "agents/demo", &config).await?;
    ensure!(status.is_success(), "{status} {answer}");
    Ok(())
}

#[tokio::test]
async fn a_worker_is_given_the_very_configuration_of_the_acceptance() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker", "--class-concurrency", "4"]).await?;
    for style in ["first", "second", "third"] {
        configure(&product, style).await?;
        product.submit(style).await?;
    }
    configure(&product, "later").await?;
    // Nothing but the log and the rows is left of what was known.
    let product = product.crash_and_restart().await?;
    let worker = Worker::register(&product).await?;
    for _ in 0..3 {
        let attempt = worker.take(&product).await?;
        let config = &attempt.leased["agent_config"];
        ensure!(config["style"] == attempt.prompt.as_str(), "{}", attempt.leased);
        ensure!(config["api_key"] == "kept for the agent", "{config}");

        let task = product.get(&format!("tasks/{}", attempt.task_id)).await?;
        let version = &task["payload_json"]["agent_config_version"];
        ensure!(*version == attempt.leased["agent_config_version"], "{version} {}", attempt.leased);
        let kept = product.get(&format!("agents/demo/configs/{version}")).await?;
        ensure!(kept["version"] == *version && kept["config"]["style"] == config["style"], "{kept}");
        ensure!(kept["config"]["api_key"] == "[redacted]", "{kept}");
    }
    let unknown = product.http.get(product.at("agents/demo/configs/99")).send().await?;
    ensure!(unknown.status() == StatusCode::NOT_FOUND, "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn a_task_whose_configuration_is_archived_is_given_the_one_that_was_carried_forward()
-> anyhow::Result<()> {
    let product = Product::start(&["--no-worker", "--class-concurrency", "4"]).await?;
    configure(&product, "archived").await?;
    let old = product.submit("archived").await?;
    let id = old["task"]["id"].as_str().unwrap_or_default().to_owned();
    let (status, answer) = product.send(Method::POST, &format!("tasks/{id}/cancel"), &json!({})).await?;
    ensure!(status.is_success(), "{answer}");
    configure(&product, "carried").await?;
    let data_dir = product.data_dir.to_string_lossy().into_owned();
    let through = ["--through", "1000000", "--keep-days", "0", "--min-ratio", "0"];
    let archived =
        product.command(&[&["log", "archive", "--data-dir", &data_dir], &through[..]].concat()).await?;
    ensure!(archived.contains("carried forward; the log begins after"), "{archived}");
    configure(&product, "later").await?;
    // No process knows more than the log.
    let product = product.crash_and_restart().await?;
    let named = &product.get(&format!("tasks/{id}")).await?["payload_json"]["agent_config_version"];
    let path = format!("agents/demo/configs/{named}");
    let gone = product.http.get(product.at(&path)).send().await?;
    ensure!(gone.status() == StatusCode::NOT_FOUND, "{gone:?}");

    // As one that was accepted by a process which had not seen the change of its agent.
    let (status, answer) = product.send(Method::POST, &format!("tasks/{id}/retry"), &json!({})).await?;
    ensure!(status.is_success(), "{answer}");
    let worker = Worker::register(&product).await?;
    let attempt = worker.take(&product).await?;
    ensure!(
        attempt.task_id == id && attempt.leased["agent_config"]["style"] == "carried",
        "{}",
        attempt.leased
    );
    let given = attempt.leased["agent_config_version"].as_u64();
    ensure!(given == named.as_u64().map(|named| named + 1), "{} {named}", attempt.leased);
    Ok(())
}
