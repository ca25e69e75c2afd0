//! Guarantees to subscribers: nothing missed, nothing repeated, or told where to resume.
//!
//! `PROPTEST_CASES=500` looks harder.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capstan_envelope::{
    Actor, Commit, CommitHash, CommitId, EventRecord, MemoryShare, Metadata, Position, StreamId, Workspace,
};
use capstan_eventlog::{EventLog, MemoryLog, Selection};
use capstan_live::{CAUGHT_UP, END, Frame, GAP, LiveConfig, LiveHub, Run, Subscription, Until};
use futures_util::{Stream, StreamExt};
use proptest::prelude::*;
use uuid::Uuid;

const LIMIT: Duration = Duration::from_secs(30);

type Frames = Pin<Box<dyn Stream<Item = Frame> + Send>>;

/// Position, version and hash of a stream's last commit.
type Head = (Position, u64, CommitHash);

/// Appends commits and remembers the id every event's frame must have.
#[derive(Clone)]
struct Writer {
    log: MemoryLog,
    heads: Arc<Mutex<HashMap<StreamId, Head>>>,
    written: Arc<Mutex<Vec<(StreamId, String)>>>,
}

impl Writer {
    fn new() -> Self {
        Self { log: MemoryLog::new(), heads: Arc::default(), written: Arc::default() }
    }

    async fn append(&self, stream: &StreamId, events: &[&str]) -> Position {
        let (previous, version, previous_hash) =
            self.heads.lock().unwrap().get(stream).copied().unwrap_or_default();
        let number = self.written.lock().unwrap().len() as u128 + 1;
        let record = |name: &&str| EventRecord {
            name: (*name).to_owned(),
            version: 99,
            data: serde_json::value::to_raw_value(&serde_json::json!({ "n": version })).unwrap(),
        };
        let appended = self
            .log
            .append(&Commit {
                commit_id: CommitId(Uuid::from_u128(number)),
                stream: stream.clone(),
                version: version + 1,
                previous,
                previous_hash,
                metadata: Metadata::new("test", Actor::Engine, Uuid::nil(), chrono::Utc::now()),
                events: events.iter().map(record).collect(),
            })
            .await
            .unwrap();
        self.heads.lock().unwrap().insert(stream.clone(), (appended.position, version + 1, appended.hash));
        let id = |index: usize| {
            let is_last = index + 1 == events.len();
            if is_last { appended.position.to_string() } else { format!("{}.{index}", appended.position) }
        };
        let ids = (0..events.len()).map(|index| (stream.clone(), id(index)));
        self.written.lock().unwrap().extend(ids);
        appended.position
    }

    fn ids(&self, selection: &Selection) -> Vec<String> {
        let written = self.written.lock().unwrap();
        written.iter().filter(|(stream, _)| selection.takes(stream)).map(|(_, id)| id.clone()).collect()
    }

    async fn hub(&self, config: LiveConfig) -> LiveHub {
        LiveHub::start(Arc::new(self.log.clone()), None, config).await.unwrap()
    }
}

fn stream(number: usize) -> StreamId {
    let workspace = Workspace::new(["dev", "other"][number % 2]).unwrap();
    StreamId::new(workspace, "task", &format!("t{number}")).unwrap()
}

fn selections() -> [Selection; 3] {
    [Selection::All, Selection::Workspace(Workspace::new("dev").unwrap()), Selection::Stream(stream(0))]
}

fn follow(hub: &LiveHub, selection: Selection, after: Option<&str>) -> Frames {
    one_by_one(hub.subscribe(selection, after.map(|after| after.parse().unwrap())))
}

fn follow_to_the_end(hub: &LiveHub, after: Option<&str>) -> Frames {
    let after = after.map(|after| after.parse().unwrap());
    one_by_one(hub.follow(Subscription {
        selection: Selection::Stream(stream(0)),
        after,
        until: Until::TaskOver,
    }))
}

fn one_by_one(runs: impl Stream<Item = Run> + Send + 'static) -> Frames {
    Box::pin(runs.flat_map(|run| futures_util::stream::iter(run.frames().to_vec())))
}

async fn next(frames: &mut Frames) -> Option<Frame> {
    tokio::time::timeout(LIMIT, frames.next()).await.expect("no frame in time")
}

/// The ids of the next `count` events.
async fn event_ids(frames: &mut Frames, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let frame = next(frames).await.expect("the stream ended");
        assert_ne!(frame.event, GAP, "{frame:?}");
        if frame.event != CAUGHT_UP {
            ids.push(frame.id.expect("events have ids").to_string());
        }
    }
    ids
}

