//! Readiness of the engine.

use std::time::Duration;

use async_trait::async_trait;
use capstan_api::{Check, Finding};
use capstan_engine::EngineClient;
use tokio::sync::watch;

/// Wait for a leader of another process while the engine of this one cannot lead. Shorter than the time limit of checks, so
/// that the reason is told.
const OTHERS_MAX: Duration = Duration::from_secs(1);

/// Succeeds when an engine of any process leads and responds.
pub(super) struct EngineCheck {
    pub(super) client: EngineClient,
    /// The reason the engine of this process cannot lead.
    pub(super) obstacle: Option<watch::Receiver<Option<String>>>,
}

#[async_trait]
impl Check for EngineCheck {
    fn name(&self) -> &'static str {
        "engine"
    }

    async fn look(&self) -> Finding {
        let workers = self.client.workers();
        let obstacle = self.obstacle.as_ref().and_then(|obstacle| obstacle.borrow().clone());
        let found = match obstacle {
            Some(obstacle) => tokio::time::timeout(OTHERS_MAX, workers)
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or_else(|| format!("no engine leads, and this process cannot: {obstacle}")),
            None => workers.await.map_err(|_| "no engine responds".to_owned()),
        };
        match found {
            Ok(workers) => Finding::ok().with("workers", workers.len()),
            Err(reason) => Finding::failed(reason),
        }
    }
}
