//! The end of an attempt, and everything that follows from it, in one decision.
//!
//! | outcome | no plan | waiting | wake | subtasks | watches |
//! |---|---|---|---|---|---|
//! | ok | done; queued again when inputs are left | waiting | sleeping | done; with a join waiting | sleeping |
//! | error, another try may help and is left | queued | queued | queued | queued | queued |
//! | error otherwise, timeout | error | error | error | error | error |
//! | cancelled | cancelled | cancelled | cancelled | cancelled | cancelled |
//!
//! Waiting beats wake, and a wake beats a join in so far as the task then sleeps; the join wakes it all the same.
//! Children are made and watches armed whenever the outcome is ok, whatever the next state, and never else. A report of
//! an attempt that does not hold the lease changes nothing.

use chrono::{DateTime, Utc};

use crate::id::AttemptId;
use crate::outcome_text::{ErrorClass, classify};
use crate::span::{backoff_ms, later};
use crate::task::command::{
    FinishAttempt, ReleaseAttempt, ReleaseCause, ReportedOutcome, TimeOutAttempt, WakePlan,
};
use crate::task::event::{
    AgendaItem, AttemptCancelRequested, AttemptEnded, AttemptOutcome, BlockerKind, BlockerOpened,
    BlockerStatus, DropReason, Event, Join, JoinWait, OutputStatus, RetryReason, RetryScheduled, RunCause,
    RunEnded, RunStatus, TaskDone, TaskDropped, TaskFailed, TaskSlept,
};
use crate::task::rejection::Rejection;
use crate::task::shortened::{ERROR_BYTES_MAX, shortened_as_json};
use crate::task::state::{Blocker, Input, Live, Run, Task};
use crate::task::steps::blocker::NewQuestion;
use crate::task::steps::{blocker, budget, outputs, run};
use crate::task::transitions::TaskState;

mod fan_out;
mod report;
mod watching;

use report::Report;

/// Attempts of one run that may be lost, returned or rate limited before the task is dropped.
pub const LOST_ATTEMPTS_MAX: u32 = 8;

/// The longest pause a worker may ask for before the next attempt: a day, in milliseconds.
const RETRY_AFTER_MS_MAX: i64 = 86_400_000;

/// Sleep when the wake names no delay, in minutes.
const DEFAULT_WAKE_MINUTES: i64 = 5;

/// Sleep when children have all that was to be watched, in minutes.
const HANDED_OVER_MINUTES: i64 = 60;

/// Times a task may wake itself before its sleeps grow.
pub const FREE_WAKES: u32 = 10;

/// Times a task that only watches wakes itself before it gives up and is done: about two weeks.
pub const IDLE_WAKES_MAX: u32 = 30;

pub(super) fn finish(
    task: &Task,
    command: &FinishAttempt,
    attempt_id: &AttemptId,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let holder = task.live.as_ref().filter(|live| live.attempt_id == *attempt_id);
    let live = holder.ok_or(Rejection::LeaseLost { current_epoch: task.epoch })?;
    let report = Report::check(task, live, command, at)?;
    let mut events = budget::record_usage(task, live, report.usage.clone(), false, at);
    if live.cancel_grace_until.is_some() {
        // The task was settled when it was cancelled; the report only frees the session.
        events.push(ended(live, stopped_outcome(task, live), command, at, command.error_class));
        return Ok(events);
    }
    run::return_claimed_inputs(task, at, &mut events);
    let class = (command.outcome == ReportedOutcome::Error).then(|| class_of(command));
    events.push(ended(live, command.outcome.into(), command, at, class.or(command.error_class)));
    match command.outcome {
        ReportedOutcome::Ok => settle_ok(task, live, command, report, at, &mut events),
        ReportedOutcome::Error => settle_error(task, live, command, at, &mut events),
        ReportedOutcome::Timeout => {
            let error = reported_error(command).unwrap_or_else(|| "the run timed out".to_owned());
            fail(task, live, RunStatus::Timeout, command, at, error, &mut events);
        }
        ReportedOutcome::Cancelled => {
            blocker::close_open(task, BlockerStatus::Cancelled, at, &mut events);
            events.push(run_over(live, RunStatus::Cancelled, command, at, reported_error(command)));
            run::cancel_task(task, reported_error(command), at, &mut events);
        }
    }
    Ok(events)
}

