//! What is said to a task, and how it reaches a run (domain.md 4).

use crate::Faults;
use crate::id::InputId;
use crate::task::approval::{self, Approval};
use crate::task::approval_text::composed;
use crate::task::command::{AckInput, ClaimInput, DeferInput, SubmitInput};
use crate::task::decide::request_run_with_inputs;
use crate::task::event::{
    BlockerKind, BlockerStatus, BlockerVoted, Event, InputAccepted, InputClaimed, InputConsumed,
    InputDeferred, InputKind, InputOutcome, InputSource, QueueMode, Resolution, TaskContinued, Verdict,
};
use crate::task::interrupt;
use crate::task::rejection::Rejection;
use crate::task::state::{Blocker, Input, InputState, Task, TaskState};
use crate::task::tool_call;
use crate::task::worker_report::fenced;

pub(super) fn submit(task: &Task, command: &SubmitInput) -> Result<Vec<Event>, Rejection> {
    if command.message.len() > command.message_bytes_max {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: command.message_bytes_max });
    }
    if task.input(command.input_id).is_some() {
        return Ok(Vec::new());
    }
    if let Some(run_id) = command.run_id {
        task.run(run_id).ok_or(Rejection::PartNotFound("run"))?;
    }
    let mut faults = Faults::default();
    let queue_mode = queue_mode(command.queue_mode.as_deref(), &mut faults);
    let approval = approval::read(task, command, &mut faults);
    let said = text_of(command);
    let names_decision = approval::given(command.action.as_deref()).is_some() || !command.items.is_empty();
    let is_empty = said.is_empty() && approval.verdict.is_none() && !names_decision;
    if is_empty && faults == Faults::default() {
        return Err(Rejection::MessageRequired);
    }
    faults.require(!is_empty, "/message", "message is required");
    faults.into_result().map_err(Rejection::Invalid)?;
    let open = task.blocker.as_ref();
    if let Some(named) = command.blocker_id
        && open.is_none_or(|blocker| blocker.opened.blocker_id != named)
    {
        return Err(Rejection::BlockerClosed);
    }
    let saying = Saying { task, command, approval, said, queue_mode };
    match open.filter(|blocker| saying.answers(blocker)) {
        Some(blocker) => saying.answer(blocker),
        None => Ok(saying.tell()),
    }
}

/// How an input reaches the agent, from its word.
pub(super) fn queue_mode(text: Option<&str>, faults: &mut Faults) -> QueueMode {
    match text.map(str::trim).unwrap_or_default().to_lowercase().as_str() {
        "" | "followup" => QueueMode::Followup,
        "queue" => QueueMode::Queue,
        "steer" | "steer-backlog" => QueueMode::Steer,
        "interrupt" => QueueMode::Interrupt,
        other => {
            let supported = "queue, followup, steer, steer-backlog, interrupt";
            faults.add(
                "/queue_mode",
                format!("queue_mode {other:?} is not supported (supported: {supported})"),
            );
            QueueMode::Followup
        }
    }
}

/// An input that is being decided on.
struct Saying<'a> {
    task: &'a Task,
    command: &'a SubmitInput,
    approval: Approval,
    /// What the caller said.
    said: String,
    queue_mode: QueueMode,
}

