//! Inputs: accepting them, and handing them to the live attempt.

use chrono::{DateTime, Utc};

use crate::Faults;
use crate::id::AttemptId;
use crate::redaction::refuse_placeholders;
use crate::task::command::{AckInput, DeferInput, SubmitInput, SubmitTaskInput};
use crate::task::event::{
    BlockerKind, BlockerStatus, BlockerVoted, Event, InputAccepted, InputClaimed, InputConsumed,
    InputDeferred, InputKind, InputOutcome, InputSource, QueueMode, Resolution, RunCause, RunStatus,
    TaskContinued, Verdict,
};
use crate::task::rejection::Rejection;
use crate::task::state::{Blocker, Input, InputState, Task};
use crate::task::steps::approval::{self, Approval};
use crate::task::steps::approval_text::composed;
use crate::task::steps::batch::QueuedText;
use crate::task::steps::tool_call::CallDecision;
use crate::task::steps::{blocker, outputs, run, tool_call};
use crate::task::transitions::TaskState;
use crate::task::words;
use crate::text::non_blank;

pub(super) fn submit(task: &Task, command: &SubmitInput, at: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
    if command.input.message.len() > command.message_bytes_max {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: command.message_bytes_max });
    }
    if task.input(command.input_id).is_some() {
        return Ok(Vec::new());
    }
    if let Some(run_id) = command.run_id {
        task.had_run(run_id).then_some(()).ok_or(Rejection::PartNotFound("run"))?;
    }
    let mut faults = Faults::default();
    let queue_mode = words::queue_mode(command.input.queue_mode.as_deref(), &mut faults);
    let approval = Approval::read(task, command, &mut faults);
    refuse_placeholders(&command.input.answers, "/answers", &mut faults);
    let text = text_of(&command.input);
    let names_decision =
        non_blank(command.input.action.as_deref()).is_some() || !command.input.items.is_empty();
    let is_empty = text.is_empty() && approval.verdict.is_none() && !names_decision;
    if is_empty && faults == Faults::default() {
        return Err(Rejection::MessageRequired);
    }
    faults.require(!is_empty, "/message", "message is required");
    faults.into_result().map_err(Rejection::Invalid)?;
    let open = task.blocker.as_ref();
    if let Some(named) = command.input.blocker_id
        && open.is_none_or(|blocker| blocker.opened.blocker_id != named)
    {
        return Err(Rejection::BlockerClosed);
    }
    let input = InputDecision { task, command, at, approval, text, queue_mode };
    match open.filter(|blocker| input.answers(blocker)) {
        Some(blocker) => input.answer(blocker),
        None => Ok(input.deliver()),
    }
}

/// An input that is being decided on.
struct InputDecision<'a> {
    task: &'a Task,
    command: &'a SubmitInput,
    at: DateTime<Utc>,
    approval: Approval,
    /// The caller's text.
    text: String,
    queue_mode: QueueMode,
}

