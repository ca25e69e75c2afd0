//! The reasons a queued task does not run.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TaskId;
use crate::task::event::BudgetScope;

/// One reason a queued task waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all = "snake_case")]
#[schemars(rename = "QueueReason")]
pub enum WaitingReason {
    /// Its next try is not due yet.
    RetryDelay {
        /// The instant of the tick.
        until: DateTime<Utc>,
    },
    /// Another attempt of its session lives, or is being stopped.
    SessionBusy {
        /// The task that holds the session; the task itself while its own cancelled attempt still stops.
        task_id: TaskId,
    },
    /// Its execution class runs as many attempts as it may.
    ClassFull {
        /// Attempts that live.
        running: u32,
        /// The limit.
        limit: u32,
    },
    /// Too many attempts of its execution class failed in a row: nothing of the class is given out for a while.
    ClassDegraded {
        /// The instant of the next trial.
        until: DateTime<Utc>,
    },
    /// Its execution class was switched off.
    ClassInactive,
    /// A budget it draws on is spent.
    BudgetExceeded {
        /// The owner of the budget.
        scope: BudgetScope,
        /// The limit, in US dollars.
        #[serde(serialize_with = "crate::finite::serialize")]
        limit_usd: f64,
        /// Amount spent in US dollars.
        #[serde(serialize_with = "crate::finite::serialize")]
        spent_usd: f64,
    },
    /// No worker is registered.
    NoWorker,
    /// Workers are registered, but none satisfies the run's policy.
    NoCapableWorker,
    /// Other tasks of the workspace go first.
    BehindOthers {
        /// The one right before it in its session or class, or the workspace's next.
        task_id: TaskId,
    },
    /// It is next in its workspace; a worker that can run it must ask for work.
    WaitingForSlot,
    /// It was picked; the lease is being recorded.
    BeingLeased,
}
