//! Budgets of a task.
//!
//! Three budgets bind a task: its own with its whole tree, its agent's, and its workspace's for the day. Its own is
//! checked in the same decision as the usage that exceeds it ([`steps::budget`](crate::task::steps::budget)). The engine
//! knows what is spent of a shared one and sends the commands of this file.
//!
//! At the soft mark people are warned, once for each limit. At the hard mark what runs is stopped cooperatively and the task
//! waits on a blocker that only a larger budget ends. A task in the queue stays there and is not leased; one that waits
//! for an answer is stopped when it continues.

use chrono::{DateTime, Utc};

use crate::task::command::{LiftBudget, StopForBudget, WarnBudget};
use crate::task::event::{BlockerKind, BlockerStatus, Event, RunCause};
use crate::task::state::{Blocker, Task};
use crate::task::steps::{blocker, budget, run};
use crate::task::transitions::TaskState;

pub(super) fn stop_for(task: &Task, command: &StopForBudget, at: DateTime<Utc>) -> Vec<Event> {
    let mut events = Vec::new();
    if command.spending.is_exceeded() && task.state == TaskState::Running {
        budget::stop(task, command.spending, command.grace_ms, at, &mut events);
    }
    events
}

pub(super) fn warn(task: &Task, command: &WarnBudget, at: DateTime<Utc>) -> Vec<Event> {
    budget::warning(task, command.spending, at).into_iter().collect()
}

/// Resumes the session: the stopped run did not finish. Inputs that never reached the agent are delivered now.
pub(super) fn lift(task: &Task, command: &LiftBudget, at: DateTime<Utc>) -> Vec<Event> {
    let waits = |blocker: &&Blocker| {
        blocker.opened.kind == BlockerKind::Budget && blocker.opened.blocker_id == command.blocker_id
    };
    let Some(blocker) = task.blocker.as_ref().filter(waits) else { return Vec::new() };
    let mut run = run::request_with_inputs(task, RunCause::Budget, None, None, at);
    if run.tells_nothing() {
        run.note = Some("There is budget again. Continue where you were stopped.".to_owned());
    }
    vec![blocker::closed(blocker, BlockerStatus::Resolved, None, None, at), Event::RunRequested(run)]
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::{Given, given};

    use super::*;
    use crate::Requested;
    use crate::task::TaskDecider;
    use crate::task::command::AcceptAgentCommand;
    use crate::task::command::{Command, FinishAttempt, RecordUsage, ReportedOutcome};
    use crate::task::event::{BudgetScope, RunStatus};
    use crate::task::fixture::{
        accepting, agent_command, ask, at, attempt, blocker_id, failure, finishing, kinds, lease,
        release_after, report, run, say, start, task_of,
    };
    use crate::task::rejection::Rejection;
    use crate::task::spending::Spending;
    use crate::usage::Usage;

    fn with_budget(budget_usd: f64) -> Given<TaskDecider> {
        let accept = AcceptAgentCommand { budget_usd: Some(budget_usd), ..agent_command() };
        given::<TaskDecider>([]).and(accepting(accept)).and(lease(1, 10)).and_events([start(1)])
    }

    fn costs(cost_usd: f64) -> Usage {
        Usage { cost_usd, ..Usage::default() }
    }

    fn spend(cost_usd: f64) -> Requested<Command> {
        let command = RecordUsage { usage: costs(cost_usd) };
        Command::RecordUsage { command, attempt_id: attempt(1) }.at(at(17))
    }

    fn agent_spent(spent_usd: f64) -> Spending {
        Spending { scope: BudgetScope::Agent, limit_usd: 10.0, spent_usd }
    }

    fn stop_for_agent(spent_usd: f64) -> Requested<Command> {
        Command::StopForBudget(StopForBudget { spending: agent_spent(spent_usd), grace_ms: 1000 }).at(at(18))
    }

    fn lift(revision: u32) -> Requested<Command> {
        Command::LiftBudget(LiftBudget { blocker_id: blocker_id(revision) }).at(at(60))
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
            assert_eq!(
                (task.state, task.runs.last().unwrap().status),
                (TaskState::Waiting, RunStatus::Cancelled)
            );
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
        let dear = FinishAttempt { usage: Some(costs(2.0)), ..report(ReportedOutcome::Ok) };
        with_budget(1.0).when(finishing(dear)).then_with(|events, state| {
            let expected =
                ["usage", "budget warned", "budget exceeded", "attempt ended", "run ended", "done"];
            assert_eq!(kinds(events), expected);
            assert_eq!(state.as_ref().unwrap().state, TaskState::Done);
        });
        let failed =
            FinishAttempt { usage: Some(costs(2.0)), ..failure(crate::outcome_text::ErrorClass::Retryable) };
        let queued = with_budget(1.0).and(finishing(failed));
        assert_eq!(task_of(&queued).state, TaskState::Queued);
        queued
            .when(lease(1, 60))
            .then_rejected(Rejection::illegal("leasing over its budget", TaskState::Queued));
    }

    #[test]
    fn a_question_stays_open_and_the_run_is_stopped_when_it_continues() {
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
            assert_eq!((last.cause, task.current_prompt()), (RunCause::Budget, "and this"));
            assert_eq!(last.resumed_from, Some(run(1)));
        });
        stopped().when(lift(2)).then_nothing();
        with_budget(1.0).when(lift(1)).then_nothing();
    }

    #[test]
    fn a_run_that_was_stopped_before_it_began_receives_its_command_again() {
        let stopped = crate::task::fixture::leased().and(stop_for_agent(10.0));
        stopped.when(lift(1)).then_with(|_, state| {
            let task = state.as_ref().unwrap();
            assert_eq!(task.current_prompt(), "do it");
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
            Command::WarnBudget(WarnBudget { spending }).at(at(seconds))
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
