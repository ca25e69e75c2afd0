//! The rows are the same after a rebuild, and after any number of crashes.

use std::time::Duration;

use capstan_projections::{
    ModelDifference, Projector, ProjectorConfig, ReplayConfig, Which, rebuild, verify,
};

use crate::place::{Place, config, project};
use crate::story::{Chance, Story};

#[tokio::test]
async fn a_rebuild_gives_the_rows_of_the_live_projection() {
    let place = Place::new().await;
    let mut story = Story::begin(1).await;
    for _ in 0..1_500 {
        story.step().await;
    }
    let log = story.shared();
    project(&log, &place.read_models, story.end().await).await;
    let live = place.read_models.digests().await.unwrap();

    // The checkpoint is lost, the rows are not: batches that take hundreds of rows for new meet them.
    let lost = "UPDATE capstan.checkpoint SET position = 0, hash = repeat('0', 64)";
    place.sql().await.batch_execute(lost).await.unwrap();
    project(&log, &place.reconnected(), story.end().await).await;
    assert_eq!(place.read_models.digests().await.unwrap(), live);
    assert_eq!(place.read_models.parked(1).await.unwrap().len(), 0);

    // All tables are lost, the checkpoint too.
    place
        .sql()
        .await
        .batch_execute(
            "DO $$ DECLARE t record; BEGIN FOR t IN SELECT schemaname, tablename FROM pg_tables \
             WHERE schemaname LIKE 'capstan%' LOOP \
             EXECUTE format('DROP TABLE %I.%I CASCADE', t.schemaname, t.tablename); END LOOP; END $$",
        )
        .await
        .unwrap();
    let report = rebuild(&log, &place.read_models, &Which::All, &config("rebuild")).await.unwrap();
    assert_eq!(report.position, story.end().await);
    assert!(report.rows > 300, "{report:?}");
    assert_eq!(place.read_models.digests().await.unwrap(), live);
    let verified = verify(&log, &place.read_models, &ReplayConfig::default()).await.unwrap();
    assert_eq!((verified.differences, verified.rows), (Vec::new(), report.rows));

    // The same with little memory: whole streams folded onto the tables, buckets split again, several rounds on disk.
    let folder = tempfile::tempdir().unwrap();
    for (memory_bytes, workers) in [(1, 1), (40_000, 3), (200_000, 1), (1_000_000, 4)] {
        let replay = ReplayConfig {
            memory_bytes,
            workers,
            directory: folder.path().into(),
            ..ReplayConfig::default()
        };
        let small = ProjectorConfig { replay: replay.clone(), batch_commits_max: 7, ..config("rebuild") };
        let again = rebuild(&log, &place.read_models, &Which::All, &small).await.unwrap();
        assert_eq!(place.read_models.digests().await.unwrap(), live, "{memory_bytes}");
        assert!(again.spilled_bytes > 0, "{again:?}");
        assert_eq!((again.commits, again.events), (report.commits, report.events));
        assert_eq!(again.rows < report.rows, memory_bytes <= 40_000, "{memory_bytes}: {again:?}");
        let which = Which::Some(vec!["runs".into(), "spending".into(), "tasks".into()]);
        rebuild(&log, &place.read_models, &which, &small).await.unwrap();
        assert_eq!(place.read_models.digests().await.unwrap(), live, "{memory_bytes}");
        let verified = verify(&log, &place.read_models, &replay).await.unwrap();
        assert_eq!((verified.differences, verified.rows), (Vec::new(), report.rows));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_verification_names_rows_that_differ_are_missing_or_should_not_be_there() {
    let place = Place::new().await;
    let mut story = Story::begin(4).await;
    for _ in 0..300 {
        story.step().await;
    }
    let log = story.shared();
    project(&log, &place.read_models, story.end().await).await;
    let sql = place.sql().await;
    let mut expected = Vec::new();
    for (model, change) in [
        (
            "agents",
            "UPDATE {t} SET doc = doc || ' ' WHERE id = (SELECT id FROM {t} ORDER BY id LIMIT 1) \
             RETURNING id::text",
        ),
        (
            "spending",
            "INSERT INTO {t} SELECT 'day/none/2026-01-01', workspace, position, version, doc, agent_id, day, \
             created_at FROM {t} LIMIT 1 RETURNING id::text",
        ),
        ("runs", "DELETE FROM {t} WHERE id = (SELECT id FROM {t} ORDER BY id LIMIT 1) RETURNING id::text"),
    ] {
        let schema = "SELECT schema FROM capstan.model WHERE name = $1";
        let schema: String = sql.query_one(schema, &[&model]).await.unwrap().get(0);
        let change = change.replace("{t}", &format!("{schema}.{model}"));
        let id: String = sql.query_one(&change, &[]).await.unwrap().get(0);
        expected.push(ModelDifference { model: model.to_owned(), count: 1, ids: vec![id] });
    }
    for memory_bytes in [1, 1 << 30] {
        let replay = ReplayConfig { memory_bytes, ..ReplayConfig::default() };
        let verified = verify(&log, &place.read_models, &replay).await.unwrap();
        assert_eq!(verified.differences, expected);
    }
}

#[tokio::test]
async fn a_projector_aborted_many_times_gives_the_same_rows() {
    let place = Place::new().await;
    let mut story = Story::begin(2).await;
    for _ in 0..1_000 {
        story.step().await;
    }
    let log = story.shared();
    let end = story.end().await;
    let mut chance = Chance::new(3);
    for life in 0..40 {
        let batch = 1 + chance.below(30) as usize;
        let config = ProjectorConfig { batch_commits_max: batch, ..config("same owner") };
        let projector = Projector::start(log.clone(), place.read_models.clone(), config);
        let until =
            if life == 39 { Duration::from_mins(1) } else { Duration::from_millis(5 + chance.below(60)) };
        let reached = place.read_models.wait_for(end, until).await;
        // Aborted at an arbitrary point.
        drop(projector);
        assert!(life < 39 || reached.is_ok(), "{reached:?}");
    }
    let killed = place.read_models.digests().await.unwrap();
    let other = place.elsewhere().await;
    project(&log, &other, end).await;
    assert_eq!(other.digests().await.unwrap(), killed);
    let verified = verify(&log, &other, &ReplayConfig::default()).await.unwrap();
    assert_eq!(verified.differences, Vec::new());
}
