//! Live streams, as their callers request them.

use capstan_contract::beside::Beside;
use capstan_domain::id::{RunId, TaskId};
use capstan_live::Cursor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Follows the events of a workspace.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubscribeWorkspaceLive {}

/// Follows the events of a task.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubscribeTaskLive {
    /// Id of the task.
    pub(crate) task_id: TaskId,
}

/// Follows the events of a run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SubscribeRunEvents {
    /// Id of the run.
    pub(crate) run_id: RunId,
}

/// The fields beside every request of a stream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct StreamOptions {
    /// Resumes after the frame with this id; `0` starts with the first event.
    pub(crate) after: Option<EventId>,
    /// True to start with a snapshot of the objects.
    #[serde(default)]
    pub(crate) snapshot: bool,
    /// Lines of the agents that are sent besides events; none by default.
    #[serde(default)]
    pub(crate) include: Vec<Include>,
    /// Log lines after this `data.seq` only.
    pub(crate) log_after: Option<u64>,
    /// Only events with these names; all when empty.
    #[serde(default)]
    pub(crate) types: Vec<String>,
    /// True to keep the stream open after the task has ended.
    #[serde(default)]
    pub(crate) follow: bool,
}

impl Beside for StreamOptions {
    const NAMES: &'static [&'static str] = &["after", "snapshot", "include", "log_after", "types", "follow"];
}

/// A kind of lines of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Include {
    /// Log lines.
    Logs,
    /// Run events.
    Events,
    /// Output chunks.
    Outputs,
}

impl Include {
    /// The `kind` of such lines; none when no line has one.
    pub(crate) fn kind(self) -> Option<&'static str> {
        match self {
            Self::Logs => Some("log"),
            Self::Events => Some("run-event"),
            Self::Outputs => None,
        }
    }
}

/// The id of a frame, after which a stream resumes.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub(crate) struct EventId(pub(crate) Cursor);

impl TryFrom<String> for EventId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.trim().parse().map(Self).map_err(|_| "must be an event id as sent on a stream")
    }
}