fn settle_ok(
    task: &Task,
    live: &Live,
    command: &FinishAttempt,
    report: Report,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    events.push(run_over(live, RunStatus::Ok, command, at, None));
    outputs::change_all(task, &[OutputStatus::Approved], OutputStatus::Active, at, events);
    let Report { asked, subtasks, watches, usage: _ } = report;
    let join = command.join.unwrap_or(Join::None);
    let (watched, all_handed_over) = fan_out::fan_out(task, live, subtasks, join, watches, at, events);
    let asks = asked.is_some() || command.waiting_for_input || task.blocker.is_some();
    // Some questions are decided after they are asked: earlier inputs wait for the decision.
    let holds_out = task.blocker.as_ref().is_some_and(|open| !open.takes_earlier_text());
    let has_more = match (asks, holds_out && asked.is_none()) {
        (_, true) => false,
        (true, false) => task.inbox.iter().any(Input::may_answer),
        (false, false) => task.inbox.iter().next().is_some(),
    };
    if has_more {
        let status = if holds_out { BlockerStatus::Superseded } else { BlockerStatus::Resolved };
        blocker::close_open(task, status, at, events);
        let next = run::request_with_inputs(task, RunCause::Input, Some(live.run_id), None, at);
        events.push(Event::RunRequested(next));
    } else if let Some(asked) = asked {
        events.extend(blocker::open(task, live, asked, at));
    } else if task.blocker.is_some() || task.executing_call().is_some() {
        // Already waiting: for the open question, or for what an approved tool call gives.
    } else if command.waiting_for_input {
        let asked = NewQuestion::of_words("The agent waits for an answer");
        events.extend(blocker::open(task, live, asked, at));
    } else if let Some(wake) = &command.wake {
        // A join holds beside the wake: whichever comes first ends the sleep.
        events.push(slept(task, wake, at));
    } else if let Some(join) = join_left(task, events) {
        events.push(wait_for(task, live, join, at));
    } else if !watched.is_empty() && task.wake_count < IDLE_WAKES_MAX {
        events.push(slept(task, &watching::wake(&watched), at));
    } else if all_handed_over {
        events.push(slept(task, &check_on_subtasks(), at));
    } else {
        events.push(Event::TaskDone(TaskDone { at }));
    }
}

/// The newest wait for subtasks that is not over: of this run, or of an earlier one that something interrupted.
fn join_left(task: &Task, events: &[Event]) -> Option<JoinWait> {
    let new = events.iter().find_map(|event| {
        let Event::SubtasksSpawned(spawned) = event else { return None };
        spawned.join_wait()
    });
    new.or_else(|| task.children.joins.last().cloned())
}

/// Waits for subtasks.
fn wait_for(task: &Task, live: &Live, join: JoinWait, at: DateTime<Utc>) -> Event {
    let which = if join.join == Join::Any { "the first of" } else { "all of" };
    let summary = format!("Waits for {which} {} subtasks", join.task_ids.len());
    Event::BlockerOpened(BlockerOpened {
        join: Some(join),
        ..blocker::question(task, live.run_id, BlockerKind::Subtasks, summary, at)
    })
}

fn check_on_subtasks() -> WakePlan {
    WakePlan {
        delay_minutes: Some(HANDED_OVER_MINUTES),
        reason: Some("Check on subtask progress".to_owned()),
        ..WakePlan::default()
    }
}

fn slept(task: &Task, wake: &WakePlan, at: DateTime<Utc>) -> Event {
    let minutes = wake.delay_minutes.filter(|minutes| *minutes > 0).unwrap_or(DEFAULT_WAKE_MINUTES);
    let titled = |item: &AgendaItem| item.title.clone().or_else(|| item.reason.clone());
    Event::TaskSlept(TaskSlept {
        // A report may come after the instant it names: then the task is woken at once.
        wake_at: wake
            .at
            .unwrap_or_else(|| later(at, minutes.saturating_mul(60_000)))
            .max(later(at, least_sleep_ms(task.wake_count))),
        reason: wake.reason.clone().or_else(|| wake.agenda.iter().find_map(titled)),
        follow_up_prompt: wake.follow_up_prompt.clone(),
        agenda: wake.agenda.clone(),
        at,
    })
}

