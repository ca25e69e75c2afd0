//! The suite that every adapter of the log passes.
//!
//! Each function is one behaviour. `on_every_log!` turns each of them into one test per adapter: in memory, with a
//! shared tail in front of it and of a server, on a server that flushes at intervals, on a server that flushes always (which shares flushes by group commit).

use std::collections::HashSet;
use std::sync::Arc;

use capstan_envelope::{Commit, CommitHash, MemoryShare, Position};
use capstan_eventlog::{AppendError, Difference, EventLog, MemoryLog, ReadError, Selection, SharedTail};

use crate::server::Server;
use crate::writer::{Writer, batch, note, notes, read_to};

pub(crate) type Log = Arc<dyn EventLog>;

/// Bytes of a scan on their way at once.
const AHEAD: usize = 32 << 20;

/// A log in front of this one, whose readers share a tail.
fn shared(log: Log) -> Log {
    Arc::new(SharedTail::new(log, &MemoryShare::unlimited()))
}

macro_rules! on_every_log {
    ($($behaviour:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $behaviour() {
                super::$behaviour(std::sync::Arc::new(super::MemoryLog::new())).await;
            })*
        }
        mod shared_memory {
            $(#[tokio::test] async fn $behaviour() {
                let log = std::sync::Arc::new(super::MemoryLog::new());
                super::$behaviour(super::shared(log)).await;
            })*
        }
        mod shared_jetstream {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $behaviour() {
                let server = super::Server::start("100ms").await;
                let log = std::sync::Arc::new(server.log().await);
                super::$behaviour(super::shared(log)).await;
            })*
        }
        mod jetstream_interval {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $behaviour() {
                let server = super::Server::start("100ms").await;
                super::$behaviour(std::sync::Arc::new(server.log().await)).await;
            })*
        }
        mod jetstream_always {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $behaviour() {
                let server = super::Server::start("always").await;
                super::$behaviour(std::sync::Arc::new(server.log().await)).await;
            })*
        }
    };
}

on_every_log!(
    commits_are_stored_in_order_and_read_back_as_written,
    a_commit_links_to_the_stored_hash_of_the_one_before,
    a_stale_writer_is_refused,
    a_second_creation_is_refused,
    of_two_rivals_exactly_one_wins,
    a_repeated_commit_answers_where_it_stands,
    a_repeated_commit_is_known_after_others_followed,
    one_command_may_write_several_streams,
    a_commit_without_events_is_refused,
    a_commit_with_impossible_expectations_is_refused,
    a_commit_beyond_the_size_limit_is_refused,
    several_streams_are_written_all_or_none,
    a_repeated_group_answers_where_it_stands,
    a_group_of_two_commits_of_one_stream_is_refused,
    a_group_over_two_workspaces_is_refused,
    an_empty_group_is_nothing,
    an_unknown_stream_has_no_last_commit,
    a_stream_is_read_after_a_position,
    a_long_stream_is_read_whole,
    a_tail_from_the_start_hands_out_everything,
    a_tail_from_the_middle_hands_out_the_rest,
    a_tail_of_an_empty_log_is_live_at_once,
    a_tail_from_the_end_hands_out_only_what_comes,
    a_tail_continues_from_history_to_live_without_a_seam,
    a_tail_of_one_workspace_sees_only_it_and_reaches_the_head,
    a_tail_of_one_stream_sees_only_it_and_reaches_the_head,
    a_dropped_wait_loses_nothing,
    a_scan_hands_out_what_is_stored_up_to_its_end,
    a_start_beyond_the_end_is_refused,
    a_start_from_another_history_is_refused,
    the_identity_is_stable,
);

/// A place with a hash that no commit has.
fn foreign(sequence: u64) -> Position {
    Position::new(sequence, CommitHash::NONE)
}

