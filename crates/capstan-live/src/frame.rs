//! Frames, as subscribers receive them.

use bytes::Bytes;
use capstan_contract::redaction::redacted;
use capstan_envelope::{Actor, EventRecord, Position, Recorded};
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
    /// Data as JSON text in one line.
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
    /// A frame whose data is this value as JSON.
    pub fn new(id: Option<Place>, event: &str, data: &impl Serialize) -> Self {
        let mut json = Vec::new();
        write_line(&mut json, data);
        Self { id, event: event.to_owned(), data: json.into() }
    }

    /// It carries an id: a subscriber that got nothing yet can resume from here as well.
    pub(crate) fn caught_up(position: Position) -> Self {
        Self::new(Some(Cursor::after(position).into()), CAUGHT_UP, &Control::CaughtUp { position })
    }

    /// The stream stops after `cursor`. A log that is another one has no place to resume from.
    pub(crate) fn gap(reason: GapReason, cursor: Cursor) -> Self {
        metrics::counter!(metric::GAPS).increment(1);
        let id = (reason != GapReason::LogDiverged).then(|| cursor.into());
        Self::new(id, GAP, &Control::Gap { reason })
    }

    /// Log lines are missing; the stream continues.
    pub(crate) fn gap_in_lines(reason: GapReason) -> Self {
        metrics::counter!(metric::GAPS).increment(1);
        Self::new(None, GAP, &Control::Gap { reason })
    }

    pub(crate) fn end(position: Position) -> Self {
        Self::new(None, END, &Control::End { position })
    }
}

/// Appends the data of an event's frame: whole, and without its secrets. The event need not be known to this build.
pub(crate) fn write_event(
    out: &mut Vec<u8>,
    Recorded { position, commit, .. }: &Recorded,
    event: &EventRecord,
) {
    let data = EventData {
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
    };
    write_line(out, &data);
}

/// Appends a value as JSON in one line. A break in JSON text stands between its tokens only, where a blank says the same.
fn write_line(out: &mut Vec<u8>, value: &impl Serialize) {
    let begin = out.len();
    serde_json::to_writer(&mut *out, value).expect("names, numbers and JSON text can always be written");
    for byte in &mut out[begin..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn the_data_of_a_frame_is_one_line() {
        let raw = RawValue::from_string("{\"a\":\r\n[\"\\n\"]}".to_owned()).unwrap();
        assert_eq!(Frame::new(None, LOG, &raw).data, r#"{"a":  ["\n"]}"#);
    }
}
