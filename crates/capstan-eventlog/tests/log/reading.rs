//! Readers on a real server: nothing twice, nothing skipped, nothing in silence.

use std::sync::Arc;

use capstan_envelope::{CommitHash, Position};
use capstan_eventlog::{Archived, Difference, EventLog, JetStreamLog, ReadError, Selection, Tail, TailBatch};
use serde_json::json;

use crate::server::{Server, api};
use crate::writer::{PATIENCE, Writer, batch, eventually, note, notes, read_to};

pub(crate) async fn first_error(tail: &mut Tail) -> ReadError {
    let look = async {
        loop {
            match tail.next().await {
                Ok(_) => {}
                Err(error) if error.is_retryable() => {}
                Err(error) => return error,
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("the tail fails in time")
}

/// The next failure of a tail, also one after which it continues.
pub(crate) async fn next_failure(tail: &mut Tail) -> ReadError {
    let look = async {
        loop {
            if let Err(error) = tail.next().await {
                break error;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it is reported in time")
}

/// The next commits of a tail that may report the log as unavailable meanwhile.
pub(crate) async fn next_commits(tail: &mut Tail) -> TailBatch {
    let look = async {
        loop {
            match tail.next().await {
                Ok(batch) if batch.commits.is_empty() => {}
                Ok(batch) => return batch,
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("commits come in time")
}

pub(crate) async fn replace_stream(client: &async_nats::Client, changes: &serde_json::Value) {
    let info = api(client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await;
    let mut config = info["config"].clone();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    api(client, "STREAM.DELETE.CAPSTAN_EVENTS", &json!({})).await;
    eventually("the stream is created again", async || {
        let answer = api(client, "STREAM.CREATE.CAPSTAN_EVENTS", &config).await;
        answer.get("error").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tail_notices_that_the_stream_was_replaced() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b"] {
        writer.write(&log, text).await;
    }
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    read_to(&mut tail, 2).await;
    let client = server.client().await;
    replace_stream(&client, &json!({ "metadata": { "store_epoch": "another" } })).await;
    // The new stream soon holds more commits than the old one: a number alone would not tell.
    let mut foreign = Writer::new("dev/task/2");
    for text in ["c", "d", "e"] {
        foreign.write(&log, text).await;
    }
    assert!(matches!(first_error(&mut tail).await, ReadError::Diverged { .. }));
    assert!(matches!(first_error(&mut tail).await, ReadError::Diverged { .. }), "the end is final");
    assert!(matches!(log.check().await, Err(ReadError::Diverged { .. })));
}

#[tokio::test]
async fn a_tail_notices_a_restored_stream_of_the_same_epoch() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    Writer::new("dev/task/1").write(&log, "a").await;
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    read_to(&mut tail, 1).await;
    replace_stream(&server.client().await, &json!({})).await;
    assert!(matches!(first_error(&mut tail).await, ReadError::Diverged { .. }));
}

#[tokio::test]
async fn a_reader_notices_that_a_replaced_log_outgrew_the_old_one() {
    let server = Server::start("100ms").await;
    let mut writer = Writer::new("dev/task/1");
    let last = {
        let log = server.log().await;
        writer.write(&log, "a").await;
        writer.write(&log, "b").await
    };
    replace_stream(&server.client().await, &json!({})).await;
    // Opened after the replacement, the log cannot remember the old one's identity.
    let log = server.log().await;
    let mut foreign = Writer::new("dev/task/2");
    for text in ["c", "d", "e"] {
        foreign.write(&log, text).await;
    }
    assert!(!log.holds(last.position).await.unwrap());
    for selection in [Selection::All, Selection::Workspace("dev".parse().unwrap())] {
        let error = log.tail(selection, last.position).await.unwrap_err();
        let place = (2, Difference::OtherCommit);
        assert!(
            matches!(error, ReadError::Diverged { after, difference } if (after, difference) == place),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_reader_notices_that_a_restored_log_outgrew_what_it_read() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b"] {
        writer.write(&log, text).await;
    }
    let identity = log.identity().await.unwrap();
    let backup = server.data().with_extension("backup");
    server.kill().await;
    copy_folder(&server.data(), &backup);
    server.start_again().await;
    eventually("the server is back", async || log.check().await.ok()).await;
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    let lost = writer.clone().write(&log, "lost").await;
    read_to(&mut tail, 3).await;

    server.kill().await;
    std::fs::remove_dir_all(server.data()).unwrap();
    std::fs::rename(&backup, server.data()).unwrap();
    server.start_again().await;
    let log = server.log().await;
    for text in ["c", "d", "e"] {
        writer.write(&log, text).await;
    }
    assert_eq!(log.identity().await.unwrap(), identity, "a restored log keeps its identity");
    assert!(!log.holds(lost.position).await.unwrap());
    let error = log.tail(Selection::All, lost.position).await.unwrap_err();
    let place = (3, Difference::OtherCommit);
    assert!(
        matches!(error, ReadError::Diverged { after, difference } if (after, difference) == place),
        "{error:?}"
    );
    assert!(matches!(first_error(&mut tail).await, ReadError::Diverged { .. }));
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_log_that_lost_its_beginning_is_not_followed() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b", "c"] {
        writer.write(&log, text).await;
    }
    let client = server.client().await;
    let mut config = api(&client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await["config"].clone();
    // Deletes are denied, and yet a lowered limit removes commits.
    config["max_msgs"] = json!(1);
    config["discard"] = json!("old");
    let answer = api(&client, "STREAM.UPDATE.CAPSTAN_EVENTS", &config).await;
    assert!(answer.get("error").is_none(), "{answer}");
    let error = log.tail(Selection::All, Position::START).await.unwrap_err();
    assert!(matches!(error, ReadError::Diverged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_log_without_its_beginning_is_followed_once_that_is_archived() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    let mut written = Vec::new();
    for text in ["a", "b", "c", "d"] {
        written.push(writer.write(&log, text).await);
    }
    let client = server.client().await;
    let purged = api(&client, "STREAM.PURGE.CAPSTAN_EVENTS", &json!({ "seq": 3 })).await;
    assert_eq!(purged["purged"], 2, "{purged}");
    let missing = Difference::CommitsMissing { before: 3 };
    let is_missing =
        |error: &ReadError| matches!(error, ReadError::Diverged { difference, .. } if *difference == missing);
    // Purged by mistake: nobody said that those commits are kept elsewhere.
    let error = log.tail(Selection::All, Position::START).await.unwrap_err();
    assert!(is_missing(&error), "{error:?}");

    let mut config = api(&client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await["config"].clone();
    for (archived, is_followed) in [("1", false), ("2", true), ("3", true)] {
        config["metadata"]["archived_through"] = json!(archived);
        let answer = api(&client, "STREAM.UPDATE.CAPSTAN_EVENTS", &config).await;
        assert!(answer.get("error").is_none(), "{answer}");
        let tail = log.tail(Selection::All, Position::START).await;
        assert_eq!(tail.is_ok(), is_followed, "archived through {archived}");
    }
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, 4).await), ["c", "d"]);
    let of_stream = Selection::Stream(writer.stream.clone());
    let mut tail = log.tail(of_stream, Position::START).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, 4).await), ["c", "d"]);
    // Whoever stands among the archived commits has missed one; whoever stands behind them has not.
    let error = log.tail(Selection::All, written[0].position).await.unwrap_err();
    assert!(matches!(error, ReadError::Diverged { .. }), "{error:?}");
    let mut tail = log.tail(Selection::All, written[2].position).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, 4).await), ["d"]);
    let reopened = server.log().await;
    assert_eq!(reopened.head().await.unwrap(), written[3].position);
}

#[tokio::test]
async fn an_archived_beginning_is_declared_and_removed() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b", "c", "d"] {
        writer.write(&log, text).await;
    }
    log.archive(2).await.unwrap();
    // Again, after an interruption.
    log.archive(2).await.unwrap();
    let archived = Archived { through: 2, carried_through: 2 };
    for log in [log, server.log().await] {
        assert_eq!(log.archived(), archived);
        let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
        assert_eq!(notes(&read_to(&mut tail, 4).await), ["c", "d"]);
    }
    assert!(archived.is_carried() && !archived.forgets_streams());
}

#[tokio::test]
async fn an_archive_never_takes_back_what_another_declared_and_removes_what_that_did_not() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b", "c", "d"] {
        writer.write(&log, text).await;
    }
    let client = server.client().await;
    let declare = async |archived: &str, carried: &str| {
        let mut config = api(&client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await["config"].clone();
        config["metadata"]["archived_through"] = json!(archived);
        config["metadata"]["carried_through"] = json!(carried);
        let answer = api(&client, "STREAM.UPDATE.CAPSTAN_EVENTS", &config).await;
        assert!(answer.get("error").is_none(), "{answer}");
    };
    // Another archive was killed before it removed what it had declared.
    declare("3", "3").await;
    log.archive(2).await.unwrap();
    let archived = Archived { through: 3, carried_through: 3 };
    for log in [&log, &server.log().await] {
        assert_eq!(log.archived(), archived);
        let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
        assert_eq!(notes(&read_to(&mut tail, 4).await), ["d"]);
    }
    let first = api(&client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await["state"]["first_seq"].clone();
    assert_eq!(first, 4);
    // Streams that were not carried forward stay looked for.
    writer.write(&log, "e").await;
    declare("3", "1").await;
    assert!(log.archive(4).await.is_err());
    assert_eq!(server.log().await.archived(), Archived { through: 3, carried_through: 1 });
}

#[tokio::test]
async fn archives_at_once_declare_what_they_removed() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for number in 0..30 {
        writer.write(&log, &number.to_string()).await;
    }
    // One that begins between two steps of another may be refused.
    futures_util::future::join_all((1..30).map(|through| log.archive(through))).await;
    let client = server.client().await;
    let first = api(&client, "STREAM.INFO.CAPSTAN_EVENTS", &json!({})).await["state"]["first_seq"].clone();
    let through = first.as_u64().unwrap() - 1;
    assert!(through > 0);
    assert_eq!(server.log().await.archived(), Archived { through, carried_through: through });
}

#[tokio::test]
async fn a_log_that_lost_a_commit_inside_is_not_followed_beyond() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let client = server.client().await;
    replace_stream(&client, &json!({ "deny_delete": false })).await;
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b", "c"] {
        writer.write(&log, text).await;
    }
    let answer = api(&client, "STREAM.MSG.DELETE.CAPSTAN_EVENTS", &json!({ "seq": 2 })).await;
    assert!(answer.get("error").is_none(), "{answer}");
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, 1).await), ["a"]);
    let error = first_error(&mut tail).await;
    let place = (1, Difference::CommitsMissing { before: 3 });
    assert!(
        matches!(error, ReadError::Diverged { after, difference } if (after, difference) == place),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_foreign_message_is_reported_with_its_place() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let written = Writer::new("dev/task/1").write(&log, "a").await;
    let client = server.client().await;
    // Once no commit at all, once a commit on a subject that names no stream.
    let commit = written.commit.to_bytes().unwrap();
    let mut before = written.position;
    for (sequence, tokens, payload) in [(2, "dev.task.2", b"nonsense".to_vec()), (3, "dev.task", commit)] {
        let position = Position::new(sequence, CommitHash::of(tokens, &payload));
        client.request(format!("capstan.evt.{tokens}"), payload.into()).await.unwrap();
        let mut tail = log.tail(Selection::All, before).await.unwrap();
        for _ in 0..2 {
            let error = first_error(&mut tail).await;
            assert!(matches!(error, ReadError::Corrupt { position: at, .. } if at == position), "{error:?}");
        }
        assert!(matches!(log.at(position).await, Err(ReadError::Corrupt { .. })));
        before = position;
    }
    let stream = "dev/task/2".parse().unwrap();
    assert!(matches!(log.last(&stream).await, Err(ReadError::Corrupt { .. })));
}