pub(crate) async fn commits_are_stored_in_order_and_read_back_as_written(log: Log) {
    let (mut one, mut two) = (Writer::new("dev/task/1"), Writer::new("dev/task/2"));
    let commit = one.decide("a");
    let appended = log.append(&commit).await.unwrap();
    one.learn(&commit, &appended);
    let later = [two.write(&*log, "b").await, one.write(&*log, "c").await];
    assert_eq!(later.each_ref().map(|recorded| recorded.position.sequence()), [2, 3]);
    assert_eq!(appended.position, Position::new(1, appended.hash));
    for recorded in &later {
        assert_eq!(recorded.position, Position::new(recorded.position.sequence(), recorded.hash));
    }
    let stored = log.at(appended.position).await.unwrap().unwrap();
    assert_eq!(stored.commit, commit);
    assert_eq!(stored.hash, appended.hash);
    assert_eq!(log.head().await.unwrap(), later[1].position);
    assert_eq!(log.next(appended.position).await.unwrap().as_ref(), Some(&later[0]));
    assert_eq!(log.next(later[1].position).await.unwrap(), None);
    assert_eq!(log.at(foreign(4)).await.unwrap(), None);
    assert_eq!(log.at(Position::START).await.unwrap(), None);
}

pub(crate) async fn a_commit_links_to_the_stored_hash_of_the_one_before(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    for text in ["a", "b", "c"] {
        writer.write(&*log, text).await;
    }
    let mut head = capstan_envelope::StreamHead::default();
    for recorded in log.read_stream(&writer.stream, Position::START).await.unwrap() {
        assert!(head.is_followed_by(&recorded), "{recorded:?} does not follow {head:?}");
        head.advance(&recorded);
    }
    assert_eq!(head, writer.head);
}

pub(crate) async fn a_stale_writer_is_refused(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    writer.write(&*log, "a").await;
    let stale = writer.clone();
    writer.write(&*log, "b").await;
    let error = log.append(&stale.decide("late")).await.unwrap_err();
    assert!(matches!(&error, AppendError::Conflict { stream } if *stream == stale.stream), "{error:?}");
    assert_eq!(log.head().await.unwrap().sequence(), 2);
}

pub(crate) async fn a_second_creation_is_refused(log: Log) {
    let fresh = Writer::new("dev/task/1");
    fresh.clone().write(&*log, "a").await;
    let error = log.append(&fresh.decide("b")).await.unwrap_err();
    assert!(matches!(error, AppendError::Conflict { .. }), "{error:?}");
}

pub(crate) async fn of_two_rivals_exactly_one_wins(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    for round in 0..10 {
        let rivals: Vec<Commit> = (0..8).map(|rival| writer.decide(&format!("{round} {rival}"))).collect();
        let results = futures_util::future::join_all(rivals.iter().map(|commit| log.append(commit))).await;
        let mut winners = Vec::new();
        for (commit, result) in rivals.iter().zip(results) {
            match result {
                Ok(appended) => winners.push((commit, appended)),
                Err(error) => assert!(matches!(error, AppendError::Conflict { .. }), "{error:?}"),
            }
        }
        let [(commit, appended)] = &winners[..] else { panic!("{} rivals won", winners.len()) };
        writer.learn(commit, appended);
    }
    assert_eq!(log.head().await.unwrap().sequence(), 10);
}

pub(crate) async fn a_repeated_commit_answers_where_it_stands(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    let commit = writer.decide("a");
    let first = log.append(&commit).await.unwrap();
    assert!(!first.duplicate);
    let again = log.append(&commit).await.unwrap();
    assert_eq!((again.position, again.hash, again.duplicate), (first.position, first.hash, true));
    writer.learn(&commit, &first);
    let mut decided_anew = commit.clone();
    "note-again".clone_into(&mut decided_anew.metadata.command);
    let again = log.append(&decided_anew).await.unwrap();
    assert_eq!((again.position, again.hash, again.duplicate), (first.position, first.hash, true));
    assert_eq!(log.head().await.unwrap().sequence(), 1);
}