impl InputDecision<'_> {
    /// True when the input answers the open question. A message that takes a turn to itself does not; and a question about
    /// a budget or subtasks is not answered by text.
    fn answers(&self, blocker: &Blocker) -> bool {
        let is_meant = self.queue_mode != QueueMode::Queue
            || self.approval.verdict.is_some()
            || !self.command.input.answers.is_empty()
            || self.command.input.blocker_id.is_some();
        is_meant && blocker.takes_text()
    }

    /// Answers the open question: outputs, question and what follows change together.
    fn answer(&self, blocker: &Blocker) -> Result<Vec<Event>, Rejection> {
        let (task, command, at) = (self.task, self.command, self.at);
        let vote = approval::vote(task, blocker, &self.approval, command.by.as_deref())?;
        let is_text = self.approval.verdict.is_none();
        // A text that interrupts is about something else, and a text on an approval asks for a revised request.
        let is_other = self.queue_mode == QueueMode::Interrupt
            && command.input.blocker_id.is_none()
            && command.input.answers.is_empty();
        let is_superseded = is_text && (is_other || blocker.opened.kind == BlockerKind::Approval);
        if !is_superseded {
            self.check_answer(blocker)?;
        }
        if let Some(by) = vote {
            let accepted = self.accepted(String::new(), InputOutcome::Recorded);
            let (blocker_id, input_id) = (blocker.opened.blocker_id, command.input_id);
            return Ok(vec![accepted, Event::BlockerVoted(BlockerVoted { blocker_id, input_id, by, at })]);
        }
        let status = if is_superseded { BlockerStatus::Superseded } else { BlockerStatus::Resolved };
        let resolution = Resolution {
            action: self.approval.verdict,
            items: self.approval.items.clone(),
            message: non_blank(Some(&self.text)),
            by: command.by.clone(),
            superseded_by: None,
        };
        let close = blocker::closed(blocker, status, Some(command.input_id), Some(resolution), at);
        let outcome = match (self.queue_mode, task.working_attempt()) {
            (QueueMode::Interrupt, Some(_)) => InputOutcome::Interrupted,
            (_, Some(_)) => InputOutcome::Delivered,
            (_, None) => InputOutcome::Resumed,
        };
        // Only a plain approval allows a call: decisions on outputs, and texts, are about something else.
        let approved = self.approval.verdict == Some(Verdict::Approve) && self.approval.items.is_empty();
        let call = tool_call::decide(task, blocker, approved, &self.text, at);
        Ok(self.events(outcome, Some(close), call))
    }

    /// Refuses a decision on some of the outputs only, answers that were not checked against the schema of the question,
    /// and an approval without answers. A rejection needs none.
    fn check_answer(&self, blocker: &Blocker) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        approval::check_whole(self.task, blocker, &self.approval, &mut faults);
        let has_answers = !self.command.input.answers.is_empty();
        let asked = &blocker.opened;
        let takes_answers =
            asked.answer_schema.is_some() && (has_answers || self.approval.verdict != Some(Verdict::Reject));
        faults.require(
            !takes_answers || has_answers || !self.text.is_empty(),
            "/answers",
            "answers are required: the question has an answer_schema",
        );
        faults.into_result().map_err(Rejection::Invalid)?;
        if takes_answers && self.command.checked_for != Some(asked.blocker_id) {
            return Err(Rejection::Unchecked(asked.blocker_id));
        }
        Ok(())
    }

    /// Delivers an input that answers no question.
    fn deliver(&self) -> Vec<Event> {
        let outcome = match (self.task.state, self.queue_mode) {
            // A parent takes inputs while its subtasks work, and waits for them again when its turn ends. A wait for a
            // budget is ended by the budget, or by an interrupting input.
            (TaskState::Waiting, mode)
                if (mode == QueueMode::Interrupt || self.task.waits_for_subtasks())
                    && self.task.blocker.is_some() =>
            {
                let blocker = self.task.blocker.as_ref();
                let close = blocker
                    .map(|blocker| blocker::closed(blocker, BlockerStatus::Superseded, None, None, self.at));
                let is_live = self.task.working_attempt().is_some();
                let outcome = if is_live { InputOutcome::Interrupted } else { InputOutcome::Resumed };
                return self.events(outcome, close, None);
            }
            // The result of a tool call is reported when it is there; an input does not have to wait for it.
            (TaskState::Waiting, _) if self.task.blocker.is_none() && self.task.active_run().is_none() => {
                InputOutcome::Resumed
            }
            (TaskState::Waiting, QueueMode::Interrupt) if self.task.blocker.is_none() => {
                InputOutcome::Interrupted
            }
            (TaskState::Running, QueueMode::Steer) => InputOutcome::Delivered,
            (TaskState::Running | TaskState::Queued, QueueMode::Interrupt) => InputOutcome::Interrupted,
            // A queued task gets its inputs with the run it already waits for, once that run's turn ends.
            (TaskState::Running | TaskState::Queued | TaskState::Waiting, _) => InputOutcome::Queued,
            _ => InputOutcome::Resumed,
        };
        self.events(outcome, None, None)
    }

    /// Everything that follows, in one commit. `call` is what the answer decides on the tool call it is about.
    fn events(&self, outcome: InputOutcome, close: Option<Event>, call: Option<CallDecision>) -> Vec<Event> {
        let (task, command, at) = (self.task, self.command, self.at);
        if let Some(CallDecision { event, message: None }) = call {
            // The agent receives the result of the execution when it is there.
            let accepted = self.accepted(String::new(), InputOutcome::Recorded);
            return [accepted, event].into_iter().chain(close).collect();
        }
        let (decided, call_message) = call.map(|call| (call.event, call.message)).unzip();
        let asked = match &task.blocker {
            Some(_) => task.outputs_in_question(),
            None => task.outputs_awaiting_approval(),
        };
        // A text that waits for its own turn is not about the open question.
        let is_about_it = task.blocker.is_none() || close.is_some();
        let wants_revision = is_about_it && task.awaits_approval();
        let message = match call_message.flatten() {
            Some(message) => message,
            None => composed(task, &self.approval, &self.text, &asked, wants_revision),
        };
        let rejected = match self.approval.verdict {
            None if wants_revision => approval::rejecting(&asked, Some(&self.text)),
            _ => Vec::new(),
        };
        let mut events = vec![self.accepted(message.clone(), outcome)];
        if outcome == InputOutcome::Interrupted {
            let reason = Some("interrupted by an input".to_owned());
            run::stop_run(task, RunStatus::Cancelled, reason, command.grace_ms, at, &mut events);
        }
        outputs::decide(task, &self.approval.items, at, &mut events);
        outputs::decide(task, &rejected, at, &mut events);
        events.extend(decided);
        events.extend(close);
        let seq = task.inbox.next_seq();
        let newest = QueuedText { seq, message: &message, queue_mode: self.queue_mode };
        match outcome {
            InputOutcome::Delivered if task.state == TaskState::Waiting => {
                if let Some(live) = task.working_attempt() {
                    events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at }));
                }
            }
            // Resumed: no run is active. A run ends with its attempt, and before that the task is queued, running or
            // waiting on a live attempt. Older inputs that no run took come first: no input is lost or overtaken.
            InputOutcome::Resumed | InputOutcome::Interrupted => {
                let is_interrupt = outcome == InputOutcome::Interrupted;
                let cause = if is_interrupt { RunCause::Interrupt } else { RunCause::Input };
                let next = run::request_with_inputs(task, cause, None, Some(newest), at);
                events.push(Event::RunRequested(next));
            }
            InputOutcome::Delivered | InputOutcome::Queued | InputOutcome::Recorded => {}
        }
        events
    }

    fn accepted(&self, message: String, outcome: InputOutcome) -> Event {
        let command = self.command;
        let said = Some(&self.text).filter(|text| !text.is_empty() && **text != message).cloned();
        let is_decision = self.approval.verdict.is_some();
        Event::InputAccepted(InputAccepted {
            input_id: command.input_id,
            seq: self.task.inbox.next_seq(),
            kind: if is_decision { InputKind::ApproveReject } else { InputKind::FreeText },
            message,
            said,
            action: self.approval.verdict,
            items: self.approval.items.clone(),
            queue_mode: self.queue_mode,
            source: InputSource::Caller,
            answers: command.input.answers.clone(),
            blocker_id: self.task.blocker.as_ref().filter(|b| self.answers(b)).map(|b| b.opened.blocker_id),
            outcome,
            accepted_at: self.at,
        })
    }
}

