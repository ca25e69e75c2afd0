//! The promises of the dispatch loop, on the log in memory and a toy decider: a till that takes and gives coins.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use capstan_decider::Decider;
use capstan_dispatch::{
    CommandContext, DispatchError, Dispatcher, DispatcherConfig, NoSnapshots, OnceContext, ReadFailure,
    Snapshot, SnapshotError, Snapshots, StreamCache,
};
use capstan_envelope::{
    Actor, Carried, Commit, CommitId, KeysSeen, MemoryShare, Metadata, Position, Recorded, StreamId,
    Workspace,
};
use capstan_eventlog::{Archived, EventLog, MemoryLog};
use chrono::DateTime;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::{codec, context, keyed};
use crate::troubled::Troubled;

#[derive(Debug)]
pub(crate) struct Till;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Coins {
    pub(crate) held: u64,
}

pub(crate) enum Ask {
    Take(u64),
    Give(u64),
    Empty,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Moved {
    In(u64),
    Out(u64),
}

#[derive(Debug, PartialEq)]
pub(crate) struct NotEnough;

impl Decider for Till {
    type Command = Ask;
    type Event = Moved;
    type State = Coins;
    type Rejection = NotEnough;

    fn decide(state: &Coins, command: &Ask) -> Result<Vec<Moved>, NotEnough> {
        match command {
            Ask::Take(n) => Ok(vec![Moved::In(*n)]),
            Ask::Give(n) if *n > state.held => Err(NotEnough),
            Ask::Give(n) => Ok(vec![Moved::Out(*n)]),
            Ask::Empty if state.held == 0 => Ok(vec![]),
            Ask::Empty => Ok(vec![Moved::Out(state.held)]),
        }
    }

    fn evolve(state: Coins, event: &Moved) -> Coins {
        let held = match event {
            Moved::In(n) => state.held.saturating_add(*n),
            Moved::Out(n) => state.held.saturating_sub(*n),
        };
        Coins { held }
    }
}

codec!(TillCodec, Moved, "till", "moved");

pub(crate) type Tills = Dispatcher<Till, TillCodec>;

/// The usual bounds, with a memory of its own.
pub(crate) fn config() -> DispatcherConfig {
    DispatcherConfig::new(StreamCache::new(MemoryShare::unlimited()))
}

pub(crate) fn tills(log: &(impl EventLog + Clone)) -> Tills {
    tills_with(log, NoSnapshots)
}

pub(crate) fn tills_with(log: &(impl EventLog + Clone), snapshots: impl Snapshots + 'static) -> Tills {
    Dispatcher::new(Arc::new(log.clone()), Arc::new(snapshots), config())
}

pub(crate) fn till(name: &str) -> StreamId {
    StreamId::new(Workspace::new("dev").unwrap(), "till", name).unwrap()
}

pub(crate) async fn held(tills: &Tills, stream: &StreamId) -> u64 {
    tills.refresh(stream).await.unwrap().state.held
}

/// Snapshots taken by hand.
#[derive(Clone, Default)]
struct Album(Arc<Mutex<HashMap<StreamId, Snapshot>>>);

#[async_trait]
impl Snapshots for Album {
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
        Ok(self.0.lock().unwrap().get(stream).cloned())
    }
}

