//! The keyed commands that left the heads of their streams: a head keeps its first and its newest ones only, see
//! [`AppliedKeys`](capstan_envelope::AppliedKeys). So an ordinary task has no row here.

use capstan_contract::DomainEvent;
use capstan_contract::schema::NamedSchema;
use capstan_envelope::{Applied, CommitId, StreamId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalogue::streams::stream_key;
use crate::cell::Column;
use crate::fact::Fact;
use crate::model::{Model, Stored};

/// A keyed command that was applied to a stream.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AppliedKeyRow(pub(crate) Applied);

/// The key of its row: one command may have changed two streams.
pub(crate) fn applied_key(stream: &StreamId, command: CommitId) -> Uuid {
    Uuid::new_v5(&command.0, stream_key(stream).as_bytes())
}

impl Model for AppliedKeyRow {
    const VERSION: i32 = 2;
    const COLUMNS: &'static [Column<Self>] = &[];
    const ANSWER: Option<NamedSchema> = None;
    const FOLLOWS_HEADS: bool = true;
    type Event<'a> = &'a DomainEvent;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        // Each leaves once, so its row is new and never read.
        keys.extend(fact.left.map(|(command, _)| applied_key(&fact.recorded.commit.stream, *command)));
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        fact.left.map(|(_, applied)| Self(applied.clone())).or(row)
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}
