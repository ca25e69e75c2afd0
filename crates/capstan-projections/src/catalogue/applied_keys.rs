//! The keyed commands that left the heads of their streams: a head keeps its first and its newest ones only, see
//! [`AppliedKeys`](capstan_envelope::AppliedKeys). So an ordinary task has no row here. A stream that was carried forward has one
//! row with digests of all that had left before, for tables that are built again when their commits are gone.

use capstan_contract::DomainEvent;
use capstan_contract::schema::NamedSchema;
use capstan_envelope::{Applied, Carried, CommitId, OlderKeys, Recorded, StreamId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalogue::streams::stream_key;
use crate::cell::Column;
use crate::fact::Fact;
use crate::model::{Model, Stored};

/// A keyed command that was applied to a stream, or digests of all those of which the stream carried no more forward.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum AppliedKeyRow {
    Applied(Applied),
    Older { older: OlderKeys },
}

/// The key of its row: one command may have changed two streams.
pub(crate) fn applied_key(stream: &StreamId, command: CommitId) -> Uuid {
    Uuid::new_v5(&command.0, stream_key(stream).as_bytes())
}

/// The key of the row with the digests of a stream. No command has this id.
pub(crate) fn older_keys(stream: &StreamId) -> Uuid {
    applied_key(stream, CommitId(Uuid::nil()))
}

impl Model for AppliedKeyRow {
    const VERSION: i32 = 3;
    const COLUMNS: &'static [Column<Self>] = &[];
    const ANSWER: Option<NamedSchema> = None;
    const FOLLOWS_HEADS: bool = true;
    type Event<'a> = &'a DomainEvent;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        // Each leaves once, so its row is new and never read.
        keys.extend(fact.left.iter().map(|(command, _)| applied_key(&fact.recorded.commit.stream, *command)));
    }

    fn apply(row: Option<Self>, key: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let stream = &fact.recorded.commit.stream;
        let left = fact.left.iter().find(|(command, _)| applied_key(stream, *command) == *key);
        left.map(|(_, applied)| Self::Applied(applied.clone())).or(row)
    }

    fn carried_key(stream: &StreamId, carried: &Carried) -> Option<Uuid> {
        (!carried.older.is_empty()).then(|| older_keys(stream))
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let workspace = recorded.commit.stream.workspace().as_str().to_owned();
        Ok(Some((workspace, Self::Older { older: carried.older.clone() })))
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}
