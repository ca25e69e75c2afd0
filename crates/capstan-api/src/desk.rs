//! Where workers get their work: the engine, as this process reaches it.

use std::time::Duration;

use async_trait::async_trait;
use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::{LeasedAttempt, RegisteredWorker, RenewAnswer};
use capstan_domain::id::WorkerId;
use capstan_engine::{EngineClient, EngineError};

use crate::problem::{Code, Problem};

/// Answers workers.
#[async_trait]
pub trait WorkDesk: Send + Sync {
    /// Makes a worker known.
    async fn register(&self, worker: RegisterWorker) -> Result<RegisteredWorker, Problem>;

    /// Gives out up to `max` attempts, waiting up to `wait` for the first.
    async fn lease(&self, worker: WorkerId, max: u32, wait: Duration) -> Result<Vec<LeasedAttempt>, Problem>;

    /// Renews leases; waits up to `wait` for something the worker should know.
    async fn renew(
        &self,
        worker: WorkerId,
        renewals: Vec<Renewal>,
        wait: Duration,
    ) -> Result<Vec<RenewAnswer>, Problem>;

    /// Gives the worker nothing new.
    async fn drain(&self, worker: WorkerId) -> Result<(), Problem>;
}

#[async_trait]
impl WorkDesk for EngineClient {
    async fn register(&self, worker: RegisterWorker) -> Result<RegisteredWorker, Problem> {
        Ok(self.register(worker).await?)
    }

    async fn lease(&self, worker: WorkerId, max: u32, wait: Duration) -> Result<Vec<LeasedAttempt>, Problem> {
        Ok(self.lease(worker, max, wait).await?)
    }

    async fn renew(
        &self,
        worker: WorkerId,
        renewals: Vec<Renewal>,
        wait: Duration,
    ) -> Result<Vec<RenewAnswer>, Problem> {
        Ok(self.renew(worker, renewals, wait).await?)
    }

    async fn drain(&self, worker: WorkerId) -> Result<(), Problem> {
        Ok(self.drain(worker).await?)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::UnknownWorker => {
                Self::new(Code::NotFound, "the engine does not know this worker; register it again")
            }
            EngineError::Unavailable { .. } => {
                Self::new(Code::EngineUnavailable, "no engine answers for now").because(error)
            }
            EngineError::Unreadable { .. } | EngineError::Unexpected => Self::internal(error),
        }
    }
}
