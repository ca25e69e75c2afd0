//! Reports of a worker that holds a lease, and giving it one. Ends of attempts are in
//! [`settlement`](crate::task::settlement).

use chrono::{DateTime, Utc};

use crate::id::AttemptId;
use crate::task::command::{Command, Lease, RecordUsage, StartAttempt};
use crate::task::event::{AttemptLeased, AttemptStarted, Event};
use crate::task::rejection::Rejection;
use crate::task::spending::Spending;
use crate::task::state::{Live, Task};
use crate::task::steps::budget;
use crate::task::transitions::TaskState;

pub(super) fn lease(task: &Task, command: &Lease, at: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
    let queued =
        task.active_run().filter(|run| run.run_id == command.run_id && task.state == TaskState::Queued);
    let Some(run) = queued.filter(|_| task.live.is_none()) else {
        return Err(Rejection::illegal("leasing", task.state));
    };
    if task.available_at.is_some_and(|available_at| available_at > at) {
        return Err(Rejection::illegal("leasing before its retry is due", task.state));
    }
    if task.own_budget().is_some_and(Spending::is_exceeded) {
        return Err(Rejection::illegal("leasing over its budget", task.state));
    }
    let epoch = task.epoch.saturating_add(1);
    Ok(vec![Event::AttemptLeased(AttemptLeased {
        attempt_id: AttemptId { workspace: task.accepted.workspace.clone(), task: task.id(), epoch },
        run_id: run.run_id,
        attempt_no: run.attempts.saturating_add(1),
        worker_id: command.worker_id,
        worker_name: command.worker_name.clone(),
        lease_ms: command.lease_ms,
        leased_at: at,
    })])
}

/// Records that the worker executes the attempt, unless it has ended, is to stop or has reported.
pub(super) fn start(task: &Task, command: &StartAttempt) -> Vec<Event> {
    let working = task.working_attempt().filter(|live| live.attempt_id == command.attempt_id);
    working.and_then(started).map(Event::AttemptStarted).into_iter().collect()
}

/// The start of the attempt when the command is its first report, so that a short attempt costs one commit.
pub(super) fn first_of(task: &Task, command: &Command) -> Option<AttemptStarted> {
    let attempt_id = command.reported_attempt()?;
    task.live.as_ref().filter(|live| live.attempt_id == *attempt_id).and_then(started)
}

fn started(live: &Live) -> Option<AttemptStarted> {
    let Live { attempt_id, run_id, .. } = live;
    (!live.is_started).then(|| AttemptStarted { attempt_id: attempt_id.clone(), run_id: *run_id })
}