pub(crate) async fn a_repeated_commit_is_known_after_others_followed(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    let commit = writer.decide("a");
    let first = log.append(&commit).await.unwrap();
    writer.learn(&commit, &first);
    for index in 0..200 {
        writer.write(&*log, &format!("later {index}")).await;
    }
    let again = log.append(&commit).await.unwrap();
    assert_eq!((again.position, again.hash, again.duplicate), (first.position, first.hash, true));
}

pub(crate) async fn one_command_may_write_several_streams(log: Log) {
    let (one, two) = (Writer::new("dev/task/1"), Writer::new("dev/task/2"));
    let (first, mut second) = (one.decide("a"), two.decide("b"));
    second.commit_id = first.commit_id;
    let first = log.append(&first).await.unwrap();
    let second = log.append(&second).await.unwrap();
    assert!(!second.duplicate);
    assert_ne!(first.position, second.position);
}

pub(crate) async fn a_commit_without_events_is_refused(log: Log) {
    let mut commit = Writer::new("dev/task/1").decide("a");
    commit.events.clear();
    assert!(matches!(log.append(&commit).await, Err(AppendError::Invalid { .. })));
    assert_eq!(log.head().await.unwrap(), Position::START);
}

pub(crate) async fn a_commit_with_impossible_expectations_is_refused(log: Log) {
    for (version, previous) in [(0, 0), (2, 0), (1, 1)] {
        let mut commit = Writer::new("dev/task/1").decide("a");
        (commit.version, commit.previous) = (version, foreign(previous));
        assert!(
            matches!(log.append(&commit).await, Err(AppendError::Invalid { .. })),
            "{version} {previous}"
        );
    }
}

pub(crate) async fn a_commit_beyond_the_size_limit_is_refused(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    let error = log.append(&writer.decide(&"x".repeat(1_048_576))).await.unwrap_err();
    assert!(
        matches!(error, AppendError::TooLarge { size_bytes, limit_bytes, .. } if size_bytes > limit_bytes),
        "{error:?}"
    );
    assert!(!error.is_retryable());
    // The log still takes what fits.
    writer.write(&*log, &"x".repeat(1_000_000)).await;
}

pub(crate) async fn several_streams_are_written_all_or_none(log: Log) {
    let (mut one, mut two) = (Writer::new("dev/schedule/1"), Writer::new("dev/task/2"));
    one.write(&*log, "a").await;
    let stale = one.clone();
    one.write(&*log, "b").await;
    let refused = [two.decide("c"), stale.decide("d")];
    let error = log.append_together(&refused).await.unwrap_err();
    assert!(matches!(&error, AppendError::Conflict { stream } if *stream == one.stream), "{error:?}");
    assert_eq!(log.head().await.unwrap().sequence(), 2);
    assert_eq!(log.last(&two.stream).await.unwrap(), None);

    let group = [two.decide("c"), one.decide("d")];
    let appended = log.append_together(&group).await.unwrap();
    let places: Vec<_> =
        appended.iter().map(|appended| (appended.position.sequence(), appended.duplicate)).collect();
    assert_eq!(places, [(3, false), (4, false)]);
    for (writer, index) in [(&mut two, 0), (&mut one, 1)] {
        let last = log.last(&writer.stream).await.unwrap().unwrap();
        assert_eq!((last.position, last.hash), (appended[index].position, appended[index].hash));
        assert_eq!(last.commit, group[index]);
        writer.learn(&group[index], &appended[index]);
        writer.write(&*log, "goes on").await;
    }
}

pub(crate) async fn a_repeated_group_answers_where_it_stands(log: Log) {
    let (mut one, two) = (Writer::new("dev/schedule/1"), Writer::new("dev/task/2"));
    let group = [one.decide("a"), two.decide("b")];
    let first = log.append_together(&group).await.unwrap();
    one.learn(&group[0], &first[0]);
    one.write(&*log, "later").await;
    let again = log.append_together(&group).await.unwrap();
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((again.position, again.hash, again.duplicate), (first.position, first.hash, true));
    }
    assert_eq!(log.head().await.unwrap().sequence(), 3);
}