#[tokio::test]
async fn a_commit_on_the_subject_of_another_stream_breaks_its_chain() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let (mut one, mut two) = (Writer::new("dev/task/1"), Writer::new("dev/task/2"));
    one.write(&log, "a").await;
    two.write(&log, "a").await;
    let moved = one.decide("b").to_bytes().unwrap();
    server.client().await.request("capstan.evt.dev.task.2", moved.clone().into()).await.unwrap();
    let stored = log.last(&two.stream).await.unwrap().unwrap();
    assert!(!two.head.is_followed_by(&stored), "the link is to another stream's commit");
    assert_ne!(stored.hash, CommitHash::of("dev.task.1", &moved), "the hash covers the stream's name");
}

#[tokio::test]
async fn what_came_before_a_foreign_message_is_handed_out() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    Writer::new("dev/task/1").write(&log, "a").await;
    server.client().await.request("capstan.evt.dev.task.2", "nonsense".into()).await.unwrap();
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, 1).await), ["a"]);
    assert!(matches!(first_error(&mut tail).await, ReadError::Corrupt { .. }));
}

#[tokio::test]
async fn an_idle_tail_does_not_start_over_after_a_restart() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    for index in 0..4 {
        writer.write(&log, &index.to_string()).await;
    }
    let last = writer.write(&log, "4").await;
    // Nothing is delivered before the server goes: the library's ordered consumer would begin at 1.
    let mut tails = Vec::new();
    for selection in [
        Selection::All,
        Selection::Workspace("dev".parse().unwrap()),
        Selection::Stream(writer.stream.clone()),
    ] {
        let mut tail = log.tail(selection, last.position).await.unwrap();
        let first = batch(&mut tail).await;
        assert!(first.commits.is_empty() && first.caught_up);
        tails.push(tail);
    }
    server.kill().await;
    server.start_again().await;
    eventually("the server is back", async || log.check().await.ok()).await;
    writer.write(&log, "after").await;
    for tail in &mut tails {
        let batch = next_commits(tail).await;
        assert_eq!(notes(&batch.commits), ["after"]);
    }
}

