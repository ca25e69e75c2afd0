//! Commands that follow from the cost of a task.

use crate::id::BlockerId;
use crate::task::spending::Spending;

/// A budget the task draws on is spent: what runs is stopped, and the task waits.
#[derive(Clone, Debug, PartialEq)]
pub struct StopForBudget {
    /// The budget and the amount spent.
    pub spending: Spending,
    /// Grace of the worker to stop, in milliseconds.
    pub grace_ms: i64,
}

/// Most of a budget the task draws on is spent.
#[derive(Clone, Debug, PartialEq)]
pub struct WarnBudget {
    /// The budget and the amount spent.
    pub spending: Spending,
}

/// A budget has room again: a task that waits for it continues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiftBudget {
    /// The question it waits on.
    pub blocker_id: BlockerId,
}
