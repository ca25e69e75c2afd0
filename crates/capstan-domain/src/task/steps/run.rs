//! Stopping runs and requesting the next one.

use chrono::{DateTime, Utc};

use crate::id::RunId;
use crate::span::later;
use crate::task::event::{
    AttemptCancelRequested, BlockerStatus, Event, InputNumbers, InputReturned, Opening, OutputStatus,
    RunCause, RunEnded, RunRequested, RunStatus, TaskCancelled,
};
use crate::task::state::{InputState, Task};
use crate::task::steps::batch::{QueuedText, next_batch};
use crate::task::steps::{blocker, outputs};

/// Ends the task as cancelled, with everything that belongs to it. A live worker is asked to stop; its session
/// stays taken until it has stopped, or the grace is over.
pub(in crate::task) fn stop(
    task: &Task,
    reason: Option<String>,
    grace_ms: i64,
    at: DateTime<Utc>,
) -> Vec<Event> {
    let mut events = Vec::new();
    stop_run(task, RunStatus::Cancelled, reason.clone(), grace_ms, at, &mut events);
    blocker::close_open(task, BlockerStatus::Cancelled, at, &mut events);
    cancel_task(task, reason, at, &mut events);
    events
}

/// Cancels the task and the outputs nobody has decided on or put into force.
pub(in crate::task) fn cancel_task(
    task: &Task,
    reason: Option<String>,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    let undecided = [OutputStatus::Pending, OutputStatus::Approved];
    outputs::change_all(task, &undecided, OutputStatus::Cancelled, at, events);
    events.push(Event::TaskCancelled(TaskCancelled { reason, at }));
}

/// Ends the active run. A live worker is asked to stop.
pub(in crate::task) fn stop_run(
    task: &Task,
    status: RunStatus,
    reason: Option<String>,
    grace_ms: i64,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    if let Some(live) = task.working_attempt() {
        events.push(Event::AttemptCancelRequested(AttemptCancelRequested {
            attempt_id: live.attempt_id.clone(),
            run_id: live.run_id,
            reason: reason.clone().unwrap_or_else(|| "cancelled".to_owned()),
            grace_until: later(at, grace_ms),
        }));
    }
    return_claimed_inputs(task, at, events);
    if let Some(run) = task.active_run() {
        events.push(ended(run.run_id, status, reason, at));
    }
}

/// Ends a run without a report of its worker.
pub(in crate::task) fn ended(
    run_id: RunId,
    status: RunStatus,
    error: Option<String>,
    at: DateTime<Utc>,
) -> Event {
    Event::RunEnded(RunEnded { run_id, status, exit_code: None, error, result: None, ended_at: at })
}

/// Returns inputs to the inbox that a worker claimed and never acknowledged.
pub(in crate::task) fn return_claimed_inputs(task: &Task, at: DateTime<Utc>, events: &mut Vec<Event>) {
    for input in task.inbox.iter() {
        if matches!(input.state, InputState::Claimed(_)) {
            events.push(Event::InputReturned(InputReturned { seq: input.seq, at }));
        }
    }
}

/// Requests a run that delivers everything no run has delivered, `newest` last. Begins with the prompt of an earlier
/// run that reached no agent: a task that was cancelled in the queue is not resumed without its own command. `ended`
/// is the run that ends successfully in the same decision.
pub(in crate::task) fn request_with_inputs(
    task: &Task,
    cause: RunCause,
    ended: Option<RunId>,
    newest: Option<QueuedText<'_>>,
    at: DateTime<Utc>,
) -> RunRequested {
    let is_undelivered = ended.is_none() && task.undelivered_prompt().is_some();
    let opening = if is_undelivered { Opening::LastPrompt } else { Opening::Nothing };
    let run = delivering(task, cause, opening, newest, at);
    RunRequested { resumed_from_run_id: ended.or(run.resumed_from_run_id), ..run }
}

/// Requests a run that repeats what was said last, and then delivers everything no run has delivered.
pub(in crate::task) fn request_again(
    task: &Task,
    cause: RunCause,
    opening: Opening,
    at: DateTime<Utc>,
) -> RunRequested {
    delivering(task, cause, opening, None, at)
}

fn delivering(
    task: &Task,
    cause: RunCause,
    opening: Opening,
    newest: Option<QueuedText<'_>>,
    at: DateTime<Utc>,
) -> RunRequested {
    let run = request(task, cause, opening, at);
    let already = (opening != Opening::Nothing)
        .then(|| task.requested_prompt(&run).map_or(task.accepted.message.len(), |prompt| prompt.len()));
    let batch = next_batch(task, newest, already);
    RunRequested { inputs: batch.into_iter().map(|text| text.seq).collect(), ..run }
}

/// Requests the task's next run.
pub(in crate::task) fn request(
    task: &Task,
    cause: RunCause,
    opening: Opening,
    at: DateTime<Utc>,
) -> RunRequested {
    let run_no = task.runs.count().saturating_add(1);
    RunRequested {
        run_id: RunId::for_task(task.id(), run_no),
        run_no,
        cause,
        note: None,
        opening,
        inputs: InputNumbers::default(),
        reopens: task.state.is_terminal(),
        // A run that reached no agent has no session to resume.
        resumed_from_run_id: task.runs.last_delivered(),
        queued_at: at,
    }
}
