//! Lost acknowledgements, cut wires, killed servers: nothing acknowledged is lost, nothing is stored twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use capstan_envelope::{CommitHash, CommitId, Position};
use capstan_eventlog::{AppendError, DurabilityHint, EventLog, JetStreamConfig, JetStreamLog, Selection};

use crate::proxy::{Cut, Proxy};
use crate::server::Server;
use crate::writer::{PATIENCE, Writer, eventually};

async fn log_behind(proxy: &Proxy, server: &Server) -> JetStreamLog {
    let config =
        JetStreamConfig { url: proxy.url(), ack_timeout: Duration::from_millis(500), ..server.config() };
    JetStreamLog::connect(config).await.unwrap()
}

#[tokio::test]
async fn an_append_whose_acknowledgement_is_lost_is_known_to_be_stored() {
    for sync_interval in ["100ms", "always"] {
        let server = Server::start(sync_interval).await;
        let proxy = Proxy::to(server.address()).await;
        let log = log_behind(&proxy, &server).await;
        let mut writer = Writer::new("dev/task/1");
        for (index, cut) in [Cut::AfterAnswer, Cut::Swallow, Cut::BeforeSending].into_iter().enumerate() {
            proxy.arm(cut, "HPUB capstan.evt.");
            let commit = writer.decide(&index.to_string());
            let appended = log.append(&commit).await.unwrap();
            assert!(proxy.has_cut());
            assert_eq!(
                (appended.position.sequence(), appended.duplicate),
                (index as u64 + 1, false),
                "{cut:?}"
            );
            writer.learn(&commit, &appended);
            // Asked again, it is a repeat like any other.
            assert!(log.append(&commit).await.unwrap().duplicate);
        }
        assert_eq!(log.read_stream(&writer.stream, Position::START).await.unwrap().len(), 3);
        assert_eq!(log.head().await.unwrap().sequence(), 3);
    }
}

