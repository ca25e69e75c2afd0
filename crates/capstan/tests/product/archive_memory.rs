//! An archive keeps to its memory, and to what it may write.

use std::process::Stdio;

use anyhow::{Context, ensure};
use capstan_projections::ReplayConfig;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use serde_json::json;
use tokio::process::Command;

use crate::operations::text;
use crate::process::{CAPSTAN, Product, peak_of};

/// Messages of the largest allowed size.
const LARGE: usize = 250_000;
/// Memory for an archive, in MB: the least that is allowed.
const MEMORY_MB: usize = 32;
/// Tasks with a short message.
const SHORT: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_many_streams_and_of_large_ones_keeps_to_its_memory() -> anyhow::Result<()> {
    let product = Product::start(&["--no-worker"]).await?;
    let large = 2 * MEMORY_MB * 1_000_000 / LARGE;
    let messages = (0..large).map(|number| format!("{number} {}", "é".repeat(LARGE / 2 - 10)));
    let ids = product.submit_all(messages.chain((0..SHORT).map(|number| number.to_string()))).await?;
    let product = &product;
    let cancels = ids.iter().map(|id| async move {
        let (status, answer) = product.send(Method::POST, &format!("tasks/{id}/cancel"), &json!({})).await?;
        ensure!(status.is_success(), "{answer}");
        Ok(())
    });
    futures_util::stream::iter(cancels).buffer_unordered(8).try_collect::<()>().await?;
    let servers = product.servers()?;
    let address = |name: &str| servers[name].as_str().context("an address");
    let (database_url, nats_url) = (address("database_url")?, address("nats_url")?);
    let archive = |arguments: &[&str]| {
        let mut command = Command::new(CAPSTAN);
        command.args(["log", "archive", "--through", "100000000", "--keep-days", "0", "--flush-ms", "0"]);
        command.args(["--memory-mb", &MEMORY_MB.to_string()]).args(arguments);
        command.args(["--database-url", database_url, "--nats-url", nats_url]);
        command.stderr(Stdio::piped());
        command
    };
    let begins = async || product.command(&["log", "tail", "--nats-url", nats_url]).await;
    let before = begins().await?;
    // Every message was stored once, and would be stored once more for what is freed.
    let (refused, _) = peak_of(archive(&[])).await?;
    let error = text(&refused.stderr);
    ensure!(!refused.status.success() && error.contains("--min-ratio"), "{error}");
    let (planned, peak) = peak_of(archive(&["--dry-run"])).await?;
    let plan = text(&planned.stdout);
    ensure!(planned.status.success() && plan.contains("to carry forward in "), "{plan}");
    assert_eq!(begins().await?, before, "nothing was changed");
    let most = (MEMORY_MB * 1_000_000 + ReplayConfig::BESIDES) / 1024;
    ensure!(peak > 0 && peak < most as u64, "to weigh it: {peak} kB instead of {most}");

    let (archived, peak) = peak_of(archive(&["--min-ratio", "0"])).await?;
    let done = text(&archived.stdout);
    ensure!(done.contains("carried forward; the log begins after"), "{done} {}", text(&archived.stderr));
    ensure!(peak > 0 && peak < most as u64, "{peak} kB instead of {most}");
    eprintln!("{peak} kB of {most}");
    // All of it again, once more.
    let again = text(&peak_of(archive(&["--dry-run"])).await?.0.stdout);
    let streams = |line: &str| line.split(' ').next().map(str::to_owned);
    assert_eq!(streams(&again), streams(&plan), "{again}");
    let (refused, _) = peak_of(archive(&["--min-ratio", "1.5"])).await?;
    ensure!(!refused.status.success(), "{}", text(&refused.stdout));
    product
        .command(&["projection", "verify", "--database-url", database_url, "--nats-url", nats_url])
        .await?;
    Ok(())
}
