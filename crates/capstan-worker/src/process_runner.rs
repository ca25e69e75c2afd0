//! Runs each attempt as a process.

mod ending;
mod environment;
mod line_splitter;
mod message;
mod process;
mod relay;
mod stdin;

use std::time::Duration;

use async_trait::async_trait;
use capstan_client::RunResult;
use tokio::time::{Instant, sleep_until};

use self::ending::{Ending, result_of};
use self::process::AgentProcess;
use self::relay::Relay;
pub use self::stdin::StdinMode;
use crate::{Assignment, Conclusion, LeaseState, ReportError, Runner};

/// The server enforces the run's timeout; this much later the worker does it by itself.
const TIMEOUT_SLACK: Duration = Duration::from_secs(5);
/// How often an agent that waits looks for its answer, should no hint come.
const ANSWER_POLL: Duration = Duration::from_secs(2);
/// How long the last lines of an attempt that is given up may take.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// A limit for "none".
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// How processes are run.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// The command line, given to `sh -c`.
    pub command: String,
    /// When the agent's standard input is closed.
    pub stdin: StdinMode,
    /// Environment variables of the worker that the agent gets besides the harmless ones (`PATH`, `HOME`, `LANG` …).
    pub pass_env: Vec<String>,
    /// How long an agent that was asked to stop may take before it is killed.
    pub grace: Duration,
    /// How long an agent that waits for an answer is kept alive. Afterwards it is stopped, and the answer will begin a
    /// new run of the same session.
    pub wait_live: Duration,
}

impl ProcessConfig {
    /// Runs this command line; 10 s of grace, 60 s of waiting.
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            stdin: StdinMode::default(),
            pass_env: Vec::new(),
            grace: Duration::from_secs(10),
            wait_live: Duration::from_mins(1),
        }
    }
}

/// Runs each attempt as a process that speaks the line protocol of `docs/worker-protocol.md`.
#[derive(Clone, Debug)]
pub struct ProcessRunner {
    config: ProcessConfig,
}

impl ProcessRunner {
    /// A runner for this command line.
    pub fn new(config: ProcessConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    async fn run(&self, assignment: Assignment) -> Conclusion {
        let environment =
            environment::of_attempt(&assignment.leased, &self.config.pass_env, std::env::vars());
        let (prompt, interactive) = (&assignment.leased.prompt, is_interactive(&assignment.leased.policy));
        let spawned = AgentProcess::spawn(&self.config, environment, prompt, interactive).await;
        let mut process = match spawned {
            Ok(process) => process,
            Err(error) => {
                return Conclusion::Report(Box::new(RunResult {
                    outcome: "error".to_owned(),
                    error: Some(format!("the command could not be started: {error}")),
                    error_class: Some("retryable".to_owned()),
                    ..RunResult::default()
                }));
            }
        };
        let relay = Relay::start(assignment.reporter.clone(), process.take_lines());
        let ending = self.accompany(&assignment, &mut process, &relay).await;
        let status = match &ending {
            Ending::Exited(status) => Ok(*status),
            Ending::Lost => process.kill().await,
            _ => process.stop(self.config.grace).await,
        };
        let exit_code = status.ok().and_then(|status| status.code());
        process.close_stdin();
        if matches!(ending, Ending::Lost) {
            relay.abort();
            return Conclusion::Abandon;
        }
        if matches!(ending, Ending::GivenUp) {
            // The worker is in a hurry; the server may be gone already.
            let _ = tokio::time::timeout(LAST_WORDS, relay.finish()).await;
            return Conclusion::Abandon;
        }
        // Everything the agent said is stored before its end is reported.
        let said = relay.finish().await;
        Conclusion::Report(Box::new(result_of(&ending, exit_code, said)))
    }
}

fn is_interactive(policy: &serde_json::Value) -> bool {
    policy.get("interactive").and_then(serde_json::Value::as_bool).unwrap_or(true)
}

impl ProcessRunner {
    /// Stays with the process until it ends or has to.
    async fn accompany(&self, assignment: &Assignment, process: &mut AgentProcess, relay: &Relay) -> Ending {
        let mut hints = assignment.hints.clone();
        let mut asking = relay.asking();
        let limit = u64::try_from(assignment.leased.timeout_ms).ok().filter(|limit| *limit > 0);
        let limit = limit.map_or(FOR_EVER, |limit| Duration::from_millis(limit) + TIMEOUT_SLACK);
        let out_of_time = Instant::now() + limit;
        let mut look_at = Instant::now();
        loop {
            let lease = hints.borrow_and_update().lease.clone();
            match lease {
                LeaseState::Lost => return Ending::Lost,
                LeaseState::Cancelled { reason } => return Ending::Cancelled(reason),
                LeaseState::Held => {}
            }
            let asked_at = *asking.borrow_and_update();
            let wait_until = asked_at.map_or(out_of_time, |asked_at| asked_at + self.config.wait_live);
            if asked_at.is_some() && Instant::now() >= look_at {
                match self.answer(assignment, process, relay).await {
                    Ok(()) => look_at = Instant::now() + ANSWER_POLL,
                    Err(ending) => return ending,
                }
                continue;
            }
            tokio::select! {
                status = process.wait() => match status {
                    Ok(status) => return Ending::Exited(status),
                    Err(error) => return Ending::Broken(error),
                },
                () = assignment.giving_up.cancelled() => return Ending::GivenUp,
                changed = hints.changed() => {
                    if changed.is_err() {
                        return Ending::Lost;
                    }
                    look_at = Instant::now();
                }
                // The relay outlives this loop, so there is always somebody to tell.
                _ = asking.changed() => look_at = Instant::now(),
                () = sleep_until(look_at), if asked_at.is_some() => {}
                () = sleep_until(wait_until), if asked_at.is_some() => return Ending::Waiting,
                () = sleep_until(out_of_time) => return Ending::OutOfTime,
            }
        }
    }

    /// Takes one input, if there is one, to the agent that waits for it.
    async fn answer(
        &self,
        assignment: &Assignment,
        process: &mut AgentProcess,
        relay: &Relay,
    ) -> Result<(), Ending> {
        if !process.can_hear() {
            // It closed its ears or never listened; its answer will begin a new run.
            return Ok(());
        }
        let claimed = match assignment.reporter.claim().await {
            Ok(Some(claimed)) => claimed,
            Ok(None) => return Ok(()),
            Err(ReportError::Lost) => return lost_or_cancelled(assignment),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an input could not be claimed");
                return Ok(());
            }
        };
        relay.answered();
        if process.hear(&claimed).await.is_err() {
            // Not acknowledged, so the input returns to the inbox when the attempt ends.
            relay.still_asking();
            return Ok(());
        }
        match assignment.reporter.ack(claimed.input_id).await {
            Ok(()) => Ok(()),
            Err(ReportError::Lost) => lost_or_cancelled(assignment),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "an input could not be acknowledged"
                );
                Ok(())
            }
        }
    }
}

/// The server refuses calls of an attempt that is to stop the same way as of one that is lost: the next renewal tells
/// which it is.
fn lost_or_cancelled(assignment: &Assignment) -> Result<(), Ending> {
    match assignment.hints.borrow().lease {
        LeaseState::Lost => Err(Ending::Lost),
        LeaseState::Held | LeaseState::Cancelled { .. } => Ok(()),
    }
}