impl Saying<'_> {
    /// True when the input answers the open question. What no person said never does, nor does a message that asks for
    /// a turn of its own; and only what a person can say ends a question.
    fn answers(&self, blocker: &Blocker) -> bool {
        let is_meant = self.queue_mode != QueueMode::Queue
            || self.approval.verdict.is_some()
            || !self.command.answers.is_empty()
            || self.command.blocker_id.is_some();
        self.command.source == InputSource::Caller && is_meant && takes_words(blocker)
    }

    /// Answers the open question: outputs, question and what follows change together.
    fn answer(&self, blocker: &Blocker) -> Result<Vec<Event>, Rejection> {
        let (task, command) = (self.task, self.command);
        if let Some(by) = approval::vote(task, blocker, &self.approval, command.by.as_deref())? {
            let accepted = self.accepted(String::new(), InputOutcome::Recorded);
            let (blocker_id, input_id, at) = (blocker.opened.blocker_id, command.input_id, command.at);
            return Ok(vec![accepted, Event::BlockerVoted(BlockerVoted { blocker_id, input_id, by, at })]);
        }
        let is_text = self.approval.verdict.is_none();
        // A text that stops what runs is about something else, and a text on an approval asks for another one.
        let is_other = self.queue_mode == QueueMode::Interrupt
            && command.blocker_id.is_none()
            && command.answers.is_empty();
        let is_superseded = is_text && (is_other || blocker.opened.kind == BlockerKind::Approval);
        if is_text
            && !is_superseded
            && blocker.opened.answer_schema.is_some()
            && command.checked_for != Some(blocker.opened.blocker_id)
        {
            return Err(Rejection::Unchecked(blocker.opened.blocker_id));
        }
        let status = if is_superseded { BlockerStatus::Superseded } else { BlockerStatus::Resolved };
        let resolution = Resolution {
            action: self.approval.verdict,
            items: self.approval.items.clone(),
            message: approval::given(Some(&self.said)),
            by: command.by.clone(),
            superseded_by: None,
        };
        let close = approval::closed(blocker, status, Some(command.input_id), Some(resolution), command.at);
        let outcome = match (self.queue_mode, task.working_attempt()) {
            (QueueMode::Interrupt, Some(_)) => InputOutcome::Interrupted,
            (_, Some(_)) => InputOutcome::Delivered,
            (_, None) => InputOutcome::Resumed,
        };
        // Only a plain yes allows a call: decisions on outputs, and words, are about something else.
        let approved = self.approval.verdict == Some(Verdict::Approve) && self.approval.items.is_empty();
        let call = tool_call::decide(task, blocker, approved, &self.said, command.at);
        Ok(self.events(outcome, Some(close), call))
    }

    /// Says something that answers no question.
    fn tell(&self) -> Vec<Event> {
        let outcome = match (self.task.state, self.queue_mode) {
            // A parent hears what it is told while its subtasks work, and waits for them again when its turn ends. A
            // budget ends its own wait; only an interrupt does not wait for it.
            (TaskState::Waiting, mode)
                if self.command.source == InputSource::Caller
                    && (mode == QueueMode::Interrupt || self.task.waits_for_subtasks())
                    && self.task.blocker.is_some() =>
            {
                let blocker = self.task.blocker.as_ref();
                let close = blocker.map(|blocker| {
                    approval::closed(blocker, BlockerStatus::Superseded, None, None, self.command.at)
                });
                let is_live = self.task.working_attempt().is_some();
                let outcome = if is_live { InputOutcome::Interrupted } else { InputOutcome::Resumed };
                return self.events(outcome, close, None);
            }
            // A tool call that is carried out tells when it is done; nobody has to wait for that to speak.
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
    fn events(
        &self,
        outcome: InputOutcome,
        close: Option<Event>,
        call: Option<tool_call::Decision>,
    ) -> Vec<Event> {
        let (task, command) = (self.task, self.command);
        if let Some(tool_call::Decision { event, message: None }) = call {
            // The agent is told what the execution gave, when it gave it.
            let accepted = self.accepted(String::new(), InputOutcome::Recorded);
            return [accepted, event].into_iter().chain(close).collect();
        }
        let (decided, told) = call.map(|call| (call.event, call.message)).unzip();
        let is_automated = command.source != InputSource::Caller;
        let asked = match &task.blocker {
            Some(_) => approval::pending(task),
            None => approval::all_pending(task),
        };
        // A text that waits for its own turn says nothing about what is asked now.
        let is_about_it = task.blocker.is_none() || close.is_some();
        let wants_revision = !is_automated && is_about_it && approval::is_awaited(task);
        let message = match told.flatten() {
            Some(told) => told,
            None if is_automated => self.said.clone(),
            None => composed(task, &self.approval, &self.said, &asked, wants_revision),
        };
        let rejected = match self.approval.verdict {
            None if wants_revision => approval::rejecting(&asked, Some(&self.said)),
            _ => Vec::new(),
        };
        let mut events = vec![self.accepted(message.clone(), outcome)];
        if outcome == InputOutcome::Interrupted {
            interrupt::make_room(task, command.grace_ms, command.at, &mut events);
        }
        approval::change_statuses(task, &self.approval.items, command.at, &mut events);
        approval::change_statuses(task, &rejected, command.at, &mut events);
        events.extend(decided);
        events.extend(close);
        let next = Said { input_id: command.input_id, message: &message, queue_mode: self.queue_mode };
        match outcome {
            InputOutcome::Delivered if task.state == TaskState::Waiting => {
                if let Some(live) = task.working_attempt() {
                    events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at: command.at }));
                }
            }
            InputOutcome::Resumed => {
                // No run is active here: a run ends with its attempt, and before that the task is queued, running or
                // waiting on a live attempt. Older inputs that no run took come first: nothing said to the task is
                // lost or overtaken.
                events.push(request_run_with_inputs(task, None, Some(next), command.at));
            }
            InputOutcome::Interrupted => {
                let requested = request_run_with_inputs(task, None, Some(next), command.at);
                events.push(interrupt::as_interrupt(requested));
            }
            InputOutcome::Delivered | InputOutcome::Queued | InputOutcome::Recorded => {}
        }
        events
    }

    fn accepted(&self, message: String, outcome: InputOutcome) -> Event {
        let command = self.command;
        let said = Some(&self.said).filter(|said| !said.is_empty() && **said != message).cloned();
        let is_decision = self.approval.verdict.is_some();
        Event::InputAccepted(InputAccepted {
            input_id: command.input_id,
            seq: self.task.next_input_seq(),
            kind: if is_decision { InputKind::ApproveReject } else { InputKind::FreeText },
            message,
            said,
            action: self.approval.verdict,
            items: self.approval.items.clone(),
            queue_mode: self.queue_mode,
            source: command.source,
            answers: command.answers.clone(),
            blocker_id: self.task.blocker.as_ref().filter(|b| self.answers(b)).map(|b| b.opened.blocker_id),
            outcome,
            accepted_at: command.at,
        })
    }
}

