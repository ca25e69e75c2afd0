//! The rows are the same after a rebuild, and after any number of crashes.

use std::time::Duration;

use capstan_projections::{Projector, ProjectorConfig, Which, rebuild, verify};

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
    let verified = verify(&log, &place.read_models).await.unwrap();
    assert_eq!((verified.differences, verified.rows), (Vec::new(), report.rows));

    // Two models, folded against the tables after a few streams.
    let small = ProjectorConfig { rebuild_streams_max: 3, batch_commits_max: 7, ..config("rebuild") };
    let which = Which::Some(vec!["runs".into(), "tasks".into()]);
    rebuild(&log, &place.read_models, &which, &small).await.unwrap();
    assert_eq!(place.read_models.digests().await.unwrap(), live);
    // All models, folded against the tables after a few bytes.
    let small = ProjectorConfig { rebuild_bytes_max: 2_000, batch_commits_max: 7, ..config("rebuild") };
    let report = rebuild(&log, &place.read_models, &Which::All, &small).await.unwrap();
    assert_eq!(place.read_models.digests().await.unwrap(), live);
    assert!(report.rows < verified.rows, "rows were folded against the tables: {report:?}");
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
    let verified = verify(&log, &other).await.unwrap();
    assert_eq!(verified.differences, Vec::new());
}