#[tokio::test]
async fn a_tail_outlives_its_consumer() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let mut writer = Writer::new("dev/task/1");
    writer.write(&log, "before").await;
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    read_to(&mut tail, 1).await;
    let client = server.client().await;
    for index in 0..3 {
        let listed = api(&client, "CONSUMER.NAMES.CAPSTAN_EVENTS", &json!({})).await;
        for name in listed["consumers"].as_array().unwrap() {
            let endpoint = format!("CONSUMER.DELETE.CAPSTAN_EVENTS.{}", name.as_str().unwrap());
            api(&client, &endpoint, &json!({})).await;
        }
        writer.write(&log, &index.to_string()).await;
        assert_eq!(notes(&next_commits(&mut tail).await.commits), [index.to_string()]);
    }
}

#[tokio::test]
async fn a_dropped_tail_leaves_no_consumer_behind() {
    let server = Server::start("100ms").await;
    let log = server.log().await;
    let tail = log.tail(Selection::All, Position::START).await.unwrap();
    let client = server.client().await;
    let consumers = async || {
        let listed = api(&client, "CONSUMER.NAMES.CAPSTAN_EVENTS", &json!({})).await;
        listed["consumers"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(consumers().await, 1);
    drop(tail);
    eventually("the consumer is gone", async || (consumers().await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_batch_ends_inside_a_decision_over_several_streams() {
    const DECISIONS: u64 = 200;
    let server = Server::start("100ms").await;
    let log = Arc::new(server.log().await);
    let writing = {
        let log = log.clone();
        tokio::spawn(async move {
            let mut single = Writer::new("dev/task/single");
            for number in 0..DECISIONS {
                let group: Vec<_> = (0..5)
                    .map(|member| {
                        Writer::new(&format!("dev/task/{number}-{member}")).decide(&number.to_string())
                    })
                    .collect();
                log.append_together(&group).await.unwrap();
                single.write(&*log, "single").await;
            }
        })
    };
    for selection in [Selection::All, Selection::Workspace("dev".parse().unwrap())] {
        let mut tail = log.tail(selection, Position::START).await.unwrap();
        let mut position = Position::START;
        while position.sequence() < DECISIONS * 6 {
            let batch = batch(&mut tail).await;
            position = batch.position;
            let mut members = batch.commits.iter().map(note).filter(|text| text != "single").peekable();
            while let Some(number) = members.next() {
                let others = std::iter::from_fn(|| members.next_if_eq(&number)).count();
                assert_eq!(others, 4, "decision {number} was cut");
            }
        }
    }
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_large_batches_and_misses_nothing() {
    const COMMITS: u64 = 12_000;
    let server = Server::start("100ms").await;
    let log = Arc::new(server.log().await);
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    write_many(&log, COMMITS).await;
    // The reader slept all the while; what comes now is bounded, whole and in order.
    let (mut next, mut largest) = (1, 0);
    while next <= COMMITS {
        let batch = batch(&mut tail).await;
        largest = largest.max(batch.commits.len());
        for recorded in batch.commits {
            assert_eq!(recorded.position.sequence(), next);
            next += 1;
        }
    }
    assert!((1_000..=6_000).contains(&largest), "the largest batch had {largest}");
}

async fn write_many(log: &Arc<JetStreamLog>, commits: u64) {
    let writing: Vec<_> = (0..20)
        .map(|part| {
            let log = log.clone();
            tokio::spawn(async move {
                for number in 0..commits / 20 {
                    let commit = Writer::new(&format!("dev/task/{part}-{number}")).decide("x");
                    log.append(&commit).await.unwrap();
                }
            })
        })
        .collect();
    for part in writing {
        part.await.unwrap();
    }
}
