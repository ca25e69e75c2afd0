//! Cancelling a task, retrying it, archiving it, and changing single properties of it. Each change is its own event, and
//! only what really changes is recorded: nothing is read, altered and written back as a whole.

use chrono::{DateTime, Utc};

use crate::Change;
use crate::Faults;
use crate::id::InputId;
use crate::limits::{self, LABEL_BYTES_MAX, LABELS_BYTES_MAX, ROUTING_BYTES_MAX};
use crate::redaction::{refuse_placeholder_labels, refuse_placeholders, refuse_placeholders_in_all};
use crate::span::{SPAN_MS_MAX, later};
use crate::stored::json_bytes;
use crate::task::command::{
    ATTACHMENT_BYTES_MAX, ATTACHMENTS_MAX, CancelRun, CancelTask, MESSAGE_BYTES_MAX, RetryTask, TaskPayload,
    UpdateTask,
};
use crate::task::event::{
    Event, InputAccepted, InputOutcome, InputSource, Opening, QueueMode, RunCause, TaskArchived,
    TaskBudgetSet, TaskDeadlineSet, TaskLabelled, TaskPayloadSet, TaskReprioritised, TaskRoutingSet,
    TaskUnarchived,
};
use crate::task::rejection::Rejection;
use crate::task::state::Task;
use crate::task::steps::batch::QueuedText;
use crate::task::steps::run;
use crate::task::transitions::TaskState;
use crate::task::words;
use crate::text::non_blank;

/// The reason recorded when archiving cancels a task.
const ARCHIVED: &str = "archived";

pub(super) fn cancel(
    task: &Task,
    command: &CancelTask,
    grace_ms: i64,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    if task.state.is_terminal() {
        return Err(Rejection::illegal("cancelling", task.state));
    }
    Ok(run::stop(task, command.reason.clone(), grace_ms, at))
}

pub(super) fn cancel_run(
    task: &Task,
    command: &CancelRun,
    grace_ms: i64,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let over = |state: &'static str| {
        Err(Rejection::IllegalTransition { what: "cancelling", subject: "run", state: state.into() })
    };
    match task.run(command.run_id) {
        Some(run) if run.status.is_terminal() => return over(run.status.as_str()),
        Some(_) => {}
        None if task.had_run(command.run_id) => return over("over"),
        None => return Err(Rejection::PartNotFound("run")),
    }
    Ok(run::stop(task, command.reason.clone(), grace_ms, at))
}

/// Requests another run: in the session of the last run that reached an agent, if one did. Without a message the agent
/// receives the last prompt again.
pub(super) fn retry(
    task: &Task,
    command: &RetryTask,
    input_id: InputId,
    message_bytes_max: usize,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    if !matches!(task.state, TaskState::Error | TaskState::Dropped | TaskState::Cancelled) {
        return Err(Rejection::illegal("retrying", task.state));
    }
    if command.message.as_ref().is_some_and(|text| text.len() > message_bytes_max) {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: message_bytes_max });
    }
    // An input under this id was accepted before; it is not accepted twice.
    let is_new = task.input(input_id).is_none();
    let message = non_blank(command.message.as_deref()).filter(|_| is_new);
    let seq = task.inbox.next_seq();
    let newest =
        message.as_deref().map(|message| QueuedText { seq, message, queue_mode: QueueMode::default() });
    let run = match newest {
        Some(newest) => run::request_with_inputs(task, RunCause::Retry, None, Some(newest), at),
        None => run::request_again(task, RunCause::Retry, said_again(task), at),
    };
    let accepted = message.map(|message| {
        Event::InputAccepted(InputAccepted::text(
            input_id,
            seq,
            InputSource::default(),
            message,
            InputOutcome::Resumed,
            at,
        ))
    });
    Ok(accepted.into_iter().chain([Event::RunRequested(run)]).collect())
}

/// The same for a task that is so full that a prompt of the message and the inputs would not fit beside the message: the inputs are left
/// to the run after it.
pub(super) fn retry_alone(task: &Task, at: DateTime<Utc>) -> Vec<Event> {
    vec![Event::RunRequested(run::request(task, RunCause::Retry, said_again(task), at))]
}

/// What a run without a message of its own says: what reached no agent as it was said; else the current command, when that
/// was the first run.
fn said_again(task: &Task) -> Opening {
    let is_first = task.undelivered_prompt().is_none() && task.runs.count() <= 1;
    if is_first { Opening::Message } else { Opening::LastPrompt }
}

pub(super) fn archive(task: &Task, grace_ms: i64, at: DateTime<Utc>) -> Vec<Event> {
    if task.is_archived() {
        return Vec::new();
    }
    let mut events = if task.state.is_terminal() {
        Vec::new()
    } else {
        run::stop(task, Some(ARCHIVED.to_owned()), grace_ms, at)
    };
    events.push(Event::TaskArchived(TaskArchived { at }));
    events
}

pub(super) fn unarchive(task: &Task, at: DateTime<Utc>) -> Vec<Event> {
    let unarchived = || Event::TaskUnarchived(TaskUnarchived { at });
    task.is_archived().then(unarchived).into_iter().collect()
}

