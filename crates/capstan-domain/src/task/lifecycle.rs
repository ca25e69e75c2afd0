//! Bringing a task back, putting it away, and changing single things about it (domain.md 2). Each change is its own
//! fact, and only what really changes is recorded: nothing is read, altered and written back as a whole.

use crate::Change;
use crate::Faults;
use crate::finite::is_amount;
use crate::task::accept::priority_of;
use crate::task::approval::given;
use crate::task::command::{Archive, Retry, Unarchive, Update};
use crate::task::decide::{SPAN_MS_MAX, later, request_run_with_inputs, stop};
use crate::task::event::{
    Event, InputAccepted, InputKind, InputOutcome, InputSource, QueueMode, RunCause, TaskArchived,
    TaskBudgetSet, TaskDeadlineSet, TaskLabelled, TaskPayloadSet, TaskReprioritised, TaskRoutingSet,
    TaskUnarchived,
};
use crate::task::inbox::Said;
use crate::task::rejection::Rejection;
use crate::task::state::{Task, TaskState};

/// Why a task that was not over is cancelled when it is put away.
const ARCHIVED: &str = "archived";

/// Another run: in the session of the last run that reached an agent, if one did. Without a message the agent is told
/// what it was told last.
pub(super) fn retry(task: &Task, command: &Retry) -> Result<Vec<Event>, Rejection> {
    if !matches!(task.state, TaskState::Error | TaskState::Dropped | TaskState::Cancelled) {
        return Err(Rejection::illegal("retrying", task.state));
    }
    if command.message.len() > command.message_bytes_max {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: command.message_bytes_max });
    }
    // An input under this id was said before; it is not said twice.
    let is_new = task.input(command.input_id).is_none();
    let message = Some(command.message.trim()).filter(|_| is_new).unwrap_or_default();
    let mut events = Vec::new();
    if !message.is_empty() {
        events.push(Event::InputAccepted(InputAccepted {
            input_id: command.input_id,
            seq: task.next_input_seq(),
            kind: InputKind::FreeText,
            message: message.to_owned(),
            said: None,
            action: None,
            items: Vec::new(),
            queue_mode: QueueMode::default(),
            source: InputSource::default(),
            answers: serde_json::Map::new(),
            blocker_id: None,
            outcome: InputOutcome::Resumed,
            accepted_at: command.at,
        }));
    }
    let said = (!message.is_empty()).then_some(Said {
        input_id: command.input_id,
        message,
        queue_mode: QueueMode::default(),
    });
    let mut request = request_run_with_inputs(task, None, said, command.at);
    if let Event::RunRequested(run) = &mut request {
        run.cause = RunCause::Retry;
        if run.prompt.is_empty() {
            said_last(task).clone_into(&mut run.prompt);
        }
    }
    events.push(request);
    Ok(events)
}

/// What the last run was told: the command, as it stands now, when that was the first.
fn said_last(task: &Task) -> &str {
    match task.runs.as_slice() {
        [] | [_] => &task.accepted.message,
        [.., last] => &last.prompt,
    }
}

pub(super) fn archive(task: &Task, command: &Archive) -> Vec<Event> {
    if task.is_archived() {
        return Vec::new();
    }
    let mut events = if task.state.is_terminal() {
        Vec::new()
    } else {
        stop(task, Some(ARCHIVED.to_owned()), command.grace_ms, command.at)
    };
    events.push(Event::TaskArchived(TaskArchived { at: command.at }));
    events
}

pub(super) fn unarchive(task: &Task, command: &Unarchive) -> Vec<Event> {
    let unarchived = || Event::TaskUnarchived(TaskUnarchived { at: command.at });
    task.is_archived().then(unarchived).into_iter().collect()
}