/// True when words can end the question; the others end with a budget or with subtasks.
pub(super) fn takes_words(blocker: &Blocker) -> bool {
    matches!(blocker.opened.kind, BlockerKind::Input | BlockerKind::Approval)
}

/// Something a run is to tell the agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    /// The input.
    pub(super) input_id: InputId,
    /// Its text.
    pub(super) message: &'a str,
    /// How it wants to reach the agent.
    pub(super) queue_mode: QueueMode,
}

/// What the next run tells of everything no run has told, oldest first: all that may be merged up to the first input
/// that wants a turn of its own, or that one alone. An interrupting input, said now, waits for none of those.
/// `has_more` when the run tells something else already, so that nothing stands alone in it.
pub(super) fn next_batch<'a>(task: &'a Task, said: Option<Said<'a>>, has_more: bool) -> Vec<Said<'a>> {
    // Claimed inputs count: whoever took them is gone.
    let left = task.inbox.iter().filter(|input| input.state != InputState::Consumed);
    let left = left.map(|input| Said {
        input_id: input.input_id,
        message: &input.message,
        queue_mode: input.queue_mode,
    });
    let all: Vec<Said<'_>> = left.chain(said).collect();
    let stands_alone = |said: &Said<'_>| said.queue_mode == QueueMode::Queue;
    if said.is_some_and(|said| said.queue_mode == QueueMode::Interrupt) {
        return all.into_iter().filter(|said| !stands_alone(said)).collect();
    }
    match all.first() {
        Some(first) if stands_alone(first) && !has_more => vec![*first],
        _ => all.into_iter().take_while(|said| !stands_alone(said)).collect(),
    }
}

/// True when something was said to the task that no run has; claimed inputs are returned when an attempt ends.
pub(super) fn has_inputs_left(task: &Task) -> bool {
    task.inbox.iter().any(|input| input.state != InputState::Consumed)
}

