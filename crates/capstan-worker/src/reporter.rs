//! Reports of an attempt to the server, repeated until they are accepted or the lease is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use capstan_client::{
    AppendLogs, AppendOutputRows, AppendRunEvents, Attempt, AttemptId, CheckToolCall, ClaimedInput, Error,
    FinalizeOutput, FinishAttempt, InputId, OpenBlocker, OutputId, ProduceOutput, RunEvent, ToolDecision,
    Usage,
};
use tokio::sync::watch;

use crate::backoff::Backoff;
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

/// Reports one attempt. Clones share the numbering of its messages.
#[derive(Clone, Debug)]
pub struct Reporter {
    attempt: Attempt,
    hints: watch::Receiver<Hints>,
    messages: Arc<AtomicU64>,
}

impl Reporter {
    pub(crate) fn new(attempt: Attempt, hints: watch::Receiver<Hints>) -> Self {
        Self { attempt, hints, messages: Arc::default() }
    }

    pub(crate) fn attempt_id(&self) -> &AttemptId {
        self.attempt.id()
    }

    /// An idempotency key for one message and its repetitions.
    fn key(&self) -> String {
        format!("m{}", self.messages.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn start(&self) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.start()).await
    }

    /// Returns the unfinished attempt.
    pub(crate) async fn give_back(&self, reason: &str) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.give_back(reason)).await
    }

    /// The report ends the lease, so a renewal may see it lost before the response arrives: a call in progress is awaited.
    pub(crate) async fn finish(&self, result: &FinishAttempt) -> Result<(), ReportError> {
        let (mut backoff, key) = (Backoff::default(), self.key());
        loop {
            let error = match self.attempt.finish(result, &key).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_lease_lost() => return Err(ReportError::Lost),
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(ReportError::Refused(error)),
            };
            if self.hints.borrow().lease == LeaseState::Lost {
                return Err(ReportError::Lost);
            }
            let pause = backoff.next(error.retry_after());
            tracing::debug!(attempt = %self.attempt.id(), %error, ?pause, "the report failed, retrying");
            tokio::time::sleep(pause).await;
        }
    }

    /// Reports lines of output. A repetition after a lost response may store lines twice; none is lost.
    pub async fn logs(&self, lines: &AppendLogs) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.append_logs(lines)).await
    }

    /// Reports an event inside the agent.
    pub async fn event(&self, event: RunEvent) -> Result<(), ReportError> {
        let events = AppendRunEvents { events: vec![event] };
        self.repeat(|| self.attempt.append_events(&events)).await
    }

    /// Reports an output; returns its id.
    pub async fn output(&self, output: &ProduceOutput) -> Result<OutputId, ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.produce_output(output, &key)).await
    }

    /// Adds rows to an output.
    pub async fn rows(&self, rows: &AppendOutputRows) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.append_rows(rows, &key)).await
    }

    /// Gives an output its final summary.
    pub async fn finalize(&self, end: &FinalizeOutput) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.finalize_output(end, &key)).await
    }

    /// Asks a question.
    pub async fn blocker(&self, blocker: &OpenBlocker) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.open_blocker(blocker, &key)).await
    }

    /// Asks whether the agent may call a tool.
    pub async fn tool_call(&self, question: &CheckToolCall) -> Result<ToolDecision, ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.check_tool_call(question, &key)).await
    }

    /// Claims the oldest unclaimed input.
    pub async fn claim(&self) -> Result<Option<ClaimedInput>, ReportError> {
        self.repeat(|| self.attempt.claim_input()).await
    }

    /// Acknowledges that the agent has received the input.
    pub async fn ack(&self, input: InputId) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.ack_input(input)).await
    }

    /// Defers an input that the agent cannot receive within its turn.
    pub async fn defer(&self, input: InputId, reason: &str) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.defer_input(input, reason)).await
    }

    /// Reports the usage since the last report.
    pub async fn usage(&self, usage: &Usage) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.record_usage(usage, &key)).await
    }

    /// Repeats a call until the server responds. An outage is waited out while the lease is held: the renewal loop declares
    /// it lost at its end.
    async fn repeat<T, F: Future<Output = Result<T, Error>>>(
        &self,
        say: impl Fn() -> F,
    ) -> Result<T, ReportError> {
        let mut hints = self.hints.clone();
        let mut backoff = Backoff::default();
        let lost = hints.wait_for(|hints| hints.lease == LeaseState::Lost);
        tokio::pin!(lost);
        loop {
            let said = tokio::select! {
                biased;
                _ = &mut lost => return Err(ReportError::Lost),
                said = say() => said,
            };
            let error = match said {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_lease_lost() => return Err(ReportError::Lost),
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(ReportError::Refused(error)),
            };
            let pause = backoff.next(error.retry_after());
            tracing::debug!(attempt = %self.attempt.id(), %error, ?pause, "the call failed, retrying");
            tokio::select! {
                _ = &mut lost => return Err(ReportError::Lost),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
