//! Events of a schedule. These names and fields are stored permanently.

use chrono::{DateTime, Utc};

use crate::id::{AgentId, ScheduleId, TaskId};
use crate::implied::{self, At, Own, OwnWorkspace};
use crate::schedule::{Definition, Next};

/// An event of a schedule.
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

stored! {
/// The schedule began.
pub struct ScheduleCreated {
    /// The schedule.
    pub schedule_id: Own<ScheduleId>,
    /// Its workspace.
    pub workspace: OwnWorkspace,
    /// The agent's key.
    #[serde(with = "implied::agent_key")]
    #[schemars(with = "String")]
    pub agent_key: String,
    /// The agent.
    #[serde(default = "implied::keyed_agent", skip_serializing_if = "implied::is_keyed_agent")]
    #[schemars(transform = implied::drawn)]
    pub agent_id: AgentId,
    /// The agent's name.
    pub agent_name: String,
    /// Its type.
    pub definition: Definition,
    /// False when it began paused.
    pub active: bool,
    /// Its first tick; none while it is paused.
    pub next: Option<Next>,
    /// Time of the event.
    pub created_at: At,
}

/// The schedule was changed.
pub struct ScheduleChanged {
    /// The whole new definition.
    pub definition: Definition,
    /// Its next tick: another one only when its times changed; none while it is paused.
    pub next: Option<Next>,
    /// Time of the event.
    pub at: At,
}

/// The schedule fires no more until it is resumed.
pub struct SchedulePaused {
    /// The cause of the pause.
    pub cause: PauseCause,
    /// The reason, for people.
    pub reason: Option<String>,
    /// Time of the event.
    pub at: At,
}

/// The schedule fires again; ticks of the pause are not made up for.
pub struct ScheduleResumed {
    /// Its next tick, after the instant of the resumption.
    pub next: Option<Next>,
    /// Time of the event.
    pub at: At,
}

/// The schedule is gone; tasks it made stay.
pub struct ScheduleDeleted {
    /// Time of the event.
    pub at: At,
}

/// A caller requested one task now, beside the ticks.
pub struct ScheduleTriggered {
    /// The task, accepted in the same commit group.
    pub task_id: TaskId,
    /// Time of the event.
    pub at: At,
}

/// A tick made its task.
pub struct TickFired {
    /// The tick.
    pub tick: DateTime<Utc>,
    /// The task, accepted in the same commit group.
    pub task_id: TaskId,
    /// Open tasks of earlier ticks that were cancelled for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancelled_task_ids: Vec<TaskId>,
    /// The next tick.
    pub next: Option<Next>,
    /// Time of the event.
    pub at: At,
}

/// A tick came, and made no task.
pub struct TickSkipped {
    /// The tick.
    pub tick: DateTime<Utc>,
    /// The reason, for people.
    pub reason: SkipReason,
    /// More about it, for people.
    pub detail: Option<String>,
    /// The open tasks, when they are the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open_task_ids: Vec<TaskId>,
    /// The next tick.
    pub next: Option<Next>,
    /// Time of the event.
    pub at: At,
}

/// Ticks passed while the system was down and are not made up for.
pub struct TicksMissed {
    /// The first of them.
    pub from: DateTime<Utc>,
    /// The last of them.
    pub to: DateTime<Utc>,
    /// Number of ticks.
    pub count: u64,
    /// The next tick; it may be due already.
    pub next: Option<Next>,
    /// The time of the discovery.
    pub at: At,
}
}

choice! {
/// The cause of a pause.
pub enum PauseCause {
    /// A caller requested it.
    Asked = "asked",
    /// Its agent does not exist any more.
    AgentGone = "agent_gone",
    /// Its agent takes no commands.
    AgentInactive = "agent_inactive",
}

/// The reason a tick made no task.
pub enum SkipReason {
    /// A task of an earlier tick is still open, and the schedule does not want two.
    PreviousOpen = "previous_open",
    /// The agent does not exist any more.
    AgentGone = "agent_gone",
    /// The agent takes no commands.
    AgentInactive = "agent_inactive",
    /// The task was refused.
    TaskRefused = "task_refused",
}
}

impl PauseCause {
    /// The default reason, for people.
    pub(super) fn in_words(self) -> Option<&'static str> {
        match self {
            Self::Asked => None,
            Self::AgentGone => Some("its agent does not exist any more"),
            Self::AgentInactive => Some("its agent is inactive"),
        }
    }
}
