//! What is said to a task.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::blocker::{ItemDecision, Verdict};
use crate::id::{AttemptId, BlockerId, InputId};

stored! {
/// Something was said to the task; it stays in the inbox until a run has it.
pub struct InputAccepted {
    /// The input.
    pub input_id: InputId,
    /// Its place in the inbox, from 1.
    pub seq: u32,
    /// What kind of input.
    pub kind: InputKind,
    /// What the agent is told; blank when there is nothing to tell it, as with a vote.
    pub message: String,
    /// What the caller said, when the agent is told more or less than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// Yes, no or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<Verdict>,
    /// Decisions on single outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemDecision>,
    /// When and how it reaches the agent.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub queue_mode: QueueMode,
    /// What said it.
    #[serde(default, skip_serializing_if = "crate::stored::is_default")]
    pub source: InputSource,
    /// Answers by question id.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub answers: Map<String, Value>,
    /// The blocker it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocker_id: Option<BlockerId>,
    /// What becomes of it, as the caller was told.
    pub outcome: InputOutcome,
    /// When.
    pub accepted_at: DateTime<Utc>,
}

/// The live attempt took the input, but has not used it yet.
pub struct InputClaimed {
    /// The input.
    pub input_id: InputId,
    /// Who took it.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The input is pending again: the attempt that took it is gone.
pub struct InputReturned {
    /// The input.
    pub input_id: InputId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The agent has the input.
pub struct InputConsumed {
    /// The input.
    pub input_id: InputId,
    /// The attempt that acknowledged it.
    pub attempt_id: AttemptId,
    /// When.
    pub at: DateTime<Utc>,
}

/// The input was to reach the live turn but could not: it stays in the inbox until the turn ends.
pub struct InputDeferred {
    /// The input.
    pub input_id: InputId,
    /// The attempt that could not take it.
    pub attempt_id: AttemptId,
    /// Why not.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}
}

choice! {
/// What kind of input was given.
pub enum InputKind {
    /// Free text.
    FreeText,
    /// A decision.
    ApproveReject,
}

/// What becomes of an input.
pub enum InputOutcome {
    /// The live attempt will receive it now.
    Delivered,
    /// It stays in the inbox until the current turn ends.
    Queued,
    /// The task goes back to the queue to resume its session with it.
    Resumed,
    /// What was running is stopped, and the session resumes with it.
    Interrupted,
    /// It is kept; the agent is told nothing yet.
    Recorded,
}
}

/// When and how an input reaches the agent.
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

/// What said an input.
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
    /// A tool call that was carried out.
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
