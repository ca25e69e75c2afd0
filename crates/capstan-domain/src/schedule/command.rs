//! The requests a schedule takes. Each has every fresh id it may need beside it.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Change;
use crate::agent;
use crate::change::only_changes_are_null;
use crate::id::{ScheduleId, TaskId};
use crate::schedule::event::PauseCause;
use crate::schedule::{CatchUp, Overlap};

/// The longest jitter, in milliseconds: a day.
pub const JITTER_MS_MAX: i64 = 86_400_000;
/// Most skill paths.
pub const SKILL_PATHS_MAX: usize = 100;

/// A request to a schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Begins it.
    Create(Box<CreateSchedule>, Box<NewSchedule>),
    /// Changes what is given, and nothing else.
    Update {
        /// The changes.
        update: Box<UpdateSchedule>,
        /// Longest prompt, in bytes.
        prompt_bytes_max: usize,
    },
    /// Ends it; tasks it made stay.
    Delete,
    /// Stops it for now.
    Pause {
        /// The cause of the pause.
        cause: PauseCause,
        /// The reason, for people.
        reason: Option<String>,
    },
    /// Resumes it, from now.
    Resume,
    /// Makes one task now, beside the ticks.
    Trigger {
        /// The task to make: fresh, or derived from the idempotency key.
        task_id: TaskId,
    },
    /// Ends a tick whose time has come. A tick that is not the schedule's next one changes nothing.
    Tick(Tick),
}

/// Begins a schedule: a prompt to an agent at the times of a cron expression.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateSchedule {
    /// The agent, by id or key.
    pub agent_id: String,
    /// Five-field cron expression.
    pub cron_expr: String,
    /// IANA name of the zone whose clocks it follows; UTC when absent or empty.
    pub timezone: Option<String>,
    /// Prompt sent to the agent at each tick.
    pub prompt: String,
    /// Skills handed to the agent.
    #[schemars(length(max = SKILL_PATHS_MAX))]
    pub skill_paths: Option<Vec<String>>,
    /// The view it works for.
    pub source_view_id: Option<String>,
    /// False for a schedule that begins paused.
    pub active: Option<bool>,
    /// Policy for a tick while a task of an earlier tick is open; `queue` when absent.
    pub overlap: Option<Overlap>,
    /// Policy for missed ticks; `one` when absent.
    pub catch_up: Option<CatchUp>,
    /// Longest delay of a tick by jitter, in milliseconds; 0 when absent, at most one day.
    #[schemars(range(min = 0, max = JITTER_MS_MAX))]
    pub jitter_ms: Option<i64>,
}

/// The parts of a new schedule that no caller chooses.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    /// Fresh, or derived from the idempotency key.
    pub schedule_id: ScheduleId,
    /// The workspace.
    pub workspace: String,
    /// The agent as looked up.
    pub agent: agent::Created,
    /// Longest prompt, in bytes.
    pub prompt_bytes_max: usize,
}

/// Changes what is given of a schedule, and nothing else.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = only_changes_are_null)]
pub struct UpdateSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
    /// Five-field cron expression.
    pub cron_expr: Option<String>,
    /// IANA name of the zone whose clocks it follows; empty means UTC.
    pub timezone: Option<String>,
    /// Prompt sent to the agent at each tick.
    pub prompt: Option<String>,
    /// Skills handed to the agent, all of them.
    #[schemars(length(max = SKILL_PATHS_MAX))]
    pub skill_paths: Option<Vec<String>>,
    /// The view it works for; null clears it.
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub source_view_id: Change<String>,
    /// False pauses it, true resumes it.
    pub active: Option<bool>,
    /// Policy for a tick while a task of an earlier tick is open.
    pub overlap: Option<Overlap>,
    /// Policy for missed ticks.
    pub catch_up: Option<CatchUp>,
    /// Longest delay of a tick by jitter, in milliseconds; at most one day.
    #[schemars(range(min = 0, max = JITTER_MS_MAX))]
    pub jitter_ms: Option<i64>,
}

impl UpdateSchedule {
    /// An update that changes nothing.
    pub fn unchanged(schedule_id: ScheduleId) -> Self {
        Self {
            schedule_id,
            cron_expr: None,
            timezone: None,
            prompt: None,
            skill_paths: None,
            source_view_id: Change::Keep,
            active: None,
            overlap: None,
            catch_up: None,
            jitter_ms: None,
        }
    }
}

/// Ends a schedule; the tasks it made stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeleteSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}

/// Stops a schedule until it is resumed.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
    /// Reason; free text.
    pub reason: Option<String>,
}

/// Resumes a paused schedule; ticks missed during the pause do not fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumeSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}

/// Makes one task of a schedule now, beside its ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriggerSchedule {
    /// Id of the schedule.
    pub schedule_id: ScheduleId,
}

/// The tick whose time has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The tick that was waited for.
    pub tick: DateTime<Utc>,
    /// The obstacle to a task, if there is one.
    pub obstacle: Option<Obstacle>,
    /// Tasks of this schedule that are not over.
    pub open_task_ids: Vec<TaskId>,
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