/// Counts the loads under way.
#[derive(Clone, Default)]
struct Busy {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl Snapshots for Busy {
    async fn load(&self, _: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Every other load gets its turn meanwhile.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        Ok(None)
    }
}

#[tokio::test]
async fn only_so_many_streams_are_loaded_at_once() {
    let (log, busy) = (MemoryLog::new(), Busy::default());
    let config = DispatcherConfig { loads_max: 3, ..config() };
    let tills = Arc::new(Tills::new(Arc::new(log), Arc::new(busy.clone()), config));
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..20 {
        let tills = Arc::clone(&tills);
        asked.spawn(async move {
            let stream = till(&format!("t{number}"));
            if number % 2 == 0 {
                tills.refresh(&stream).await.is_ok()
            } else {
                // A "no" is confirmed by a load.
                tills.execute(&stream, &Ask::Give(1), &context(1)).await.is_err()
            }
        });
    }
    assert!(asked.join_all().await.into_iter().all(|is_right| is_right));
    assert_eq!(busy.most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_command_is_recorded_with_what_its_context_says() {
    let log = MemoryLog::new();
    let decided = tills(&log).execute(&till("a"), &Ask::Take(3), &context(1)).await.unwrap();
    assert_eq!(decided.events, [Moved::In(3)]);
    assert_eq!((decided.version, decided.duplicate, decided.changed), (1, false, true));
    assert_eq!(decided.loaded.state, Coins { held: 3 });
    let stored = log.last(&till("a")).await.unwrap().unwrap();
    assert_eq!(stored.position, decided.position);
    assert_eq!(stored.commit.commit_id.0, Uuid::from_u128(1));
    assert_eq!(stored.commit.metadata.command, "move-coins");
    assert_eq!(decided.loaded.head.hash, stored.hash);
}

#[tokio::test]
async fn the_fingerprint_of_a_body_is_stored_under_the_key_of_the_log() {
    let (one, two) = (MemoryLog::new(), MemoryLog::new());
    for log in [&one, &two] {
        tills(log).execute(&till("a"), &Ask::Take(3), &keyed(1, "hash of a body")).await.unwrap();
        let stored = log.last(&till("a")).await.unwrap().unwrap().commit.metadata.idempotency.unwrap();
        assert_eq!(stored.fingerprint, log.fingerprint_key().fingerprint("hash of a body"));
    }
    assert_ne!(one.fingerprint_key(), two.fingerprint_key());
}

#[tokio::test]
async fn a_refusal_and_a_command_that_changes_nothing_record_nothing() {
    let log = MemoryLog::new();
    let tills = tills(&log);
    let refused = tills.execute(&till("a"), &Ask::Give(1), &context(1)).await.unwrap_err();
    assert!(matches!(refused, DispatchError::Rejected(NotEnough)) && !refused.is_retryable());
    let decided = tills.execute(&till("a"), &Ask::Empty, &context(2)).await.unwrap();
    assert!(!decided.changed && decided.events.is_empty());
    assert_eq!(log.head().await.unwrap(), Position::START);
}

#[tokio::test]
async fn a_conflict_with_another_dispatcher_is_decided_again_on_the_new_state() {
    let log = MemoryLog::new();
    let (ours, theirs) = (tills(&log), tills(&log));
    ours.execute(&till("a"), &Ask::Take(5), &context(1)).await.unwrap();
    theirs.execute(&till("a"), &Ask::Give(4), &context(2)).await.unwrap();
    // Ours still believes in five coins; the second decision sees one.
    let refused = ours.execute(&till("a"), &Ask::Give(2), &context(3)).await.unwrap_err();
    assert!(matches!(refused, DispatchError::Rejected(NotEnough)), "{refused:?}");
    let decided = ours.execute(&till("a"), &Ask::Give(1), &context(4)).await.unwrap();
    assert_eq!((decided.version, decided.loaded.state.held), (3, 0));
}

#[tokio::test]
async fn a_refusal_from_a_stale_memory_is_confirmed_before_it_is_said() {
    let log = MemoryLog::new();
    let (ours, theirs) = (tills(&log), tills(&log));
    ours.execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap();
    theirs.execute(&till("a"), &Ask::Take(9), &context(2)).await.unwrap();
    ours.execute(&till("a"), &Ask::Give(10), &context(3)).await.unwrap();
    theirs.execute(&till("a"), &Ask::Take(7), &context(4)).await.unwrap();
    let emptied = ours.execute(&till("a"), &Ask::Empty, &context(5)).await.unwrap();
    assert_eq!(emptied.events, [Moved::Out(7)]);
}

#[tokio::test]
async fn a_repeated_keyed_command_gets_the_first_answer_also_later_and_after_a_restart() {
    let log = MemoryLog::new();
    let tills_before = tills(&log);
    let first = tills_before.execute(&till("a"), &Ask::Take(3), &keyed(1, "x")).await.unwrap();
    tills_before.execute(&till("a"), &Ask::Take(4), &context(2)).await.unwrap();
    for tills in [&tills_before, &tills(&log)] {
        let again = tills.execute(&till("a"), &Ask::Take(3), &keyed(1, "x")).await.unwrap();
        assert_eq!(again.events, first.events);
        assert_eq!((again.position, again.version), (first.position, 1));
        assert!(again.duplicate && !again.changed);
        assert_eq!(again.loaded.state.held, 7, "the answer carries the stream as it is now");
    }
    assert_eq!(log.head().await.unwrap().sequence(), 2);
}

#[tokio::test]
async fn a_key_used_with_another_body_is_a_conflict_also_after_a_restart() {
    let log = MemoryLog::new();
    let tills_before = tills(&log);
    tills_before.execute(&till("a"), &Ask::Take(3), &keyed(1, "x")).await.unwrap();
    for tills in [&tills_before, &tills(&log)] {
        let error = tills.execute(&till("a"), &Ask::Take(9), &keyed(1, "y")).await.unwrap_err();
        assert!(matches!(error, DispatchError::IdempotencyConflict), "{error:?}");
    }
    assert_eq!(held(&tills_before, &till("a")).await, 3);
}

#[tokio::test]
async fn an_unkeyed_command_delivered_twice_is_recorded_once() {
    let log = MemoryLog::new();
    tills(&log).execute(&till("a"), &Ask::Take(3), &context(1)).await.unwrap();
    let later =
        CommandContext { occurred_at: DateTime::from_timestamp(1_700_000_009, 0).unwrap(), ..context(1) };
    let again = tills(&log).execute(&till("a"), &Ask::Take(3), &later).await.unwrap();
    assert!(again.duplicate && !again.changed);
    assert_eq!((again.events.as_slice(), again.loaded.state.held), ([Moved::In(3)].as_slice(), 3));
}

#[tokio::test]
async fn a_command_with_the_id_of_zeros_is_known_by_it() {
    let log = MemoryLog::new();
    let ours = tills(&log);
    ours.execute(&till("a"), &Ask::Take(3), &keyed(0, "x")).await.unwrap();
    ours.execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap();
    for tills in [&ours, &tills(&log)] {
        let again = tills.execute(&till("a"), &Ask::Take(3), &keyed(0, "x")).await.unwrap();
        assert!(again.duplicate && !again.changed);
        assert_eq!(again.loaded.state.held, 4);
    }
}

#[tokio::test]
async fn an_expected_version_is_held_against_the_log_not_the_memory() {
    let log = MemoryLog::new();
    let (ours, theirs) = (tills(&log), tills(&log));
    let expecting = |id, version| CommandContext { expected_version: Some(version), ..context(id) };
    ours.execute(&till("a"), &Ask::Take(1), &expecting(1, 0)).await.unwrap();
    theirs.execute(&till("a"), &Ask::Take(1), &expecting(2, 1)).await.unwrap();
    let stale = ours.execute(&till("a"), &Ask::Take(1), &expecting(3, 1)).await.unwrap_err();
    assert!(matches!(stale, DispatchError::VersionMismatch { current: 2 }), "{stale:?}");
    ours.execute(&till("a"), &Ask::Take(1), &expecting(4, 2)).await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_retryable_and_the_repeat_applies_the_command_once() {
    let log = Troubled::new();
    let tills = tills(&log);
    tills.execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap();
    for trouble in [&log.lose_ack, &log.refuse] {
        let before = held(&tills, &till("a")).await;
        let id = 100 + u128::from(before);
        trouble.store(true, Ordering::SeqCst);
        let lost = tills.execute(&till("a"), &Ask::Take(1), &keyed(id, "x")).await.unwrap_err();
        assert!(lost.is_retryable(), "{lost:?}");
        let again = tills.execute(&till("a"), &Ask::Take(1), &keyed(id, "x")).await.unwrap();
        assert_eq!(again.loaded.state.held, before + 1);
    }
    assert_eq!(log.head().await.unwrap().sequence(), 3);
}

#[tokio::test]
async fn an_observed_commit_advances_the_memory_and_a_foreign_one_empties_it() {
    let log = Troubled::new();
    let (ours, theirs) = (tills(&log), tills(&log));
    ours.execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap();
    let theirs_decided = theirs.execute(&till("a"), &Ask::Take(2), &context(2)).await.unwrap();
    assert_eq!(ours.load(&till("a")).await.unwrap().state.held, 1);
    let recorded = log.at(theirs_decided.position).await.unwrap().unwrap();
    ours.observe(&recorded);
    ours.observe(&recorded);
    assert_eq!(ours.load(&till("a")).await.unwrap().state.held, 3);
    let appends = log.appends.load(Ordering::SeqCst);
    ours.execute(&till("a"), &Ask::Give(3), &context(3)).await.unwrap();
    assert_eq!(log.appends.load(Ordering::SeqCst), appends + 1, "the memory was right, so one append did");
    let mut skipping = log.last(&till("a")).await.unwrap().unwrap();
    skipping.commit.version += 5;
    ours.observe(&skipping);
    assert_eq!(ours.load(&till("a")).await.unwrap().state.held, 0, "the gap was healed from the log");
}

#[tokio::test]
async fn an_adopted_stream_is_acted_on_without_a_read() {
    let log = Troubled::new();
    let (ours, theirs) = (tills(&log), tills(&log));
    for id in 1..=3 {
        let decided = theirs.execute(&till("a"), &Ask::Take(1), &context(id)).await.unwrap();
        ours.adopt(&log.at(decided.position).await.unwrap().unwrap());
    }
    let decided = ours.execute(&till("a"), &Ask::Give(3), &context(4)).await.unwrap();
    assert_eq!((decided.version, decided.loaded.state.held), (4, 0));
    assert_eq!((log.appends.load(Ordering::SeqCst), log.stream_reads.load(Ordering::SeqCst)), (4, 0));
}

#[tokio::test]
async fn a_snapshot_and_the_tail_after_it_give_the_whole_stream() {
    let log = Troubled::new();
    let writer = tills(&log);
    let album = Album::default();
    for id in 1..=9_u64 {
        let decided = writer.execute(&till("a"), &Ask::Take(id), &keyed(u128::from(id), "x")).await.unwrap();
        let full = tills(&log).refresh(&till("a")).await.unwrap();
        assert_eq!(full, decided.loaded);
        let from_snapshot = tills_with(&log, album.clone());
        assert_eq!(from_snapshot.refresh(&till("a")).await.unwrap(), full);
        if id % 3 == 0 {
            let state = serde_json::value::to_raw_value(&full.state).unwrap();
            album.0.lock().unwrap().insert(till("a"), Snapshot { head: full.head.clone(), state });
        }
        let again = tills_with(&log, album.clone())
            .execute(&till("a"), &Ask::Take(id), &keyed(u128::from(id), "x"))
            .await
            .unwrap();
        assert!(again.duplicate, "keys outlive the cache by the snapshot");
    }
}

#[tokio::test]
async fn a_snapshot_of_another_shape_is_ignored() {
    let log = MemoryLog::new();
    let decided = tills(&log).execute(&till("a"), &Ask::Take(3), &context(1)).await.unwrap();
    let album = Album::default();
    let odd = Snapshot {
        head: decided.loaded.head.clone(),
        state: serde_json::value::to_raw_value(&serde_json::json!({"coins": "three"})).unwrap(),
    };
    album.0.lock().unwrap().insert(till("a"), odd);
    assert_eq!(tills_with(&log, album).load(&till("a")).await.unwrap().state.held, 3);
}

/// Snapshots that cannot be reached.
struct Gone;

#[async_trait::async_trait]
impl Snapshots for Gone {
    async fn load(&self, _stream: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
        Err(SnapshotError::Unavailable { source: "no database".into() })
    }
}

#[tokio::test]
async fn without_snapshots_a_stream_comes_from_the_log_and_a_short_one_without_a_replay() {
    for (commits, replays) in [(3, 0), (20, 1)] {
        let log = Troubled::new();
        let before = tills(&log);
        for id in 1..=commits {
            before.execute(&till("a"), &Ask::Take(1), &context(id)).await.unwrap();
        }
        let known = log.stream_reads.load(Ordering::SeqCst);
        let fresh = Tills::new(Arc::new(log.clone()), Arc::new(Gone), config());
        assert_eq!(fresh.load(&till("a")).await.unwrap().state.held, commits as u64);
        assert_eq!(log.stream_reads.load(Ordering::SeqCst) - known, replays, "of {commits} commits");
    }
}

#[tokio::test]
async fn what_the_log_does_not_hold_is_forgotten_once_it_is_found_out() {
    let (log, other) = (MemoryLog::new(), MemoryLog::new());
    let decided = tills(&log).execute(&till("a"), &Ask::Take(3), &context(1)).await.unwrap();
    let foreign = tills(&other).execute(&till("a"), &Ask::Take(5), &context(2)).await.unwrap();
    let album = Album::default();
    let state = serde_json::value::to_raw_value(&foreign.loaded.state).unwrap();
    album.0.lock().unwrap().insert(till("a"), Snapshot { head: foreign.loaded.head.clone(), state });
    let tills = tills_with(&log, album.clone());
    assert_eq!(tills.load(&till("a")).await.unwrap().state.held, 5, "the snapshot is believed at first");
    assert!(matches!(tills.refresh(&till("a")).await, Err(ReadFailure::Broken { .. })));
    // The read models are rebuilt.
    album.0.lock().unwrap().clear();
    assert_eq!(tills.refresh(&till("a")).await.unwrap(), decided.loaded);
}

#[tokio::test]
async fn a_broken_chain_is_an_error_and_never_accepted() {
    let log = Troubled::new();
    let tills_before = tills(&log);
    for id in 1..=3 {
        tills_before.execute(&till("a"), &Ask::Take(1), &context(id)).await.unwrap();
    }
    log.swap_hash.store(true, Ordering::SeqCst);
    let fresh = tills(&log);
    let broken = fresh.load(&till("a")).await.unwrap_err();
    assert!(matches!(broken, ReadFailure::Broken { position, .. } if position.sequence() == 2));
    let broken = fresh.execute(&till("a"), &Ask::Give(1), &context(9)).await.unwrap_err();
    assert!(matches!(broken, DispatchError::Broken { .. }) && !broken.is_retryable(), "{broken:?}");
}

#[tokio::test]
async fn a_memory_of_another_log_is_reported() {
    let (log, other) = (MemoryLog::new(), MemoryLog::new());
    let album = Album::default();
    tills(&log).execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap();
    let foreign = tills(&other).execute(&till("a"), &Ask::Take(8), &context(2)).await.unwrap();
    let state = serde_json::value::to_raw_value(&foreign.loaded.state).unwrap();
    album.0.lock().unwrap().insert(till("a"), Snapshot { head: foreign.loaded.head.clone(), state });
    let error = tills_with(&log, album).execute(&till("a"), &Ask::Give(8), &context(3)).await.unwrap_err();
    assert!(matches!(error, DispatchError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn a_new_stream_costs_one_append_and_no_read() {
    let log = Troubled::new();
    tills(&log).execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap();
    assert_eq!(log.appends.load(Ordering::SeqCst), 1);
    assert_eq!(log.stream_reads.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_of_one_stream_all_succeed_exactly_once() {
    let log = MemoryLog::new();
    let processes: Vec<_> = (0..4).map(|_| Arc::new(tills(&log))).collect();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..32_u128 {
        let tills = Arc::clone(&processes[writer as usize % processes.len()]);
        writers.spawn(async move {
            for n in 0..10 {
                // Contended is an answer too; its repeat is safe.
                loop {
                    match tills.execute(&till("a"), &Ask::Take(1), &keyed(writer * 100 + n, "x")).await {
                        Ok(_) => break,
                        Err(error) => assert!(error.is_retryable(), "{error:?}"),
                    }
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(held(&tills(&log), &till("a")).await, 320);
    assert_eq!(log.head().await.unwrap().sequence(), 320);
}

#[tokio::test]
async fn a_command_that_nobody_repeats_is_named_by_its_content_and_acts_once() {
    let log = MemoryLog::new();
    let tills = tills(&log);
    let at = |expected_version| OnceContext {
        command: "take",
        actor: Actor::Engine,
        occurred_at: DateTime::UNIX_EPOCH,
        expected_version,
    };
    let decided = tills.execute_once(&till("a"), &Ask::Take(3), &at(0)).await.unwrap();
    assert_eq!((decided.loaded.state.held, decided.version), (3, 1));
    let commit = log.last(&till("a")).await.unwrap().unwrap().commit;
    assert_eq!(commit, commit.clone().named_by_content());
    assert_eq!(commit.metadata.correlation_id, commit.commit_id.0);
    let again = tills.execute_once(&till("a"), &Ask::Take(3), &at(0)).await;
    assert!(matches!(again, Err(DispatchError::VersionMismatch { current: 1 })), "{again:?}");
    assert_eq!(log.head().await.unwrap().sequence(), 1);
}

#[tokio::test]
async fn many_streams_pass_through_a_small_memory() {
    let log = MemoryLog::new();
    let config = DispatcherConfig::new(StreamCache::new(MemoryShare::new(64 * 3_072)));
    let tills: Tills = Dispatcher::new(Arc::new(log.clone()), Arc::new(NoSnapshots), config);
    for round in 0..3_u128 {
        for n in 0..300_u128 {
            let stream = till(&n.to_string());
            tills.execute(&stream, &Ask::Take(1), &context(round * 1000 + n + 1)).await.unwrap();
        }
    }
    for n in 0..300 {
        assert_eq!(tills.load(&till(&n.to_string())).await.unwrap().state.held, 3);
    }
}

#[tokio::test]
async fn a_stream_of_which_everything_was_archived_is_not_begun_anew() {
    let (log, album) = (MemoryLog::new(), Album::default());
    let decided = tills(&log).execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap();
    let state = serde_json::value::to_raw_value(&decided.loaded.state).unwrap();
    album.0.lock().unwrap().insert(till("a"), Snapshot { head: decided.loaded.head.clone(), state });
    let warm = tills_with(&log, album.clone());
    warm.execute(&till("a"), &Ask::Empty, &context(2)).await.unwrap();
    log.archive(Archived { through: 2, carried_through: 0 });
    for tills in [warm, tills_with(&log, album.clone())] {
        let refused = tills.execute(&till("a"), &Ask::Take(1), &context(1)).await.unwrap_err();
        assert!(matches!(refused, DispatchError::Archived { .. }) && !refused.is_retryable(), "{refused:?}");
        assert!(matches!(tills.refresh(&till("a")).await, Err(ReadFailure::Archived { .. })));
        assert!(tills.execute(&till("b"), &Ask::Take(1), &context(3)).await.is_ok(), "this one is new");
    }
}

/// Appends the commit that carries a stream forward, as it is now.
async fn carry(log: &MemoryLog, stream: &StreamId) -> Recorded {
    let loaded = tills(log).refresh(stream).await.unwrap();
    let state = serde_json::value::to_raw_value(&loaded.state).unwrap();
    let (mut seen, keys) = (KeysSeen::default(), loaded.head.applied.clone());
    for recorded in log.read_stream(stream, Position::START).await.unwrap() {
        seen.take(&recorded.commit).unwrap();
    }
    let carried = Carried { state, older: seen.without(&keys), keys, shown: None, spent: None };
    let commit = Commit {
        commit_id: CommitId(Uuid::from_u128(1_000)),
        stream: stream.clone(),
        version: loaded.head.version + 1,
        previous: loaded.head.position,
        previous_hash: loaded.head.hash,
        metadata: Metadata::new("carry-forward", Actor::System, Uuid::from_u128(1_000), DateTime::UNIX_EPOCH),
        events: vec![carried.record().unwrap()],
    };
    log.append(&commit).await.unwrap();
    log.last(stream).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_key_of_which_only_a_digest_is_left_is_not_applied_again() {
    let log = MemoryLog::new();
    let warm = tills(&log);
    for key in 1..=41 {
        warm.execute(&till("a"), &Ask::Take(1), &keyed(key, "one")).await.unwrap();
    }
    for archive in 0..2 {
        let last = carry(&log, &till("a")).await.position.sequence() - 1;
        log.archive(Archived { through: last, carried_through: last });
        for key in [2, 3, 25] {
            let again = tills(&log).execute(&till("a"), &Ask::Take(1), &keyed(key, "one")).await.unwrap_err();
            assert!(matches!(again, DispatchError::KeyArchived) && !again.is_retryable(), "{again:?}");
        }
        for key in [1, 26, 41] {
            let again = tills(&log).execute(&till("a"), &Ask::Take(1), &keyed(key, "one")).await.unwrap();
            assert!(again.duplicate, "{key} stands in the head");
        }
        let new = tills(&log).execute(&till("b"), &Ask::Take(1), &keyed(100 + archive, "one")).await.unwrap();
        assert!(!new.duplicate);
    }
    assert_eq!(held(&tills(&log), &till("a")).await, 41);
    // Whoever knows less of the stream than the commit that carries it, and takes the key for one that left.
    for key in 25..=70 {
        warm.execute(&till("c"), &Ask::Take(1), &keyed(key, "one")).await.unwrap();
    }
    let other = warm.refresh(&till("c")).await.unwrap();
    let found = tills(&log).applied(&till("a"), &other, CommitId(Uuid::from_u128(26))).await.unwrap();
    assert_eq!(found.map(|applied| applied.version), Some(26));
}

#[tokio::test]
async fn a_stream_whose_beginning_was_archived_begins_with_what_was_carried_forward() {
    let log = MemoryLog::new();
    let warm = tills(&log);
    let first = warm.execute(&till("a"), &Ask::Take(1), &keyed(1, "one")).await.unwrap();
    for id in 2..40 {
        warm.execute(&till("a"), &Ask::Take(1), &context(id)).await.unwrap();
    }
    let carried = carry(&log, &till("a")).await;
    let whole = tills(&log).refresh(&till("a")).await.unwrap();
    let last = carried.position.sequence() - 1;
    // Of a part of its commits that lacks the beginning, nothing is read.
    for (through, tills) in [(20, tills(&log)), (last, warm), (last, tills(&log))] {
        log.archive(Archived { through, carried_through: through });
        let loaded = tills.refresh(&till("a")).await.unwrap();
        assert_eq!(loaded, whole);
        let again = tills.execute(&till("a"), &Ask::Take(1), &keyed(1, "one")).await.unwrap();
        assert_eq!((again.duplicate, again.position, again.version), (true, first.position, 1));
        let other = tills.execute(&till("a"), &Ask::Take(1), &keyed(1, "two")).await.unwrap_err();
        assert!(matches!(other, DispatchError::IdempotencyConflict), "{other:?}");
    }
    let next = tills(&log).execute(&till("a"), &Ask::Take(1), &keyed(50, "one")).await.unwrap();
    assert_eq!((next.version, next.loaded.state.held), (41, 40));
    assert_eq!(tills(&log).refresh(&till("a")).await.unwrap(), next.loaded);
}