/// The shortest sleep of a task after `wake_count` wakes without an input of a caller, in milliseconds: none for the
/// first ten, then ten minutes, doubled each time, at most a day.
fn least_sleep_ms(wake_count: u32) -> i64 {
    let Some(surplus) = wake_count.checked_sub(FREE_WAKES) else { return 0 };
    backoff_ms(10 * 60_000, surplus, 86_400_000)
}

fn settle_error(
    task: &Task,
    live: &Live,
    command: &FinishAttempt,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    let error = error_text(command);
    let retry = task.run(live.run_id).and_then(|run| next_try(task, run, class_of(command), command));
    match retry {
        Some((reason, delay_ms)) => {
            blocker::close_open(task, BlockerStatus::Cancelled, at, events);
            events.push(Event::RetryScheduled(RetryScheduled {
                run_id: live.run_id,
                attempt_no: live.attempt_no.saturating_add(1),
                reason,
                available_at: later(at, delay_ms),
            }));
        }
        None => fail(task, live, RunStatus::Error, command, at, error, events),
    }
}

/// The error the worker reports. A long one is cut, never refused: the work it ends is over.
fn reported_error(command: &FinishAttempt) -> Option<String> {
    command.error.as_deref().map(|error| shortened_as_json(error, ERROR_BYTES_MAX))
}

fn error_text(command: &FinishAttempt) -> String {
    reported_error(command).unwrap_or_else(|| match command.exit_code {
        Some(code) => format!("exit code {code}"),
        None => "the attempt failed without an error text".to_owned(),
    })
}

/// The class the worker states, else the one derived from the text.
fn class_of(command: &FinishAttempt) -> ErrorClass {
    command.error_class.unwrap_or_else(|| classify(&error_text(command)))
}

/// The reason and the pause of the next attempt, if there may be one.
fn next_try(
    task: &Task,
    run: &Run,
    class: ErrorClass,
    command: &FinishAttempt,
) -> Option<(RetryReason, i64)> {
    let retry = &task.accepted.policy.retry;
    let asked = command.retry_after_ms.map(|ms| ms.min(RETRY_AFTER_MS_MAX));
    match class {
        ErrorClass::Terminal => None,
        ErrorClass::RateLimited => {
            let pause = asked.unwrap_or_else(|| pause_ms(run.lost));
            (run.lost < LOST_ATTEMPTS_MAX).then_some((RetryReason::RateLimited, pause))
        }
        ErrorClass::Retryable => {
            let failed = run.failed.saturating_add(1);
            let pause = asked.unwrap_or_else(|| retry.delay_after_ms(failed));
            (i64::from(failed) < retry.max_attempts).then_some((RetryReason::RetryableError, pause))
        }
    }
}

fn fail(
    task: &Task,
    live: &Live,
    status: RunStatus,
    command: &FinishAttempt,
    at: DateTime<Utc>,
    error: String,
    events: &mut Vec<Event>,
) {
    blocker::close_open(task, BlockerStatus::Cancelled, at, events);
    events.push(run_over(live, status, command, at, Some(error.clone())));
    events.push(Event::TaskFailed(TaskFailed { error, at }));
}

/// The pause after a lost attempt, in milliseconds: half a second, doubled with every loss, at most half a minute.
fn pause_ms(lost: u32) -> i64 {
    backoff_ms(500, lost, 30_000)
}

