//! Which rule answers which command, and the rules of stopping.

use chrono::{DateTime, Duration, Utc};

use crate::id::{RunId, TaskId};
use crate::task::command::{Cancel, CancelRun, Command, ExpireQueue, PassDeadline, Wake};
use crate::task::event::{
    AttemptCancelRequested, BlockerClosed, BlockerStatus, DropReason, Event, InputReturned, OutputStatus,
    OutputStatusChanged, RunCause, RunEnded, RunRequested, RunStatus, TaskCancelled, TaskDropped,
};
use crate::task::rejection::Rejection;
use crate::task::state::{InputState, State, Task, TaskState};
use crate::task::{accept, inbox, outputs, settlement, worker_report};

pub(super) fn decide(state: &State, command: &Command) -> Result<Vec<Event>, Rejection> {
    let Some(task) = state else {
        return match command {
            Command::Accept(command) => accept::accept(command),
            _ => Err(Rejection::NotFound),
        };
    };
    match command {
        Command::Accept(_) => Err(Rejection::Exists),
        Command::SubmitInput(command) => inbox::submit(task, command),
        Command::Cancel(command) => cancel(task, command),
        Command::CancelRun(command) => cancel_run(task, command),
        Command::Wake(command) => Ok(wake(task, command)),
        Command::Lease(command) => worker_report::lease(task, command),
        Command::Start(command) => worker_report::start(task, command),
        Command::ExpireLease(command) => Ok(settlement::expire_lease(task, command)),
        Command::ReleaseAttempt(command) => Ok(settlement::release(task, command)),
        Command::TimeOutAttempt(command) => Ok(settlement::time_out(task, command)),
        Command::ExpireQueue(command) => Ok(expire_queue(task, command)),
        Command::PassDeadline(command) => Ok(pass_deadline(task, command)),
        Command::Finish(command) => settlement::finish(task, command),
        Command::OpenBlocker(command) => worker_report::open_blocker(task, command),
        Command::ClaimInput(command) => inbox::claim(task, command),
        Command::AckInput(command) => inbox::ack(task, command),
        Command::ProduceOutput(command) => outputs::produce(task, command),
        Command::AppendOutputRows(command) => outputs::append_rows(task, command),
        Command::FinalizeOutput(command) => outputs::finalize(task, command),
        Command::RecordUsage(command) => worker_report::record_usage(task, command),
    }
}

fn cancel(task: &Task, command: &Cancel) -> Result<Vec<Event>, Rejection> {
    if task.state.is_terminal() {
        return Err(Rejection::illegal("cancelling", task.state));
    }
    Ok(stop(task, command.reason.clone(), command.grace_ms, command.at))
}

fn cancel_run(task: &Task, command: &CancelRun) -> Result<Vec<Event>, Rejection> {
    let run = task.run(command.run_id).ok_or(Rejection::PartNotFound("run"))?;
    if run.status.is_terminal() {
        return Err(Rejection::IllegalTransition {
            what: "cancelling",
            subject: "run",
            state: run.status.as_str().into(),
        });
    }
    Ok(stop(task, command.reason.clone(), command.grace_ms, command.at))
}

fn pass_deadline(task: &Task, command: &PassDeadline) -> Vec<Event> {
    if task.state.is_terminal() || task.accepted.deadline != Some(command.deadline) {
        return Vec::new();
    }
    stop(task, Some("deadline exceeded".to_owned()), command.grace_ms, command.at)
}

/// Ends the task as cancelled, with everything that hangs on it. A live worker is told to stop; its session
/// stays taken until it has, or the grace is over.
fn stop(task: &Task, reason: Option<String>, grace_ms: i64, at: DateTime<Utc>) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(live) = task.working_attempt() {
        events.push(Event::AttemptCancelRequested(AttemptCancelRequested {
            attempt_id: live.attempt_id.clone(),
            run_id: live.run_id,
            reason: reason.clone().unwrap_or_else(|| "cancelled".to_owned()),
            grace_until: later(at, grace_ms),
        }));
    }
    return_claimed_inputs(task, at, &mut events);
    if let Some(run) = task.active_run() {
        events.push(run_ended(run.run_id, RunStatus::Cancelled, reason.clone(), at));
    }
    close_blocker(task, BlockerStatus::Cancelled, at, &mut events);
    change_outputs(
        task,
        &[OutputStatus::Pending, OutputStatus::Approved],
        OutputStatus::Cancelled,
        at,
        &mut events,
    );
    events.push(Event::TaskCancelled(TaskCancelled { reason, at }));
    events
}

