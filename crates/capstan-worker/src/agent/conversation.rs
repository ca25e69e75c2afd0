//! Accompanies an agent until its end: delivers inputs, and stops the agent when the server requests it.

use std::io;
use std::time::Duration;

use capstan_client::{ClaimedInput, ErrorClass, FinishAttempt, InputId, ReportedOutcome};
use tokio::time::{Instant, sleep_until};

use super::Patience;
use super::ending::{Ended, Ending};
use super::process::AgentProcess;
use super::relay::{Relay, Turn};
use crate::{Assignment, Conclusion, Hints, LeaseState, ReportError};

/// Delay after the run's timeout, which the server enforces, before the worker enforces it.
const TIMEOUT_SLACK: Duration = Duration::from_secs(5);
/// Interval of looking for inputs without a hint.
const ANSWER_POLL: Duration = Duration::from_secs(2);
/// Time limit for the last lines of an abandoned attempt.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Time limit for the end of an agent after its last turn, once its input is closed.
const LINGER_LIMIT: Duration = Duration::from_mins(1);
/// Stands for no limit.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// The exchange between the server and one agent.
pub(crate) struct Conversation<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) process: &'a mut AgentProcess,
    pub(crate) relay: &'a Relay,
    pub(crate) patience: Patience,
    /// Formats an input for this kind of agent.
    pub(crate) line_of: fn(&ClaimedInput) -> Vec<u8>,
}

/// The result of looking into the inbox.
enum Looked {
    /// The agent has an input.
    Told,
    /// There is no input, or the agent cannot receive it.
    Nothing,
}