pub(crate) async fn a_group_of_two_commits_of_one_stream_is_refused(log: Log) {
    let writer = Writer::new("dev/task/1");
    let error = log.append_together(&[writer.decide("a"), writer.decide("b")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Invalid { .. }), "{error:?}");
}

pub(crate) async fn a_group_over_two_workspaces_is_refused(log: Log) {
    let (one, two) = (Writer::new("dev/task/1"), Writer::new("prod/task/1"));
    let error = log.append_together(&[one.decide("a"), two.decide("b")]).await.unwrap_err();
    assert!(matches!(error, AppendError::Invalid { .. }), "{error:?}");
}

pub(crate) async fn an_empty_group_is_nothing(log: Log) {
    assert_eq!(log.append_together(&[]).await.unwrap(), []);
}

pub(crate) async fn an_unknown_stream_has_no_last_commit(log: Log) {
    Writer::new("dev/task/1").write(&*log, "a").await;
    let unknown = Writer::new("dev/task/2").stream;
    assert_eq!(log.last(&unknown).await.unwrap(), None);
    assert_eq!(log.read_stream(&unknown, Position::START).await.unwrap(), []);
}

pub(crate) async fn a_stream_is_read_after_a_position(log: Log) {
    let (mut one, mut two) = (Writer::new("dev/task/1"), Writer::new("dev/task/2"));
    for index in 0..3 {
        one.write(&*log, &format!("one {index}")).await;
        two.write(&*log, &format!("two {index}")).await;
    }
    let all = log.read_stream(&one.stream, Position::START).await.unwrap();
    assert_eq!(notes(&all), ["one 0", "one 1", "one 2"]);
    let rest = log.read_stream(&one.stream, all[0].position).await.unwrap();
    assert_eq!(rest, all[1..]);
    assert_eq!(log.read_stream(&one.stream, all[2].position).await.unwrap(), []);
    assert_eq!(log.last(&one.stream).await.unwrap().as_ref(), all.last());
}

pub(crate) async fn a_long_stream_is_read_whole(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    for index in 0..600 {
        writer.write(&*log, &index.to_string()).await;
    }
    let all = log.read_stream(&writer.stream, Position::START).await.unwrap();
    assert_eq!(notes(&all), (0..600).map(|index| index.to_string()).collect::<Vec<_>>());
}

pub(crate) async fn a_tail_from_the_start_hands_out_everything(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    for index in 0..50 {
        writer.write(&*log, &index.to_string()).await;
    }
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    let all = read_to(&mut tail, 50).await;
    let read = log.read_stream(&writer.stream, Position::START).await.unwrap();
    assert!(all.iter().map(AsRef::as_ref).eq(&read));
}

pub(crate) async fn a_tail_from_the_middle_hands_out_the_rest(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    let mut written = Vec::new();
    for index in 0..20 {
        written.push(writer.write(&*log, &index.to_string()).await);
    }
    let mut tail = log.tail(Selection::All, written[14].position).await.unwrap();
    let rest = read_to(&mut tail, 20).await;
    assert_eq!(notes(&rest), ["15", "16", "17", "18", "19"]);
}

pub(crate) async fn a_tail_of_an_empty_log_is_live_at_once(log: Log) {
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    let first = batch(&mut tail).await;
    assert_eq!((first.commits.len(), first.position, first.caught_up), (0, Position::START, true));
    let written = Writer::new("dev/task/1").write(&*log, "a").await;
    let second = batch(&mut tail).await;
    assert_eq!((second.position, second.caught_up), (written.position, true));
    assert_eq!(second.commits, [Arc::new(written)]);
}

pub(crate) async fn a_tail_from_the_end_hands_out_only_what_comes(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    let before = writer.write(&*log, "before").await;
    let mut tail = log.tail(Selection::All, before.position).await.unwrap();
    let first = batch(&mut tail).await;
    assert_eq!((first.commits.len(), first.position, first.caught_up), (0, before.position, true));
    let after = writer.write(&*log, "after").await;
    assert_eq!(batch(&mut tail).await.commits, [Arc::new(after)]);
}