pub(super) fn record_usage(
    task: &Task,
    command: &RecordUsage,
    attempt_id: &AttemptId,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let live = task.fenced(attempt_id)?;
    let usage = command.usage.clone().reported().map_err(Rejection::Invalid)?;
    Ok(budget::record_usage(task, live, usage, true, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Requested;
    use crate::outcome_text::ErrorClass;
    use crate::task::Command;
    use crate::task::command::{FinishAttempt, ReportedOutcome};
    use crate::task::event::RunStatus;
    use crate::task::fixture::{
        ask, at, attempt, cancel, claim, done, expire, failure, finish_ok, finishing, kinds, lease, leased,
        queued, start, started, stopping, waiting,
    };
    use crate::usage::{ModelUsage, Usage};

    const LOST: Rejection = Rejection::LeaseLost { current_epoch: 1 };

    fn usage(epoch: u64, usage: Usage) -> Requested<Command> {
        Command::RecordUsage { command: RecordUsage { usage }, attempt_id: attempt(epoch) }.at(at(17))
    }

    #[test]
    fn leasing_a_queued_run_gives_the_task_the_next_epoch() {
        queued().when(lease(1, 10)).then_with(|events, state| {
            let Event::AttemptLeased(leased) = &events[0] else { panic!("leased") };
            assert_eq!((leased.attempt_id.epoch, leased.attempt_no), (1, 1));
            assert_eq!(state.as_ref().unwrap().state, TaskState::Running);
        });
        queued().and(lease(1, 10)).and(expire(1)).when(lease(1, 60)).then_with(|events, _| {
            let Event::AttemptLeased(leased) = &events[0] else { panic!("leased") };
            assert_eq!((leased.attempt_id.epoch, leased.attempt_no), (2, 2));
        });
    }

    #[test]
    fn only_the_queued_run_can_be_leased_and_only_once() {
        queued().when(lease(2, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Queued));
        leased().when(lease(1, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Running));
        waiting().when(lease(1, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Waiting));
        done().when(lease(1, 10)).then_rejected(Rejection::illegal("leasing", TaskState::Done));
    }

    #[test]
    fn a_retry_is_not_leased_before_it_is_due() {
        let paused = FinishAttempt { retry_after_ms: Some(5000), ..failure(ErrorClass::RateLimited) };
        let retry = || started().and(finishing(paused.clone()));
        retry()
            .when(lease(1, 54))
            .then_rejected(Rejection::illegal("leasing before its retry is due", TaskState::Queued));
        retry().when(lease(1, 55)).then_with(|events, _| assert_eq!(kinds(events), ["leased"]));
    }

    #[test]
    fn the_first_report_of_an_attempt_records_its_start_and_no_other_does() {
        leased().when(ask(1, "which?")).then_with(|events, _| {
            assert_eq!(events[0], start(1));
            assert_eq!(kinds(events), ["started", "asked"]);
        });
        leased().and(ask(1, "which?")).when(finish_ok(1)).then_with(|events, _| {
            assert_eq!(kinds(events), ["attempt ended", "run ended"]);
        });
        leased().when(finish_ok(1)).then_with(|events, _| {
            assert_eq!(kinds(events), ["started", "attempt ended", "run ended", "done"]);
        });
        leased().when(claim(1)).then_nothing();
        leased().when(expire(1)).then_with(|events, _| assert_eq!(events.len(), 2, "{:?}", kinds(events)));
    }

    #[test]
    fn an_agent_that_was_stopped_before_its_first_report_has_its_prompt_once_it_reports() {
        let cancelled = FinishAttempt::new(ReportedOutcome::Cancelled);
        leased().and(cancel()).when(finishing(cancelled)).then_with(|events, state| {
            assert_eq!(kinds(events)[0], "started");
            let run = state.as_ref().unwrap().runs.last().unwrap();
            assert_eq!((run.delivered, run.status), (true, RunStatus::Cancelled));
        });
    }

    #[test]
    fn reports_of_a_stale_or_stopping_attempt_are_rejected() {
        for command in [ask(7, "which?"), claim(7), usage(7, Usage::default())] {
            started().when(command).then_rejected(LOST);
        }
        for command in [ask(1, "which?"), claim(1), usage(1, Usage::default())] {
            stopping().when(command).then_rejected(LOST);
        }
        queued().when(finish_ok(1)).then_rejected(Rejection::LeaseLost { current_epoch: 0 });
    }

    #[test]
    fn usage_is_recorded_with_its_sums_filled_in() {
        started().when(usage(1, Usage { input_tokens: 2, output_tokens: 3, ..Usage::default() })).then_with(
            |events, _| {
                let Event::UsageRecorded(recorded) = &events[0] else { panic!("usage") };
                assert_eq!(recorded.usage.total_tokens, 5);
            },
        );
    }

    #[test]
    fn empty_usage_is_not_recorded_and_a_negative_or_absurd_cost_is_refused() {
        started().when(usage(1, Usage::default())).then_nothing();
        for cost_usd in [-1.0, f64::NAN, f64::INFINITY, 1.1e9] {
            started().when(usage(1, Usage { cost_usd, ..Usage::default() })).then_rejected(
                Rejection::invalid("/usage/cost_usd", "cost_usd must be >= 0 and at most 1000000000"),
            );
        }
        let dear = |name: &str| (name.to_owned(), ModelUsage { cost_usd: 1e308, ..ModelUsage::default() });
        let models = [dear("a"), dear("b")].into();
        started()
            .when(usage(1, Usage { models, ..Usage::default() }))
            .then_rejected_with(|no| matches!(no, Rejection::Invalid(faults) if faults.len() == 2));
    }
}
