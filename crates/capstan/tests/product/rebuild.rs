//! The log is the truth; rows are a cache.

use std::process::Stdio;

use anyhow::Context;
use capstan_projections::ReplayConfig;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::{CAPSTAN, Product, peak_of};

#[tokio::test]
async fn dropped_read_models_are_rebuilt_to_the_same_digests() -> anyhow::Result<()> {
    let product = Product::start(&["--exec", "python3 examples/agent.py"]).await?;
    let mut ids = Vec::new();
    for message in ["summarise README.md", "summarise Cargo.toml", "summarise LICENSE"] {
        ids.push(product.submit(message).await?["task"]["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        product.task_in(id, "done").await?;
    }
    let database_url = product.servers()?["database_url"].as_str().unwrap().to_owned();
    let digest = async || product.command(&["projection", "digest", "--database-url", &database_url]).await;
    let before = digest().await?;
    assert!(before.contains("tasks"), "{before}");

    let (client, connection) = tokio_postgres::connect(&database_url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let schemas = client
        .query(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'",
            &[],
        )
        .await?;
    for schema in &schemas {
        let name: String = schema.get(0);
        client.batch_execute(&format!("DROP SCHEMA \"{name}\" CASCADE")).await?;
    }
    client.batch_execute("CREATE SCHEMA public").await?;

    let nats_url = product.servers()?["nats_url"].as_str().unwrap().to_owned();
    product
        .command(&[
            "projection",
            "rebuild",
            "--all",
            "--database-url",
            &database_url,
            "--nats-url",
            &nats_url,
        ])
        .await?;
    assert_eq!(digest().await?, before);

    // Life goes on: reads answer, and new commands are projected.
    let task = product.task_in(&ids[0], "done").await?;
    assert_eq!(task["id"], json!(ids[0]));
    let fresh = product.submit("summarise clippy.toml").await?;
    product.task_in(fresh["task"]["id"].as_str().unwrap(), "done").await?;
    Ok(())
}

/// Messages of the largest allowed size.
const LARGE: usize = 250_000;
/// Memory for a rebuild, in MB: the least that is allowed.
const MEMORY_MB: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_of_large_commits_keeps_to_its_memory() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker"]).await?;
    let messages = 5 * MEMORY_MB * 1_000_000 / LARGE;
    let message = |number| format!("{number} {}", "é".repeat(LARGE / 2 - 10));
    product.submit_all((0..messages).map(message)).await?;
    let servers = product.servers()?;
    let address =
        |name: &str| Ok::<_, anyhow::Error>(servers[name].as_str().context("an address")?.to_owned());
    let (database_url, nats_url) = (address("database_url")?, address("nats_url")?);
    let rebuild = |memory_mb: usize| {
        let mut command = Command::new(CAPSTAN);
        command.args(["projection", "rebuild", "--all", "--output", "json"]);
        command.args(["--memory-mb", &memory_mb.to_string()]);
        command.args(["--database-url", &database_url, "--nats-url", &nats_url]);
        command.stderr(Stdio::null());
        command
    };
    assert!(!rebuild(MEMORY_MB - 1).status().await?.success());

    let (output, peak) = peak_of(rebuild(MEMORY_MB)).await?;
    assert!(output.status.success());
    let report: Value = serde_json::from_slice(&output.stdout)?;
    assert!(report["commits"].as_u64() > Some(messages as u64), "{report}");
    let most = (MEMORY_MB * 1_000_000 + ReplayConfig::BESIDES) / 1024;
    assert!(peak > 0 && peak < most as u64, "{peak} kB instead of {most}: {report}");
    Ok(())
}
