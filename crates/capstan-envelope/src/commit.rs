//! One decision as it is stored.

use std::fmt;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{Actor, CommitHash, Metadata, Position, StreamId};

/// The identity of a commit: the id of the command that caused it.
///
/// It stays the same over every try, which is how a repeat or a lost acknowledgement is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct CommitId(pub Uuid);

/// The namespace of the ids of commands with an idempotency key.
const KEYED: Uuid = Uuid::from_u128(0x6361_7073_7461_6e00_8000_0000_0000_0002);
/// The namespace of the ids that follow from their commits.
const OF_COMMITS: Uuid = Uuid::from_u128(0x6361_7073_7461_6e00_8000_0000_0000_0003);

impl CommitId {
    /// The id of the command of this name and key on a stream, which a repeat has too.
    pub fn from_key(stream: &StreamId, command: &str, key: &str) -> Self {
        // Neither a stream nor the name of a command holds a line break.
        Self(Uuid::new_v5(&KEYED, format!("{stream}\n{command}\n{key}").as_bytes()))
    }

    /// The id that follows from the commit, for a command that nobody repeats. Two writers have one only when they wrote the
    /// very same. It shows by its version, 8, so that no other id is compared with it.
    pub(crate) fn of_content(commit: &Commit) -> Self {
        let Commit { stream, version, metadata: Metadata { command, occurred_at, .. }, .. } = commit;
        let mut text = format!("{stream}\n{version}\n{command}\n{}", occurred_at.timestamp_micros());
        for EventRecord { name, version, data } in &commit.events {
            text.extend(["\n", name, "\n", &version.to_string(), "\n", data.get()]);
        }
        let bytes = Uuid::new_v5(&OF_COMMITS, text.as_bytes()).into_bytes();
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// True for an id of that kind.
    pub(crate) fn is_of_content(self) -> bool {
        self.0.get_version_num() == 8
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One event as it is stored: explicit name, version of its shape, data.
#[derive(Clone, Debug, Deserialize)]
pub struct EventRecord {
    /// Wire name in kebab-case, never derived from a Rust name.
    pub name: String,
    /// Version of the data's shape, from 1.
    pub version: u16,
    /// The event's fields as JSON text.
    pub data: Box<RawValue>,
}

impl PartialEq for EventRecord {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.version, self.data.get()) == (&other.name, other.version, other.data.get())
    }
}

/// The envelope: everything one decision adds to one stream, atomic by being one message.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Identity, the same over every try.
    pub commit_id: CommitId,
    /// The stream it extends.
    pub stream: StreamId,
    /// Its number within the stream: 1, 2, 3 …
    pub version: u64,
    /// Position of the stream's commit before this one; [`Position::START`] for the first. An append succeeds
    /// only when this still is the stream's last commit. Read back it is a hint, since it does not survive an import;
    /// [`Commit::previous_hash`] is the proof.
    pub previous: Position,
    /// Hash of the stream's commit before this one.
    pub previous_hash: CommitHash,
    /// Metadata: actor, times, cause.
    pub metadata: Metadata,
    /// The facts, in order, at least one.
    pub events: Vec<EventRecord>,
}

/// What a commit says besides its events.
#[derive(Clone, Copy, Debug)]
pub struct CommitFacts<'a> {
    /// The stream it extends.
    pub stream: &'a StreamId,
    /// Time of the decision.
    pub occurred_at: DateTime<Utc>,
    /// The actor that caused it.
    pub actor: &'a Actor,
    /// Wire name of its command.
    pub command: &'a str,
    /// The idempotency key of its command, if it has one.
    pub key: Option<&'a str>,
}

impl Commit {
    /// This commit with the id that follows from it, as its conversation too: for a command that nobody repeats and nothing
    /// caused.
    #[must_use]
    pub fn named_by_content(mut self) -> Self {
        self.commit_id = CommitId::of_content(&self);
        self.metadata.correlation_id = self.commit_id.0;
        self
    }

    /// What the commit says besides its events.
    pub fn facts(&self) -> CommitFacts<'_> {
        let Metadata { occurred_at, actor, command, idempotency, .. } = &self.metadata;
        let key = idempotency.as_ref().map(|given| given.key.as_str());
        CommitFacts { stream: &self.stream, occurred_at: *occurred_at, actor, command, key }
    }
}

/// A commit read from the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its position in the log.
    pub position: Position,
    /// Time the log stored it, by the log's clock.
    pub recorded_at: DateTime<Utc>,
    /// Hash of its stream's name and its stored text.
    pub hash: CommitHash,
    /// The commit itself.
    pub commit: Commit,
}
