//! What happened to a schedule. These names and fields are stored for ever.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{AgentId, ScheduleId, TaskId};
use crate::schedule::{Definition, Next};

/// A fact about a schedule.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    Created(ScheduleCreated),
    Changed(ScheduleChanged),
    Paused(SchedulePaused),
    Resumed(ScheduleResumed),
    Deleted(ScheduleDeleted),
    Triggered(ScheduleTriggered),
    TickFired(TickFired),
    TickSkipped(TickSkipped),
    TicksMissed(TicksMissed),
}

/// The schedule began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleCreated {
    /// The schedule.
    pub schedule_id: ScheduleId,
    /// Where it lives.
    pub workspace: String,
    /// Who is told.
    pub agent_id: AgentId,
    /// The agent's key.
    pub agent_key: String,
    /// The agent's name.
    pub agent_name: String,
    /// What it is.
    pub definition: Definition,
    /// False when it began paused.
    pub active: bool,
    /// Its first tick; none while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What the schedule is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleChanged {
    /// What it is now, whole.
    pub definition: Definition,
    /// Its next tick: another one only when its times changed; none while it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Who or what paused a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseCause {
    /// Somebody asked for it.
    Asked,
    /// Its agent does not exist any more.
    AgentGone,
    /// Its agent takes no commands.
    AgentInactive,
}

impl PauseCause {
    /// The reason for people, where nobody gave one.
    pub(super) fn in_words(self) -> Option<&'static str> {
        match self {
            Self::Asked => None,
            Self::AgentGone => Some("its agent does not exist any more"),
            Self::AgentInactive => Some("its agent is inactive"),
        }
    }
}

/// The schedule fires no more until it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulePaused {
    /// Who or what paused it.
    pub cause: PauseCause,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The schedule fires again; ticks of the pause are not made up for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleResumed {
    /// Its next tick, after the instant of the resumption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The schedule is gone; tasks it made stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleDeleted {
    /// When.
    pub at: DateTime<Utc>,
}

/// Somebody asked for one task now, beside the ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleTriggered {
    /// The task, accepted in the same commit group.
    pub task_id: TaskId,
    /// When.
    pub at: DateTime<Utc>,
}

/// A tick made its task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TickFired {
    /// Which tick.
    pub tick: DateTime<Utc>,
    /// The task, accepted in the same commit group.
    pub task_id: TaskId,
    /// Open tasks of earlier ticks that were cancelled for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancelled_task_ids: Vec<TaskId>,
    /// The next tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Why a tick made no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// A task of an earlier tick is still open, and the schedule does not want two.
    PreviousOpen,
    /// The agent does not exist any more.
    AgentGone,
    /// The agent takes no commands.
    AgentInactive,
    /// The task was refused.
    TaskRefused,
}

/// A tick came, and made no task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TickSkipped {
    /// Which tick.
    pub tick: DateTime<Utc>,
    /// Why.
    pub reason: SkipReason,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The open tasks, when they are the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_task_ids: Vec<TaskId>,
    /// The next tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// When.
    pub at: DateTime<Utc>,
}

/// Ticks passed while nobody could fire them, and are not made up for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TicksMissed {
    /// The first of them.
    pub from: DateTime<Utc>,
    /// The last of them.
    pub to: DateTime<Utc>,
    /// How many.
    pub count: u64,
    /// The next tick; it may be due already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// When it was found out.
    pub at: DateTime<Utc>,
}
