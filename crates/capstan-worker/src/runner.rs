//! Who executes an attempt.

use std::sync::Arc;

use async_trait::async_trait;
use capstan_client::{LeasedAttempt, RunResult};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Hints, Reporter};

/// Everything needed to execute one attempt. The server has accepted its start.
#[derive(Debug)]
pub struct Assignment {
    /// The attempt.
    pub leased: Arc<LeasedAttempt>,
    /// The way back to the server.
    pub reporter: Reporter,
    /// What the server says meanwhile.
    pub hints: watch::Receiver<Hints>,
    /// Cancelled when the worker cannot wait any longer: stop, and conclude with [`Conclusion::Return`].
    pub giving_up: CancellationToken,
}

/// How an execution ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Conclusion {
    /// Report this.
    Report(Box<RunResult>),
    /// Give the attempt back unfinished, so that another worker tries at once.
    Return {
        /// Why, for people.
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
