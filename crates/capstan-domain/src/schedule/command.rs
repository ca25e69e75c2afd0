//! The requests a schedule takes. Each carries its time and every fresh id it may need.

use chrono::{DateTime, Utc};

use crate::Change;
use crate::agent;
use crate::id::{ScheduleId, TaskId};
use crate::schedule::event::PauseCause;
use crate::schedule::{CatchUp, Definition, Overlap};

/// A request to a schedule.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Command {
    Create(Box<Create>),
    Update(Box<Update>),
    Delete(Delete),
    Pause(Pause),
    Resume(Resume),
    Trigger(Trigger),
    Tick(Tick),
}

/// Begins a schedule (`CreateSchedule`).
#[derive(Clone, Debug, PartialEq)]
pub struct Create {
    /// Fresh, or derived from the idempotency key.
    pub schedule_id: ScheduleId,
    /// The workspace.
    pub workspace: String,
    /// The agent as looked up.
    pub agent: agent::Created,
    /// Its definition as given; a blank zone means UTC.
    pub definition: Definition,
    /// False to begin paused.
    pub active: bool,
    /// Longest prompt, in bytes.
    pub prompt_bytes_max: usize,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// Changes what is given, and nothing else (`UpdateSchedule`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Update {
    /// Five-field cron expression.
    pub cron_expr: Option<String>,
    /// IANA name; blank means UTC.
    pub timezone: Option<String>,
    /// The prompt for the agent.
    pub prompt: Option<String>,
    /// Skills handed to the agent, all of them.
    pub skill_paths: Option<Vec<String>>,
    /// The view it works for.
    pub source_view_id: Change<String>,
    /// While a task of an earlier tick is still open.
    pub overlap: Option<Overlap>,
    /// The treatment of ticks that passed while the system was down.
    pub catch_up: Option<CatchUp>,
    /// Longest delay of a tick.
    pub jitter_ms: Option<i64>,
    /// Pauses or resumes it.
    pub active: Option<bool>,
    /// Longest prompt, in bytes.
    pub prompt_bytes_max: usize,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// Ends a schedule; tasks it made stay (`DeleteSchedule`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// Stops a schedule for now (`PauseSchedule`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The cause of the pause.
    pub cause: PauseCause,
    /// The reason, for people.
    pub reason: Option<String>,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// Resumes a paused schedule, from now (`ResumeSchedule`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// Makes one task now, beside the ticks (`TriggerSchedule`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The task to make: fresh, or derived from the idempotency key.
    pub task_id: TaskId,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// The time of a tick has come. A tick that is not the schedule's next one changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The tick that was waited for.
    pub tick: DateTime<Utc>,
    /// The obstacle to a task, if there is one.
    pub obstacle: Option<Obstacle>,
    /// Tasks of this schedule that are not over.
    pub open_task_ids: Vec<TaskId>,
    /// Time of the command.
    pub at: DateTime<Utc>,
}

/// An obstacle to the task of a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The agent does not exist any more.
    AgentGone,
    /// The agent takes no commands.
    AgentInactive,
    /// The task was refused, for this reason.
    TaskRefused(String),
}
