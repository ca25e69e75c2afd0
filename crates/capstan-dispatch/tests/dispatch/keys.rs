//! Repeats of keyed commands: known to the head, forgotten by it, and while the table of keys is behind or away.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use capstan_dispatch::{DispatchError, Snapshot, SnapshotError, Snapshots};
use capstan_envelope::{Applied, CommitId, KEYS_KEPT, Position, Recorded, StreamId};
use capstan_eventlog::{EventLog, KeptKey, MemoryLog};

use crate::command::keyed;
use crate::dispatching::{Ask, Tills, held, till, tills, tills_with};

/// A table of keys that stands where the test puts it.
#[derive(Clone, Default)]
struct KeyTable {
    rows: Arc<Mutex<Vec<Recorded>>>,
    is_away: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
}

#[async_trait]
impl Snapshots for KeyTable {
    async fn load(&self, _: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
        Ok(None)
    }

    async fn applied(
        &self,
        stream: &StreamId,
        command: CommitId,
        until: Position,
    ) -> Result<KeptKey, SnapshotError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let rows = self.rows.lock().unwrap();
        let reached = rows.last().map_or(Position::START, |recorded| recorded.position);
        if self.is_away.load(Ordering::SeqCst) || !reached.reaches(until) {
            return Err(SnapshotError::Unavailable { source: "not there".into() });
        }
        let found = rows.iter().find(|row| row.commit.stream == *stream && row.commit.commit_id == command);
        Ok(found.map_or(KeptKey::New, |recorded| {
            let idempotency = recorded.commit.metadata.idempotency.as_ref().unwrap();
            KeptKey::Applied(Applied {
                position: recorded.position,
                version: recorded.commit.version,
                fingerprint: idempotency.fingerprint.clone(),
            })
        }))
    }
}

/// Takes a coin under each of the keys 1 to `count`.
async fn taken(tills: &Tills, count: u128) {
    for key in 1..=count {
        tills.execute(&till("a"), &Ask::Take(1), &keyed(key, "one")).await.unwrap();
    }
}

async fn fill(table: &KeyTable, log: &MemoryLog) {
    *table.rows.lock().unwrap() = log.read_stream(&till("a"), Position::START).await.unwrap();
}

const LONG: u128 = 3 * KEYS_KEPT as u128;

#[tokio::test]
async fn the_newest_keys_and_the_first_are_known_without_a_look_up() {
    let (log, table) = (MemoryLog::new(), KeyTable::default());
    let tills = tills_with(&log, table.clone());
    taken(&tills, LONG).await;
    for key in [1, LONG - KEYS_KEPT as u128 + 1, LONG] {
        let again = tills.execute(&till("a"), &Ask::Take(1), &keyed(key, "one")).await.unwrap();
        assert_eq!((again.duplicate, u128::from(again.version)), (true, key));
    }
    assert_eq!((table.asked.load(Ordering::SeqCst), held(&tills, &till("a")).await), (0, LONG as u64));
}

#[tokio::test]
async fn an_older_key_is_found_in_the_table_once_that_stands_where_the_key_left() {
    let (log, table) = (MemoryLog::new(), KeyTable::default());
    let tills = tills_with(&log, table.clone());
    taken(&tills, LONG).await;
    let lagging = tills.execute(&till("a"), &Ask::Take(1), &keyed(2, "one")).await.unwrap_err();
    assert!(lagging.is_retryable() && matches!(lagging, DispatchError::Snapshot(_)), "{lagging:?}");
    fill(&table, &log).await;
    let again = tills.execute(&till("a"), &Ask::Take(1), &keyed(2, "one")).await.unwrap();
    assert_eq!((again.duplicate, again.version), (true, 2));
    assert_eq!(again.events.len(), 1, "it is answered as the first time");
    let other = tills.execute(&till("a"), &Ask::Take(1), &keyed(2, "another body")).await;
    assert!(matches!(other, Err(DispatchError::IdempotencyConflict)));
    table.is_away.store(true, Ordering::SeqCst);
    let away = tills.execute(&till("a"), &Ask::Take(1), &keyed(3, "one")).await.unwrap_err();
    assert!(away.is_retryable(), "{away:?}");
    assert_eq!(held(&tills, &till("a")).await, LONG as u64, "nothing was applied twice");
}

#[tokio::test]
async fn a_new_key_needs_no_table() {
    let (log, table) = (MemoryLog::new(), KeyTable::default());
    let tills = tills_with(&log, table.clone());
    table.is_away.store(true, Ordering::SeqCst);
    taken(&tills, LONG).await;
    assert_eq!((table.asked.load(Ordering::SeqCst), held(&tills, &till("a")).await), (0, LONG as u64));
}

#[tokio::test]
async fn without_a_table_the_stream_itself_is_read() {
    let log = MemoryLog::new();
    taken(&tills(&log), LONG).await;
    let again = tills(&log).execute(&till("a"), &Ask::Take(1), &keyed(2, "one")).await.unwrap();
    assert_eq!((again.duplicate, again.version), (true, 2));
    assert_eq!(held(&tills(&log), &till("a")).await, LONG as u64);
}
