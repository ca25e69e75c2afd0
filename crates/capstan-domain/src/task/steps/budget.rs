//! Usage and the budgets it is charged to.

use chrono::{DateTime, Utc};

use crate::task::event::{
    BlockerKind, BlockerOpened, BudgetExceeded, BudgetScope, BudgetWarned, Event, RunStatus, UsageRecorded,
};
use crate::task::spending::Spending;
use crate::task::state::{Live, Task};
use crate::task::steps::{blocker, run};
use crate::task::transitions::TaskState;
use crate::usage::Usage;

/// Grace of a worker whose own report exceeds the budget, in milliseconds.
const GRACE_MS: i64 = 10_000;

/// Records what an attempt used, as [`Usage::reported`] filled it in, and what follows for the task's own budget. `continues`: the attempt continues unless
/// it is stopped here. The usage in a final report stops nothing: the end is settled as usual, and the budget prevents
/// the next lease.
pub(in crate::task) fn record_usage(
    task: &Task,
    live: &Live,
    usage: Usage,
    continues: bool,
    at: DateTime<Utc>,
) -> Vec<Event> {
    if usage.is_empty() {
        return Vec::new();
    }
    let cost_usd = usage.cost_usd;
    let mut events = vec![Event::UsageRecorded(UsageRecorded {
        run_id: live.run_id,
        attempt_id: live.attempt_id.clone(),
        agent_id: Some(task.accepted.agent_id),
        usage,
        at,
    })];
    let Some(before) = task.own_budget().filter(|_| cost_usd > 0.0) else { return events };
    let now = Spending { spent_usd: before.spent_usd + cost_usd, ..before };
    events.extend(warning(task, now, at));
    if !now.is_exceeded() || before.is_exceeded() {
        return events;
    }
    if continues && task.state == TaskState::Running {
        stop(task, now, GRACE_MS, at, &mut events);
    } else {
        events.push(exceeded(now, at));
    }
    events
}

/// The warning that is due: one for each limit, and for a workspace one for each day.
pub(in crate::task) fn warning(task: &Task, spending: Spending, at: DateTime<Utc>) -> Option<Event> {
    let Spending { scope, limit_usd, spent_usd } = spending;
    let is_same = |warned: &BudgetWarned| {
        warned.limit_usd.total_cmp(&limit_usd).is_eq()
            && (scope != BudgetScope::Workspace || warned.at.date_naive() == at.date_naive())
    };
    if !spending.is_almost_exceeded() || task.warned.get(&scope).is_some_and(is_same) {
        return None;
    }
    let agent_id = (scope == BudgetScope::Agent).then_some(task.accepted.agent_id);
    Some(Event::BudgetWarned(BudgetWarned { scope, agent_id, limit_usd, spent_usd, at }))
}

fn exceeded(Spending { scope, limit_usd, spent_usd }: Spending, at: DateTime<Utc>) -> Event {
    Event::BudgetExceeded(BudgetExceeded { scope, limit_usd, spent_usd, at })
}

/// Stops what runs and makes the task wait for a larger budget.
pub(in crate::task) fn stop(
    task: &Task,
    spending: Spending,
    grace_ms: i64,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    let Some(live) = task.working_attempt() else { return };
    let reason = spending.summary();
    events.push(exceeded(spending, at));
    run::stop_run(task, RunStatus::Cancelled, Some(reason.clone()), grace_ms, at, events);
    let details = "The task continues by itself once there is room: raise the budget or clear it.".to_owned();
    events.push(Event::BlockerOpened(BlockerOpened {
        details: Some(details),
        budget: Some(spending.scope),
        ..blocker::question(task, live.run_id, BlockerKind::Budget, reason, at)
    }));
}
