//! Inputs of a task.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{AttemptId, InputId};
use crate::implied;
use crate::stored::json_bytes;
use crate::task::event::{
    InputAccepted, InputClaimed, InputDeferred, InputKind, InputNumbers, InputOutcome, InputSource,
    QueueMode, Verdict,
};

/// The state of an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputState {
    /// Waits for a run.
    Pending,
    /// Claimed by an attempt, not yet acknowledged.
    Claimed(#[serde(with = "crate::implied::attempt")] AttemptId),
}

/// An input, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// The input's id.
    pub input_id: InputId,
    /// Its place in the inbox, from 1.
    pub seq: u32,
    /// Free text or decision.
    pub kind: InputKind,
    /// The message to the agent.
    pub message: String,
    /// The way it reaches the agent.
    #[serde(default = "implied::queue_mode", skip_serializing_if = "implied::is_queue_mode")]
    pub queue_mode: QueueMode,
    /// Its source.
    #[serde(default = "implied::input_source", skip_serializing_if = "implied::is_input_source")]
    pub source: InputSource,
    /// Its decision; none for a free text.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub action: Option<Verdict>,
    /// True when it decided on outputs: it says nothing about others.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub decides_outputs: bool,
    /// Answers by question id.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub answers: Map<String, Value>,
    /// The outcome the caller was given.
    pub outcome: InputOutcome,
    /// Its state.
    pub state: InputState,
}

impl Input {
    fn bytes(&self) -> usize {
        let answers = self.answers.iter().map(|(id, answer)| id.len() + json_bytes(answer)).sum::<usize>();
        self.message.len() + answers
    }

    /// True for a caller's input that does not take a turn to itself.
    pub(in crate::task) fn may_answer(&self) -> bool {
        self.source == InputSource::Caller && self.queue_mode != QueueMode::Queue
    }
}

/// The inputs of a task that no agent has yet, oldest first. A consumed one has left; a repeat of the command that brought it
/// is known by its key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inbox {
    /// Inputs accepted so far.
    pub accepted: u32,
    /// The inputs that did not leave; claimed ones are returned when an attempt ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Input>,
}

impl std::ops::Deref for Inbox {
    type Target = [Input];

    fn deref(&self) -> &Self::Target {
        &self.left
    }
}

impl Inbox {
    /// The place the next input takes, from 1.
    pub(in crate::task) fn next_seq(&self) -> u32 {
        self.accepted.saturating_add(1)
    }

    /// Bytes of the inputs that did not leave.
    pub(in crate::task) fn bytes(&self) -> usize {
        self.left.iter().map(Input::bytes).sum()
    }

    pub(in crate::task) fn accepted(&mut self, e: &InputAccepted) {
        self.accepted = e.seq;
        // An input without a message to the agent needs no delivery.
        if e.message.is_empty() {
            return;
        }
        self.left.push(Input {
            input_id: e.input_id,
            seq: e.seq,
            kind: e.kind,
            message: e.message.clone(),
            queue_mode: e.queue_mode,
            source: e.source,
            action: e.action,
            decides_outputs: !e.items.is_empty(),
            answers: e.answers.clone(),
            outcome: e.outcome,
            state: InputState::Pending,
        });
    }

    pub(in crate::task) fn deferred(&mut self, e: &InputDeferred) {
        self.change(e.seq, |input| {
            input.state = InputState::Pending;
            input.queue_mode = QueueMode::Followup;
            input.outcome = InputOutcome::Queued;
        });
    }

    pub(in crate::task) fn claimed(&mut self, e: &InputClaimed) {
        self.change(e.seq, |input| input.state = InputState::Claimed(e.attempt_id.clone()));
    }

    pub(in crate::task) fn returned(&mut self, seq: u32) {
        self.change(seq, |input| input.state = InputState::Pending);
    }

    pub(in crate::task) fn consumed(&mut self, numbers: &InputNumbers) {
        self.left.retain(|input| !numbers.contains(input.seq));
    }

    /// The input with this number, until an agent has it.
    pub fn numbered(&self, seq: u32) -> Option<&Input> {
        self.left.iter().rev().find(|input| input.seq == seq)
    }

    fn change(&mut self, seq: u32, change: impl FnOnce(&mut Input)) {
        if let Some(input) = self.left.iter_mut().rev().find(|input| input.seq == seq) {
            change(input);
        }
    }
}
