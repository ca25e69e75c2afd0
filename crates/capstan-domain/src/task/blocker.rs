//! Questions: opening them, and their end when no answer comes in time.

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::id::{AttemptId, InputId};
use crate::task::command::{ExpireBlocker, OpenBlocker};
use crate::task::event::{
    BlockerKind, BlockerStatus, DeadlineDefault, Decision, Event, InputAccepted, InputKind, InputOutcome,
    InputSource, QueueMode, Resolution, RunCause, RunStatus, TaskContinued, TaskFailed, Verdict,
};
use crate::task::rejection::Rejection;
use crate::task::shortened::{ERROR_BYTES_MAX, shortened_as_json};
use crate::task::state::{Blocker, Input, InputState, Task};
use crate::task::steps::approval::{self, Approval};
use crate::task::steps::approval_text::composed;
use crate::task::steps::batch::QueuedText;
use crate::task::steps::blocker::NewQuestion;
use crate::task::steps::{blocker, outputs, run, tool_call};

pub(super) fn open_blocker(
    task: &Task,
    command: &OpenBlocker,
    attempt_id: &AttemptId,
    fitting: &[InputId],
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let live = task.fenced(attempt_id)?;
    let mut faults = Faults::default();
    let asked = NewQuestion::check(task, command, at, &mut faults);
    faults.into_result().map_err(Rejection::Invalid)?;
    // The same question again while its answer is still to be claimed is a repeated call, not a new question.
    let answer_waits =
        |input_id| task.input(input_id).is_some_and(|input| input.state == InputState::Pending);
    if let Some((earlier, input_id)) = &task.answered
        && task.blocker.is_none()
        && asked.was_answered(earlier, live)
        && answer_waits(*input_id)
    {
        return Ok(Vec::new());
    }
    let mut events = blocker::open(task, live, asked, at);
    if let Some(Event::BlockerOpened(opened)) = events.last() {
        let opened = Blocker::opened(opened);
        let early = task.pending_inputs().find(|input| answers_early(task, &opened, fitting, input));
        if let Some(input) = early {
            answer_early(task, &opened, input, at, &mut events);
            events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at }));
        }
    }
    Ok(events)
}

/// True when an input that came before its question answers it: the order of the two does not matter. A question that
/// takes several approvals, or answers of a shape the input was not checked for, waits for its own answers.
fn answers_early(task: &Task, blocker: &Blocker, fitting: &[InputId], input: &Input) -> bool {
    // Who decided on outputs by name has not seen those the question is about.
    let is_of_others =
        input.decides_outputs && !approval::for_all_items(task, blocker, Decision::Approve).is_empty();
    let fits = blocker.opened.answer_schema.is_none()
        || match input.action {
            // Nothing of an earlier approval but its answers can have the shape; a rejection needs no answers.
            Some(Verdict::Approve | Verdict::Mixed) => {
                !input.answers.is_empty() && fitting.contains(&input.input_id)
            }
            Some(Verdict::Reject) if input.answers.is_empty() => true,
            Some(Verdict::Reject) | None => fitting.contains(&input.input_id),
        };
    input.may_answer() && fits && !is_of_others && blocker.opened.approvers.is_none()
}

fn answer_early(task: &Task, blocker: &Blocker, input: &Input, at: DateTime<Utc>, events: &mut Vec<Event>) {
    let is_approval = blocker.opened.kind == BlockerKind::Approval;
    let action = match input.action {
        Some(Verdict::Approve) => Some(Decision::Approve),
        // The parts of a mixed decision are not known here: it approves nothing.
        Some(Verdict::Reject | Verdict::Mixed) => Some(Decision::Reject),
        None => is_approval.then_some(Decision::Reject),
    };
    let items = action.map(|action| approval::for_all_items(task, blocker, action)).unwrap_or_default();
    outputs::decide(task, &items, at, events);
    let is_text = input.action.is_none();
    let status = if is_approval && is_text { BlockerStatus::Superseded } else { BlockerStatus::Resolved };
    let resolution = Resolution {
        action: input.action,
        items: if is_text { Vec::new() } else { items },
        message: Some(input.message.clone()),
        by: None,
        superseded_by: None,
    };
    events.push(blocker::closed(blocker, status, Some(input.input_id), Some(resolution), at));
}

