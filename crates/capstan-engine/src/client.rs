//! The client of the engine, for every other part of a node.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use capstan_contract::causes::explain;
use capstan_contract::command::{RegisterWorker, Renewal};
use capstan_contract::lease::{ClaimedToolCall, LeasedAttempt, RegisteredWorker, RenewAnswer, RenewStatus};
use capstan_contract::subject::Subjects;
use capstan_domain::id::{TaskId, WorkerId};
use capstan_domain::matching::{Reach, WaitingReason};
use tokio::time::Instant;

use crate::protocol::{Answer, Request, SourceKeys, WorkerView};

/// Longest search for a leader by a request that does not wait itself.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longest slice of a long poll: the death of a leader is noticed within one.
const SLICE: Duration = Duration::from_secs(5);
/// Time an answer may take beyond the wait of the engine.
const MARGIN: Duration = Duration::from_secs(5);
/// Pause while no leader answers.
const PAUSE: Duration = Duration::from_millis(50);

/// The reason the engine gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine does not know the worker, or forgot it: it must register again. It keeps its attempts.
    #[error("ask the engine: it does not know the worker")]
    UnknownWorker,
    /// No engine leads, or it did not answer in time.
    #[error("ask the engine: no answer")]
    Unavailable {
        /// The failure of the transport.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer belongs to another release.
    #[error("ask the engine: its answer cannot be read")]
    Unreadable {
        /// The fault.
        #[source]
        source: serde_json::Error,
    },
    /// The answer belongs to another request.
    #[error("ask the engine: the answer belongs to another request")]
    Unexpected,
}

impl EngineError {
    /// True when asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Sends requests to the engine that leads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EngineClient {
    nats: async_nats::Client,
    subjects: Subjects,
    reach: Reach,
}

impl EngineClient {
    /// A client over this connection.
    pub fn new(nats: async_nats::Client, subjects: Subjects) -> Self {
        Self { nats, subjects, reach: Reach::All }
    }

    /// The same client, limited to these workspaces: workers registered through it get runs of no others, and workers and
    /// attempts of others are unknown to it.
    #[must_use]
    pub fn within(&self, reach: Reach) -> Self {
        Self { reach, ..self.clone() }
    }

    /// Registers a worker.
    pub async fn register(&self, worker: RegisterWorker) -> Result<RegisteredWorker, EngineError> {
        let answer =
            self.ask(&Request::Register { worker, reach: self.reach.clone() }, Duration::ZERO).await?;
        if let Answer::Registered(registered) = answer { Ok(registered) } else { Err(unexpected(&answer)) }
    }

    /// Leases up to `max` attempts to the worker; waits up to `wait` for the first. Dropping the call ends the poll at the
    /// engine, so that nothing is leased to a worker that is gone; attempts on their way return to the queue when their
    /// lease ends. May return nothing before the wait is over: ask again.
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
            let answer = answer?;
            let Answer::Leased(attempts) = &answer else { return Err(unexpected(&answer)) };
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
            let answer = self.ask(&request, slice).await?;
            let Answer::Renewed(answers) = answer else { return Err(unexpected(&answer)) };
            let is_news =
                |answer: &RenewAnswer| answer.status != RenewStatus::Ok || answer.inputs_pending > 0;
            let is_early = asked.elapsed() + PAUSE < slice;
            if is_early || Instant::now() >= deadline || answers.iter().any(is_news) {
                return Ok(answers);
            }
        }
    }

    /// Stops leasing to the worker.
    pub async fn drain(&self, worker_id: WorkerId) -> Result<(), EngineError> {
        let request = Request::Drain { worker_id, reach: self.reach.clone() };
        let answer = self.ask(&request, Duration::ZERO).await?;
        if matches!(answer, Answer::Draining) { Ok(()) } else { Err(unexpected(&answer)) }
    }

    /// The reasons a task is not running; empty when it does not wait in the queue.
    pub async fn why(&self, workspace: &str, task_id: TaskId) -> Result<Vec<WaitingReason>, EngineError> {
        let request = Request::Why { workspace: workspace.to_owned(), task_id };
        let answer = self.ask(&request, Duration::ZERO).await?;
        if let Answer::Why(reasons) = answer { Ok(reasons) } else { Err(unexpected(&answer)) }
    }

    /// Claims an approved call of a tool the worker executes; waits up to `wait` for one.
    pub async fn claim_tool_call(
        &self,
        worker_id: WorkerId,
        wait: Duration,
    ) -> Result<Option<ClaimedToolCall>, EngineError> {
        let deadline = Instant::now() + wait;
        loop {
            let slice = deadline.saturating_duration_since(Instant::now()).min(SLICE);
            let (wait_ms, reach) = (slice.as_millis() as u64, self.reach.clone());
            let request = Request::ClaimToolCall { worker_id, wait_ms, reach };
            let answer = self.ask(&request, slice).await?;
            let Answer::ToolCall(call) = answer else { return Err(unexpected(&answer)) };
            if call.is_some() || Instant::now() >= deadline {
                return Ok(call.map(|call| *call));
            }
        }
    }

    /// The tasks of the workspace that watch for each key.
    pub async fn watchers(&self, keys: SourceKeys) -> Result<BTreeMap<String, Vec<TaskId>>, EngineError> {
        let answer = self.ask(&Request::Watchers(keys), Duration::ZERO).await?;
        if let Answer::Watchers(found) = answer { Ok(found) } else { Err(unexpected(&answer)) }
    }

    /// The workers the engine knows.
    pub async fn workers(&self) -> Result<Vec<WorkerView>, EngineError> {
        let answer = self.ask(&Request::Workers, Duration::ZERO).await?;
        if let Answer::Workers(workers) = answer { Ok(workers) } else { Err(unexpected(&answer)) }
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

/// A poll under way; dropped before its answer, it ends the poll at the engine.
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
        // Outside a runtime the process is ending, and the poll ends with its slice.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let request = Request::EndPolls { worker_id };
                if let Err(error) = client.ask(&request, Duration::ZERO).await {
                    tracing::debug!(error = explain(&error), worker.id = %worker_id, "the end of a poll was not delivered");
                }
            });
        }
    }
}

fn unexpected(answer: &Answer) -> EngineError {
    if matches!(answer, Answer::UnknownWorker) { EngineError::UnknownWorker } else { EngineError::Unexpected }
}
