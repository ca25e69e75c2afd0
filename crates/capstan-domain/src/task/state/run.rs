//! Runs of a task, and the attempt that holds the lease.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, RunId, WorkerId};
use crate::outcome_text::ErrorClass;
use crate::task::event::{
    AttemptEnded, AttemptLeased, AttemptOutcome, AttemptStarted, BlockerKind, BlockerOpened, RetryScheduled,
    RunCause, RunEnded, RunRequested, RunStatus,
};

/// A run, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run's id.
    #[serde(with = "crate::implied::run")]
    pub run_id: RunId,
    /// The reason it was requested.
    pub cause: RunCause,
    /// Its status.
    pub status: RunStatus,
    /// True once a worker began it, asked on its behalf or ended it successfully: the agent has its prompt.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub delivered: bool,
    /// The agent's prompt, unless it is the task's message; dropped when the next run is requested
    /// ([`Task::prompt`](super::Task::prompt)).
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub prompt: Option<String>,
    /// The run whose session it resumes.
    #[serde(default, with = "crate::implied::optional_run", skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<RunId>,
    /// Attempts so far.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub attempts: u32,
    /// Attempts that failed because of the agent.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub failed: u32,
    /// Attempts that were lost, returned or rate limited.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub lost: u32,
}

/// All runs of a task, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Runs(pub Vec<Run>);

reads_as!(Runs, [Run]);

impl Runs {
    pub(in crate::task) fn requested(&mut self, e: &RunRequested, message: &str) {
        // Kept until now so that a prompt that reached no agent can be delivered again.
        if let Some(last) = self.0.last_mut() {
            last.prompt = None;
        }
        self.0.push(Run {
            run_id: e.run_id,
            cause: e.cause,
            status: RunStatus::Accepted,
            delivered: false,
            prompt: Some(&e.prompt).filter(|prompt| *prompt != message).cloned(),
            resumed_from: e.resumed_from_run_id,
            attempts: 0,
            failed: 0,
            lost: 0,
        });
    }

    pub(in crate::task) fn leased(&mut self, e: &AttemptLeased) {
        self.change(e.run_id, |run| run.attempts = e.attempt_no);
    }

    pub(in crate::task) fn started(&mut self, e: &AttemptStarted) {
        self.change(e.run_id, |run| {
            run.status = RunStatus::Running;
            run.delivered = true;
        });
    }

    pub(in crate::task) fn attempt_ended(&mut self, e: &AttemptEnded) {
        self.change(e.run_id, |run| match (e.outcome, e.error_class) {
            (AttemptOutcome::Lost, _) | (AttemptOutcome::Error, Some(ErrorClass::RateLimited)) => {
                run.lost = run.lost.saturating_add(1);
            }
            (AttemptOutcome::Error, _) => run.failed = run.failed.saturating_add(1),
            // Only an agent that has its prompt can succeed.
            (AttemptOutcome::Ok, _) => run.delivered = true,
            (AttemptOutcome::Timeout | AttemptOutcome::Cancelled, _) => {}
        });
    }

    pub(in crate::task) fn retry_scheduled(&mut self, e: &RetryScheduled) {
        self.change(e.run_id, |run| run.status = RunStatus::Accepted);
    }

    pub(in crate::task) fn ended(&mut self, e: &RunEnded) {
        self.change(e.run_id, |run| run.status = e.status);
    }

    pub(in crate::task) fn asked(&mut self, e: &BlockerOpened) {
        // A budget stops a run whether or not its agent has the prompt.
        if e.kind != BlockerKind::Budget {
            self.change(e.run_id, |run| run.delivered = true);
        }
    }

    /// The task's message changes. The first run delivers the current one when a worker begins it, not the one at the time
    /// of the request; any other keeps the `old` one.
    pub(in crate::task) fn message_changed(&mut self, old: &str) {
        let is_only = self.0.len() == 1;
        if let Some(run) = self.0.last_mut() {
            if is_only && run.cause == RunCause::Accepted && !run.delivered {
                run.prompt = None;
            } else {
                run.prompt.get_or_insert_with(|| old.to_owned());
            }
        }
    }

    fn change(&mut self, run_id: RunId, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.0.iter_mut().rev().find(|run| run.run_id == run_id) {
            change(run);
        }
    }
}

/// The attempt that holds the lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The attempt's id; it names the lease epoch.
    #[serde(with = "crate::implied::attempt")]
    pub attempt_id: AttemptId,
    /// Its run.
    #[serde(with = "crate::implied::run")]
    pub run_id: RunId,
    /// Its number within the run, from 1.
    pub attempt_no: u32,
    /// The worker that holds the lease.
    pub worker_id: WorkerId,
    /// Time the lease lasts without renewal, in milliseconds.
    pub lease_ms: i64,
    /// Start of the lease.
    pub leased_at: DateTime<Utc>,
    /// The instant the worker began, if it has.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub started_at: Option<DateTime<Utc>>,
    /// Set when it is to stop: the session stays taken until it has stopped, at most until then.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub cancel_grace_until: Option<DateTime<Utc>>,
}

impl Live {
    pub(in crate::task) fn leased(e: &AttemptLeased) -> Self {
        Self {
            attempt_id: e.attempt_id.clone(),
            run_id: e.run_id,
            attempt_no: e.attempt_no,
            worker_id: e.worker_id,
            lease_ms: e.lease_ms,
            leased_at: e.leased_at,
            started_at: None,
            cancel_grace_until: None,
        }
    }
}
