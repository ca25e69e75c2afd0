//! The parts the NATS surface works with.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use capstan_eventlog::Topology;
use tokio_util::sync::CancellationToken;

use crate::App;

/// Pause before a retry.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The parts durable commands and requests share.
#[derive(Clone)]
pub(super) struct Surface {
    pub(super) app: Arc<App>,
    pub(super) client: Client,
    pub(super) topology: Topology,
    pub(super) stop: CancellationToken,
}

impl Surface {
    /// Repeats `once` until the surface stops, with a pause after each failure.
    pub(super) async fn keep_alive<F>(&self, name: &'static str, once: impl Fn(Self) -> F)
    where
        F: Future<Output = Result<(), async_nats::Error>>,
    {
        while !self.stop.is_cancelled() {
            if let Err(error) = once(self.clone()).await {
                tracing::warn!(surface = name, %error, "the NATS surface lost its source and retries");
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }
}
