//! The promises of a command over two streams: both change or neither, on what both are, once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use capstan_decider::Decider;
use capstan_dispatch::{
    CommandContext, DispatchError, Dispatcher, NoSnapshots, Together, TogetherError, execute_together,
};
use capstan_envelope::{Position, StreamId, Workspace};
use capstan_eventlog::{EventLog, MemoryLog};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::command::{codec, context, keyed};
use crate::dispatching::config;
use crate::troubled::Troubled;

/// A purse gives coins as long as it has them.
#[derive(Debug)]
struct Purse;

/// A shelf takes one thing for each payment, up to three.
#[derive(Debug)]
struct Shelf;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Coins {
    held: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Things {
    count: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moved(i64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Put(i64);

#[derive(Debug, PartialEq)]
struct Empty;

#[derive(Debug, PartialEq)]
struct Full;

impl Decider for Purse {
    type Command = i64;
    type Event = Moved;
    type State = Coins;
    type Rejection = Empty;

    fn decide(state: &Coins, by: &i64) -> Result<Vec<Moved>, Empty> {
        match state.held + by {
            ..0 => Err(Empty),
            _ if *by == 0 => Ok(Vec::new()),
            _ => Ok(vec![Moved(*by)]),
        }
    }

    fn evolve(state: Coins, event: &Moved) -> Coins {
        Coins { held: state.held + event.0 }
    }
}

impl Decider for Shelf {
    type Command = i64;
    type Event = Put;
    type State = Things;
    type Rejection = Full;

    fn decide(state: &Things, things: &i64) -> Result<Vec<Put>, Full> {
        match state.count + things {
            4.. => Err(Full),
            _ if *things == 0 => Ok(Vec::new()),
            _ => Ok(vec![Put(*things)]),
        }
    }

    fn evolve(state: Things, event: &Put) -> Things {
        Things { count: state.count + event.0 }
    }
}

codec!(PurseCodec, Moved, "purse", "moved");
codec!(ShelfCodec, Put, "shelf", "put");

/// One process.
struct Shop {
    purses: Dispatcher<Purse, PurseCodec>,
    shelves: Dispatcher<Shelf, ShelfCodec>,
}

type Bought = Result<Together<Purse, Shelf>, TogetherError<Empty, Full>>;

fn stream(category: &str) -> StreamId {
    StreamId::new(Workspace::new("dev").unwrap(), category, "a").unwrap()
}

impl Shop {
    fn open(log: &(impl EventLog + Clone)) -> Self {
        let log: Arc<dyn EventLog> = Arc::new(log.clone());
        let none = || Arc::new(NoSnapshots);
        Self {
            purses: Dispatcher::new(Arc::clone(&log), none(), config()),
            shelves: Dispatcher::new(log, none(), config()),
        }
    }

    /// Pays, and puts as many things onto the shelf as were paid for. Taking coins in buys nothing.
    async fn buy(&self, coins: i64, context: &CommandContext) -> Bought {
        let follow = |events: &[Moved], _: &Coins| {
            let paid: i64 = events.iter().map(|moved| -moved.0).sum();
            (paid >= 0).then(|| (stream("shelf"), paid))
        };
        let purse = stream("purse");
        execute_together((&self.purses, &purse, &-coins), &self.shelves, follow, context).await
    }

    async fn fill(&self, coins: i64, id: u128) {
        let bought = self.buy(-coins, &context(id)).await.unwrap();
        assert!(bought.second.is_none(), "taking in buys nothing");
    }

    async fn has(&self) -> (i64, i64) {
        let purse = self.purses.refresh(&stream("purse")).await.unwrap();
        let things = self.shelves.refresh(&stream("shelf")).await.unwrap();
        (purse.state.held, things.state.count)
    }
}

#[tokio::test]
async fn both_streams_change_in_commits_that_stand_next_to_each_other() {
    let log = MemoryLog::new();
    let shop = Shop::open(&log);
    shop.fill(5, 1).await;
    let bought = shop.buy(2, &context(2)).await.unwrap();
    let second = bought.second.unwrap();
    assert_eq!((bought.first.events, second.events), (vec![Moved(-2)], vec![Put(2)]));
    assert!(second.position.follows(bought.first.position));
    assert_eq!((bought.first.loaded.state.held, second.loaded.state.count), (3, 2));
    assert_eq!(shop.has().await, (3, 2));
    let stored = log.at(second.position).await.unwrap().unwrap();
    assert_eq!((stored.commit.commit_id.0, stored.commit.version), (Uuid::from_u128(2), 1));
}

#[tokio::test]
async fn a_no_of_either_stream_records_nothing_on_both() {
    let log = MemoryLog::new();
    let shop = Shop::open(&log);
    shop.fill(9, 1).await;
    let full = shop.buy(4, &context(2)).await.unwrap_err();
    assert!(matches!(full, TogetherError::Second(DispatchError::Rejected(Full))), "{full:?}");
    let empty = shop.buy(10, &context(3)).await.unwrap_err();
    assert!(matches!(empty, TogetherError::First(DispatchError::Rejected(Empty))), "{empty:?}");
    assert_eq!((log.head().await.unwrap().sequence(), shop.has().await), (1, (9, 0)));
}

#[tokio::test]
async fn a_command_that_changes_nothing_records_nothing() {
    let log = MemoryLog::new();
    let bought = Shop::open(&log).buy(0, &context(1)).await.unwrap();
    assert!(!bought.first.changed && bought.second.is_none());
    assert_eq!(log.head().await.unwrap(), Position::START);
}

#[tokio::test]
async fn whichever_stream_has_moved_on_both_are_decided_again() {
    let log = MemoryLog::new();
    let (ours, theirs) = (Shop::open(&log), Shop::open(&log));
    ours.fill(9, 1).await;
    ours.buy(1, &context(2)).await.unwrap();
    // The first stream: ours believes in eight coins.
    theirs.purses.execute(&stream("purse"), &-7, &context(3)).await.unwrap();
    let empty = ours.buy(2, &context(4)).await.unwrap_err();
    assert!(matches!(empty, TogetherError::First(DispatchError::Rejected(Empty))), "{empty:?}");
    theirs.purses.execute(&stream("purse"), &7, &context(5)).await.unwrap();
    let bought = ours.buy(1, &context(6)).await.unwrap();
    assert_eq!((bought.first.loaded.state.held, bought.second.unwrap().loaded.state.count), (7, 2));
    // The second one: ours believes in room for one more.
    theirs.shelves.execute(&stream("shelf"), &1, &context(7)).await.unwrap();
    let full = ours.buy(1, &context(8)).await.unwrap_err();
    assert!(matches!(full, TogetherError::Second(DispatchError::Rejected(Full))), "{full:?}");
    theirs.shelves.execute(&stream("shelf"), &-3, &context(9)).await.unwrap();
    ours.buy(3, &context(10)).await.unwrap();
    assert_eq!(ours.has().await, (4, 3));
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_of_both_also_after_a_restart() {
    let log = MemoryLog::new();
    let before = Shop::open(&log);
    before.fill(5, 1).await;
    let first = before.buy(1, &keyed(2, "x")).await.unwrap();
    before.buy(1, &context(3)).await.unwrap();
    for shop in [&before, &Shop::open(&log)] {
        let again = shop.buy(1, &keyed(2, "x")).await.unwrap();
        let (put, before) = (again.second.unwrap(), first.second.as_ref().unwrap());
        assert!(again.first.duplicate && put.duplicate);
        assert_eq!((again.first.position, put.position), (first.first.position, before.position));
        assert_eq!(
            (again.first.events.as_slice(), put.events.as_slice()),
            ([Moved(-1)].as_slice(), [Put(1)].as_slice())
        );
        let other = shop.buy(2, &keyed(2, "y")).await.unwrap_err();
        assert!(matches!(other, TogetherError::First(DispatchError::IdempotencyConflict)), "{other:?}");
    }
    assert_eq!(before.has().await, (3, 2));
}

#[tokio::test]
async fn a_lost_answer_is_retryable_and_the_repeat_applies_the_command_once() {
    let log = Troubled::new();
    let shop = Shop::open(&log);
    shop.fill(5, 1).await;
    for (id, context) in [(2, keyed(2, "x")), (3, context(3))] {
        log.lose_ack.store(true, Ordering::SeqCst);
        let lost = shop.buy(1, &context).await.unwrap_err();
        assert!(lost.is_retryable(), "{lost:?}");
        let again = shop.buy(1, &context).await.unwrap();
        assert!(again.first.duplicate && again.second.unwrap().duplicate, "command {id}");
    }
    assert_eq!(shop.has().await, (3, 2));
}

#[tokio::test]
async fn an_expected_version_is_that_of_the_first_stream() {
    let log = MemoryLog::new();
    let shop = Shop::open(&log);
    shop.fill(5, 1).await;
    let expecting = |id, version| CommandContext { expected_version: Some(version), ..context(id) };
    shop.buy(1, &expecting(2, 1)).await.unwrap();
    let stale = shop.buy(1, &expecting(3, 1)).await.unwrap_err();
    assert!(
        matches!(stale, TogetherError::First(DispatchError::VersionMismatch { current: 2 })),
        "{stale:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_at_once_keep_both_streams_in_step() {
    let log = MemoryLog::new();
    Shop::open(&log).fill(1_000, 1).await;
    let mut buyers = tokio::task::JoinSet::new();
    for process in 0..4_u128 {
        let shop = Shop::open(&log);
        buyers.spawn(async move {
            for n in 0..25 {
                let id = 100 + process * 100 + n;
                for attempt in 1.. {
                    match shop.buy(1, &context(id)).await {
                        Ok(_) => break,
                        Err(TogetherError::Second(DispatchError::Rejected(Full))) => {
                            // Somebody has to make room: decided against everybody else as well. Each time it is
                            // a command of its own, as another may have taken the room of the last.
                            let room = context(attempt * 10_000 + id);
                            let _ = shop.shelves.execute(&stream("shelf"), &-1, &room).await;
                        }
                        Err(error) => assert!(error.is_retryable(), "{error:?}"),
                    }
                }
            }
        });
    }
    while let Some(ended) = buyers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(Shop::open(&log).has().await.0, 900);
}
