//! Requests that follow from what a task has cost.

use chrono::{DateTime, Utc};

use crate::id::BlockerId;
use crate::task::spending::Spending;

/// A budget the task draws on is spent: what runs is stopped, and the task waits.
#[derive(Clone, Debug, PartialEq)]
pub struct StopForBudget {
    /// Whose, and how much.
    pub spending: Spending,
    /// How long the worker has to stop, in milliseconds.
    pub grace_ms: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Most of a budget the task draws on is spent.
#[derive(Clone, Debug, PartialEq)]
pub struct WarnBudget {
    /// Whose, and how much.
    pub spending: Spending,
    /// When.
    pub at: DateTime<Utc>,
}

/// A budget has room again: a task that waits for it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiftBudget {
    /// The question it waits on.
    pub blocker_id: BlockerId,
    /// When.
    pub at: DateTime<Utc>,
}
