//! Preparation of the read models. A process starts without Postgres too: commands and the engine need only the log.

use std::time::Duration;

use anyhow::Context;
use capstan_contract::causes::explain;
use capstan_projections::{MigrateError, ReadModels};
use tokio_util::sync::CancellationToken;

/// Longest wait for the read models when a process starts.
const AT_START_MAX: Duration = Duration::from_secs(10);
/// The first pause before another try, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause before another try.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Prepares the tables, now if Postgres is there and else as soon as it is, until `stopping`. Fails when time does not mend
/// it.
pub(super) async fn prepare(read_models: &ReadModels, stopping: &CancellationToken) -> anyhow::Result<()> {
    let reason = match tokio::time::timeout(AT_START_MAX, migrate(read_models)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) if !error.is_retryable() => {
            return Err(error).context("prepare the read models");
        }
        Ok(Err(error)) => explain(&error),
        Err(_) => "Postgres does not respond".to_owned(),
    };
    tracing::warn!(reason, "the read models are away; commands are taken without them");
    let (read_models, stopping) = (read_models.clone(), stopping.clone());
    tokio::spawn(async move { stopping.run_until_cancelled(keep_trying(&read_models)).await });
    Ok(())
}

async fn keep_trying(read_models: &ReadModels) {
    let mut pause = PAUSE_MIN;
    loop {
        tokio::time::sleep(pause).await;
        match migrate(read_models).await {
            Ok(()) => break,
            Err(error) => tracing::warn!(error = explain(&error), "the read models cannot be prepared"),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    tracing::info!("the read models are there");
}

async fn migrate(read_models: &ReadModels) -> Result<(), MigrateError> {
    read_models.migrate().await?;
    // A projector of another process announces its position only when it changes. Waiting reads look for themselves.
    let _ = read_models.position().await;
    Ok(())
}
