//! Budgets of a task.

use super::blocker::BudgetScope;
use crate::id::AgentId;
use crate::implied::At;

stored! {
/// Most of a budget is spent.
pub struct BudgetWarned {
    /// The owner of the budget.
    pub scope: BudgetScope,
    /// The agent whose budget it is; absent for that of a task or a workspace.
    pub agent_id: Option<AgentId>,
    /// The limit, in US dollars.
    #[serde(serialize_with = "crate::finite::serialize")]
    pub limit_usd: f64,
    /// Amount spent in US dollars.
    #[serde(serialize_with = "crate::finite::serialize")]
    pub spent_usd: f64,
    /// Time of the event.
    pub at: At,
}

/// A budget is spent: the task stops.
pub struct BudgetExceeded {
    /// The owner of the budget.
    pub scope: BudgetScope,
    /// The limit, in US dollars.
    #[serde(serialize_with = "crate::finite::serialize")]
    pub limit_usd: f64,
    /// Amount spent in US dollars.
    #[serde(serialize_with = "crate::finite::serialize")]
    pub spent_usd: f64,
    /// Time of the event.
    pub at: At,
}
}
