//! The calls of a worker about itself: register, lease, renew, drain. The engine answers them.

use std::time::Duration;

use capstan_contract::command::{DrainWorker, LeaseAttempts, RegisterWorker, RenewLeases, Unconditional};
use capstan_contract::lease::{ANSWER_BYTES_MAX, LeasedAttempt, SLOTS_MAX, WAIT_MS_MAX};
use capstan_domain::Faults;
use capstan_domain::limits::{self, LABELS_BYTES_MAX, NAME_BYTES_MAX};
use capstan_domain::policy::{RUNTIME_TYPES, WORKSPACE_ACCESSES};
use schemars::JsonSchema;
use serde::Serialize;

use super::agent_config;
use super::wait::must_wait_at_most;
use super::worker_call::{Calling, WorkerCall};
use crate::answered::Answered;
use crate::problem::Problem;

/// Bytes of a list of attempts beside them, for as many as an answer has room for.
const BRACKETS_AND_COMMAS: usize = 1 << 10;

/// The wait of a long poll.
pub(crate) fn poll(wait_ms: u64) -> Result<Duration, Problem> {
    must_wait_at_most(WAIT_MS_MAX, wait_ms)?;
    Ok(Duration::from_millis(wait_ms))
}

impl<C> Calling<'_, C> {
    /// Returns when a long poll must end: the caller's token is no longer valid, or the server stops.
    pub(crate) async fn ended(&self) {
        tokio::select! {
            () = self.app.holders.until_refused(self.caller) => {}
            () = self.app.stopping.cancelled() => {}
        }
    }
}

impl WorkerCall for RegisterWorker {
    async fn execute(self, from: Calling<'_, Unconditional>) -> Result<Answered, Problem> {
        Problem::refuse(faults_of(&self))?;
        let registered = from.app.engine.within(from.caller.reach()).register(self).await?;
        Ok(Answered { status: 201, ..Answered::json(&registered) })
    }
}

fn faults_of(worker: &RegisterWorker) -> Faults {
    let mut faults = Faults::default();
    faults.require(!worker.name.trim().is_empty(), "/name", "name is required");
    faults.at_most("/name", &worker.name, NAME_BYTES_MAX);
    for (pointer, names) in [("/pools", &worker.pools), ("/capabilities/tools", &worker.capabilities.tools)] {
        limits::check_names(pointer, names.iter().map(String::as_str), &mut faults);
    }
    let labels = worker.labels.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let limit = format_args!("must be at most {LABELS_BYTES_MAX} bytes");
    faults.require(labels <= LABELS_BYTES_MAX, "/labels", limit);
    let are_some = (1..=SLOTS_MAX).contains(&worker.slots);
    faults.require(are_some, "/slots", format!("must be 1 to {SLOTS_MAX}"));
    let capabilities = &worker.capabilities;
    for (field, given, known) in [
        ("runtimes", &capabilities.runtimes, RUNTIME_TYPES),
        ("workspace_access", &capabilities.workspace_access, WORKSPACE_ACCESSES),
    ] {
        for (index, word) in given.iter().enumerate() {
            let is_known = known.contains(&word.as_str());
            let message = format_args!("must be one of {}", known.join(", "));
            faults.require(is_known, &format!("/capabilities/{field}/{index}"), message);
        }
    }
    faults
}

impl WorkerCall for LeaseAttempts {
    async fn execute(self, from: Calling<'_, Unconditional>) -> Result<Answered, Problem> {
        if self.max > SLOTS_MAX {
            return Err(Problem::invalid_field("/max", format!("must be {SLOTS_MAX} or less")));
        }
        let engine = from.app.engine.within(from.caller.reach());
        let wait = poll(self.wait_ms)?;
        let attempts = tokio::select! {
            attempts = engine.lease(self.worker_id, self.max, wait) => attempts?,
            // Dropping the poll tells the engine to give it nothing.
            () = from.ended() => Vec::<LeasedAttempt>::new(),
        };
        let mut given = Vec::with_capacity(attempts.len());
        let mut failure = None;
        for mut attempt in attempts {
            match agent_config::complete(from.app, &mut attempt).await {
                Ok(()) => given.push(attempt),
                // The others are given; this one is lost when its lease ends.
                Err(problem) => {
                    tracing::error!(
                        task.id = %attempt.task_id, attempt.id = %attempt.attempt_id, problem = %problem.detail,
                        "an attempt is not given to its worker: the configuration of its agent cannot be read"
                    );
                    failure = Some(problem);
                }
            }
        }
        match failure {
            Some(problem) if given.is_empty() => Err(problem),
            Some(_) | None => {
                let fitted = LeasedAttempt::fitted(&given, ANSWER_BYTES_MAX - BRACKETS_AND_COMMAS);
                Ok(Answered::json(&fitted.expect("an attempt is plain data")))
            }
        }
    }
}

impl WorkerCall for RenewLeases {
    async fn execute(self, from: Calling<'_, Unconditional>) -> Result<Answered, Problem> {
        let Self { worker_id, renewals, wait_ms } = self;
        let engine = from.app.engine.within(from.caller.reach());
        let wait = poll(wait_ms)?;
        let answers = tokio::select! {
            answers = engine.renew(worker_id, renewals.clone(), wait) => answers?,
            // The leases are renewed all the same, without waiting for news.
            () = from.ended() => engine.renew(worker_id, renewals, Duration::ZERO).await?,
        };
        Ok(Answered::json(&answers))
    }
}

/// The response to a drain.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Draining {
    /// Always true: the worker is leased nothing more.
    draining: bool,
}

impl WorkerCall for DrainWorker {
    async fn execute(self, from: Calling<'_, Unconditional>) -> Result<Answered, Problem> {
        from.app.engine.within(from.caller.reach()).drain(self.worker_id).await?;
        Ok(Answered::json(&Draining { draining: true }))
    }
}
