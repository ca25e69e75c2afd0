//! One flush shared by many, without sharing their fate.

use std::sync::Arc;

use capstan_envelope::{Commit, Position};
use capstan_eventlog::{AppendError, Appended, EventLog, JetStreamLog, Selection};
use futures_util::future::join_all;

use crate::server::Server;
use crate::writer::{Writer, read_to};

async fn append_at_once(log: &Arc<JetStreamLog>, commits: &[Commit]) -> Vec<Result<Appended, AppendError>> {
    join_all(commits.iter().map(|commit| log.append(commit))).await
}

/// The id of the atomic batch a stored commit came in.
async fn batch_of(server: &Server, position: Position) -> Option<String> {
    let client = server.client().await;
    let question = format!("{{\"seq\":{}}}", position.sequence());
    let stored = client.request("$JS.API.DIRECT.GET.CAPSTAN_EVENTS", question.into()).await.unwrap();
    stored.headers.unwrap().get("Nats-Batch-Id").map(|id| id.as_str().to_owned())
}

#[tokio::test]
async fn a_commit_that_waits_alone_goes_out_alone() {
    let server = Server::start("always").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b"] {
        let recorded = writer.write(&log, text).await;
        assert_eq!(batch_of(&server, recorded.position).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_wait_together_go_out_together() {
    let server = Server::start("always").await;
    let log = Arc::new(server.log().await);
    let commits: Vec<_> =
        (0..200).map(|number| Writer::new(&format!("dev/task/{number}")).decide("a")).collect();
    let results = append_at_once(&log, &commits).await;
    let mut batches = std::collections::BTreeSet::new();
    for (commit, result) in commits.iter().zip(results) {
        let appended = result.unwrap();
        assert!(!appended.duplicate);
        // The place computed from the batch's one acknowledgement is the true one.
        let stored = log.at(appended.position).await.unwrap().unwrap();
        assert_eq!((&stored.commit, stored.hash), (commit, appended.hash));
        batches.extend(batch_of(&server, appended.position).await);
    }
    assert_eq!(log.head().await.unwrap().sequence(), 200);
    assert!((1..20).contains(&batches.len()), "{} batches", batches.len());
    // Each belongs to its own decision, so a reader need not wait for the whole batch.
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    assert_eq!(read_to(&mut tail, 200).await.len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_member_is_singled_out() {
    let server = Server::start("always").await;
    let log = Arc::new(server.log().await);
    let elsewhere = server.log().await;
    for round in 0..5 {
        let stale = Writer::new(&format!("dev/task/{round}-stale"));
        // Another process wrote the stream, so the group commit here cannot know.
        stale.clone().write(&elsewhere, "elsewhere").await;
        let mut commits: Vec<_> =
            (0..63).map(|number| Writer::new(&format!("dev/task/{round}-{number}")).decide("a")).collect();
        commits.insert(40, stale.decide("late"));
        let results = append_at_once(&log, &commits).await;
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(appended) => assert!(!appended.duplicate && index != 40, "{index}"),
                Err(AppendError::Conflict { stream }) => {
                    assert_eq!((index, &stream), (40, &stale.stream));
                }
                Err(error) => panic!("{index}: {error:?}"),
            }
        }
        assert_eq!(log.head().await.unwrap().sequence(), 64 * (round + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_the_same_stream_never_share_a_batch() {
    let server = Server::start("always").await;
    let log = Arc::new(server.log().await);
    let mut writers: Vec<_> = (0..20).map(|number| Writer::new(&format!("dev/task/{number}"))).collect();
    for round in 0..3 {
        let rivals: Vec<_> =
            (0..100).map(|rival| writers[rival % 20].decide(&format!("{round} {rival}"))).collect();
        let results = append_at_once(&log, &rivals).await;
        let mut winners = vec![None; 20];
        for (rival, result) in results.into_iter().enumerate() {
            match result {
                Ok(appended) => assert!(winners[rival % 20].replace((rival, appended)).is_none(), "two won"),
                Err(error) => assert!(matches!(error, AppendError::Conflict { .. }), "{error:?}"),
            }
        }
        for (writer, winner) in writers.iter_mut().zip(winners) {
            let (rival, appended) = winner.expect("one wins");
            writer.learn(&rivals[rival], &appended);
        }
    }
    assert_eq!(log.head().await.unwrap().sequence(), 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_commit_does_not_take_its_batch_down() {
    let server = Server::start("always").await;
    let log = Arc::new(server.log().await);
    let elsewhere = server.log().await;
    let repeated = Writer::new("dev/task/repeated").decide("a");
    let first = elsewhere.append(&repeated).await.unwrap();
    let mut commits: Vec<_> =
        (0..63).map(|number| Writer::new(&format!("dev/task/{number}")).decide("a")).collect();
    commits.insert(30, repeated);
    for (index, result) in append_at_once(&log, &commits).await.into_iter().enumerate() {
        let appended = result.unwrap();
        assert_eq!(appended.duplicate, index == 30, "{index}");
        if index == 30 {
            assert_eq!(appended.position, first.position);
        }
    }
    assert_eq!(log.head().await.unwrap().sequence(), 64);
}