pub(crate) async fn a_tail_continues_from_history_to_live_without_a_seam(log: Log) {
    const WRITERS: u64 = 8;
    const EACH: u64 = 60;
    let writing: Vec<_> = (0..WRITERS)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut writer = Writer::new(&format!("dev/task/{number}"));
                for index in 0..EACH {
                    writer.write(&*log, &index.to_string()).await;
                }
            })
        })
        .collect();
    // Tails join at different moments of the writing.
    let mut tails = Vec::new();
    for at in [0, 50, 200] {
        let position = crate::writer::eventually("the log grows", async || {
            let head = log.head().await.unwrap();
            (head.sequence() >= at).then_some(head)
        })
        .await;
        tails.push((position, log.tail(Selection::All, position).await.unwrap()));
    }
    for (position, mut tail) in tails {
        let all = read_to(&mut tail, WRITERS * EACH).await;
        let sequences: Vec<u64> = all.iter().map(|recorded| recorded.position.sequence()).collect();
        assert_eq!(sequences, (position.sequence() + 1..=WRITERS * EACH).collect::<Vec<_>>());
    }
    for writer in writing {
        writer.await.unwrap();
    }
}

pub(crate) async fn a_tail_of_one_workspace_sees_only_it_and_reaches_the_head(log: Log) {
    let (mut dev, mut prod) = (Writer::new("dev/task/1"), Writer::new("prod/task/1"));
    dev.write(&*log, "history").await;
    prod.write(&*log, "foreign history").await;
    let selection = Selection::Workspace(dev.stream.workspace().clone());
    let mut tail = log.tail(selection, Position::START).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, 2).await), ["history"]);
    dev.write(&*log, "live").await;
    let foreign = prod.write(&*log, "foreign live").await;
    assert_eq!(notes(&read_to(&mut tail, foreign.position.sequence()).await), ["live"]);
}

pub(crate) async fn a_tail_of_one_stream_sees_only_it_and_reaches_the_head(log: Log) {
    let (mut one, mut two) = (Writer::new("dev/task/1"), Writer::new("dev/task/2"));
    one.write(&*log, "history").await;
    two.write(&*log, "other history").await;
    let mut tail = log.tail(Selection::Stream(one.stream.clone()), Position::START).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, 2).await), ["history"]);
    let group = [one.decide("together"), two.decide("other together")];
    let appended = log.append_together(&group).await.unwrap();
    assert_eq!(notes(&read_to(&mut tail, appended[1].position.sequence()).await), ["together"]);
}

pub(crate) async fn a_dropped_wait_loses_nothing(log: Log) {
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    let mut writer = Writer::new("dev/task/1");
    let mut seen = HashSet::new();
    let mut expected = HashSet::new();
    for index in 0..100 {
        let text = index.to_string();
        let write = writer.write(&*log, &text);
        tokio::pin!(write);
        // The wait is dropped whenever the append is done first; the append itself always comes to its end.
        tokio::select! {
            batch = tail.next() => {
                seen.extend(batch.unwrap().commits.iter().map(note));
                expected.insert(note(&write.await));
            }
            recorded = &mut write => { expected.insert(note(&recorded)); }
        }
    }
    let head = log.head().await.unwrap();
    crate::writer::eventually("every commit is seen", async || {
        if seen.len() < expected.len() {
            seen.extend(batch(&mut tail).await.commits.iter().map(note));
        }
        (seen == expected).then_some(())
    })
    .await;
    assert_eq!(seen.len() as u64, head.sequence());
}