pub(super) fn update(task: &Task, command: &Update) -> Result<Vec<Event>, Rejection> {
    if command.payload.message.as_ref().is_some_and(|text| text.len() > command.message_bytes_max) {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: command.message_bytes_max });
    }
    let accepted = &task.accepted;
    let mut faults = Faults::default();
    let priority = command.priority.as_ref().map(|text| priority_of(Some(text), &mut faults));
    check(task, command, &mut faults);
    faults.into_result().map_err(Rejection::Invalid)?;
    let at = command.at;
    let mut events = Vec::new();
    if let Some(priority) = priority.filter(|priority| *priority != task.priority) {
        events.push(Event::TaskReprioritised(TaskReprioritised { priority, at }));
    }
    let budget_usd = command.budget_usd.on(accepted.budget_usd.as_ref());
    if budget_usd != accepted.budget_usd {
        events.push(Event::TaskBudgetSet(TaskBudgetSet { budget_usd, at }));
    }
    let label = match &command.label {
        Change::Keep => accepted.label.clone(),
        Change::Clear => None,
        Change::Set(text) => given(Some(text)),
    };
    let labels = command.labels.as_ref().unwrap_or(&accepted.labels);
    if label != accepted.label || *labels != accepted.labels {
        events.push(Event::TaskLabelled(TaskLabelled { label, labels: labels.clone(), at }));
    }
    let deadline = command.deadline.on(accepted.deadline.as_ref());
    if deadline != accepted.deadline {
        events.push(Event::TaskDeadlineSet(TaskDeadlineSet { deadline, at }));
    }
    if let Some(routing) = command.routing.as_ref().filter(|routing| **routing != accepted.routing) {
        events.push(Event::TaskRoutingSet(TaskRoutingSet { routing: routing.clone(), at }));
    }
    events.extend(change_payload(task, command));
    Ok(events)
}

fn check(task: &Task, command: &Update, faults: &mut Faults) {
    let payload = &command.payload;
    faults.require(
        command.budget_usd.value().copied().is_none_or(is_amount),
        "/budget_usd",
        "budget_usd must be >= 0 and at most 1e12",
    );
    let latest = later(command.at, SPAN_MS_MAX);
    if let Some(&deadline) = command.deadline.against(task.accepted.deadline.as_ref()).value() {
        faults.require(deadline > command.at, "/deadline", "deadline must lie in the future");
        faults.require(deadline <= latest, "/deadline", "must lie within a century");
    }
    faults.require(
        payload.message.as_deref().is_none_or(|text| !text.trim().is_empty()),
        "/payload_json/message",
        "message is required",
    );
    let timeout_ms = payload.timeout_ms.unwrap_or(0);
    faults.require(timeout_ms >= 0, "/payload_json/timeout_ms", "timeout_ms must be >= 0");
    faults.require(timeout_ms <= SPAN_MS_MAX, "/payload_json/timeout_ms", "must be at most a century");
}

fn change_payload(task: &Task, command: &Update) -> Option<Event> {
    let (payload, accepted) = (&command.payload, &task.accepted);
    let message = payload.message.as_deref().map(str::trim).filter(|text| *text != accepted.message);
    let prompt = payload.extra_system_prompt.as_deref().map(str::trim);
    let prompt = prompt.filter(|text| *text != accepted.extra_system_prompt.as_deref().unwrap_or_default());
    let change = TaskPayloadSet {
        message: message.map(str::to_owned),
        extra_system_prompt: prompt.map(str::to_owned),
        attachments: payload.attachments.clone().filter(|list| *list != accepted.attachments),
        timeout_ms: payload.timeout_ms.filter(|ms| *ms != accepted.timeout_ms),
        deliver: payload.deliver.filter(|deliver| Some(*deliver) != accepted.deliver),
        at: command.at,
    };
    let changes_nothing = change.message.is_none()
        && change.extra_system_prompt.is_none()
        && change.attachments.is_none()
        && change.timeout_ms.is_none()
        && change.deliver.is_none();
    (!changes_nothing).then_some(Event::TaskPayloadSet(change))
}

#[cfg(test)]
mod tests;
