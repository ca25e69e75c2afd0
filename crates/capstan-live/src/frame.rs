//! Frames, as subscribers receive them.

use bytes::Bytes;
use capstan_contract::redaction::redacted;
use capstan_contract::whole_records;
use capstan_envelope::{Actor, Position, Recorded};
use capstan_eventlog::ReadError;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Cursor, Place, metric};

/// Name of the frame that says: everything up to here has been handed out, what follows is live.
pub const CAUGHT_UP: &str = "caught_up";
/// Name of the frame that says that frames are missing, and why. With an id the stream stops here and resumes after it.
pub const GAP: &str = "gap";
/// Name of the frame that says: nothing more will come.
pub const END: &str = "end";
/// Name of the frame that carries a line of a running agent.
pub const LOG: &str = "log";

/// One message to a subscriber, the same over every transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The place to resume from after this frame; none on control frames that are no place.
    pub id: Option<Place>,
    /// The event's wire name, or the name of a control frame.
    pub event: String,
    /// Data as JSON text.
    pub data: Bytes,
}

/// The reason why frames are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The subscriber did not keep up. The stream stops.
    SlowSubscriber,
    /// This process stops, and the stream with it.
    ShuttingDown,
    /// The place is not in this log. The stream stops, and there is no place to resume from.
    LogDiverged,
    /// A commit after this place cannot be read; a newer version may be needed. The stream stops, and it stops here again,
    /// from whatever place it is resumed, if the commit is one of its own.
    LogUnreadable,
    /// The last log lines cannot be read.
    LogLinesUnavailable,
    /// The stream was resumed after an id without a place among the log lines, or after a place beyond their end: they start
    /// from now.
    LogLinesSkipped,
}

impl GapReason {
    /// The reason why nothing follows a failure that asking again cannot heal.
    pub(crate) fn after(error: &ReadError) -> Self {
        match error {
            ReadError::Corrupt { .. } => Self::LogUnreadable,
            ReadError::Diverged { .. } | ReadError::Unavailable { .. } => Self::LogDiverged,
        }
    }
}

/// The data of an event's frame.
#[derive(Serialize, JsonSchema)]
pub struct EventData<'a> {
    /// Position of the event's commit.
    position: Position,
    /// Version of the entity after the commit.
    version: u64,
    /// The entity's workspace.
    workspace: &'a str,
    /// Kind of the entity, for example `task`.
    category: &'a str,
    /// Id of the entity.
    id: &'a str,
    /// Wire name of the event.
    event: &'a str,
    /// Version of the event's shape, from 1.
    event_version: u16,
    /// Time the event occurred.
    occurred_at: DateTime<Utc>,
    /// The cause of the commit.
    actor: &'a Actor,
    /// Wire name of the command.
    command: &'a str,
    /// Id of the request in logs.
    correlation_id: Uuid,
    /// Fields of the event.
    data: &'a RawValue,
}

/// The data of a frame that is no event and no log line.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Control {
    /// All earlier events are sent; the following ones are live.
    CaughtUp {
        /// Position of the last event sent.
        position: Position,
    },
    /// Frames are missing here.
    Gap {
        /// Reason why they are missing.
        reason: GapReason,
    },
    /// Nothing follows.
    End {
        /// Position of the last event sent.
        position: Position,
    },
}

impl Frame {
    /// One frame per event of a commit, whole and without its secrets. Events need not be known to this build.
    pub(crate) fn from_commit(recorded: &Recorded) -> Vec<Self> {
        let Recorded { position, commit, .. } = recorded;
        let count = commit.events.len();
        let frame = |(index, event): (usize, &capstan_envelope::EventRecord)| Self {
            id: Some(Cursor::after_event(*position, index, count).into()),
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
        whole_records(commit).iter().enumerate().map(frame).collect()
    }

    /// It carries an id: a subscriber that got nothing yet can resume from here as well.
    pub(crate) fn caught_up(position: Position) -> Self {
        let id = Some(Cursor::after(position).into());
        Self { id, ..Self::for_control(CAUGHT_UP, &Control::CaughtUp { position }) }
    }

    /// The stream stops after `cursor`. A log that is another one has no place to resume from.
    pub(crate) fn gap(reason: GapReason, cursor: Cursor) -> Self {
        metrics::counter!(metric::GAPS).increment(1);
        let id = (reason != GapReason::LogDiverged).then(|| cursor.into());
        Self { id, ..Self::for_control(GAP, &Control::Gap { reason }) }
    }

    /// Log lines are missing; the stream continues.
    pub(crate) fn gap_in_lines(reason: GapReason) -> Self {
        metrics::counter!(metric::GAPS).increment(1);
        Self::for_control(GAP, &Control::Gap { reason })
    }

    pub(crate) fn end(position: Position) -> Self {
        Self::for_control(END, &Control::End { position })
    }

    fn for_control(event: &str, control: &Control) -> Self {
        Self { id: None, event: event.to_owned(), data: json_bytes(control) }
    }
}

pub(crate) fn json_bytes(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("names, numbers and JSON text can always be written").into()
}