pub(crate) async fn a_scan_hands_out_what_is_stored_up_to_its_end(log: Log) {
    let scan = async |after, end, ahead| {
        let mut scan = log.scan(after, end, ahead).await.unwrap();
        let mut scanned = Vec::new();
        while let Some(batch) = scan.next().await.unwrap() {
            assert!(!batch.is_empty());
            scanned.extend(batch.iter().map(|commit| Arc::new(commit.raw().decode().unwrap())));
        }
        assert!(scan.next().await.unwrap().is_none());
        scanned
    };
    assert_eq!(scan(Position::START, Position::START, AHEAD).await, []);
    let (mut one, mut other) = (Writer::new("dev/task/1"), Writer::new("dev/task/2"));
    for index in 0..1_500 {
        let writer = if index % 3 == 0 { &mut one } else { &mut other };
        writer.write(&*log, &index.to_string()).await;
    }
    let mut tail = log.tail(Selection::All, Position::START).await.unwrap();
    let all = read_to(&mut tail, 1_500).await;
    for end in [Position::START, all[0].position, all[1_200].position, all[1_499].position] {
        for after in [Position::START, all[0].position, all[700].position] {
            let range = after.sequence() as usize..end.sequence().max(after.sequence()) as usize;
            assert_eq!(scan(after, end, AHEAD).await, all[range]);
        }
    }
    let mut other_end = log.scan(Position::START, foreign(1), AHEAD).await.unwrap();
    let difference = other_end.next().await.unwrap_err();
    assert!(matches!(difference, ReadError::Diverged { difference: Difference::OtherCommit, .. }));
    let other_start = log.scan(foreign(1), all[1_200].position, AHEAD).await.unwrap_err();
    assert!(matches!(other_start, ReadError::Diverged { difference: Difference::OtherCommit, .. }));

    // Some larger than what is asked for at a time.
    let mut large = Vec::new();
    for kilobytes in [300, 1, 1, 900, 200, 100, 700, 1] {
        large.push(Arc::new(other.write(&*log, &"x".repeat(kilobytes << 10)).await));
    }
    for ahead in [0, 1 << 20] {
        assert_eq!(scan(all[1_499].position, large[7].position, ahead).await, large);
    }
}

pub(crate) async fn a_start_beyond_the_end_is_refused(log: Log) {
    Writer::new("dev/task/1").write(&*log, "a").await;
    for selection in [Selection::All, Selection::Workspace("dev".parse().unwrap())] {
        let error = log.tail(selection, foreign(2)).await.unwrap_err();
        let place = (2, Difference::EndsAt(1));
        assert!(
            matches!(error, ReadError::Diverged { after, difference } if (after, difference) == place),
            "{error:?}"
        );
        assert!(!error.is_retryable());
    }
}

pub(crate) async fn a_start_from_another_history_is_refused(log: Log) {
    let mut writer = Writer::new("dev/task/1");
    let mut held = vec![Position::START];
    for text in ["a", "b", "c"] {
        held.push(writer.write(&*log, text).await.position);
    }
    for position in held {
        assert!(log.holds(position).await.unwrap());
    }
    // The log is longer than the place, so that only the hash shows the difference.
    let elsewhere = Position::new(2, CommitHash::of("dev.task.1", b"another commit"));
    assert!(!log.holds(elsewhere).await.unwrap());
    assert_eq!(log.at(elsewhere).await.unwrap(), None);
    for selection in [
        Selection::All,
        Selection::Workspace("dev".parse().unwrap()),
        Selection::Stream(writer.stream.clone()),
    ] {
        let error = log.tail(selection, elsewhere).await.unwrap_err();
        let place = (2, Difference::OtherCommit);
        assert!(
            matches!(error, ReadError::Diverged { after, difference } if (after, difference) == place),
            "{error:?}"
        );
        assert!(!error.is_retryable());
    }
}

pub(crate) async fn the_identity_is_stable(log: Log) {
    let before = log.identity().await.unwrap();
    assert!(!before.store_epoch.is_empty());
    Writer::new("dev/task/1").write(&*log, "a").await;
    assert_eq!(log.identity().await.unwrap(), before);
}
