//! Operation: several projectors, foreign logs, parked commits, upgrades, waiting.

use std::sync::Arc;
use std::time::Duration;

use capstan_contract::DomainEvent;
use capstan_domain::task::Command;
use capstan_domain::task::command::{SubmitInput, SubmitTaskInput};
use capstan_envelope::{CommitId, EventRecord, KEYS_KEPT, Position, Remembered};
use capstan_eventlog::{EventLog, KeptKey, OpenTasks, Snapshots};
use capstan_projections::{
    OpenReference, PositionTimeout, Projector, ProjectorConfig, ProjectorState, ReadModels, RebuildError,
    ReplayConfig, Which, rebuild, verify,
};
use capstan_testkit::eventually::eventually;
use futures_util::TryStreamExt as _;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::place::{LIMIT, Place, config, in_state, project, reached};
use crate::story::Story;

async fn history(seed: u64, steps: u32) -> Story {
    let mut story = Story::begin(seed).await;
    extend(&mut story, steps).await;
    story
}

async fn extend(story: &mut Story, steps: u32) {
    for _ in 0..steps {
        story.step().await;
    }
}

async fn assert_verified(log: &Arc<dyn EventLog>, read_models: &ReadModels) {
    assert_eq!(verify(log, read_models, &ReplayConfig::default()).await.unwrap().differences, Vec::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_projector_stands_by_and_takes_over_from_a_dead_one() {
    let place = Place::new().await;
    let mut story = history(11, 200).await;
    let log = story.shared();
    let first = Projector::start(log.clone(), place.read_models.clone(), config("first"));
    reached(&first, &place.read_models, story.end().await).await;
    let theirs = ReadModels::connect(&place.database).unwrap();
    let second = Projector::start(log.clone(), theirs.clone(), config("second"));
    in_state(&second, "the second is on standby", |state| *state == ProjectorState::Standby).await;

    // Aborted: the lease is not released.
    drop(first);
    extend(&mut story, 200).await;
    reached(&second, &theirs, story.end().await).await;
    assert_verified(&log, &theirs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_owner_that_resumes_after_a_takeover_writes_nothing() {
    let place = Place::new().await;
    let mut story = history(12, 100).await;
    let log = story.shared();
    let begun = story.end().await;
    let (wake, sleep) = std::sync::mpsc::channel::<()>();
    let sleep = std::sync::Mutex::new(sleep);
    let sleepy = ProjectorConfig {
        // Blocks the first projector right after the transaction that reaches `begun`.
        on_progress: Some(Arc::new(move |position| {
            if position == begun {
                let _ = tokio::task::block_in_place(|| sleep.lock().unwrap().recv_timeout(LIMIT));
            }
        })),
        ..config("first")
    };
    let first = Projector::start(log.clone(), place.read_models.clone(), sleepy);
    reached(&first, &place.read_models, begun).await;
    extend(&mut story, 100).await;

    let theirs = ReadModels::connect(&place.database).unwrap();
    let second = Projector::start(log.clone(), theirs.clone(), config("second"));
    reached(&second, &theirs, story.end().await).await;
    let epoch = "SELECT epoch, owner FROM capstan.checkpoint";
    let before = place.sql().await.query_one(epoch, &[]).await.unwrap();
    drop(wake);
    in_state(&first, "the first is on standby", |state| *state == ProjectorState::Standby).await;
    let after = place.sql().await.query_one(epoch, &[]).await.unwrap();
    assert_eq!((after.get::<_, i64>(0), after.get::<_, &str>(1)), (before.get(0), "second"));
    extend(&mut story, 50).await;
    reached(&second, &theirs, story.end().await).await;
    assert_verified(&log, &theirs).await;
}

#[tokio::test]
async fn another_log_is_refused_until_a_rebuild_accepts_it() {
    let place = Place::new().await;
    let story = history(13, 100).await;
    project(&story.shared(), &place.read_models, story.end().await).await;
    let rows = place.read_models.digests().await.unwrap();

    let other = history(14, 150).await;
    let log = other.shared();
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    in_state(&projector, "the other log is refused", |state| {
        matches!(state, ProjectorState::Diverged { .. })
    })
    .await;
    assert_eq!(place.read_models.digests().await.unwrap(), rows);
    let some = Which::Some(vec!["tasks".into()]);
    let refused = rebuild(&log, &place.read_models, &some, &config("rebuild")).await;
    assert!(matches!(refused, Err(RebuildError::Diverged(_))), "{refused:?}");

    rebuild(&log, &place.read_models, &Which::All, &config("rebuild")).await.unwrap();
    in_state(&projector, "the projector continues", |state| *state == ProjectorState::Live).await;
    assert_verified(&log, &place.read_models).await;
}

#[tokio::test]
async fn a_log_that_ends_before_the_checkpoint_is_refused() {
    let place = Place::new().await;
    let story = history(15, 50).await;
    let log = story.shared();
    let end = story.end().await;
    project(&log, &place.read_models, end).await;
    let beyond = format!("UPDATE capstan.checkpoint SET position = {}", end.sequence() + 5);
    place.sql().await.batch_execute(&beyond).await.unwrap();
    let projector = Projector::start(log, place.read_models.clone(), config("projector"));
    in_state(&projector, "the log is too short", |state| matches!(state, ProjectorState::Diverged { .. }))
        .await;
}

#[tokio::test]
async fn a_commit_that_cannot_be_read_parks_its_stream_and_nothing_else() {
    let place = Place::new().await;
    let mut story = history(16, 100).await;
    let sick = story.accept(|_| {}).await;
    let poison = EventRecord {
        name: "task-done".into(),
        version: 1,
        data: RawValue::from_string(r#"{"at":"not a time"}"#.into()).unwrap(),
    };
    let (stream, head) = (story.tasks[sick].stream.clone(), story.tasks[sick].head.clone());
    story.tasks[sick].head = story.append_records(&stream, &head, vec![poison], None).await;
    story.lifecycle_step(sick, 0).await;
    let healthy = story.accept(|_| {}).await;
    story.lifecycle_step(healthy, 0).await;

    let log = story.shared();
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    reached(&projector, &place.read_models, story.end().await).await;
    let parked = place.read_models.parked(10).await.unwrap();
    assert_eq!(parked.len(), 2, "{parked:?}");
    assert!(parked.iter().all(|commit| commit.stream == stream.to_string()));
    assert!(
        parked[0].error.contains("another shape") && parked[1].error.contains("waits behind"),
        "{parked:?}"
    );
    assert_eq!(projector.status().borrow().parked_streams, 1);

    let workspace = |index: usize| story.tasks[index].stream.workspace().to_string();
    let shown = async |index: usize| {
        let task = place.read_models.one(&workspace(index), &story.tasks[index].id).await.unwrap().unwrap();
        serde_json::from_str::<serde_json::Value>(task.doc.get()).unwrap()["state"].clone()
    };
    assert_eq!((shown(sick).await, shown(healthy).await), ("queued".into(), "running".into()));

    // A retry parks them again; a rebuild parks the same commits.
    assert_eq!(place.read_models.retry_parked(&log, &stream).await.unwrap(), 2);
    let before = place.read_models.digests().await.unwrap();
    let report = rebuild(&log, &place.read_models, &Which::All, &config("rebuild")).await.unwrap();
    assert_eq!(report.parked_streams, 1);
    assert_eq!(place.read_models.parked(10).await.unwrap().len(), 2);
    assert_eq!(place.read_models.digests().await.unwrap(), before);
    drop(projector);
}

#[tokio::test]
async fn a_row_postgres_refuses_is_parked_and_can_be_retried() {
    let place = Place::new().await;
    let mut story = Story::begin(17).await;
    let mut tasks = Vec::new();
    for _ in 0..5 {
        let task = story.accept(|_| {}).await;
        for step in 0..4 {
            story.lifecycle_step(task, step).await;
        }
        tasks.push(task);
    }
    let sql = place.sql().await;
    let schema: String =
        sql.query_one("SELECT schema FROM capstan.model WHERE name = 'outputs'", &[]).await.unwrap().get(0);
    let sick = story.tasks[tasks[2]].id;
    sql.batch_execute(&format!("ALTER TABLE {schema}.outputs ADD CONSTRAINT no CHECK (task_id <> '{sick}')"))
        .await
        .unwrap();
    let log = story.shared();
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    reached(&projector, &place.read_models, story.end().await).await;
    let parked = place.read_models.parked(10).await.unwrap();
    // The commit with the output, and the one that ends the task behind it.
    assert_eq!(parked.len(), 2, "{parked:?}");
    assert!(parked[0].error.contains("refused"), "{parked:?}");

    sql.batch_execute(&format!("ALTER TABLE {schema}.outputs DROP CONSTRAINT no")).await.unwrap();
    assert_eq!(place.read_models.retry_parked(&log, &story.tasks[tasks[2]].stream).await.unwrap(), 0);
    assert_verified(&log, &place.read_models).await;
    // The live projector notices the retry: the stream continues.
    let input_id = capstan_domain::id::InputId(story.uuid());
    let input = SubmitTaskInput::from_text(story.tasks[tasks[2]].id, "again");
    let command = Command::SubmitInput(SubmitInput::new(input_id, input));
    assert!(story.execute(tasks[2], command).await);
    reached(&projector, &place.read_models, story.end().await).await;
    eventually("no stream is parked", LIMIT, async || {
        (projector.status().borrow().parked_streams == 0).then_some(())
    })
    .await;
    assert_verified(&log, &place.read_models).await;
}

#[tokio::test]
async fn a_stored_row_that_cannot_be_read_back_parks_its_stream_and_nothing_else() {
    let place = Place::new().await;
    let mut story = history(23, 60).await;
    let (sick, healthy) = (story.accept(|_| {}).await, story.accept(|_| {}).await);
    let log = story.shared();
    project(&log, &place.read_models, story.end().await).await;
    let sql = place.sql().await;
    let schema: String =
        sql.query_one("SELECT schema FROM capstan.model WHERE name = 'tasks'", &[]).await.unwrap().get(0);
    let id = story.tasks[sick].id.0;
    let spoil = format!("UPDATE {schema}.tasks SET doc = '{{}}' WHERE id = $1");
    assert_eq!(sql.execute(&spoil, &[&id]).await.unwrap(), 1);

    // Both in one batch, the unreadable one first and last.
    for (task, step) in [(sick, 0), (healthy, 0), (healthy, 1), (sick, 1)] {
        story.lifecycle_step(task, step).await;
    }
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    reached(&projector, &place.read_models, story.end().await).await;
    let parked = place.read_models.parked(10).await.unwrap();
    assert_eq!(parked.len(), 2, "{parked:?}");
    let stream = story.tasks[sick].stream.to_string();
    assert!(parked.iter().all(|commit| commit.stream == stream), "{parked:?}");
    assert!(parked[0].error.contains("another shape"), "{parked:?}");
    in_state(&projector, "the projector is live", |state| *state == ProjectorState::Live).await;
    assert_eq!(projector.status().borrow().parked_streams, 1);
    let snapshot = place.read_models.load(&story.tasks[healthy].stream).await.unwrap().unwrap();
    assert_eq!(snapshot.head, story.tasks[healthy].head);

    rebuild(&log, &place.read_models, &Which::All, &config("rebuild")).await.unwrap();
    assert_eq!(place.read_models.parked(10).await.unwrap().len(), 0);
    story.lifecycle_step(sick, 2).await;
    reached(&projector, &place.read_models, story.end().await).await;
    assert_verified(&log, &place.read_models).await;
}

#[tokio::test]
async fn the_lag_grows_while_the_projector_is_stuck_and_ends_with_it() {
    let place = Place::new().await;
    let mut story = history(24, 30).await;
    let log = story.shared();
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    reached(&projector, &place.read_models, story.end().await).await;
    in_state(&projector, "the projector is live", |state| *state == ProjectorState::Live).await;
    let stuck_at = story.end().await;
    let lag = |what: &'static str, is: fn(f64) -> bool| {
        let status = projector.status();
        async move {
            eventually(what, LIMIT, async || is(status.borrow().lag_seconds).then_some(())).await;
        }
    };
    let holder = place.sql().await;
    holder.batch_execute("BEGIN; LOCK TABLE capstan.checkpoint IN ACCESS EXCLUSIVE MODE").await.unwrap();
    extend(&mut story, 5).await;
    lag("the lag grows", |seconds| seconds > 1.5).await;
    let status = projector.status().borrow().clone();
    assert_eq!((status.position, status.head), (stuck_at, story.end().await), "{status:?}");
    assert_eq!(status.lag_events, status.head.sequence() - stuck_at.sequence());

    holder.batch_execute("ROLLBACK").await.unwrap();
    reached(&projector, &place.read_models, story.end().await).await;
    lag("the lag is over", |seconds| seconds == 0.0).await;

    // The lag is current while the projector fails, too.
    holder.batch_execute("ALTER TABLE capstan.checkpoint RENAME TO away").await.unwrap();
    story.accept(|_| {}).await;
    in_state(&projector, "the projector fails", |state| matches!(state, ProjectorState::Failing { .. }))
        .await;
    lag("the lag grows again", |seconds| seconds > 1.5).await;
    holder.batch_execute("ALTER TABLE capstan.away RENAME TO checkpoint").await.unwrap();
    reached(&projector, &place.read_models, story.end().await).await;
    lag("the lag is over again", |seconds| seconds == 0.0).await;
}

#[tokio::test]
async fn an_event_of_a_newer_build_stops_the_projector_before_it() {
    stops_at("task-renamed", "{}", "unknown to this build").await;
}

#[tokio::test]
async fn an_event_that_refers_to_a_default_of_a_newer_build_stops_the_projector_before_it() {
    let whole = include_str!("../../../../schemas/events/task/task-accepted.v1.sample.json");
    let mut accepted: serde_json::Value = serde_json::from_str(whole).unwrap();
    accepted["policy"] = serde_json::json!({ "base": 2 });
    let unknown = "version 2 of the default of policies is unknown to this build";
    stops_at("task-accepted", &accepted.to_string(), unknown).await;
}

/// A commit with this event is not parked: projector and rebuild stop before it, and say what is unknown.
async fn stops_at(name: &str, data: &str, unknown: &str) {
    let place = Place::new().await;
    let mut story = history(18, 60).await;
    let before = story.end().await;
    let task = story.accept(|_| {}).await;
    let data = RawValue::from_string(data.to_owned()).unwrap();
    let newer = EventRecord { name: name.into(), version: 1, data };
    let (stream, head) = (story.tasks[task].stream.clone(), story.tasks[task].head.clone());
    story.tasks[task].head = story.append_records(&stream, &head, vec![newer], None).await;
    let at = story.end().await;
    extend(&mut story, 10).await;
    let log = story.shared();
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    in_state(&projector, "the projector waits", |state| {
        matches!(state, ProjectorState::WaitingForUpgrade { .. })
    })
    .await;
    let ProjectorState::WaitingForUpgrade { position, reason } = projector.status().borrow().state.clone()
    else {
        panic!("the state changed");
    };
    assert_eq!(position, at);
    assert!(reason.contains(unknown), "{reason}");
    assert_eq!(place.read_models.position().await.unwrap().sequence(), at.sequence() - 1);
    assert!(before < at);
    let refused = rebuild(&log, &place.read_models, &Which::All, &config("rebuild")).await;
    assert!(
        matches!(refused, Err(RebuildError::UnknownEvent { position, .. }) if position == at),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rebuilds_beside_a_live_projector_lose_and_repeat_nothing() {
    let place = Place::new().await;
    let mut story = history(19, 300).await;
    let log = story.shared();
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    let rebuilder = ReadModels::connect(&place.database).unwrap();
    for which in
        [Which::All, Which::Some(vec!["tasks".into()]), Which::Some(vec!["streams".into()]), Which::All]
    {
        let (log, rebuilder) = (log.clone(), rebuilder.clone());
        let made = tokio::spawn(async move { rebuild(&log, &rebuilder, &which, &config("rebuild")).await });
        for _ in 0..300 {
            story.step().await;
            tokio::task::yield_now().await;
        }
        made.await.unwrap().unwrap();
    }
    reached(&projector, &place.read_models, story.end().await).await;
    assert_verified(&log, &place.read_models).await;
    let schemas = place
        .sql()
        .await
        .query_one("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'capstan_rm_%'", &[])
        .await
        .unwrap();
    // The active generation, and the previous ones of the models: the first, that of tasks, that of the snapshots.
    assert_eq!(schemas.get::<_, i64>(0), 4);
}

#[tokio::test]
async fn a_projector_whose_tables_were_dropped_rebuilds_them() {
    let place = Place::new().await;
    let mut story = history(20, 150).await;
    let log = story.shared();
    let projector = Projector::start(log.clone(), place.read_models.clone(), config("projector"));
    reached(&projector, &place.read_models, story.end().await).await;
    let sql = place.sql().await;
    let schema: String =
        sql.query_one("SELECT schema FROM capstan.model WHERE name = 'tasks'", &[]).await.unwrap().get(0);
    for gone in [schema, "capstan".to_owned()] {
        // Postgres may end it when it and a transaction of the projector wait for each other.
        let drop = format!("DROP SCHEMA IF EXISTS {gone} CASCADE");
        eventually("the tables are dropped", LIMIT, async || sql.batch_execute(&drop).await.ok()).await;
        extend(&mut story, 50).await;
        let end = story.end().await;
        eventually("the rows are rebuilt", LIMIT, async || {
            let report = verify(&log, &place.read_models, &ReplayConfig::default()).await.ok()?;
            (report.position == end && report.differences.is_empty()).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn verification_finds_tasks_that_a_search_would_not() {
    let place = Place::new().await;
    let story = history(22, 200).await;
    let log = story.shared();
    rebuild(&log, &place.read_models, &Which::All, &config("rebuild")).await.unwrap();
    assert_verified(&log, &place.read_models).await;
    let sql = place.sql().await;
    let blocks: i64 = sql.query_one("SELECT count(*) FROM capstan.search_blocks", &[]).await.unwrap().get(0);
    assert!(blocks > 1, "{blocks} blocks");
    for (damage, least) in [
        ("UPDATE capstan.search_ids SET ids = ids[2:] WHERE block = 0", 1),
        ("DELETE FROM capstan.search_pages WHERE block = 1", 16),
    ] {
        sql.batch_execute(damage).await.unwrap();
        let report = verify(&log, &place.read_models, &ReplayConfig::default()).await.unwrap();
        let [difference] = &report.differences[..] else { panic!("{damage}: {report:?}") };
        assert!(difference.model == "tasks" && difference.count >= least, "{damage}: {difference:?}");
        assert!(difference.ids.iter().all(|id| id.starts_with("search ")), "{difference:?}");
    }
    rebuild(&log, &place.read_models, &Which::Some(vec!["tasks".into()]), &config("rebuild")).await.unwrap();
    assert_verified(&log, &place.read_models).await;
}

#[tokio::test]
async fn waiting_ends_at_the_position_or_the_timeout() {
    let place = Place::new().await;
    let story = history(21, 30).await;
    let end = story.end().await;
    let beyond = Position::new(end.sequence() + 1, capstan_envelope::CommitHash::NONE);
    let projector = Projector::start(story.shared(), place.read_models.clone(), config("projector"));
    // Another process without a projector.
    let elsewhere = ReadModels::connect(&place.database).unwrap();
    for read_models in [&place.read_models, &elsewhere] {
        assert_eq!(read_models.wait_for(end, LIMIT).await, Ok(end));
        let late = read_models.wait_for(beyond, Duration::from_millis(50)).await;
        assert_eq!(late, Err(PositionTimeout { wanted: beyond, current: end }));
    }
    projector.stop().await;
}

#[tokio::test]
async fn snapshots_are_the_state_of_the_decider() {
    let place = Place::new().await;
    let story = history(22, 600).await;
    project(&story.shared(), &place.read_models, story.end().await).await;
    let mut open = 0;
    for task in &story.tasks {
        let snapshot = place.read_models.load(&task.stream).await.unwrap().unwrap();
        assert_eq!(snapshot.head, task.head);
        assert_eq!(
            serde_json::from_str::<capstan_domain::task::State>(snapshot.state.get()).unwrap(),
            task.state
        );
        let state = task.state.as_ref().unwrap();
        open += usize::from(!state.is_at_rest());
    }
    let streams = place.read_models.open_tasks().await.unwrap();
    let position = streams.position;
    let chunks: Vec<_> = streams.chunks.try_collect().await.unwrap();
    let tasks = chunks.into_iter().flatten().filter(|open| open.stream.category() == "task").count();
    assert_eq!((position, tasks), (story.end().await, open));
    assert!(open > 0 && open < story.tasks.len());
    let references: Vec<_> = place.read_models.open_references().await.unwrap().try_collect().await.unwrap();
    assert_eq!(references.len(), open);
    for OpenReference { task, agent, config_version } in references {
        let of = story.tasks.iter().find(|of| of.stream == task).unwrap();
        let accepted = &of.state.as_ref().unwrap().accepted;
        assert_eq!(
            (agent.id(), config_version),
            (&*accepted.agent_id.to_string(), accepted.agent_config_version)
        );
        assert_eq!((agent.category(), config_version > 0), ("agent", true));
    }
    let unknown = "dev/task/none".parse().unwrap();
    assert!(place.read_models.load(&unknown).await.unwrap().is_none());
    assert!(matches!(
        capstan_contract::decode_commit(&story.log.next(Position::START).await.unwrap().unwrap().commit)
            .unwrap()[0],
        DomainEvent::Workspace(_)
    ));
}

#[tokio::test]
async fn a_key_that_left_the_head_of_its_stream_is_found_once_the_table_stands_there() {
    let place = Place::new().await;
    let mut story = history(31, 20).await;
    let index = story.accept(|_| {}).await;
    let stream = story.tasks[index].stream.clone();
    for number in 0..3 * KEYS_KEPT {
        story.reprioritise(index, &format!("key {number}")).await;
    }
    let commits = story.log.read_stream(&stream, Position::START).await.unwrap();
    let (left, kept) = commits[1..].split_at(2 * KEYS_KEPT);
    let keys = &story.tasks[index].head.applied;
    let Remembered::Perhaps(until) = keys.look(left[0].commit.commit_id) else {
        panic!("it has left: {keys:?}")
    };
    assert_eq!(until, kept.last().unwrap().position, "the newest left with the last commit");
    let behind = place.read_models.applied(&stream, left[0].commit.commit_id, until).await;
    assert!(behind.is_err_and(|error| error.is_retryable()), "nothing is folded yet");

    project(&story.shared(), &place.read_models, story.end().await).await;
    for recorded in left {
        let found = place.read_models.applied(&stream, recorded.commit.commit_id, until).await.unwrap();
        let KeptKey::Applied(applied) = found else { panic!("{found:?}") };
        assert_eq!((applied.position, applied.version), (recorded.position, recorded.commit.version));
    }
    for recorded in kept {
        assert!(matches!(keys.look(recorded.commit.commit_id), Remembered::Applied(_)));
        let found = place.read_models.applied(&stream, recorded.commit.commit_id, until).await.unwrap();
        assert_eq!(found, KeptKey::New, "it stands in the head only");
    }
    let other = "dev/task/00000000-0000-4000-8000-000000000000".parse().unwrap();
    for (stream, command) in [(&stream, CommitId(Uuid::nil())), (&other, left[0].commit.commit_id)] {
        assert_eq!(place.read_models.applied(stream, command, until).await.unwrap(), KeptKey::New);
    }
    let loaded = place.read_models.load(&stream).await.unwrap().unwrap();
    assert_eq!(loaded.head, story.tasks[index].head, "the row holds the head");

    // Rebuilt alone, too, and with so little memory that the stream is folded onto the tables.
    let rows = place.read_models.digests().await.unwrap();
    for which in [Which::All, Which::Some(vec!["applied_keys".into()])] {
        for memory_bytes in [1, 1 << 30] {
            let replay = ReplayConfig { memory_bytes, ..ReplayConfig::default() };
            let config = ProjectorConfig { replay, batch_commits_max: 7, ..config("rebuild") };
            rebuild(&story.shared(), &place.read_models, &which, &config).await.unwrap();
            assert_eq!(place.read_models.digests().await.unwrap(), rows, "{which:?} with {memory_bytes}");
        }
    }
    assert_verified(&story.shared(), &place.read_models).await;
}