/// The ids of the next `count` events of a follower that resumes whenever it was too slow.
async fn event_ids_resumed(
    hub: &LiveHub,
    selection: Selection,
    mut frames: Frames,
    count: usize,
) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let frame = next(&mut frames).await.expect("the stream ended");
        let id = text_of(&frame).expect("events and gaps have ids");
        match frame.event.as_str() {
            CAUGHT_UP => {}
            GAP => {
                assert_eq!(data(&frame)["reason"], "slow_subscriber");
                frames = follow(hub, selection.clone(), Some(&id));
            }
            _ => ids.push(id),
        }
    }
    ids
}

fn text_of(frame: &Frame) -> Option<String> {
    frame.id.map(|place| place.to_string())
}

fn data(frame: &Frame) -> serde_json::Value {
    serde_json::from_slice(&frame.data).unwrap()
}

async fn until_caught_up(frames: &mut Frames) -> Frame {
    loop {
        let frame = next(frames).await.expect("the stream ended");
        if frame.event == CAUGHT_UP {
            return frame;
        }
    }
}

/// Waits until the hub has come as far as the log.
async fn settled(hub: &LiveHub, position: Position) {
    let mut positions = hub.position();
    tokio::time::timeout(LIMIT, positions.wait_for(|at| at.reaches(position))).await.unwrap().unwrap();
}

const NAMES: [&str; 4] = ["task-accepted", "from-the-future", "run-requested", "output-produced"];

async fn nothing_is_missed(before: Vec<(usize, usize)>, during: Vec<(usize, usize)>, ring: usize) {
    let writer = Writer::new();
    let (old, known) = before.split_at(before.len() / 2);
    for (number, events) in old {
        writer.append(&stream(*number), &NAMES[..*events]).await;
    }
    // The hub begins in the middle, so the beginning is in the log only.
    let hub = writer.hub(LiveConfig { recent_commits_max: ring, ..LiveConfig::default() }).await;
    for (number, events) in known {
        writer.append(&stream(*number), &NAMES[..*events]).await;
    }
    let mut subscribers = Vec::new();
    for selection in selections() {
        let cursors = std::iter::once("0".to_owned()).chain(writer.ids(&selection));
        for (seen, cursor) in cursors.enumerate() {
            subscribers.push((seen, follow(&hub, selection.clone(), Some(&cursor)), selection.clone()));
        }
    }
    let total = |selection: &Selection| {
        let more = during.iter().filter(|(number, _)| selection.takes(&stream(*number)));
        writer.ids(selection).len() + more.map(|(_, events)| events).sum::<usize>()
    };
    let totals: Vec<_> = subscribers.iter().map(|(_, _, selection)| total(selection)).collect();
    let reading = subscribers.into_iter().zip(totals).map(|((seen, frames, selection), total)| {
        let hub = hub.clone();
        tokio::spawn(async move {
            let ids = event_ids_resumed(&hub, selection.clone(), frames, total - seen).await;
            (seen, ids, selection)
        })
    });
    let reading: Vec<_> = reading.collect();
    for (number, events) in &during {
        writer.append(&stream(*number), &NAMES[..*events]).await;
        tokio::task::yield_now().await;
    }
    for reader in reading {
        let (seen, ids, selection) = reader.await.unwrap();
        assert_eq!(ids, writer.ids(&selection)[seen..], "{selection:?} after {seen} events");
    }
}

fn commits(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(usize, usize)>> {
    prop::collection::vec((0_usize..3, 1_usize..=NAMES.len()), count)
}

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn resuming_anywhere_under_concurrent_appends_misses_and_repeats_nothing(
        before in commits(0..24), during in commits(0..24), ring in 1_usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(nothing_is_missed(before, during, ring));
    }
}

#[tokio::test]
async fn without_a_cursor_the_stream_begins_now_and_says_where_that_is() {
    let writer = Writer::new();
    let past = writer.append(&stream(0), &["task-accepted"]).await;
    let hub = writer.hub(LiveConfig::default()).await;
    let mut frames = follow(&hub, Selection::All, None);
    let caught_up = next(&mut frames).await.unwrap();
    assert_eq!((caught_up.event.as_str(), text_of(&caught_up)), (CAUGHT_UP, Some(past.to_string())));
    let present = writer.append(&stream(1), &["from-the-future"]).await;
    let frame = next(&mut frames).await.unwrap();
    assert_eq!((frame.event.as_str(), text_of(&frame)), ("from-the-future", Some(present.to_string())));
    let data = data(&frame);
    assert_eq!((data["workspace"].as_str(), data["id"].as_str()), (Some("other"), Some("t1")));
    assert_eq!((&data["event_version"], &data["data"]["n"]), (&99.into(), &0.into()));
    assert_eq!(data["position"], present.to_string());
}

