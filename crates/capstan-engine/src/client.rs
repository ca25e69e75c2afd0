//! How everybody else talks to the engine, wherever it runs.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::{ClaimedToolCall, LeasedAttempt, RegisteredWorker, RenewAnswer};
use capstan_contract::subject::Subjects;
use capstan_domain::id::{TaskId, WorkerId};
use capstan_domain::matching::{Reach, WaitingReason};
use tokio::time::Instant;

use crate::protocol::{Answer, Request, SourceKeys, WorkerView};

/// How long a request looks for a leader when it does not wait for something itself.
const PATIENCE: Duration = Duration::from_secs(8);
/// Long polls are asked in slices, so that the death of a leader is noticed within one.
const SLICE: Duration = Duration::from_secs(5);
/// How much longer than the engine may wait an answer may take.
const MARGIN: Duration = Duration::from_secs(5);
/// Pause while no leader answers.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the engine gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine does not know the worker (any more): it must register again. Its attempts stay its own.
    #[error("ask the engine: it does not know the worker")]
    UnknownWorker,
    /// No engine leads, or it did not answer in time.
    #[error("ask the engine: nobody answered")]
    Unavailable {
        /// What the transport said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer belongs to another release.
    #[error("ask the engine: its answer cannot be read")]
    Unreadable {
        /// What was wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The answer is of another kind than was asked for.
    #[error("ask the engine: it answered something else")]
    Unexpected,
}

impl EngineError {
    /// True when asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Asks whichever engine leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EngineClient {
    nats: async_nats::Client,
    subjects: Subjects,
    reach: Reach,
}

impl EngineClient {
    /// A client over a connection of the caller's choice.
    pub fn new(nats: async_nats::Client, subjects: Subjects) -> Self {
        Self { nats, subjects, reach: Reach::All }
    }

    /// The same for somebody who may serve these workspaces only: workers registered through it get runs of no others,
    /// and workers and attempts of others are unknown to it.
    #[must_use]
    pub fn within(&self, reach: Reach) -> Self {
        Self { reach, ..self.clone() }
    }

    /// Makes a worker known.
    pub async fn register(&self, worker: RegisterWorker) -> Result<RegisteredWorker, EngineError> {
        match self.ask(&Request::Register { worker, reach: self.reach.clone() }, Duration::ZERO).await? {
            Answer::Registered(registered) => Ok(registered),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives the worker up to `max` attempts; waits up to `wait` for the first. Dropping the call tells the engine, so
    /// that nothing is given to a worker that is gone; attempts that were on their way go back to the queue when their
    /// lease ends. May answer with nothing before the wait is over: ask again.
    pub async fn lease(
        &self,
        worker_id: WorkerId,
        max: u32,
        wait: Duration,
    ) -> Result<Vec<LeasedAttempt>, EngineError> {
        let deadline = Instant::now() + wait;
        let mut poll = Poll { client: self.clone(), worker_id, is_answered: false };
        loop {
            let slice = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            let asked = Instant::now();
            let wait_ms = slice.as_millis() as u64;
            let request = Request::Lease { worker_id, max, wait_ms, reach: self.reach.clone() };
            let answer = self.ask(&request, slice).await;
            poll.is_answered = true;
            let attempts = match answer? {
                Answer::Leased(attempts) => attempts,
                other => return Err(unexpected(&other)),
            };
            let is_early = asked.elapsed() + PAUSE < slice;
            if !attempts.is_empty() || is_early || Instant::now() >= deadline {
                let attempts = attempts.iter().map(|text| serde_json::from_str(text.get()));
                return attempts
                    .collect::<Result<_, _>>()
                    .map_err(|source| EngineError::Unreadable { source });
            }
            poll.is_answered = false;
        }
    }

    /// Renews leases. With a `wait`, the answer comes when there is news for the worker (a cancellation, an input, a
    /// lost lease), at the latest after `wait`; the leases are extended on arrival.
    pub async fn renew(
        &self,
        worker_id: WorkerId,
        renewals: Vec<Renewal>,
        wait: Duration,
    ) -> Result<Vec<RenewAnswer>, EngineError> {
        let deadline = Instant::now() + wait;
        loop {
            let slice = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            let (asked, wait_ms) = (Instant::now(), slice.as_millis() as u64);
            let (renewals, reach) = (renewals.clone(), self.reach.clone());
            let request = Request::Renew { worker_id, renewals, wait_ms, reach };
            let answers = match self.ask(&request, slice).await? {
                Answer::Renewed(answers) => answers,
                other => return Err(unexpected(&other)),
            };
            let is_news = |answer: &RenewAnswer| {
                answer.status != capstan_contract::lease::RenewStatus::Ok || answer.inputs_pending > 0
            };
            let is_early = asked.elapsed() + PAUSE < slice;
            if is_early || Instant::now() >= deadline || answers.iter().any(is_news) {
                return Ok(answers);
            }
        }
    }

    /// Gives the worker nothing new.
    pub async fn drain(&self, worker_id: WorkerId) -> Result<(), EngineError> {
        match self.ask(&Request::Drain { worker_id, reach: self.reach.clone() }, Duration::ZERO).await? {
            Answer::Draining => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Why a task is not running; empty when it does not wait in the queue.
    pub async fn why(&self, workspace: &str, task_id: TaskId) -> Result<Vec<WaitingReason>, EngineError> {
        let request = Request::Why { workspace: workspace.to_owned(), task_id };
        match self.ask(&request, Duration::ZERO).await? {
            Answer::Why(reasons) => Ok(reasons),
            other => Err(unexpected(&other)),
        }
    }

    /// Claims an approved call of a tool the worker carries out; waits up to `wait` for one.
    pub async fn claim_tool_call(
        &self,
        worker_id: WorkerId,
        wait: Duration,
    ) -> Result<Option<ClaimedToolCall>, EngineError> {
        let deadline = Instant::now() + wait;
        loop {
            let slice = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            let request = Request::ClaimToolCall { worker_id, wait_ms: slice.as_millis() as u64 };
            let call = match self.ask(&request, slice).await? {
                Answer::ToolCall(call) => call.map(|call| *call),
                other => return Err(unexpected(&other)),
            };
            if call.is_some() || Instant::now() >= deadline {
                return Ok(call);
            }
        }
    }

    /// The tasks of the workspace that watch for each key.
    pub async fn watchers(&self, keys: SourceKeys) -> Result<BTreeMap<String, Vec<TaskId>>, EngineError> {
        match self.ask(&Request::Watchers(keys), Duration::ZERO).await? {
            Answer::Watchers(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    }

    /// The workers the engine knows.
    pub async fn workers(&self) -> Result<Vec<WorkerView>, EngineError> {
        match self.ask(&Request::Workers, Duration::ZERO).await? {
            Answer::Workers(workers) => Ok(workers),
            other => Err(unexpected(&other)),
        }
    }

    /// One request; looks for a leader as long as the wait, or a moment, allows.
    async fn ask(&self, request: &Request, wait: Duration) -> Result<Answer, EngineError> {
        let payload = serde_json::to_vec(request).map_err(|source| EngineError::Unreadable { source })?;
        let payload = bytes::Bytes::from(payload);
        let subject = request.subject(&self.subjects);
        let patience = Instant::now() + wait.max(PATIENCE);
        loop {
            let asked = async_nats::Request::new().payload(payload.clone()).timeout(Some(wait + MARGIN));
            match self.nats.send_request(subject.clone(), asked).await {
                Ok(message) => {
                    return serde_json::from_slice(&message.payload)
                        .map_err(|source| EngineError::Unreadable { source });
                }
                Err(error) if error.kind() == RequestErrorKind::NoResponders && Instant::now() < patience => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(EngineError::Unavailable { source: Box::new(error) }),
            }
        }
    }
}

/// A poll under way; dropped before its answer, it hangs up.
struct Poll {
    client: EngineClient,
    worker_id: WorkerId,
    is_answered: bool,
}

impl Drop for Poll {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let (client, worker_id) = (self.client.clone(), self.worker_id);
        // Outside a runtime the process ends, and the engine's slices end the poll.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let request = Request::HangUp { worker_id };
                if let Err(error) = client.ask(&request, Duration::ZERO).await {
                    tracing::debug!(%error, worker.id = %worker_id, "a hang-up was not delivered");
                }
            });
        }
    }
}

fn unexpected(answer: &Answer) -> EngineError {
    match answer {
        Answer::UnknownWorker => EngineError::UnknownWorker,
        _ => EngineError::Unexpected,
    }
}