/// True when something was said that answers a question asked now.
pub(super) fn has_answers_left(task: &Task) -> bool {
    task.inbox.iter().any(|input| input.state != InputState::Consumed && may_answer(input))
}

/// True for what a person said without asking for a turn of its own.
pub(super) fn may_answer(input: &Input) -> bool {
    input.source == InputSource::Caller && input.queue_mode != QueueMode::Queue
}

/// The text of an input: what was said, else its answers by question.
fn text_of(command: &SubmitInput) -> String {
    let message = command.message.trim();
    if !message.is_empty() || command.answers.is_empty() {
        return message.to_owned();
    }
    let line = |(id, answer): (&String, &serde_json::Value)| match answer.as_str() {
        Some(text) => format!("{id}: {text}"),
        None => format!("{id}: {answer}"),
    };
    command.answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn claim(task: &Task, command: &ClaimInput) -> Result<Vec<Event>, Rejection> {
    fenced(task, &command.attempt_id)?;
    if task.claimed_input(&command.attempt_id).is_some() {
        // One at a time, in order: a repeated claim is answered with the input it has.
        return Ok(Vec::new());
    }
    let claimed = |input: &Input| {
        Event::InputClaimed(InputClaimed {
            input_id: input.input_id,
            attempt_id: command.attempt_id.clone(),
            at: command.at,
        })
    };
    Ok(claimable(task).map(claimed).into_iter().collect())
}

/// What a claim gives: what is for the live turn first, then the oldest of what waits for its end. An input that wants
/// a turn of its own is not put into another one.
fn claimable(task: &Task) -> Option<&Input> {
    let answer = task.answered.as_ref().map(|(_, input_id)| *input_id);
    let is_for_turn =
        |input: &&Input| input.outcome == InputOutcome::Delivered || Some(input.input_id) == answer;
    // An attempt that waits for a person takes nothing that nobody said.
    let is_waiting = task.state == TaskState::Waiting;
    let mut others = task
        .pending_inputs()
        .filter(|input| input.queue_mode != QueueMode::Queue && !(is_waiting && input.source.is_automated()));
    task.pending_inputs().find(is_for_turn).or_else(|| others.next())
}

pub(super) fn ack(task: &Task, command: &AckInput) -> Result<Vec<Event>, Rejection> {
    fenced(task, &command.attempt_id)?;
    let input = task.input(command.input_id).ok_or(Rejection::PartNotFound("input"))?;
    match &input.state {
        InputState::Claimed(by) if *by == command.attempt_id => {
            Ok(vec![Event::InputConsumed(InputConsumed {
                input_id: command.input_id,
                attempt_id: command.attempt_id.clone(),
                at: command.at,
            })])
        }
        InputState::Consumed => Ok(Vec::new()),
        InputState::Pending | InputState::Claimed(_) => {
            Err(Rejection::invalid("/input_id", "the input is not claimed by this attempt"))
        }
    }
}

pub(super) fn defer(task: &Task, command: &DeferInput) -> Result<Vec<Event>, Rejection> {
    fenced(task, &command.attempt_id)?;
    let input = task.input(command.input_id).ok_or(Rejection::PartNotFound("input"))?;
    let is_held_elsewhere = matches!(&input.state, InputState::Claimed(by) if *by != command.attempt_id);
    if input.state == InputState::Consumed || is_held_elsewhere {
        return Err(Rejection::invalid("/input_id", "the agent has the input"));
    }
    let reason = command.reason.trim();
    if reason.is_empty() {
        return Err(Rejection::invalid("/reason", "reason is required"));
    }
    if input.outcome != InputOutcome::Delivered && input.state == InputState::Pending {
        return Ok(Vec::new());
    }
    Ok(vec![Event::InputDeferred(InputDeferred {
        input_id: command.input_id,
        attempt_id: command.attempt_id.clone(),
        reason: reason.to_owned(),
        at: command.at,
    })])
}

#[cfg(test)]
mod tests;
