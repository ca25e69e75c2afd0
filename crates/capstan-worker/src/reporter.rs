//! Reports of an attempt to the server, repeated until they are accepted or the lease is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use capstan_client::{
    AckInput, AppendLogs, AppendOutputRows, AppendRunEvents, AttemptId, CheckToolCall, ClaimInput,
    ClaimedInput, Client, DeferInput, Error, FetchAttempt, FinalizeOutput, FinishAttempt, IdempotencyKey,
    InputId, LeaseConditions, LeasedAttempt, OpenBlocker, OutputId, ProduceOutput, RecordUsage,
    ReturnAttempt, RunEvent, Sendable, ToolDecision, Usage,
};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::ends::Ends;
use crate::{Hints, LeaseState};

/// A report failed.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The lease is lost: the attempt may belong to another worker.
    #[error("report: the lease is lost")]
    Lost,
    /// The server refused the report; a repetition would fail too.
    #[error("report: the server refuses")]
    Refused(#[source] Error),
}

/// Longest attempt that is fetched, in bytes of JSON.
const ATTEMPT_BYTES_MAX: usize = 64 << 20;

/// The rest of an attempt was not fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// The call failed.
    #[error("fetch the attempt")]
    Call(#[from] ReportError),
    /// The pages are no attempt.
    #[error("read the attempt")]
    Unreadable(#[source] serde_json::Error),
    /// The attempt is too long for this worker.
    #[error("fetch the attempt: it exceeds {ATTEMPT_BYTES_MAX} bytes")]
    TooLong,
}

/// Reports one attempt. Clones share the numbering of its messages.
#[derive(Clone, Debug)]
pub struct Reporter {
    client: Client,
    lease: LeaseConditions,
    hints: watch::Receiver<Hints>,
    messages: Arc<AtomicU64>,
    ends: Ends,
}

impl Reporter {
    pub(crate) fn new(
        client: Client,
        ends: Ends,
        lease: LeaseConditions,
        hints: watch::Receiver<Hints>,
    ) -> Self {
        Self { client, lease, hints, messages: Arc::default(), ends }
    }

    pub(crate) fn attempt_id(&self) -> &AttemptId {
        &self.lease.attempt_id
    }

    /// An idempotency key for one message and its repetitions.
    fn key(&self) -> IdempotencyKey {
        let key = format!("m{}", self.messages.fetch_add(1, Ordering::Relaxed));
        key.parse().expect("a short text is a key")
    }

    /// The whole attempt, in pages: the answer to its lease had no room for all of it.
    pub(crate) async fn fetch(&self) -> Result<LeasedAttempt, FetchError> {
        let (mut json, mut page) = (String::new(), FetchAttempt::default());
        loop {
            let answer = self.repeat(&page, None).await?;
            if answer.offset == 0 {
                json.clear();
            }
            json.push_str(&answer.text);
            if json.len() > ATTEMPT_BYTES_MAX {
                return Err(FetchError::TooLong);
            }
            let Some(cursor) = answer.next_cursor else { break };
            page.cursor = Some(cursor);
        }
        serde_json::from_str(&json).map_err(FetchError::Unreadable)
    }

    /// Returns the unfinished attempt.
    pub(crate) async fn give_back(&self, reason: &str) -> Result<(), ReportError> {
        let call = ReturnAttempt { reason: Some(reason.to_owned()) };
        self.repeat(&call, Some("return".parse().expect("a short text is a key"))).await.map(drop)
    }

    /// The report ends the lease, so a renewal may see it lost before the response arrives: a call in progress is awaited.
    pub(crate) async fn finish(&self, result: &FinishAttempt) -> Result<(), ReportError> {
        let (mut backoff, lease) = (Backoff::default(), self.lease_under(Some(self.key())));
        loop {
            let error = match self.ends.send(result, &lease).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_lease_lost() => return Err(ReportError::Lost),
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(ReportError::Refused(error)),
            };
            if self.hints.borrow().lease == LeaseState::Lost {
                return Err(ReportError::Lost);
            }
            let pause = backoff.next(error.retry_after());
            tracing::debug!(attempt = %self.lease.attempt_id, %error, ?pause, "the report failed, retrying");
            tokio::time::sleep(pause).await;
        }
    }

    /// Reports lines of output. A repetition after a lost response stores none twice, unless it took more than two minutes.
    pub async fn logs(&self, lines: &AppendLogs) -> Result<(), ReportError> {
        self.ask(lines).await.map(drop)
    }

    /// Reports an event inside the agent.
    pub async fn event(&self, event: RunEvent) -> Result<(), ReportError> {
        self.ask(&AppendRunEvents { events: vec![event] }).await.map(drop)
    }

    /// Reports an output; returns its id.
    pub async fn output(&self, output: &ProduceOutput) -> Result<OutputId, ReportError> {
        Ok(self.ask(output).await?.output_id)
    }

    /// Adds rows to an output.
    pub async fn rows(&self, rows: &AppendOutputRows) -> Result<(), ReportError> {
        self.ask(rows).await.map(drop)
    }

    /// Gives an output its final summary.
    pub async fn finalize(&self, end: &FinalizeOutput) -> Result<(), ReportError> {
        self.ask(end).await.map(drop)
    }

    /// Asks a question.
    pub async fn blocker(&self, blocker: &OpenBlocker) -> Result<(), ReportError> {
        self.ask(blocker).await.map(drop)
    }

    /// Asks whether the agent may call a tool.
    pub async fn tool_call(&self, question: &CheckToolCall) -> Result<ToolDecision, ReportError> {
        self.ask(question).await
    }

    /// Claims the oldest unclaimed input.
    pub async fn claim(&self) -> Result<Option<ClaimedInput>, ReportError> {
        Ok(self.repeat(&ClaimInput {}, None).await?.input)
    }

    /// Acknowledges that the agent has received the input.
    pub async fn ack(&self, input_id: InputId) -> Result<(), ReportError> {
        self.tell(&AckInput { input_id }).await
    }

    /// Defers an input that the agent cannot receive within its turn.
    pub async fn defer(&self, input_id: InputId, reason: &str) -> Result<(), ReportError> {
        self.tell(&DeferInput { input_id, reason: reason.to_owned() }).await
    }

    /// Reports the usage since the last report.
    pub async fn usage(&self, usage: &Usage) -> Result<(), ReportError> {
        self.ask(&RecordUsage { usage: usage.clone() }).await.map(drop)
    }

    fn lease_under(&self, idempotency_key: Option<IdempotencyKey>) -> LeaseConditions {
        LeaseConditions { idempotency_key, ..self.lease.clone() }
    }

    /// Repeats a call that needs no key, for its effect.
    async fn tell<R: Sendable<Beside = LeaseConditions>>(&self, call: &R) -> Result<(), ReportError> {
        self.repeat(call, None).await.map(drop)
    }

    /// Repeats a call under one key.
    async fn ask<R: Sendable<Beside = LeaseConditions>>(&self, call: &R) -> Result<R::Answer, ReportError> {
        self.repeat(call, Some(self.key())).await
    }

    /// Repeats a call until the server responds. An outage is waited out while the lease is held: the renewal loop declares
    /// it lost at its end.
    async fn repeat<R: Sendable<Beside = LeaseConditions>>(
        &self,
        call: &R,
        key: Option<IdempotencyKey>,
    ) -> Result<R::Answer, ReportError> {
        let lease = self.lease_under(key);
        let mut hints = self.hints.clone();
        let mut backoff = Backoff::default();
        let lost = hints.wait_for(|hints| hints.lease == LeaseState::Lost);
        tokio::pin!(lost);
        loop {
            let said = tokio::select! {
                biased;
                _ = &mut lost => return Err(ReportError::Lost),
                said = self.client.send_with(call, &lease) => said,
            };
            let error = match said {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_lease_lost() => return Err(ReportError::Lost),
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(ReportError::Refused(error)),
            };
            let pause = backoff.next(error.retry_after());
            tracing::debug!(attempt = %self.lease.attempt_id, %error, ?pause, "the call failed, retrying");
            tokio::select! {
                _ = &mut lost => return Err(ReportError::Lost),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
