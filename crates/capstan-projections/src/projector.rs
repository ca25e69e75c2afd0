//! The loop around the applier: lease, identity, follow, renew, recover.

mod follow;
mod lag;

use std::sync::Arc;
use std::time::Duration;

use capstan_envelope::Position;
use capstan_eventlog::EventLog;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::ProjectorConfig;
use crate::read_models::ReadModels;
use crate::status::ProjectorStatus;

/// Follows the log and keeps the read models up to date.
#[derive(Debug)]
pub struct Projector;

impl Projector {
    /// Starts a projector. Of several on one database only one writes at a time; the others stand by.
    /// Tables of another version than this build's are rebuilt first.
    pub fn start(
        log: Arc<dyn EventLog>,
        read_models: ReadModels,
        config: ProjectorConfig,
    ) -> ProjectorHandle {
        let stop = CancellationToken::new();
        let (status, statuses) = watch::channel(ProjectorStatus::default());
        let reached = read_models.reached();
        let runner = follow::Runner::new(log, read_models, config, status, stop.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(runner.run()));
        ProjectorHandle { stop, status: statuses, reached, task }
    }
}

/// A running projector. Dropping it ends it at once, which is as safe as a crash.
#[derive(Debug)]
pub struct ProjectorHandle {
    stop: CancellationToken,
    status: watch::Receiver<ProjectorStatus>,
    reached: watch::Receiver<Position>,
    task: AbortOnDropHandle<()>,
}

impl ProjectorHandle {
    /// The position reads have reached.
    pub fn position(&self) -> watch::Receiver<Position> {
        self.reached.clone()
    }

    /// What the projector does and how far it is.
    pub fn status(&self) -> watch::Receiver<ProjectorStatus> {
        self.status.clone()
    }

    /// Ends the projector after the batch it is writing and gives the lease back.
    pub async fn stop(self) {
        self.stop.cancel();
        // A projector stuck in a call to a silent server is cut off; its transaction rolls back.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.task).await;
    }
}
