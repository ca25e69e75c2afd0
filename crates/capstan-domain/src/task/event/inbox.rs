//! Inputs of a task.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::blocker::{ItemDecision, Verdict};
use crate::id::{AttemptId, BlockerId, InputId};
use crate::implied::{self, At};

stored! {
/// An input was accepted; it stays in the inbox until a run has it.
pub struct InputAccepted {
    /// Its number, from 1: its place in the inbox, by which later events name it.
    #[serde(with = "implied::input_no")]
    #[schemars(with = "u32")]
    pub seq: u32,
    /// The source of the input.
    #[serde(default = "implied::input_source", with = "implied::source")]
    #[serde(skip_serializing_if = "implied::is_input_source")]
    #[schemars(with = "InputSource")]
    pub source: InputSource,
    /// The input.
    #[serde(default = "implied::accepted_input", with = "implied::input")]
    #[serde(skip_serializing_if = "implied::is_accepted_input")]
    #[schemars(with = "InputId", transform = implied::drawn)]
    pub input_id: InputId,
    /// The caller's text, when the agent receives another one.
    #[serde(default, with = "implied::text")]
    #[schemars(with = "Option<String>")]
    pub said: Option<String>,
    /// Decisions on single outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "implied::items")]
    #[schemars(with = "Vec<ItemDecision>")]
    pub items: Vec<ItemDecision>,
    /// The decision as a whole.
    #[serde(default = "implied::whole_action", with = "implied::action")]
    #[serde(skip_serializing_if = "implied::is_whole_action")]
    #[schemars(with = "Option<Verdict>", transform = implied::drawn)]
    pub action: Option<Verdict>,
    /// The kind of input.
    #[serde(default = "implied::input_kind", skip_serializing_if = "implied::is_input_kind")]
    #[schemars(transform = implied::drawn)]
    pub kind: InputKind,
    /// The message to the agent; blank when it needs none, as for a vote. What it quotes of the commit is not stored again.
    #[serde(with = "implied::message")]
    #[schemars(with = "implied::DrawnPieces")]
    pub message: String,
    /// The way it reaches the agent.
    #[serde(default = "implied::queue_mode", skip_serializing_if = "implied::is_queue_mode")]
    pub queue_mode: QueueMode,
    /// Answers by question id.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub answers: Map<String, Value>,
    /// The blocker it answers.
    #[serde_with(skip_apply)]
    #[serde(default, with = "implied::answered_blocker")]
    #[schemars(with = "Option<implied::DrawnBlocker>")]
    pub blocker_id: Option<BlockerId>,
    /// The outcome reported to the caller.
    pub outcome: InputOutcome,
    /// Time of the event.
    pub accepted_at: At,
}

/// The live attempt took the input, but has not used it yet.
pub struct InputClaimed {
    /// Number of the input.
    pub seq: u32,
    /// The attempt that claimed it.
    pub attempt_id: AttemptId,
    /// Time of the event.
    pub at: At,
}

/// The input is pending again: the attempt that took it is gone.
pub struct InputReturned {
    /// Number of the input.
    pub seq: u32,
    /// Time of the event.
    pub at: At,
}

/// The agent has the input.
pub struct InputConsumed {
    /// Number of the input.
    pub seq: u32,
    /// The attempt that acknowledged it.
    pub attempt_id: AttemptId,
    /// Time of the event.
    pub at: At,
}

/// The input was to reach the live turn but could not: it stays in the inbox until the turn ends.
pub struct InputDeferred {
    /// Number of the input.
    pub seq: u32,
    /// The attempt that could not take it.
    pub attempt_id: AttemptId,
    /// The reason, for people.
    pub reason: String,
    /// Time of the event.
    pub at: At,
}
}

choice! {
/// The kind of an input.
pub enum InputKind {
    /// Free text.
    FreeText = "free_text",
    /// A decision.
    ApproveReject = "approve_reject",
}

/// The outcome of an input.
pub enum InputOutcome {
    /// The live attempt will receive it now.
    Delivered = "delivered",
    /// It stays in the inbox until the current turn ends.
    Queued = "queued",
    /// The task goes back to the queue to resume its session with it.
    Resumed = "resumed",
    /// The live run is stopped, and the session resumes with it.
    Interrupted = "interrupted",
    /// It is kept; the agent receives nothing yet.
    Recorded = "recorded",
}
}

/// The way an input reaches the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueMode {
    /// At the end of the turn, together with others.
    #[default]
    Followup,
    /// Into the live turn.
    Steer,
    /// At the end of the turn, alone.
    Queue,
    /// At once: what runs is stopped.
    Interrupt,
}

/// The source of an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputSource {
    /// A caller.
    #[default]
    Caller,
    /// A source watch that fired.
    Watch,
    /// Subtasks that ended.
    Subtasks,
    /// A tool call that was executed.
    ToolCall,
    /// A deadline that passed.
    Deadline,
}

impl InputSource {
    /// True for news the system reports by itself.
    pub fn is_automated(self) -> bool {
        matches!(self, Self::Watch | Self::Subtasks)
    }
}

impl InputAccepted {
    /// A plain text: it decides nothing and answers nothing.
    pub(crate) fn text(
        input_id: InputId,
        seq: u32,
        source: InputSource,
        message: String,
        outcome: InputOutcome,
        accepted_at: DateTime<Utc>,
    ) -> Self {
        Self {
            input_id,
            seq,
            kind: InputKind::FreeText,
            message,
            said: None,
            action: None,
            items: Vec::new(),
            queue_mode: QueueMode::default(),
            source,
            answers: Map::new(),
            blocker_id: None,
            outcome,
            accepted_at,
        }
    }
}
