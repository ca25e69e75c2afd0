//! The keyed commands of streams, for ever: the head of a stream keeps the newest ones only, see
//! [`AppliedKeys`](capstan_envelope::AppliedKeys).

use capstan_contract::DomainEvent;
use capstan_contract::schema::NamedSchema;
use capstan_envelope::{Applied, CommitId, Recorded, StreamId};
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

/// The row of a commit. The command that began a stream stays in the stream's head.
fn row_of(recorded: &Recorded) -> Option<AppliedKeyRow> {
    let commit = &recorded.commit;
    let idempotency = commit.metadata.idempotency.as_ref().filter(|_| commit.version > 1)?;
    Some(AppliedKeyRow(Applied {
        position: recorded.position,
        version: commit.version,
        fingerprint: idempotency.fingerprint.clone(),
    }))
}

impl Model for AppliedKeyRow {
    const VERSION: i32 = 1;
    const COLUMNS: &'static [Column<Self>] = &[];
    const ANSWER: Option<NamedSchema> = None;
    const ROWS_ARE_NEW: bool = true;
    type Event<'a> = &'a DomainEvent;
    type Key = Uuid;

    fn keys(recorded: &Recorded, _: Self::Event<'_>, keys: &mut Vec<Uuid>) {
        if row_of(recorded).is_some() {
            keys.push(applied_key(&recorded.commit.stream, recorded.commit.commit_id));
        }
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        row_of(fact.recorded).or(row)
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}
