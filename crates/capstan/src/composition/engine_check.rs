//! Readiness of the engine.

use async_trait::async_trait;
use capstan_api::{Check, Finding};
use capstan_engine::EngineClient;

/// Succeeds when an engine of any process leads and responds.
pub(super) struct EngineCheck(pub(super) EngineClient);

#[async_trait]
impl Check for EngineCheck {
    fn name(&self) -> &'static str {
        "engine"
    }

    async fn look(&self) -> Finding {
        match self.0.workers().await {
            Ok(workers) => Finding::ok().with("workers", workers.len()),
            Err(_) => Finding::failed("no engine responds"),
        }
    }
}
