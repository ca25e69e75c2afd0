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