/// Ends the open question with its default, because nobody answered in time.
pub(super) fn expire(task: &Task, command: &ExpireBlocker, at: DateTime<Utc>) -> Vec<Event> {
    let open = task.blocker.as_ref().filter(|blocker| blocker.opened.blocker_id == command.blocker_id);
    let Some((blocker, deadline)) =
        open.and_then(|blocker| Some((blocker, blocker.opened.deadline.as_ref()?)))
    else {
        return Vec::new();
    };
    if deadline.at > at {
        return Vec::new();
    }
    match deadline.default {
        DeadlineDefault::Approve => proceed(task, blocker, Some(Decision::Approve), at),
        DeadlineDefault::Reject => proceed(task, blocker, Some(Decision::Reject), at),
        DeadlineDefault::None => proceed(task, blocker, None, at),
        DeadlineDefault::Fail => fail(task, blocker, command, at),
    }
}

fn fail(task: &Task, blocker: &Blocker, command: &ExpireBlocker, at: DateTime<Utc>) -> Vec<Event> {
    let error = format!("nobody answered in time: {}", blocker.opened.summary);
    let error = shortened_as_json(&error, ERROR_BYTES_MAX);
    let mut events = Vec::new();
    run::stop_run(task, RunStatus::Error, Some(error.clone()), command.grace_ms, at, &mut events);
    events.push(blocker::closed(blocker, BlockerStatus::Expired, None, None, at));
    events.push(Event::TaskFailed(TaskFailed { error, at }));
    events
}

/// Proceeds as if `action` had been decided; without one, the agent only learns that nobody answered.
fn proceed(task: &Task, blocker: &Blocker, action: Option<Decision>, at: DateTime<Utc>) -> Vec<Event> {
    let items = action.map(|action| approval::for_all_items(task, blocker, action)).unwrap_or_default();
    let approval = Approval { verdict: action.map(Verdict::from), items };
    let note = format!("Nobody answered in time: {}", blocker.opened.summary);
    // Without a default the call is not rejected for good: the agent may ask again.
    let feedback = if action.is_none() { note.as_str() } else { "" };
    let decided = tool_call::decide(task, blocker, action == Some(Decision::Approve), feedback, at);
    let is_reported_later = decided.as_ref().is_some_and(|decided| decided.message.is_none());
    let call_message = decided.as_ref().map(|decided| decided.message.clone());
    let message = match (call_message, action) {
        (Some(None), _) => String::new(),
        (Some(Some(message)), Some(_)) => format!("{note}\n\n{message}"),
        (Some(Some(message)), None) => message,
        (None, None) => note.clone(),
        (None, Some(_)) => {
            let text = composed(task, &approval, "", &task.outputs_in_question(), true);
            format!("{note}\n\n{text}")
        }
    };
    let seq = task.inbox.next_seq();
    let input_id = InputId::of_report(task.id(), seq);
    let live = task.working_attempt();
    let outcome = match live {
        _ if is_reported_later => InputOutcome::Recorded,
        Some(_) => InputOutcome::Delivered,
        None => InputOutcome::Resumed,
    };
    let next = match live {
        _ if is_reported_later => None,
        Some(live) => Some(Event::TaskContinued(TaskContinued { run_id: live.run_id, at })),
        None => {
            let text = QueuedText { seq, message: &message, queue_mode: QueueMode::Followup };
            let run = run::request_with_inputs(task, RunCause::Input, None, Some(text), at);
            Some(Event::RunRequested(run))
        }
    };
    let mut events = vec![Event::InputAccepted(InputAccepted {
        kind: if action.is_some() { InputKind::ApproveReject } else { InputKind::FreeText },
        action: approval.verdict,
        items: approval.items.clone(),
        blocker_id: Some(blocker.opened.blocker_id),
        ..InputAccepted::text(input_id, seq, InputSource::Deadline, message, outcome, at)
    })];
    outputs::decide(task, &approval.items, at, &mut events);
    events.extend(decided.map(|decided| decided.event));
    let resolution = Resolution {
        action: approval.verdict,
        items: approval.items,
        message: Some(note),
        by: None,
        superseded_by: None,
    };
    events.push(blocker::closed(blocker, BlockerStatus::Expired, Some(input_id), Some(resolution), at));
    events.extend(next);
    events
}

#[cfg(test)]
mod tests;