impl Conversation<'_> {
    /// Accompanies the process until its end.
    pub(crate) async fn hold(mut self) -> Ending {
        let mut hints = self.assignment.hints.clone();
        let (mut asking, mut turns) = (self.relay.asking(), self.relay.turns());
        let limit = u64::try_from(self.assignment.leased.timeout_ms).ok().filter(|limit| *limit > 0);
        let limit = limit.map_or(FOR_EVER, |limit| Duration::from_millis(limit) + TIMEOUT_SLACK);
        let out_of_time = Instant::now() + limit;
        let mut look_at = Instant::now();
        let mut is_inbox_empty = false;
        loop {
            let Hints { lease, inputs_pending, steer } = hints.borrow_and_update().clone();
            match lease {
                LeaseState::Lost => return Ending::Lost,
                LeaseState::Cancelled { reason } => return Ending::Cancelled(reason),
                LeaseState::Held => {}
            }
            let asked_at = *asking.borrow_and_update();
            let turn = *turns.borrow_and_update();
            let is_over = matches!(turn, Turn::Over(_));
            let may_be_told = asked_at.is_some() || steer || (is_over && inputs_pending > 0);
            if may_be_told && Instant::now() >= look_at {
                match self.look().await {
                    Ok(Looked::Told) => {}
                    Ok(Looked::Nothing) => {
                        is_inbox_empty = true;
                        look_at = Instant::now() + ANSWER_POLL;
                    }
                    Err(ending) => return ending,
                }
                continue;
            }
            let has_nothing_to_do = is_over && asked_at.is_none() && (!may_be_told || is_inbox_empty);
            if has_nothing_to_do {
                self.process.close_stdin();
            }
            let wait_until = match (turn, asked_at) {
                (_, None) | (Turn::Running, _) => None,
                (Turn::Only, Some(asked_at)) => Some(asked_at + self.patience.wait_live),
                (Turn::Over(at), Some(asked_at)) => Some(at.max(asked_at) + self.patience.wait_live),
            };
            let linger_until = match turn {
                Turn::Over(at) if has_nothing_to_do => Some(at + LINGER_LIMIT),
                _ => None,
            };
            tokio::select! {
                status = self.process.wait() => match status {
                    Ok(status) => return Ending::Exited(status),
                    Err(error) => return Ending::Broken(error),
                },
                () = self.assignment.giving_up.cancelled() => return Ending::GivenUp,
                changed = hints.changed() => {
                    if changed.is_err() {
                        return Ending::Lost;
                    }
                    (look_at, is_inbox_empty) = (Instant::now(), false);
                }
                // The relay outlives this loop, so the receiver exists.
                _ = asking.changed() => (look_at, is_inbox_empty) = (Instant::now(), false),
                _ = turns.changed() => (look_at, is_inbox_empty) = (Instant::now(), false),
                () = sleep_until(look_at), if may_be_told => {}
                () = at(wait_until) => return Ending::Waiting,
                () = at(linger_until) => return Ending::Lingered,
                () = sleep_until(out_of_time) => return Ending::OutOfTime,
            }
        }
    }

    /// Delivers one input to the agent, if there is one.
    async fn look(&mut self) -> Result<Looked, Ending> {
        if !self.process.can_hear() && !self.assignment.hints.borrow().steer {
            // Its input is closed, so the answer will start a new run.
            return Ok(Looked::Nothing);
        }
        let _floor = self.relay.floor().await;
        let claimed = match self.assignment.reporter.claim().await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(Looked::Nothing),
            Err(ReportError::Lost) => return self.lost_or_cancelled().map(|()| Looked::Nothing),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an input could not be claimed");
                return Ok(Looked::Nothing);
            }
        };
        if !self.process.can_hear() {
            return self.defer(claimed.input_id).await;
        }
        let before = self.relay.told();
        if self.process.tell((self.line_of)(&claimed)).await.is_err() {
            // Not acknowledged, so the input returns to the inbox when the attempt ends.
            self.relay.not_told(before);
            return self.defer(claimed.input_id).await;
        }
        match self.assignment.reporter.ack(claimed.input_id).await {
            Ok(()) => Ok(Looked::Told),
            Err(ReportError::Lost) => self.lost_or_cancelled().map(|()| Looked::Nothing),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an input could not be acknowledged"
                );
                Ok(Looked::Nothing)
            }
        }
    }

    /// Defers the input, so that it does not count as delivered within the turn.
    async fn defer(&self, input: InputId) -> Result<Looked, Ending> {
        match self.assignment.reporter.defer(input, "the agent does not listen during its turn").await {
            Ok(()) => Ok(Looked::Nothing),
            Err(ReportError::Lost) => self.lost_or_cancelled().map(|()| Looked::Nothing),
            Err(error) => {
                // Unacknowledged, it returns to the inbox when the attempt ends.
                tracing::debug!(error = &error as &dyn std::error::Error, "an input could not be deferred");
                Ok(Looked::Nothing)
            }
        }
    }

    /// The server refuses calls of a cancelled attempt in the same way as those of a lost one: the next renewal shows which
    /// it is.
    fn lost_or_cancelled(&self) -> Result<(), Ending> {
        match self.assignment.hints.borrow().lease {
            LeaseState::Lost => Err(Ending::Lost),
            LeaseState::Held | LeaseState::Cancelled { .. } => Ok(()),
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Stops the agent as its ending requires, and waits until all its output was reported. `farewell` is sent to the agent
/// before it is stopped; it has half of the grace time to react.
pub(crate) async fn see_off(
    mut process: AgentProcess,
    relay: Relay,
    ending: Ending,
    patience: Patience,
    farewell: Option<Vec<u8>>,
) -> Result<Ended, Conclusion> {
    let status = match (&ending, farewell) {
        (Ending::Exited(status), _) => Ok(*status),
        (Ending::Lost, _) => process.kill().await,
        (_, Some(line)) => match process.dismiss(line, patience.grace / 2).await {
            Some(status) => status,
            None => process.stop(patience.grace / 2).await,
        },
        (_, None) => process.stop(patience.grace).await,
    };
    let exit_code = status.ok().and_then(|status| status.code());
    process.close_stdin();
    match ending {
        Ending::Lost => {
            relay.abort();
            Err(Conclusion::Abandon)
        }
        Ending::GivenUp => {
            // The worker is stopping; the server may be gone already.
            let _ = tokio::time::timeout(LAST_WORDS, relay.finish()).await;
            Err(Conclusion::Return { reason: "the worker stops".to_owned() })
        }
        // All output of the agent is stored before its end is reported.
        ending => Ok(Ended { ending, exit_code, said: relay.finish().await }),
    }
}

/// The report of an agent that could not even be started.
pub(crate) fn not_started(error: &io::Error) -> Conclusion {
    Conclusion::Report(Box::new(FinishAttempt {
        error: Some(format!("the command could not be started: {error}")),
        error_class: Some(ErrorClass::Retryable),
        ..FinishAttempt::new(ReportedOutcome::Error)
    }))
}
