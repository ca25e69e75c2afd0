//! What a task may cost (domain.md 7).
//!
//! Three budgets bind a task: its own with everything below it, its agent's, and its workspace's for the day. Its own is
//! judged here, in the same decision as the usage that exceeds it; what others spend of a shared one is known to the
//! engine, which says so with commands.
//!
//! At the soft mark people are warned, once for each limit. At the hard mark what runs is stopped cooperatively and the task
//! waits on a blocker that only more room ends. A task that waits in the queue stays there and is not leased; one that
//! waits for an answer is stopped when it goes on.

use chrono::{DateTime, Utc};

use crate::task::command::{LiftBudget, StopForBudget, WarnBudget};
use crate::task::decide::{request_run_with_inputs, stop_run};
use crate::task::event::{
    BlockerKind, BlockerOpened, BlockerStatus, BudgetExceeded, BudgetScope, BudgetWarned, Event, RunCause,
    RunStatus,
};
use crate::task::state::{Task, TaskState};
use crate::task::{approval, blocker};

/// The part of a limit at which people are warned.
const SOFT_MARK: f64 = 0.8;
/// How long a worker has to stop when its own report exceeds the budget, in milliseconds.
const GRACE_MS: i64 = 10_000;

/// A budget and what is spent of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spending {
    /// Whose.
    pub scope: BudgetScope,
    /// The limit, in US dollars.
    pub limit_usd: f64,
    /// What is spent of it, in US dollars.
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

    /// For people.
    fn told(self) -> String {
        let whose = match self.scope {
            BudgetScope::Task => "this task",
            BudgetScope::Agent => "its agent",
            BudgetScope::Workspace => "the workspace today",
        };
        format!("The budget of {whose} is spent: {:.2} of {:.2} US dollars", self.spent_usd, self.limit_usd)
    }
}

impl Task {
    /// What it cost so far, together with children that are over, in US dollars.
    pub fn spent_usd(&self) -> f64 {
        let ended = self.children.values().filter_map(|child| child.ended.as_ref());
        ended.fold(self.cost_usd, |sum, child| sum + child.cost_usd)
    }
}

/// The task's own budget, as far as the task knows what was spent.
pub fn own(task: &Task) -> Option<Spending> {
    let limit_usd = task.accepted.budget_usd?;
    Some(Spending { scope: BudgetScope::Task, limit_usd, spent_usd: task.spent_usd() })
}

/// What follows for the task's own budget from the usage among `events`. `is_live`: the attempt goes on unless it is
/// stopped here; a report of its end stops nothing, the end is settled as always and the budget keeps the task from
/// its next lease.
pub(super) fn after_usage(task: &Task, is_live: bool, at: DateTime<Utc>, events: &mut Vec<Event>) {
    let used = |event: &Event| if let Event::UsageRecorded(used) = event { used.usage.cost_usd } else { 0.0 };
    let used: f64 = events.iter().map(used).sum();
    let Some(before) = own(task).filter(|_| used > 0.0) else { return };
    let now = Spending { spent_usd: before.spent_usd + used, ..before };
    events.extend(warning(task, now, at));
    if !now.is_exceeded() || before.is_exceeded() {
        return;
    }
    if is_live && task.state == TaskState::Running {
        stop(task, now, GRACE_MS, at, events);
    } else {
        events.push(exceeded(now, at));
    }
}

pub(super) fn stop_for(task: &Task, command: &StopForBudget) -> Vec<Event> {
    let mut events = Vec::new();
    if command.spending.is_exceeded() && task.state == TaskState::Running {
        stop(task, command.spending, command.grace_ms, command.at, &mut events);
    }
    events
}

pub(super) fn warn(task: &Task, command: &WarnBudget) -> Vec<Event> {
    warning(task, command.spending, command.at).into_iter().collect()
}

/// Resumes the session: the stopped run ended undone. What never reached the agent is said now.
pub(super) fn lift(task: &Task, command: &LiftBudget) -> Vec<Event> {
    let waits = |blocker: &&crate::task::state::Blocker| {
        blocker.opened.kind == BlockerKind::Budget && blocker.opened.blocker_id == command.blocker_id
    };
    let Some(blocker) = task.blocker.as_ref().filter(waits) else { return Vec::new() };
    let mut run = request_run_with_inputs(task, None, None, command.at);
    if let Event::RunRequested(run) = &mut run {
        run.cause = RunCause::Budget;
        if run.prompt.is_empty() {
            run.prompt.push_str("There is budget again. Go on where you were stopped.");
        }
    }
    vec![approval::closed(blocker, BlockerStatus::Resolved, None, None, command.at), run]
}

