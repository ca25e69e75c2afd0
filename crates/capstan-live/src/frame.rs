//! Frames, as subscribers receive them.

use bytes::Bytes;
use capstan_envelope::redaction::redacted;
use capstan_envelope::{Actor, Position, Recorded};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Cursor;

/// Name of the frame that says: everything up to here has been handed out, what follows is live.
pub const CAUGHT_UP: &str = "caught_up";
/// Name of the frame that says why the stream stops here, and where to resume.
pub const GAP: &str = "gap";
/// Name of the frame that says: nothing more will come.
pub const END: &str = "end";
/// Name of the frame that carries a line of a running agent.
pub const LOG: &str = "log";

/// One message to a subscriber, the same over every transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The cursor to resume from after this frame; none on log lines and on control frames that are no place.
    pub id: Option<String>,
    /// The event's wire name, or the name of a control frame.
    pub event: String,
    /// Data as JSON text.
    pub data: Bytes,
}

/// The reasons a stream stops before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The subscriber did not keep up.
    Slow,
    /// This process stops.
    ShuttingDown,
    /// The log is not the one the cursor belongs to, or a commit cannot be read.
    LogDiverged,
}

impl Stop {
    const fn reason(self) -> &'static str {
        match self {
            Self::Slow => "slow_subscriber",
            Self::ShuttingDown => "shutting_down",
            Self::LogDiverged => "log_diverged",
        }
    }
}

/// The data of an event's frame.
#[derive(Serialize)]
struct EventData<'a> {
    position: Position,
    version: u64,
    workspace: &'a str,
    category: &'a str,
    id: &'a str,
    event: &'a str,
    event_version: u16,
    occurred_at: DateTime<Utc>,
    actor: &'a Actor,
    command: &'a str,
    correlation_id: Uuid,
    data: &'a RawValue,
}

impl Frame {
    /// One frame per event of a commit, without its secrets. Events need not be known to this build.
    pub(crate) fn of_commit(recorded: &Recorded) -> Vec<Self> {
        let Recorded { position, commit, .. } = recorded;
        let count = commit.events.len();
        let frame = |(index, event): (usize, &capstan_envelope::EventRecord)| Self {
            id: Some(Cursor::after_event(*position, index, count).to_string()),
            event: event.name.clone(),
            data: json_bytes(&EventData {
                position: *position,
                version: commit.version,
                workspace: commit.stream.workspace().as_str(),
                category: commit.stream.category(),
                id: commit.stream.id(),
                event: &event.name,
                event_version: event.version,
                occurred_at: commit.metadata.occurred_at,
                actor: &commit.metadata.actor,
                command: &commit.metadata.command,
                correlation_id: commit.metadata.correlation_id,
                data: &redacted(&event.data),
            }),
        };
        commit.events.iter().enumerate().map(frame).collect()
    }

    /// It carries an id: a subscriber that got nothing yet can resume from here as well.
    pub(crate) fn caught_up(position: Position) -> Self {
        Self {
            id: Some(Cursor::after(position).to_string()),
            event: CAUGHT_UP.to_owned(),
            data: json_bytes(&json!({ "position": position })),
        }
    }

    /// A log that is another one has no place to resume from.
    pub(crate) fn gap(stop: Stop, cursor: Cursor) -> Self {
        let resume_from = (stop != Stop::LogDiverged).then(|| cursor.to_string());
        Self {
            id: None,
            event: GAP.to_owned(),
            data: json_bytes(&json!({ "reason": stop.reason(), "resume_from": resume_from })),
        }
    }

    pub(crate) fn end(position: Position) -> Self {
        Self { id: None, event: END.to_owned(), data: json_bytes(&json!({ "position": position })) }
    }
}

pub(crate) fn json_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("names, numbers and JSON text can always be written").into()
}