/// Ends an attempt whose lease expired or that the worker returned.
pub(super) fn lose(
    task: &Task,
    attempt_id: &AttemptId,
    cause: RetryReason,
    reason: &str,
    at: DateTime<Utc>,
) -> Vec<Event> {
    let Some(live) = task.working_attempt().filter(|live| live.attempt_id == *attempt_id) else {
        return Vec::new();
    };
    let mut events = Vec::new();
    run::return_claimed_inputs(task, at, &mut events);
    events.push(Event::AttemptEnded(AttemptEnded {
        attempt_id: live.attempt_id.clone(),
        run_id: live.run_id,
        outcome: AttemptOutcome::Lost,
        exit_code: None,
        error: Some(reason.to_owned()),
        error_class: None,
        ended_at: at,
    }));
    let lost = task.run(live.run_id).map_or(0, |run| run.lost);
    if task.state == TaskState::Waiting {
        events.push(run::ended(live.run_id, RunStatus::Error, Some(reason.to_owned()), at));
        // The question outlives the process that asked it; the answer will begin a new run. An input the lost
        // attempt had taken but not acknowledged came before the question and answers it.
        let takes_text = task.blocker.as_ref().is_none_or(Blocker::takes_earlier_text);
        if takes_text && task.inbox.iter().any(Input::may_answer) {
            blocker::close_open(task, BlockerStatus::Resolved, at, &mut events);
            let next = run::request_with_inputs(task, RunCause::Input, None, None, at);
            events.push(Event::RunRequested(next));
        }
    } else if lost < LOST_ATTEMPTS_MAX {
        events.push(Event::RetryScheduled(RetryScheduled {
            run_id: live.run_id,
            attempt_no: live.attempt_no.saturating_add(1),
            reason: cause,
            available_at: later(at, if lost == 0 { 0 } else { pause_ms(lost) }),
        }));
    } else {
        events.push(run::ended(live.run_id, RunStatus::Error, Some(reason.to_owned()), at));
        events.push(Event::TaskDropped(TaskDropped { reason: DropReason::DispatchRetryExhausted, at }));
    }
    events
}

pub(super) fn release(task: &Task, command: &ReleaseAttempt, at: DateTime<Utc>) -> Vec<Event> {
    let cancelled = task
        .live
        .as_ref()
        .filter(|live| live.attempt_id == command.attempt_id && live.cancel_grace_until.is_some());
    let error = match command.cause {
        ReleaseCause::GraceOver => "the worker did not confirm in time",
        ReleaseCause::NeverRenewed => "stopped before the worker began",
    };
    cancelled
        .map(|live| {
            Event::AttemptEnded(AttemptEnded {
                attempt_id: live.attempt_id.clone(),
                run_id: live.run_id,
                outcome: stopped_outcome(task, live),
                exit_code: None,
                error: Some(error.to_owned()),
                error_class: None,
                ended_at: at,
            })
        })
        .into_iter()
        .collect()
}

pub(super) fn time_out(task: &Task, command: &TimeOutAttempt, at: DateTime<Utc>) -> Vec<Event> {
    let is_due = task.attempt_due().is_some_and(|due| due <= at);
    let Some(live) = task.working_attempt().filter(|live| is_due && live.attempt_id == command.attempt_id)
    else {
        return Vec::new();
    };
    let error = format!("timed out after {} ms", task.accepted.timeout_ms);
    let mut events = vec![Event::AttemptCancelRequested(AttemptCancelRequested {
        attempt_id: live.attempt_id.clone(),
        run_id: live.run_id,
        reason: error.clone(),
        grace_until: later(at, command.grace_ms),
    })];
    run::return_claimed_inputs(task, at, &mut events);
    blocker::close_open(task, BlockerStatus::Expired, at, &mut events);
    events.push(run::ended(live.run_id, RunStatus::Timeout, Some(error.clone()), at));
    events.push(Event::TaskFailed(TaskFailed { error, at }));
    events
}

/// The outcome of an attempt that was asked to stop, from the status of its run.
fn stopped_outcome(task: &Task, live: &Live) -> AttemptOutcome {
    match task.run(live.run_id).map(|run| run.status) {
        Some(RunStatus::Timeout) => AttemptOutcome::Timeout,
        _ => AttemptOutcome::Cancelled,
    }
}

fn ended(
    live: &Live,
    outcome: AttemptOutcome,
    command: &FinishAttempt,
    at: DateTime<Utc>,
    error_class: Option<ErrorClass>,
) -> Event {
    Event::AttemptEnded(AttemptEnded {
        attempt_id: live.attempt_id.clone(),
        run_id: live.run_id,
        outcome,
        exit_code: command.exit_code,
        error: reported_error(command),
        error_class,
        ended_at: at,
    })
}

fn run_over(
    live: &Live,
    status: RunStatus,
    command: &FinishAttempt,
    at: DateTime<Utc>,
    error: Option<String>,
) -> Event {
    Event::RunEnded(RunEnded {
        run_id: live.run_id,
        status,
        exit_code: command.exit_code,
        error,
        result: command.result.clone(),
        ended_at: at,
    })
}

#[cfg(test)]
mod tests;
