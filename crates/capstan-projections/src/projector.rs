//! The loop around the applier: lease, identity check, follow, renew, recover.

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
    /// Starts a projector. Of several on one database one writes at a time; the others are on standby. Tables of another
    /// version than this build's are rebuilt first.
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

/// A running projector. Dropping the handle aborts it, which is as safe as a crash.
#[derive(Debug)]
pub struct ProjectorHandle {
    stop: CancellationToken,
    status: watch::Receiver<ProjectorStatus>,
    reached: watch::Receiver<Position>,
    task: AbortOnDropHandle<()>,
}

impl ProjectorHandle {
    /// The position that reads include.
    pub fn position(&self) -> watch::Receiver<Position> {
        self.reached.clone()
    }

    /// State and position of the projector.
    pub fn status(&self) -> watch::Receiver<ProjectorStatus> {
        self.status.clone()
    }

    /// Stops the projector after the batch it is writing, and releases the lease.
    pub async fn stop(self) {
        self.stop.cancel();
        // A projector stuck in a call to an unresponsive server is aborted; its transaction rolls back.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.task).await;
    }
}
