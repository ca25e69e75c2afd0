//! What a worker asks and reports while it holds a lease (domain.md 6). Ends of attempts are in
//! [`settlement`](crate::task::settlement).

use crate::id::{AttemptId, BlockerId};
use crate::task::command::{BlockerSpec, Lease, OpenBlocker, RecordUsage, Start};
use crate::task::event::{
    AttemptLeased, AttemptStarted, BlockerClosed, BlockerKind, BlockerOpened, BlockerStatus, Event,
    TaskContinued, UsageRecorded,
};
use crate::task::rejection::Rejection;
use crate::task::state::{Live, Task, TaskState};

/// The live attempt, when the caller holds it and was not told to stop.
pub(super) fn fenced<'a>(task: &'a Task, attempt_id: &AttemptId) -> Result<&'a Live, Rejection> {
    task.working_attempt()
        .filter(|live| live.attempt_id == *attempt_id)
        .ok_or(Rejection::LeaseLost { current_epoch: task.epoch })
}

pub(super) fn lease(task: &Task, command: &Lease) -> Result<Vec<Event>, Rejection> {
    let queued =
        task.active_run().filter(|run| run.run_id == command.run_id && task.state == TaskState::Queued);
    let Some(run) = queued.filter(|_| task.live.is_none()) else {
        return Err(Rejection::illegal("leasing", task.state));
    };
    if task.available_at.is_some_and(|available_at| available_at > command.at) {
        return Err(Rejection::illegal("leasing before its retry is due", task.state));
    }
    let epoch = task.epoch.saturating_add(1);
    Ok(vec![Event::AttemptLeased(AttemptLeased {
        attempt_id: AttemptId { workspace: task.accepted.workspace.clone(), task: task.id(), epoch },
        run_id: run.run_id,
        attempt_no: run.attempts.saturating_add(1),
        worker_id: command.worker_id,
        worker_name: command.worker_name.clone(),
        lease_ms: command.lease_ms,
        leased_at: command.at,
    })])
}

pub(super) fn start(task: &Task, command: &Start) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    if live.started_at.is_some() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::AttemptStarted(AttemptStarted {
        attempt_id: live.attempt_id.clone(),
        run_id: live.run_id,
        started_at: command.at,
    })])
}

pub(super) fn record_usage(task: &Task, command: &RecordUsage) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    if !command.usage.is_valid() {
        return Err(Rejection::invalid("/usage/cost_usd", "cost_usd must be >= 0"));
    }
    let usage = command.usage.clone().normalised();
    if usage.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::UsageRecorded(UsageRecorded {
        run_id: live.run_id,
        attempt_id: live.attempt_id.clone(),
        usage,
        at: command.at,
    })])
}

pub(super) fn open_blocker(task: &Task, command: &OpenBlocker) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    let mut events = open(task, live, &command.blocker, command.at)?;
    // An answer that came before its question is matched too: the order of the two does not matter.
    if let (Some(input), Some(Event::BlockerOpened(opened))) = (task.pending_inputs().next(), events.last()) {
        let blocker_id = opened.blocker_id;
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id,
            status: BlockerStatus::Resolved,
            input_id: Some(input.input_id),
            closed_at: command.at,
        }));
        events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at: command.at }));
    }
    Ok(events)
}

/// Opens a question; an equal one that is open already is left alone, another one is superseded.
pub(super) fn open(
    task: &Task,
    live: &Live,
    spec: &BlockerSpec,
    at: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<Event>, Rejection> {
    let summary = spec.summary.trim();
    if summary.is_empty() {
        return Err(Rejection::invalid("/blocker/summary", "summary is required"));
    }
    let mut events = Vec::new();
    if let Some(blocker) = &task.blocker {
        if blocker.run_id == live.run_id && blocker.summary == summary && blocker.questions == spec.questions
        {
            return Ok(events);
        }
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id: blocker.blocker_id,
            status: BlockerStatus::Superseded,
            input_id: None,
            closed_at: at,
        }));
    }
    let revision = task.blocker_revision.saturating_add(1);
    events.push(Event::BlockerOpened(BlockerOpened {
        blocker_id: BlockerId::of_task(task.id(), revision),
        revision,
        run_id: live.run_id,
        kind: BlockerKind::Input,
        summary: summary.to_owned(),
        details: spec.details.clone().or_else(|| Some(summary.to_owned())),
        questions: spec.questions.clone(),
        opened_at: at,
    }));
    Ok(events)
}