fn wake(task: &Task, command: &Wake) -> Vec<Event> {
    let Some(sleep) = task.sleep.as_ref().filter(|_| task.state == TaskState::Sleeping) else {
        return Vec::new();
    };
    if sleep.wake_at != command.wake_at {
        return Vec::new();
    }
    let prompt = sleep.follow_up_prompt.clone().unwrap_or_else(|| task.accepted.message.clone());
    vec![request_run(task, RunCause::Wake, prompt, Vec::new(), command.at)]
}

fn expire_queue(task: &Task, command: &ExpireQueue) -> Vec<Event> {
    let waits = task.active_run().filter(|run| run.run_id == command.run_id && run.attempts == 0);
    let (TaskState::Queued, Some(run)) = (task.state, waits) else {
        return Vec::new();
    };
    vec![
        run_ended(
            run.run_id,
            RunStatus::Cancelled,
            Some("waited longer than its queue TTL".to_owned()),
            command.at,
        ),
        Event::TaskDropped(TaskDropped { reason: DropReason::QueueTtl, at: command.at }),
    ]
}

/// The instant `ms` milliseconds later; saturates at the end of time.
pub(super) fn later(at: DateTime<Utc>, ms: i64) -> DateTime<Utc> {
    Duration::try_milliseconds(ms)
        .and_then(|span| at.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Asks for the task's next run.
pub(super) fn request_run(
    task: &Task,
    cause: RunCause,
    prompt: String,
    input_ids: Vec<crate::id::InputId>,
    at: DateTime<Utc>,
) -> Event {
    let run_no = u32::try_from(task.runs.len()).unwrap_or(u32::MAX).saturating_add(1);
    Event::RunRequested(RunRequested {
        run_id: RunId::of_task(task_id(task), run_no),
        run_no,
        cause,
        prompt,
        input_ids,
        resumed_from_run_id: task.current_run().map(|run| run.run_id),
        queued_at: at,
    })
}

fn task_id(task: &Task) -> TaskId {
    task.accepted.task_id
}

pub(super) fn run_ended(run_id: RunId, status: RunStatus, error: Option<String>, at: DateTime<Utc>) -> Event {
    Event::RunEnded(RunEnded { run_id, status, exit_code: None, error, result: None, ended_at: at })
}

/// Gives inputs a worker took but never acknowledged back to the inbox.
pub(super) fn return_claimed_inputs(task: &Task, at: DateTime<Utc>, events: &mut Vec<Event>) {
    for input in &task.inbox {
        if matches!(input.state, InputState::Claimed(_)) {
            events.push(Event::InputReturned(InputReturned { input_id: input.input_id, at }));
        }
    }
}

pub(super) fn close_blocker(task: &Task, status: BlockerStatus, at: DateTime<Utc>, events: &mut Vec<Event>) {
    if let Some(blocker) = &task.blocker {
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id: blocker.blocker_id,
            status,
            input_id: None,
            closed_at: at,
        }));
    }
}

/// Moves every output in one of the states `from` to `to`.
pub(super) fn change_outputs(
    task: &Task,
    from: &[OutputStatus],
    to: OutputStatus,
    at: DateTime<Utc>,
    events: &mut Vec<Event>,
) {
    for (output_id, status) in &task.outputs {
        if from.contains(status) {
            events.push(Event::OutputStatusChanged(OutputStatusChanged {
                output_id: *output_id,
                status: to,
                at,
            }));
        }
    }
}
