//! The interface of a runner.

use std::sync::Arc;

use async_trait::async_trait;
use capstan_client::{FinishAttempt, LeasedAttempt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Hints, Reporter};

/// One attempt to execute; the server has accepted its start.
#[derive(Debug)]
pub struct Assignment {
    /// The attempt.
    pub leased: Arc<LeasedAttempt>,
    /// Reports to the server.
    pub reporter: Reporter,
    /// The hints of the server during the execution.
    pub hints: watch::Receiver<Hints>,
    /// Cancelled when the drain time is over: stop, and conclude with [`Conclusion::Return`].
    pub giving_up: CancellationToken,
}

/// The outcome of an execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Conclusion {
    /// Report this result.
    Report(Box<FinishAttempt>),
    /// Return the unfinished attempt, so that another worker tries at once.
    Return {
        /// The reason, for display.
        reason: String,
    },
    /// Report nothing: the lease is lost.
    Abandon,
}

/// Executes attempts.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    /// Executes one attempt to its end.
    async fn run(&self, assignment: Assignment) -> Conclusion;
}