/// The text of an input: its message, else its answers by question.
fn text_of(input: &SubmitTaskInput) -> String {
    let message = input.message.trim();
    if !message.is_empty() || input.answers.is_empty() {
        return message.to_owned();
    }
    let line = |(id, answer): (&String, &serde_json::Value)| match answer.as_str() {
        Some(text) => format!("{id}: {text}"),
        None => format!("{id}: {answer}"),
    };
    input.answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn claim(task: &Task, attempt_id: &AttemptId, at: DateTime<Utc>) -> Result<Vec<Event>, Rejection> {
    task.fenced(attempt_id)?;
    if task.claimed_input(attempt_id).is_some() {
        // One at a time, in order: a repeated claim is answered with the input it has.
        return Ok(Vec::new());
    }
    let claimed = |input: &Input| {
        Event::InputClaimed(InputClaimed { seq: input.seq, attempt_id: attempt_id.clone(), at })
    };
    Ok(claimable(task).map(claimed).into_iter().collect())
}

/// The input a claim gets: first one for the live turn, then the oldest that waits for its end. An input that takes a
/// turn to itself is not put into another one.
fn claimable(task: &Task) -> Option<&Input> {
    let answer = task.answered.as_ref().map(|(_, input_id)| *input_id);
    let is_for_turn =
        |input: &&Input| input.outcome == InputOutcome::Delivered || Some(input.input_id) == answer;
    // An attempt that waits for a person takes no news of the system.
    let is_waiting = task.state == TaskState::Waiting;
    let mut others = task
        .pending_inputs()
        .filter(|input| input.queue_mode != QueueMode::Queue && !(is_waiting && input.source.is_automated()));
    task.pending_inputs().find(is_for_turn).or_else(|| others.next())
}

pub(super) fn ack(
    task: &Task,
    command: &AckInput,
    attempt_id: &AttemptId,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let live = task.fenced(attempt_id)?;
    if live.acknowledged == Some(command.input_id) {
        return Ok(Vec::new());
    }
    let input = task.input(command.input_id).ok_or(Rejection::PartNotFound("input"))?;
    match &input.state {
        InputState::Claimed(by) if by == attempt_id => Ok(vec![Event::InputConsumed(InputConsumed {
            seq: input.seq,
            attempt_id: attempt_id.clone(),
            at,
        })]),
        InputState::Pending | InputState::Claimed(_) => {
            Err(Rejection::invalid("/input_id", "the input is not claimed by this attempt"))
        }
    }
}

pub(super) fn defer(
    task: &Task,
    command: &DeferInput,
    attempt_id: &AttemptId,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let live = task.fenced(attempt_id)?;
    let input = task.input(command.input_id);
    let is_acknowledged = input.is_none() && live.acknowledged == Some(command.input_id);
    let is_held_elsewhere =
        input.is_some_and(|input| matches!(&input.state, InputState::Claimed(by) if by != attempt_id));
    let mut faults = Faults::default();
    faults.require(
        !is_acknowledged && !is_held_elsewhere,
        "/input_id",
        "the input was acknowledged, or is claimed by another attempt",
    );
    let reason = faults.required("/reason", &command.reason);
    if input.is_some() || is_acknowledged {
        faults.into_result().map_err(Rejection::Invalid)?;
    }
    let input = input.ok_or(Rejection::PartNotFound("input"))?;
    if input.outcome != InputOutcome::Delivered && input.state == InputState::Pending {
        return Ok(Vec::new());
    }
    Ok(vec![Event::InputDeferred(InputDeferred {
        seq: input.seq,
        attempt_id: attempt_id.clone(),
        reason: reason.to_owned(),
        at,
    })])
}

#[cfg(test)]
mod tests;