/// A follower that has one event of the first commit after it caught up falls behind; it is told to resume there.
async fn is_cut_when_it_does_not_keep_up(config: LiveConfig) {
    let writer = Writer::new();
    let hub = writer.hub(config).await;
    for selection in selections() {
        let mut frames = follow(&hub, selection.clone(), None);
        let begin = until_caught_up(&mut frames).await;
        let seen = writer.append(&stream(0), &["task-accepted"]).await;
        assert_eq!(event_ids(&mut frames, 1).await, [seen.to_string()]);
        for _ in 0..20 {
            let last = writer.append(&stream(0), &NAMES).await;
            settled(&hub, last).await;
        }
        let gap = next(&mut frames).await.expect("a gap before the end");
        assert_eq!((gap.event.as_str(), &data(&gap)["reason"]), (GAP, &"slow_subscriber".into()));
        assert_eq!(text_of(&gap), Some(seen.to_string()));
        assert_eq!(next(&mut frames).await, None);
        let mut ids = vec![seen.to_string()];
        let mut again = follow(&hub, selection.clone(), text_of(&gap).as_deref());
        ids.extend(event_ids(&mut again, 20 * NAMES.len()).await);
        let all = writer.ids(&selection);
        assert_eq!(ids, all[all.len() - ids.len()..], "{selection:?} after {begin:?}");
    }
}

#[tokio::test]
async fn a_subscriber_is_cut_when_memory_has_forgotten_what_it_has_not_read() {
    is_cut_when_it_does_not_keep_up(LiveConfig { recent_commits_max: 4, ..LiveConfig::default() }).await;
    is_cut_when_it_does_not_keep_up(LiveConfig {
        recent: MemoryShare::new(32 << 10),
        ..LiveConfig::default()
    })
    .await;
}

#[tokio::test]
async fn a_subscriber_that_has_not_caught_up_reads_on_from_the_log() {
    let writer = Writer::new();
    let hub = writer.hub(LiveConfig { recent_commits_max: 4, ..LiveConfig::default() }).await;
    let first = writer.append(&stream(0), &NAMES).await;
    let second = writer.append(&stream(0), &NAMES).await;
    settled(&hub, second).await;
    let (mut early, mut late) =
        (follow(&hub, Selection::All, Some("0")), follow(&hub, Selection::All, Some(&first.to_string())));
    // Each has joined, and its first page is cut off behind the first frame that it takes here.
    let mut ids = [event_ids(&mut early, 1).await, event_ids(&mut late, 1).await];
    for _ in 0..20 {
        let last = writer.append(&stream(0), &NAMES).await;
        settled(&hub, last).await;
    }
    let all = writer.ids(&Selection::All);
    ids[0].extend(event_ids(&mut early, all.len() - 1).await);
    ids[1].extend(event_ids(&mut late, all.len() - 1 - NAMES.len()).await);
    assert_eq!(ids, [&all[..], &all[NAMES.len()..]]);
}

/// The next frames with an event of this name, as they are shared.
async fn run_with(runs: &mut Pin<Box<dyn Stream<Item = Run> + Send>>, event: &str) -> Run {
    loop {
        let run = tokio::time::timeout(LIMIT, runs.next()).await.expect("no frame in time").unwrap();
        if run.frames().iter().any(|frame| frame.event == event) {
            return run;
        }
    }
}

#[tokio::test]
async fn all_who_follow_the_same_share_its_bytes() {
    let writer = Writer::new();
    let hub = writer.hub(LiveConfig::default()).await;
    for selection in selections() {
        let follow = |after: Option<Position>| -> Pin<Box<dyn Stream<Item = Run> + Send>> {
            let after = after.map(|after| after.to_string().parse().unwrap());
            Box::pin(hub.subscribe(selection.clone(), after))
        };
        let before = writer.append(&stream(1), &["task-accepted"]).await;
        settled(&hub, before).await;
        let mut live = follow(None);
        run_with(&mut live, CAUGHT_UP).await;
        writer.append(&stream(0), &["run-requested", "output-produced"]).await;
        let shared = run_with(&mut live, "run-requested").await;
        assert_eq!(shared.frames().len(), 2);
        // Who comes later finds them in memory.
        let found = run_with(&mut follow(Some(before)), "run-requested").await;
        assert_eq!(found.sse().as_ptr(), shared.sse().as_ptr());
        assert_eq!(found.websocket().as_ptr(), shared.websocket().as_ptr());
        // The data of a frame is a part of them, and so is what somebody gets who wants less.
        let [first, second] = shared.frames() else { panic!("two frames") };
        let bytes = shared.sse();
        let range = bytes.as_ptr_range();
        assert!(range.contains(&first.data.as_ptr()) && range.contains(&second.data.as_ptr()));
        let parts = found.select(|frame| frame.event == "output-produced");
        let [part] = &parts[..] else { panic!("one part") };
        assert_eq!(part.sse().as_ptr_range().end, range.end);
        assert!(part.sse().len() < bytes.len());
    }
}

