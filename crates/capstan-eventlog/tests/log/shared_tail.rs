//! Readers that share one tail: together near the end of the log, each on its own elsewhere.

use std::sync::Arc;

use capstan_envelope::{MemoryShare, Position, Recorded};
use capstan_eventlog::{EventLog, MemoryLog, ReadError, Selection, SharedTail, Tail};
use serde_json::json;

use crate::reading::{first_error, next_commits, next_failure, replace_stream};
use crate::server::{Server, api};
use crate::writer::{PATIENCE, Writer, batch, eventually, note, notes, read_to};

/// Room for about three commits of a test.
const SMALL: usize = 4_000;

async fn shared(server: &Server) -> SharedTail {
    SharedTail::new(Arc::new(server.log().await), &MemoryShare::unlimited())
}

async fn tail(log: &SharedTail, after: Position) -> Tail {
    log.tail(Selection::All, after).await.unwrap()
}

async fn one(tail: &mut Tail) -> Arc<Recorded> {
    let commits = next_commits(tail).await.commits;
    let [commit] = &commits[..] else { panic!("{}", commits.len()) };
    Arc::clone(commit)
}

/// Two readers that have read the one commit of the log.
async fn two_behind_one_commit(log: &SharedTail, writer: &mut Writer) -> [Tail; 2] {
    let mut readers = [tail(log, Position::START).await, tail(log, Position::START).await];
    writer.write(log, "a").await;
    for reader in &mut readers {
        read_to(reader, 1).await;
    }
    readers
}

async fn consumers(client: &async_nats::Client) -> usize {
    let listed = api(client, "CONSUMER.NAMES.CAPSTAN_EVENTS", &json!({})).await;
    listed["consumers"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn readers_at_the_end_share_one_consumer_and_the_decoded_commits() {
    let server = Server::start("100ms").await;
    let log = shared(&server).await;
    let mut writer = Writer::new("dev/task/1");
    let last = writer.write(&log, "before").await.position;
    let mut readers = [tail(&log, last).await, tail(&log, last).await, tail(&log, last).await];
    for reader in &mut readers {
        let first = batch(reader).await;
        assert_eq!((first.commits.len(), first.position), (0, last));
    }
    let client = server.client().await;
    for text in ["a", "b"] {
        writer.write(&log, text).await;
        let [first, others @ ..] = &mut readers;
        let commit = one(first).await;
        assert_eq!(note(&commit), text);
        for reader in others {
            assert!(Arc::ptr_eq(&one(reader).await, &commit), "it was decoded twice");
        }
        assert_eq!(consumers(&client).await, 1);
    }
    drop(readers);
    drop(log);
    eventually("the consumer is gone", async || (consumers(&client).await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_reader_of_history_joins_the_others() {
    let server = Server::start("100ms").await;
    let log = shared(&server).await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b", "c"] {
        writer.write(&log, text).await;
    }
    let mut live = tail(&log, log.head().await.unwrap()).await;
    let mut reader = tail(&log, Position::START).await;
    assert_eq!(notes(&read_to(&mut reader, 3).await), ["a", "b", "c"]);
    writer.write(&log, "d").await;
    assert!(Arc::ptr_eq(&one(&mut live).await, &one(&mut reader).await));
    let client = server.client().await;
    eventually("one consumer is left", async || (consumers(&client).await == 1).then_some(())).await;
}

#[tokio::test]
async fn a_slow_reader_stalls_nobody_and_joins_again_without_loss() {
    let memory = MemoryLog::new();
    let log = SharedTail::new(Arc::new(memory), &MemoryShare::new(SMALL));
    let mut writer = Writer::new("dev/task/1");
    let (mut slow, mut fast) = (tail(&log, Position::START).await, tail(&log, Position::START).await);
    batch(&mut slow).await;
    let texts: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    for text in &texts {
        writer.write(&log, text).await;
        assert_eq!(note(&one(&mut fast).await), *text);
    }
    assert_eq!(notes(&read_to(&mut slow, 50).await), texts);
    writer.write(&log, "end").await;
    assert!(Arc::ptr_eq(&one(&mut slow).await, &one(&mut fast).await));
}

#[tokio::test]
async fn a_decision_over_several_streams_is_never_cut() {
    let log = SharedTail::new(Arc::new(MemoryLog::new()), &MemoryShare::new(SMALL));
    let mut reader = tail(&log, Position::START).await;
    batch(&mut reader).await;
    // More than there is room for.
    let group: Vec<_> = (0..5).map(|number| Writer::new(&format!("dev/task/{number}")).decide("a")).collect();
    log.append_together(&group).await.unwrap();
    assert_eq!(next_commits(&mut reader).await.commits.len(), 5);
}

#[tokio::test]
async fn a_message_that_is_no_commit_stops_those_before_it_and_nobody_behind() {
    let server = Server::start("100ms").await;
    let log = shared(&server).await;
    let mut writer = Writer::new("dev/task/1");
    let mut readers = [tail(&log, Position::START).await, tail(&log, Position::START).await];
    writer.write(&log, "a").await;
    let client = server.client().await;
    client.request("capstan.evt.dev.task.2", "nonsense".into()).await.unwrap();
    for reader in &mut readers {
        assert_eq!(note(&one(reader).await), "a");
        for _ in 0..2 {
            let error = first_error(reader).await;
            assert!(
                matches!(error, ReadError::Corrupt { position, .. } if position.sequence() == 2),
                "{error:?}"
            );
        }
    }
    let head = log.head().await.unwrap();
    let mut behind = [tail(&log, head).await, tail(&log, head).await];
    writer.write(&log, "b").await;
    for reader in &mut behind {
        assert_eq!(note(&one(reader).await), "b");
    }
    let [first, second] = &mut behind;
    let joined = async {
        loop {
            writer.write(&log, "c").await;
            if Arc::ptr_eq(&one(first).await, &one(second).await) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, joined).await.expect("the ring begins anew");
}

#[tokio::test]
async fn every_reader_notices_that_the_log_was_replaced() {
    let server = Server::start("100ms").await;
    let log = shared(&server).await;
    let mut writer = Writer::new("dev/task/1");
    let mut readers = two_behind_one_commit(&log, &mut writer).await;
    replace_stream(&server.client().await, &json!({ "metadata": { "store_epoch": "another" } })).await;
    let mut foreign = Writer::new("dev/task/2");
    for text in ["b", "c"] {
        foreign.write(&log, text).await;
    }
    for reader in &mut readers {
        assert!(matches!(first_error(reader).await, ReadError::Diverged { .. }));
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_reported_to_all_and_read_on_when_it_is_back() {
    let server = Server::start("always").await;
    let log = shared(&server).await;
    let mut writer = Writer::new("dev/task/1");
    let mut readers = two_behind_one_commit(&log, &mut writer).await;
    server.kill().await;
    for reader in &mut readers {
        let error = next_failure(reader).await;
        assert!(error.is_retryable(), "{error:?}");
    }
    server.start_again().await;
    let commit = writer.decide("b");
    eventually("the log takes a commit", async || log.append(&commit).await.ok()).await;
    let [first, second] = &mut readers;
    assert!(Arc::ptr_eq(&one(first).await, &one(second).await));
}
