//! Budgets and what is spent of them.

use crate::task::event::BudgetScope;

/// The part of a limit at which people are warned.
const SOFT_MARK: f64 = 0.8;

/// A budget and what is spent of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spending {
    /// The owner of the budget.
    pub scope: BudgetScope,
    /// Limit in US dollars.
    pub limit_usd: f64,
    /// Amount spent in US dollars.
    pub spent_usd: f64,
}

impl Spending {
    /// True at the hard mark. Nothing spent exceeds nothing: a budget of zero lets a task begin and ends it with its first
    /// cost.
    pub fn is_exceeded(self) -> bool {
        self.spent_usd > 0.0 && self.spent_usd >= self.limit_usd
    }

    /// True from the soft mark on.
    pub fn is_almost_exceeded(self) -> bool {
        self.spent_usd > 0.0 && self.spent_usd >= self.limit_usd * SOFT_MARK
    }

    /// The summary of the blocker that asks for a larger budget.
    pub(super) fn summary(self) -> String {
        let whose = match self.scope {
            BudgetScope::Task => "this task",
            BudgetScope::Agent => "its agent",
            BudgetScope::Workspace => "the workspace today",
        };
        format!("The budget of {whose} is spent: {:.2} of {:.2} US dollars", self.spent_usd, self.limit_usd)
    }
}
