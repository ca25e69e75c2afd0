//! Runs of a task, and the attempt that holds the lease.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{AttemptId, InputId, RunId, WorkerId};
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
    /// Its number within the task, from 1.
    pub run_no: u32,
    /// The reason it was requested.
    pub cause: RunCause,
    /// Its status.
    pub status: RunStatus,
    /// True once a worker began it, asked on its behalf or ended it successfully: the agent has its prompt.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub delivered: bool,
    /// The agent's prompt, unless it is the task's message; dropped when the next run is requested
    /// ([`Task::prompt`](super::Task::prompt)).
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub prompt: Option<String>,
    /// The run whose session it resumes.
    #[serde(default, with = "crate::implied::optional_run", skip_serializing_if = "Option::is_none")]
    pub resumed_from: Option<RunId>,
    /// Attempts so far.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub attempts: u32,
    /// Attempts that failed because of the agent.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub failed: u32,
    /// Attempts that were lost, returned or rate limited.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub lost: u32,
}

/// The runs of a task. Those that are over have left, but for the newest and the one whose attempt holds the lease while it
/// stops.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Runs {
    /// The runs that did not leave, oldest first: at most two.
    pub kept: Vec<Run>,
    /// The newest run that left and whose prompt an agent has.
    #[serde(default, with = "crate::implied::optional_run", skip_serializing_if = "Option::is_none")]
    pub delivered: Option<RunId>,
}

impl Runs {
    /// Runs requested so far.
    pub fn count(&self) -> u32 {
        self.last().map_or(0, |run| run.run_no)
    }

    /// The newest run.
    pub fn last(&self) -> Option<&Run> {
        self.kept.last()
    }

    /// The newest run whose prompt an agent has: its session is resumed.
    pub(in crate::task) fn last_delivered(&self) -> Option<RunId> {
        self.kept.iter().rev().find(|run| run.delivered).map(|run| run.run_id).or(self.delivered)
    }

    /// `live` is the run of the attempt that holds the lease.
    pub(in crate::task) fn requested(
        &mut self,
        e: &RunRequested,
        prompt: Option<String>,
        live: Option<RunId>,
    ) {
        // Kept until now so that a prompt that reached no agent can be delivered again.
        if let Some(last) = self.kept.last_mut() {
            last.prompt = None;
        }
        self.leave(|run| live == Some(run.run_id));
        self.kept.push(Run {
            run_id: e.run_id,
            run_no: e.run_no,
            cause: e.cause,
            status: RunStatus::Accepted,
            delivered: false,
            prompt,
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
            // A run that was stopped is over before its attempt reports.
            if run.status == RunStatus::Accepted {
                run.status = RunStatus::Running;
            }
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
        let newest = self.count();
        self.leave(|run| run.run_no == newest);
    }

    /// A task that is done is not retried: nothing reads what its agent was told.
    pub(in crate::task) fn task_done(&mut self) {
        if let Some(run) = self.kept.last_mut() {
            run.prompt = None;
        }
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
        let is_first = self.count() == 1;
        if let Some(run) = self.kept.last_mut() {
            if is_first && run.cause == RunCause::Accepted && !run.delivered {
                run.prompt = None;
            } else {
                run.prompt.get_or_insert_with(|| old.to_owned());
            }
        }
    }

    fn change(&mut self, run_id: RunId, change: impl FnOnce(&mut Run)) {
        if let Some(run) = self.kept.iter_mut().rev().find(|run| run.run_id == run_id) {
            change(run);
        }
    }

    fn leave(&mut self, stays: impl Fn(&Run) -> bool) {
        let delivered = self.kept.iter().rev().find(|run| run.delivered && !stays(run)).map(|run| run.run_id);
        self.delivered = delivered.or(self.delivered);
        self.kept.retain(stays);
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
    /// True once it is recorded that the worker executes it.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub is_started: bool,
    /// The input it acknowledged last, so that a repeated acknowledgement is known.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub acknowledged: Option<InputId>,
    /// Set when it is to stop: the session stays taken until it has stopped, at most until then.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
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
            is_started: false,
            acknowledged: None,
            cancel_grace_until: None,
        }
    }
}
