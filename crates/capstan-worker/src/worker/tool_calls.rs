//! Claims approved tool calls, executes them, and reports their results.
//!
//! A call is executed once for its id: a result that could not be reported before the claim expired is kept, and is the
//! response when the same call is offered again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capstan_client::{
    ClaimConditions, ClaimToolCall, ClaimedToolCall, Error, ReportToolCall, ToolCallId, WorkerId,
};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Worker, WorkerError, millis};
use crate::backoff::Backoff;

/// A call is not offered again after this time: five tries of two minutes, with some margin.
const KEPT_FOR: Duration = Duration::from_mins(15);
/// Time limit for the report of a tool that was stopped with the worker.
const LAST_REPORT: Duration = Duration::from_secs(3);

/// Results not accepted by the server, by call.
#[derive(Debug, Default)]
pub(super) struct Unheard(Mutex<BTreeMap<ToolCallId, (Instant, ReportToolCall)>>);

impl Unheard {
    fn keep(&self, call: ToolCallId, result: ReportToolCall, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, (at, _)| now < *at + KEPT_FOR);
        kept.insert(call, (now, result));
    }

    fn take(&self, call: ToolCallId) -> Option<ReportToolCall> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&call).map(|(_, result)| result)
    }
}

impl Worker {
    /// Executes approved calls until asked to stop.
    pub(super) async fn take_tool_calls(
        self: &Arc<Self>,
        shutdown: &CancellationToken,
        running: &TaskTracker,
        giving_up: &CancellationToken,
    ) -> Result<(), WorkerError> {
        if self.config.tools.commands.is_empty() {
            return Ok(());
        }
        let slots = Arc::new(Semaphore::new(self.config.tools.slots.max(1)));
        let mut backoff = Backoff::default();
        let wait_ms = millis(self.config.lease_wait);
        loop {
            let id = self.id();
            let slot = Arc::clone(&slots).acquire_owned();
            let claimed = async {
                let slot = slot.await.expect("the semaphore is never closed");
                let call = self.client.send(&ClaimToolCall { worker_id: id, wait_ms }).await?;
                Ok::<_, Error>(call.map(|call| (call, slot)))
            };
            let claimed = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                claimed = claimed => claimed,
            };
            match claimed {
                Ok(claimed) => {
                    backoff.reset();
                    let Some((call, slot)) = claimed else { continue };
                    let (worker, giving_up) = (Arc::clone(self), giving_up.clone());
                    running.spawn(async move {
                        worker.answer_tool_call(id, &call, &giving_up).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    if self.recover(&error, id, &mut backoff, shutdown).await?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// `id` is the worker id that claimed the call; this worker may have registered again since.
    async fn answer_tool_call(&self, id: WorkerId, call: &ClaimedToolCall, giving_up: &CancellationToken) {
        let (tool_call, tool) = (call.tool_call_id, &*call.tool);
        let result = if let Some(result) = self.unheard.take(tool_call) {
            result
        } else {
            tracing::info!(%tool_call, tool, try_no = call.try_no, "executing a tool call");
            self.config.tools.carry_out(call, giving_up).await
        };
        let reported = self.report_tool_call(id, &call.claim, &result);
        let reported = tokio::select! {
            reported = reported => reported,
            () = async {
                giving_up.cancelled().await;
                tokio::time::sleep(LAST_REPORT).await;
            } => {
                tracing::warn!(%tool_call, tool, "the result of a tool call could not be reported in time");
                return;
            }
        };
        if let Err(error) = reported {
            // The claim expired. If the call is offered to this worker again, this result is the response.
            tracing::warn!(%tool_call, tool, error = &error as &dyn std::error::Error, "the result of a tool call was refused");
            self.unheard.keep(tool_call, result, Instant::now());
        }
    }

    /// Repeats the report until it is accepted or finally refused, at the latest when the claim expires.
    async fn report_tool_call(
        &self,
        id: WorkerId,
        claim: &str,
        result: &ReportToolCall,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        let claim_of = ClaimConditions {
            worker_id: id,
            claim: claim.to_owned(),
            idempotency_key: Some("result".parse().expect("a short text is a key")),
            command_id: None,
        };
        loop {
            match self.client.send_with(result, &claim_of).await.map(drop) {
                Err(error) if error.is_retryable() => {
                    let pause = backoff.next(error.retry_after());
                    tracing::debug!(claim, %error, ?pause, "the report failed, retrying");
                    tokio::time::sleep(pause).await;
                }
                reported => return reported,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_result_nobody_took_is_the_answer_when_the_call_comes_again() {
        let unheard = Unheard::default();
        let result = ReportToolCall { stdout: "stored".into(), ..ReportToolCall::default() };
        let call = ToolCallId(Uuid::from_u128(1));
        let now = Instant::now();
        unheard.keep(call, result.clone(), now);
        assert_eq!((unheard.take(call), unheard.take(call)), (Some(result.clone()), None));
        unheard.keep(call, result.clone(), now);
        unheard.keep(ToolCallId(Uuid::from_u128(2)), result, now + KEPT_FOR);
        assert_eq!(unheard.take(call), None, "it will not come again");
    }
}