/// The warning that is due: one for each limit, and for a workspace one for each day.
fn warning(task: &Task, spending: Spending, at: DateTime<Utc>) -> Option<Event> {
    let Spending { scope, limit_usd, spent_usd } = spending;
    let is_same = |warned: &BudgetWarned| {
        warned.limit_usd.total_cmp(&limit_usd).is_eq()
            && (scope != BudgetScope::Workspace || warned.at.date_naive() == at.date_naive())
    };
    if !spending.is_almost_exceeded() || task.warned.get(&scope).is_some_and(is_same) {
        return None;
    }
    let agent_id = Some(task.accepted.agent_id);
    Some(Event::BudgetWarned(BudgetWarned { scope, agent_id, limit_usd, spent_usd, at }))
}

fn exceeded(Spending { scope, limit_usd, spent_usd }: Spending, at: DateTime<Utc>) -> Event {
    Event::BudgetExceeded(BudgetExceeded { scope, limit_usd, spent_usd, at })
}

fn stop(task: &Task, spending: Spending, grace_ms: i64, at: DateTime<Utc>, events: &mut Vec<Event>) {
    let Some(live) = task.working_attempt() else { return };
    let reason = spending.told();
    events.push(exceeded(spending, at));
    stop_run(task, RunStatus::Cancelled, Some(reason.clone()), grace_ms, at, events);
    let details = "The task goes on by itself once there is room: raise the budget or clear it.".to_owned();
    events.push(Event::BlockerOpened(BlockerOpened {
        details: Some(details),
        budget: Some(spending.scope),
        ..blocker::question(task, live.run_id, BlockerKind::Budget, reason, at)
    }));
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::{Given, given};

    use super::*;
    use crate::task::TaskDecider;
    use crate::task::command::{Accept, Command, Finish, RecordUsage};
    use crate::task::event::AttemptOutcome;
    use crate::task::fixture::{
        accept, accepting, ask, at, attempt, blocker_id, failure, finishing, kinds, lease, release_after,
        report, run, say, start, task_of,
    };
    use crate::task::rejection::Rejection;
    use crate::usage::Usage;

    fn with_budget(budget_usd: f64) -> Given<TaskDecider> {
        let accept = Accept { budget_usd: Some(budget_usd), ..accept() };
        given::<TaskDecider>([]).and(accepting(accept)).and(lease(1, 10)).and(start(1, 11))
    }

    fn costs(cost_usd: f64) -> Usage {
        Usage { cost_usd, ..Usage::default() }
    }

    fn spend(cost_usd: f64) -> Command {
        Command::RecordUsage(RecordUsage { attempt_id: attempt(1), usage: costs(cost_usd), at: at(17) })
    }

    fn agent_spent(spent_usd: f64) -> Spending {
        Spending { scope: BudgetScope::Agent, limit_usd: 10.0, spent_usd }
    }

    fn stop_for_agent(spent_usd: f64) -> Command {
        Command::StopForBudget(StopForBudget { spending: agent_spent(spent_usd), grace_ms: 1000, at: at(18) })
    }

    fn lift(revision: u32) -> Command {
        Command::LiftBudget(LiftBudget { blocker_id: blocker_id(revision), at: at(60) })
    }

    #[test]
    fn the_usage_that_reaches_the_limit_stops_the_run_in_the_same_decision() {
        with_budget(1.0).when(spend(1.0)).then_with(|events, state| {
            let expected =
                ["usage", "budget warned", "budget exceeded", "stop requested", "run ended", "asked"];
            assert_eq!(kinds(events), expected);
            let task = state.as_ref().unwrap();
            let opened = &task.blocker.as_ref().unwrap().opened;
            assert_eq!((opened.kind, opened.budget), (BlockerKind::Budget, Some(BudgetScope::Task)));
            assert_eq!((task.state, task.runs[0].status), (TaskState::Waiting, RunStatus::Cancelled));
            assert_eq!(task.live.as_ref().unwrap().cancel_grace_until, Some(at(27)));
        });
    }

    #[test]
    fn people_are_warned_once_at_the_soft_mark() {
        with_budget(1.0).when(spend(0.79)).then_with(|events, _| assert_eq!(kinds(events), ["usage"]));
        let warned = || with_budget(1.0).and(spend(0.8));
        with_budget(1.0)
            .when(spend(0.8))
            .then_with(|events, _| assert_eq!(kinds(events), ["usage", "budget warned"]));
        warned().when(spend(0.1)).then_with(|events, _| assert_eq!(kinds(events), ["usage"]));
    }

    #[test]
    fn a_task_without_a_budget_may_cost_anything() {
        let unlimited = crate::task::fixture::started();
        unlimited.when(spend(1e6)).then_with(|events, _| assert_eq!(kinds(events), ["usage"]));
    }

    #[test]
    fn the_last_report_of_an_attempt_is_settled_as_always_and_the_next_lease_is_refused() {
        let dear = Finish { usage: Some(costs(2.0)), ..report(1, AttemptOutcome::Ok) };
        with_budget(1.0).when(finishing(dear)).then_with(|events, state| {
            let expected =
                ["usage", "budget warned", "budget exceeded", "attempt ended", "run ended", "done"];
            assert_eq!(kinds(events), expected);
            assert_eq!(state.as_ref().unwrap().state, TaskState::Done);
        });
        let failed =
            Finish { usage: Some(costs(2.0)), ..failure(1, crate::outcome_text::ErrorClass::Retryable) };
        let queued = with_budget(1.0).and(finishing(failed));
        assert_eq!(task_of(&queued).state, TaskState::Queued);
        queued
            .when(lease(1, 60))
            .then_rejected(Rejection::illegal("leasing over its budget", TaskState::Queued));
    }

    #[test]
    fn a_question_stays_open_and_the_run_is_stopped_when_it_goes_on() {
        with_budget(1.0).and(ask(1, "which?")).when(spend(1.0)).then_with(|events, state| {
            assert_eq!(kinds(events), ["usage", "budget warned", "budget exceeded"]);
            assert_eq!(state.as_ref().unwrap().blocker.as_ref().unwrap().opened.kind, BlockerKind::Input);
        });
    }

    #[test]
    fn room_resumes_the_session_with_what_was_left_unsaid() {
        let stopped = || with_budget(1.0).and(say(1, "and this")).and(spend(1.0));
        stopped().when(lift(1)).then_with(|events, state| {
            assert_eq!(kinds(events), ["answered", "run requested"]);
            let task = state.as_ref().unwrap();
            let last = task.current_run().unwrap();
            assert_eq!((last.cause, last.prompt.as_str()), (RunCause::Budget, "and this"));
            assert_eq!(last.resumed_from, Some(run(1)));
        });
        stopped().when(lift(2)).then_nothing();
        with_budget(1.0).when(lift(1)).then_nothing();
    }

    #[test]
    fn a_run_that_was_stopped_before_it_began_is_told_its_command_again() {
        let stopped = crate::task::fixture::leased().and(stop_for_agent(10.0));
        stopped.when(lift(1)).then_with(|_, state| {
            let task = state.as_ref().unwrap();
            assert_eq!(task.current_run().unwrap().prompt, "do it");
        });
    }

    #[test]
    fn shared_budgets_stop_what_runs_and_nothing_else() {
        let started = crate::task::fixture::started;
        started().when(stop_for_agent(10.0)).then_with(|events, state| {
            assert_eq!(kinds(events), ["budget exceeded", "stop requested", "run ended", "asked"]);
            assert_eq!(
                state.as_ref().unwrap().blocker.as_ref().unwrap().opened.budget,
                Some(BudgetScope::Agent)
            );
        });
        started().when(stop_for_agent(9.9)).then_nothing();
        started().and(stop_for_agent(10.0)).when(stop_for_agent(10.0)).then_nothing();
        crate::task::fixture::queued().when(stop_for_agent(10.0)).then_nothing();
        crate::task::fixture::waiting().when(stop_for_agent(10.0)).then_nothing();
    }

    #[test]
    fn a_warning_of_a_day_comes_again_the_next_day() {
        let warn = |seconds| {
            let spending = Spending { scope: BudgetScope::Workspace, limit_usd: 10.0, spent_usd: 9.0 };
            Command::WarnBudget(WarnBudget { spending, at: at(seconds) })
        };
        let queued = crate::task::fixture::queued;
        queued().when(warn(1)).then_with(|events, _| assert_eq!(kinds(events), ["budget warned"]));
        queued().and(warn(1)).when(warn(2)).then_nothing();
        queued().and(warn(1)).when(warn(90_000)).then_with(|events, _| assert_eq!(events.len(), 1));
    }

    #[test]
    fn the_stopped_attempt_may_confirm_while_the_task_waits() {
        let stopped = with_budget(1.0).and(spend(1.0));
        stopped.when(release_after(1, 28)).then_with(|events, state| {
            assert_eq!(kinds(events), ["attempt ended"]);
            assert_eq!(state.as_ref().unwrap().state, TaskState::Waiting);
        });
    }
}
