//! Stays with an agent until it ends or has to: brings it answers, and stops it when the server says so.

use std::io;
use std::time::Duration;

use capstan_client::ClaimedInput;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Patience;
use super::ending::{Ended, Ending};
use super::process::AgentProcess;
use super::relay::{Relay, Turn};
use crate::{Assignment, Conclusion, Hints, LeaseState, ReportError};

/// The server enforces the run's timeout; this much later the worker does it by itself.
const TIMEOUT_SLACK: Duration = Duration::from_secs(5);
/// How often an agent that can be spoken to looks for its input, should no hint come.
const ANSWER_POLL: Duration = Duration::from_secs(2);
/// How long the last lines of an attempt that is given up may take.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How long an agent may take to end once its last turn is over and its input is closed.
const LINGER_LIMIT: Duration = Duration::from_mins(1);
/// A limit for "none".
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// What goes on between the server and one agent.
pub(crate) struct Conversation<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) process: &'a mut AgentProcess,
    pub(crate) relay: &'a Relay,
    pub(crate) patience: Patience,
    /// How this kind of agent is told an input.
    pub(crate) line_of: fn(&ClaimedInput) -> Vec<u8>,
}

/// What became of a look into the inbox.
enum Looked {
    /// The agent has an input.
    Told,
    /// There is none for it, or it cannot be told.
    Nothing,
}

impl Conversation<'_> {
    /// Stays with the process until it ends or has to.
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
                // The relay outlives this loop, so there is always somebody to tell.
                _ = asking.changed() => (look_at, is_inbox_empty) = (Instant::now(), false),
                _ = turns.changed() => (look_at, is_inbox_empty) = (Instant::now(), false),
                () = sleep_until(look_at), if may_be_told => {}
                () = at(wait_until) => return Ending::Waiting,
                () = at(linger_until) => return Ending::Lingered,
                () = sleep_until(out_of_time) => return Ending::OutOfTime,
            }
        }
    }

    /// Takes one input, if there is one, to the agent.
    async fn look(&mut self) -> Result<Looked, Ending> {
        if !self.process.can_hear() && !self.assignment.hints.borrow().steer {
            // It closed its ears or never listened; its answer will begin a new run.
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

    /// Says that the agent cannot have the input now, so that nobody believes it reached the turn.
    async fn defer(&self, input: Uuid) -> Result<Looked, Ending> {
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

    /// The server refuses calls of an attempt that is to stop the same way as of one that is lost: the next renewal
    /// tells which it is.
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

/// Stops the agent as its ending asks for, and waits until everything it said was handed on. `farewell` is what the
/// agent is told before it is stopped; it has half of the grace to follow.
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
            // The worker is in a hurry; the server may be gone already.
            let _ = tokio::time::timeout(LAST_WORDS, relay.finish()).await;
            Err(Conclusion::Return { reason: "the worker stops".to_owned() })
        }
        // Everything the agent said is stored before its end is reported.
        ending => Ok(Ended { ending, exit_code, said: relay.finish().await }),
    }
}

/// The report of an agent that could not even be started.
pub(crate) fn not_started(error: &io::Error) -> Conclusion {
    Conclusion::Report(Box::new(capstan_client::RunResult {
        outcome: "error".to_owned(),
        error: Some(format!("the command could not be started: {error}")),
        error_class: Some("retryable".to_owned()),
        ..capstan_client::RunResult::default()
    }))
}