#[tokio::test]
async fn a_group_whose_acknowledgement_is_lost_is_known_to_be_stored() {
    let server = Server::start("always").await;
    let proxy = Proxy::to(server.address()).await;
    let log = log_behind(&proxy, &server).await;
    for (index, cut) in [Cut::AfterAnswer, Cut::Swallow, Cut::BeforeSending].into_iter().enumerate() {
        proxy.arm(cut, "Nats-Batch-Commit");
        let group: Vec<_> =
            (0..3).map(|member| Writer::new(&format!("dev/task/{index}-{member}")).decide("a")).collect();
        let appended = log.append_together(&group).await.unwrap();
        assert!(proxy.has_cut());
        for (member, appended) in appended.iter().enumerate() {
            let expected = (index * 3 + member + 1) as u64;
            assert_eq!((appended.position.sequence(), appended.duplicate), (expected, false), "{cut:?}");
        }
    }
    assert_eq!(log.head().await.unwrap().sequence(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_commit_whose_acknowledgement_is_lost_is_known_to_be_stored() {
    let server = Server::start("always").await;
    let proxy = Proxy::to(server.address()).await;
    let log = log_behind(&proxy, &server).await;
    for (round, cut) in [Cut::AfterAnswer, Cut::Swallow, Cut::BeforeSending].into_iter().enumerate() {
        proxy.arm(cut, "Nats-Batch-Commit");
        let commits: Vec<_> =
            (0..100).map(|number| Writer::new(&format!("dev/task/{round}-{number}")).decide("a")).collect();
        let results = futures_util::future::join_all(commits.iter().map(|commit| log.append(commit))).await;
        assert!(proxy.has_cut());
        let positions: HashSet<_> = results
            .into_iter()
            .map(|result| {
                let appended = result.unwrap();
                assert!(!appended.duplicate, "{cut:?}");
                appended.position
            })
            .collect();
        assert_eq!(positions.len(), 100);
        assert_eq!(log.head().await.unwrap().sequence(), 100 * (round as u64 + 1));
    }
}

#[tokio::test]
async fn an_absent_server_is_reported_and_healed() {
    let server = Server::start("always").await;
    let config = JetStreamConfig {
        ack_timeout: Duration::from_millis(200),
        append_timeout: Duration::from_millis(600),
        ..server.config()
    };
    let log = JetStreamLog::connect(config).await.unwrap();
    assert!(log.is_connected());
    let mut writer = Writer::new("dev/task/1");
    writer.write(&log, "a").await;
    server.kill().await;
    let commit = writer.decide("b");
    let started = tokio::time::Instant::now();
    let error = log.append(&commit).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "the time-out was not kept: {:?}", started.elapsed());
    assert!(matches!(error, AppendError::Unavailable { .. }) && error.is_retryable(), "{error:?}");
    eventually("the loss is known", async || (!log.is_connected()).then_some(())).await;
    server.start_again().await;
    eventually("the log is back", async || log.check().await.ok()).await;
    eventually("all connections stand", async || log.is_connected().then_some(())).await;
    // The same commit again is safe and right.
    let appended = eventually("the append works", async || log.append(&commit).await.ok()).await;
    assert_eq!(appended.position.sequence(), 2);
    assert_eq!(log.head().await.unwrap().sequence(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_nothing_acknowledged_when_it_flushes_always() {
    survive_kills("always", DurabilityHint::Always).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_costs_nothing_acknowledged_when_it_flushes_at_intervals() {
    survive_kills("100ms", DurabilityHint::Interval).await;
}

/// Writers write, a tail follows, the server dies three times; then everything is counted.
async fn survive_kills(sync_interval: &str, durability: DurabilityHint) {
    const WRITERS: usize = 40;
    let server = Server::start(sync_interval).await;
    let config = JetStreamConfig { durability, append_timeout: PATIENCE, ..server.config() };
    let log = Arc::new(JetStreamLog::connect(config).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writing: Vec<_> = (0..WRITERS)
        .map(|number| {
            let (log, stop) = (log.clone(), stop.clone());
            tokio::spawn(async move {
                let mut acknowledged: Vec<(CommitId, Position, CommitHash)> = Vec::new();
                let mut writer = Writer::new(&format!("dev/task/{number}"));
                while !stop.load(Ordering::Relaxed) {
                    let commit = writer.decide("x");
                    let appended = log.append(&commit).await.unwrap();
                    writer.learn(&commit, &appended);
                    acknowledged.push((commit.commit_id, appended.position, appended.hash));
                }
                acknowledged
            })
        })
        .collect();
    let following = {
        let log = log.clone();
        let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
        let (sender, end) = tokio::sync::watch::channel(None::<Position>);
        let task = tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                if end.borrow().is_some_and(|end| seen.len() as u64 == end.sequence()) {
                    return seen;
                }
                match tokio::time::timeout(Duration::from_millis(200), tail.next()).await {
                    Ok(Ok(batch)) => seen.extend(batch.commits),
                    Ok(Err(error)) => assert!(error.is_retryable(), "{error:?}"),
                    Err(_) => {}
                }
            }
        });
        (sender, task)
    };
    let head = async || log.head().await.ok().map(Position::sequence);
    for _ in 0..3 {
        let before = eventually("the head is known", head).await;
        eventually("the log grows", async || head().await.filter(|head| *head > before + 200)).await;
        server.kill().await;
        server.start_again().await;
    }
    let before = eventually("the head is known", head).await;
    eventually("the log grows", async || head().await.filter(|head| *head > before + 200)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = HashMap::new();
    for writer in writing {
        for (id, position, hash) in writer.await.unwrap() {
            assert!(acknowledged.insert(id, (position, hash)).is_none());
        }
    }
    let end = log.head().await.unwrap();
    let (sender, task) = following;
    sender.send(Some(end)).unwrap();
    let seen = tokio::time::timeout(PATIENCE, task).await.expect("the tail reaches the end").unwrap();
    for (index, recorded) in seen.iter().enumerate() {
        assert_eq!(recorded.position.sequence(), index as u64 + 1);
        let known = acknowledged.remove(&recorded.commit.commit_id);
        assert_eq!(known, Some((recorded.position, recorded.hash)), "stored twice, or never acknowledged");
    }
    assert!(acknowledged.is_empty(), "{} acknowledged commits are gone", acknowledged.len());
}