#[tokio::test]
async fn a_cursor_of_another_log_is_refused_instead_of_waited_for() {
    let writer = Writer::new();
    writer.append(&stream(0), &["task-accepted"]).await;
    let hub = writer.hub(LiveConfig::default()).await;
    refused(&hub, "0-77-9f3ac21b.1").await;
}

#[tokio::test]
async fn a_cursor_that_is_no_place_of_the_log_is_refused_by_a_longer_log() {
    let writer = Writer::new();
    let mut positions = Vec::new();
    for _ in 0..4 {
        positions.push(writer.append(&stream(0), &NAMES).await);
    }
    // The hub begins at the fourth commit and keeps the last two: of the others only the log knows the hash.
    let hub = writer.hub(LiveConfig { recent_commits_max: 2, ..LiveConfig::default() }).await;
    for _ in 0..4 {
        positions.push(writer.append(&stream(0), &NAMES).await);
    }
    settled(&hub, positions[7]).await;
    for position in positions {
        let text = position.to_string();
        let other_hash = if text.ends_with('0') { "1" } else { "0" };
        let foreign = format!("{}{other_hash}", &text[..text.len() - 1]);
        for cursor in [foreign.clone(), format!("{foreign}.1")] {
            refused(&hub, &cursor).await;
        }
        let other_slot = format!("1{}", &text[1..]);
        refused(&hub, &other_slot).await;
        for beyond in NAMES.len() - 1..NAMES.len() + 2 {
            refused(&hub, &format!("{text}.{beyond}")).await;
        }
    }
}

async fn refused(hub: &LiveHub, cursor: &str) {
    for selection in selections() {
        let mut frames = follow(hub, selection, Some(cursor));
        let gap = next(&mut frames).await.unwrap();
        assert_eq!((gap.event.as_str(), &data(&gap)["reason"]), (GAP, &"log_diverged".into()), "{cursor}");
        assert_eq!(gap.id, None);
        assert_eq!(next(&mut frames).await, None);
    }
}

#[tokio::test]
async fn stopping_tells_every_subscriber_where_to_resume() {
    let writer = Writer::new();
    let hub = writer.hub(LiveConfig::default()).await;
    let mut frames = follow(&hub, Selection::All, None);
    until_caught_up(&mut frames).await;
    let position = writer.append(&stream(0), &["task-accepted"]).await;
    assert_eq!(event_ids(&mut frames, 1).await, [position.to_string()]);
    hub.stop();
    let gap = next(&mut frames).await.unwrap();
    assert_eq!(data(&gap)["reason"], "shutting_down");
    assert_eq!(text_of(&gap), Some(position.to_string()));
    assert_eq!(next(&mut frames).await, None);
}

#[tokio::test]
async fn a_task_stream_ends_when_asked_to_and_the_task_is_over() {
    let writer = Writer::new();
    let hub = writer.hub(LiveConfig::default()).await;
    let accepted = writer.append(&stream(0), &["task-accepted", "run-requested"]).await;
    settled(&hub, accepted).await;
    let mut frames = follow_to_the_end(&hub, Some("0"));
    until_caught_up(&mut frames).await;
    // Over, and begun anew: not the end.
    writer.append(&stream(0), &["task-cancelled", "run-requested"]).await;
    event_ids(&mut frames, 2).await;
    let done = writer.append(&stream(0), &["run-ended", "task-done"]).await;
    assert_eq!(event_ids(&mut frames, 2).await.last(), Some(&done.to_string()));
    assert_eq!(next(&mut frames).await.unwrap().event, END);
    assert_eq!(next(&mut frames).await, None);

    // Who comes back after the last word is not left waiting, even when a word that says nothing came last.
    let last = writer.append(&stream(0), &["attempt-ended"]).await;
    settled(&hub, last).await;
    let mut frames = follow_to_the_end(&hub, Some(&last.to_string()));
    let names = [next(&mut frames).await.unwrap().event, next(&mut frames).await.unwrap().event];
    assert_eq!(names, [CAUGHT_UP, END]);
    assert_eq!(next(&mut frames).await, None);
}

#[tokio::test]
async fn observers_see_every_commit_in_order() {
    let writer = Writer::new();
    writer.append(&stream(0), &["task-accepted"]).await;
    let hub = writer.hub(LiveConfig::default()).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&seen);
    hub.observe(move |recorded| into.lock().unwrap().push(recorded.position));
    let mut expected = Vec::new();
    for number in 0..10 {
        expected.push(writer.append(&stream(number % 3), &["run-requested"]).await);
    }
    settled(&hub, expected[9]).await;
    assert_eq!(*seen.lock().unwrap(), expected);
}