pub(super) fn update(
    task: &Task,
    command: &UpdateTask,
    message_bytes_max: usize,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let payload = command.payload_json.as_ref();
    let attachments = payload.and_then(|payload| payload.attachments.as_deref()).unwrap_or_default();
    if attachments.iter().any(|attachment| json_bytes(attachment) > ATTACHMENT_BYTES_MAX) {
        return Err(Rejection::TooLarge { field: "attachments", limit_bytes: ATTACHMENT_BYTES_MAX });
    }
    if payload.and_then(|payload| payload.message.as_ref()).is_some_and(|text| text.len() > message_bytes_max)
    {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: message_bytes_max });
    }
    let accepted = &task.accepted;
    let mut faults = Faults::default();
    let priority = command.priority.as_ref().map(|text| words::priority(Some(text), &mut faults));
    check(task, command, at, &mut faults);
    faults.into_result().map_err(Rejection::Invalid)?;
    let mut events = Vec::new();
    if let Some(priority) = priority.filter(|priority| *priority != task.priority) {
        events.push(Event::TaskReprioritised(TaskReprioritised { priority, at }));
    }
    let budget_usd = command.budget_usd.on(accepted.budget_usd.as_ref());
    if budget_usd != accepted.budget_usd {
        events.push(Event::TaskBudgetSet(TaskBudgetSet { budget_usd, at }));
    }
    let label = match &command.label {
        Change::Set(text) => non_blank(Some(text)).map_or(Change::Clear, Change::Set),
        change @ (Change::Keep | Change::Clear) => change.clone(),
    };
    let label = label.against(accepted.label.as_ref());
    let labels = command.labels.as_ref().filter(|labels| **labels != accepted.labels).cloned();
    if !label.is_keep() || labels.is_some() {
        events.push(Event::TaskLabelled(TaskLabelled { label, labels, at }));
    }
    let deadline = command.deadline.on(accepted.deadline.as_ref());
    if deadline != accepted.deadline {
        events.push(Event::TaskDeadlineSet(TaskDeadlineSet { deadline, at }));
    }
    if let Some(routing) = command.routing_json.as_ref().filter(|routing| **routing != accepted.routing) {
        events.push(Event::TaskRoutingSet(TaskRoutingSet { routing: routing.clone(), at }));
    }
    events.extend(payload.and_then(|payload| change_payload(task, payload, at)));
    Ok(events)
}

fn check(task: &Task, command: &UpdateTask, at: DateTime<Utc>, faults: &mut Faults) {
    faults.amount("/budget_usd", command.budget_usd.value().copied());
    let latest = later(at, SPAN_MS_MAX);
    if let Some(&deadline) = command.deadline.against(task.accepted.deadline.as_ref()).value() {
        faults.require(deadline > at, "/deadline", "deadline must be in the future");
        faults.require(deadline <= latest, "/deadline", "must be within a century");
    }
    let label = command.label.value().map(String::as_str).unwrap_or_default();
    faults.at_most("/label", label, LABEL_BYTES_MAX);
    if let Some(labels) = &command.labels {
        limits::check_json("/labels", labels, LABELS_BYTES_MAX, faults);
        refuse_placeholder_labels(labels, "/labels", faults);
    }
    if let Some(routing) = &command.routing_json {
        limits::check_json("/routing_json", routing, ROUTING_BYTES_MAX, faults);
        refuse_placeholders(routing, "/routing_json", faults);
    }
    let Some(payload) = &command.payload_json else { return };
    let prompt = payload.extra_system_prompt.as_deref().unwrap_or_default();
    faults.at_most("/payload_json/extra_system_prompt", prompt, MESSAGE_BYTES_MAX);
    if let Some(attachments) = &payload.attachments {
        let is_few = attachments.len() <= ATTACHMENTS_MAX;
        let too_many = format_args!("attachments must be at most {ATTACHMENTS_MAX}");
        faults.require(is_few, "/payload_json/attachments", too_many);
        refuse_placeholders_in_all(attachments, "/payload_json/attachments", faults);
    }
    if let Some(message) = &payload.message {
        faults.required("/payload_json/message", message);
    }
    let timeout_ms = payload.timeout_ms.unwrap_or(0);
    faults.require(timeout_ms >= 0, "/payload_json/timeout_ms", "timeout_ms must be >= 0");
    faults.span("/payload_json/timeout_ms", payload.timeout_ms);
}

fn change_payload(task: &Task, payload: &TaskPayload, at: DateTime<Utc>) -> Option<Event> {
    let accepted = &task.accepted;
    let message = payload.message.as_deref().map(str::trim).filter(|text| *text != accepted.message);
    let prompt = payload.extra_system_prompt.as_deref().map(str::trim);
    let prompt = prompt.filter(|text| *text != accepted.extra_system_prompt.as_deref().unwrap_or_default());
    let change = TaskPayloadSet {
        message: message.map(str::to_owned),
        extra_system_prompt: prompt.map(str::to_owned),
        attachments: payload.attachments.clone().filter(|list| *list != accepted.attachments),
        timeout_ms: payload.timeout_ms.filter(|ms| *ms != accepted.timeout_ms),
        deliver: payload.deliver.filter(|deliver| Some(*deliver) != accepted.deliver),
        at,
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
