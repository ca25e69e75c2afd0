//! What an attempt says to the server, repeated until it is heard or the lease is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use capstan_client::{
    Attempt, BlockerReport, ClaimedInput, Error, GateAnswer, LogLine, OutputReport, RunEventReport,
    RunResult, ToolQuestion, Usage,
};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::{Hints, LeaseState};

/// Why something could not be reported.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The lease is gone; whatever is said now would be about somebody else's attempt.
    #[error("report: the lease is lost")]
    Lost,
    /// The server said no, and would say so again.
    #[error("report: the server refuses")]
    Refused(#[source] Error),
}

/// Speaks about one attempt. Clones share the numbering of its messages.
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

    pub(crate) fn attempt_id(&self) -> &str {
        self.attempt.id()
    }

    /// A key that is the same for every try of one message and different for every other.
    fn key(&self) -> String {
        format!("m{}", self.messages.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn start(&self) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.start()).await
    }

    /// Gives the attempt back unfinished.
    pub(crate) async fn give_back(&self, reason: &str) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.give_back(reason)).await
    }

    /// The report ends the lease, so a renewal may call it lost before the answer is here: a call under way is heard out.
    pub(crate) async fn finish(&self, result: &RunResult) -> Result<(), ReportError> {
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
            tracing::debug!(attempt = self.attempt.id(), %error, ?pause, "the report was not heard, trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Hands on lines of output. A repeat after a lost answer may store lines twice, never not at all.
    pub async fn logs(&self, lines: &[LogLine]) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.append_logs(lines)).await
    }

    /// Hands on something that happened inside the agent.
    pub async fn event(&self, event: &RunEventReport) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.append_events(std::slice::from_ref(event))).await
    }

    /// Reports an output; answers its id.
    pub async fn output(&self, output: &OutputReport) -> Result<Uuid, ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.produce_output(output, &key)).await
    }

    /// Adds rows to an output.
    pub async fn rows(&self, output: Uuid, rows: &[Value]) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.append_rows(output, rows, &key)).await
    }

    /// Gives an output its final summary.
    pub async fn finalize(&self, output: Uuid, summary: &str) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.finalize_output(output, summary, &key)).await
    }

    /// Asks a question.
    pub async fn blocker(&self, blocker: &BlockerReport) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.open_blocker(blocker, &key)).await
    }

    /// Asks whether the agent may call a tool.
    pub async fn tool_call(&self, question: &ToolQuestion) -> Result<GateAnswer, ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.check_tool_call(question, &key)).await
    }

    /// Takes the oldest input nobody has.
    pub async fn claim(&self) -> Result<Option<ClaimedInput>, ReportError> {
        self.repeat(|| self.attempt.claim_input()).await
    }

    /// Says that the agent has the input.
    pub async fn ack(&self, input: Uuid) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.ack_input(input)).await
    }

    /// Says that the agent cannot have the input within its turn.
    pub async fn defer(&self, input: Uuid, reason: &str) -> Result<(), ReportError> {
        self.repeat(|| self.attempt.defer_input(input, reason)).await
    }

    /// Reports what was used since the last report.
    pub async fn usage(&self, usage: &Usage) -> Result<(), ReportError> {
        let key = self.key();
        self.repeat(|| self.attempt.record_usage(usage, &key)).await
    }

    /// Says it until the server answers. An outage is waited out for as long as the lease may live: the loop that
    /// renews leases declares it lost when it cannot.
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
            tracing::debug!(attempt = self.attempt.id(), %error, ?pause, "the server did not hear, trying again");
            tokio::select! {
                _ = &mut lost => return Err(ReportError::Lost),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
