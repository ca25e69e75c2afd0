//! Live streams of events: what each is about, and the places between events where one resumes.

mod cursor;
mod place;

pub use cursor::{Cursor, ParseCursorError};
pub use place::{ParsePlaceError, Place};

use std::borrow::Cow;

use capstan_domain::Faults;
use capstan_domain::id::{RunId, TaskId};
use capstan_envelope::CARRIED_FORWARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::beside::beside;
use crate::catalogue::CATALOGUE;
use crate::requests;

/// Follows the events of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscribeWorkspaceLive {}

/// Follows the events of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscribeTaskLive {
    /// Id of the task.
    pub task_id: TaskId,
}

/// Follows the events of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubscribeRunEvents {
    /// Id of the run.
    pub run_id: RunId,
}

requests! {
    /// Every live stream and the JSON Schema of its fields. They are served over HTTP only.
    pub STREAMS:
    SubscribeWorkspaceLive(StreamOptions) = "subscribe-workspace-live", Get "/stream";
    SubscribeTaskLive(StreamOptions) = "subscribe-task-live", Get "/tasks/{task_id}/stream";
    SubscribeRunEvents(StreamOptions) = "subscribe-run-events", Get "/runs/{run_id}/stream";
}

beside! {
    /// The fields beside every request of a stream.
    #[derive(Default)]
    StreamOptions {
        /// Resumes after the frame with this id; `0` starts with the first event.
        after: Option<Place>,
        /// Id of the last frame that was received, as a browser sends it when it reconnects to the same address. It goes
        /// before `after`, and instead of a snapshot.
        last_event_id: Option<Place>,
        /// True to start with a snapshot of the objects, instead of `after` an event.
        #[serde(default)]
        snapshot: bool,
        /// Lines of the agents that are sent besides events; none by default.
        #[serde(default)]
        include: Vec<Include>,
        /// Only lines after this `data.seq`; needs `include`.
        log_after: Option<u64>,
        /// Only events with these names; all when empty.
        #[serde(default)]
        types: Vec<EventType>,
        /// True to keep the stream open after the task or run has ended.
        #[serde(default)]
        follow: bool,
    }
}

impl StreamOptions {
    /// The events after this place.
    pub fn after(place: impl Into<Place>) -> Self {
        Self { after: Some(place.into()), ..Self::default() }
    }

    /// The options that cannot be given together.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let is_not_both = !self.snapshot || self.after.is_none();
        faults.require(
            is_not_both,
            "/snapshot",
            "a stream begins with a snapshot or after an event, not both",
        );
        if let (Some(last), Some(after)) = (self.last_event_id, self.after) {
            faults.require(
                last.cursor.reaches(after.cursor),
                "/last_event_id",
                "contradicts after: this frame was before it",
            );
        }
        let is_one_line = self.log_after.is_none() || self.after.is_none_or(|after| after.line.is_none());
        faults.require(is_one_line, "/log_after", "contradicts after, which names a line: give one of both");
        let has_lines = self.log_after.is_none() || !self.include.is_empty();
        faults.require(has_lines, "/log_after", "needs include: logs, events or both");
        faults
    }
}

/// A kind of lines of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Include {
    /// Log lines.
    Logs,
    /// Run events.
    Events,
}

impl Include {
    /// The `kind` of such lines.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Logs => "log",
            Self::Events => "run-event",
        }
    }
}

/// The wire name of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EventType(pub String);

impl JsonSchema for EventType {
    fn schema_name() -> Cow<'static, str> {
        "EventType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = CATALOGUE.iter().map(|event| event.name);
        let names: Vec<_> = names.chain([CARRIED_FORWARD]).collect();
        json_schema!({ "description": "The wire name of an event.", "type": "string", "enum": names })
    }
}

impl TryFrom<String> for EventType {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let is_known = name == CARRIED_FORWARD || CATALOGUE.iter().any(|event| event.name == name);
        is_known.then_some(Self(name)).ok_or("is not the name of an event; GET /schemas lists them")
    }
}
