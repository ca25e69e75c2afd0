//! The rows are the same after a rebuild, and after any number of crashes.

use std::time::Duration;

use capstan_contract::DomainEvent;
use capstan_domain::agent;
use capstan_envelope::{Carried, CommitId, KEYS_KEPT, Position, StreamHead, StreamId};
use capstan_eventlog::{Archived, EventLog as _, KeptKey, OpenTasks as _, Snapshots as _};
use capstan_projections::{
    ModelDifference, Projector, ProjectorConfig, ReadModels, ReplayConfig, Which, rebuild, verify,
};
use uuid::Uuid;

use crate::place::{Place, config, project, reached, sql};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_parks_the_streams_with_rows_postgres_refuses_as_the_live_projection_does() {
    let place = Place::new().await;
    let mut story = Story::begin(5).await;
    for _ in 0..200 {
        story.step().await;
    }
    // Too long for an index: 16,000 digits that cannot be compressed enough.
    let name: String = (0..16_000).map(|_| char::from(b'0' + story.chance.below(10) as u8)).collect();
    let created = agent::Created::named("dev", "verbose", &name, story.tick());
    let stream: StreamId = format!("dev/agent/{}", created.agent_id).parse().unwrap();
    let created = DomainEvent::Agent(agent::Event::Created(created));
    let head = story.append(&stream, &StreamHead::default(), &[created], None).await;
    let change = serde_json::json!({ "agent_id": stream.id(), "role": "poet", "updated_at": story.tick() });
    let changed = DomainEvent::Agent(agent::Event::Updated(serde_json::from_value(change).unwrap()));
    story.append(&stream, &head, &[changed], None).await;
    let sick = story.accept(|_| {}).await;
    for step in 0..4 {
        story.lifecycle_step(sick, step).await;
    }
    let log = story.shared();

    // A check that the output of one task fails, on every table that is made from now on.
    let refuse = format!(
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ DECLARE made record; BEGIN \
         FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%.outputs' LOOP \
         EXECUTE format('ALTER TABLE %s ADD CONSTRAINT no CHECK (task_id <> ''{}'')', made.object_identity); \
         END LOOP; END $$; \
         CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()",
        story.tasks[sick].id
    );
    let refusing = async || {
        let address = place.servers.fresh_database().await.unwrap();
        sql(&address).await.batch_execute(&refuse).await.unwrap();
        let read_models = ReadModels::connect(&address).unwrap();
        read_models.migrate().await.unwrap();
        read_models
    };
    let parked = async |read_models: &ReadModels| {
        let parked = read_models.parked(100).await.unwrap();
        parked.into_iter().map(|commit| (commit.stream, commit.position, commit.error)).collect::<Vec<_>>()
    };
    let read_models = refusing().await;
    project(&log, &read_models, story.end().await).await;
    let (live, waiting) = (read_models.digests().await.unwrap(), parked(&read_models).await);
    let task = story.tasks[sick].stream.to_string();
    assert_eq!(waiting.iter().filter(|(of, ..)| *of == task).count(), 2, "{waiting:?}");
    assert_eq!(waiting.iter().filter(|(of, ..)| *of == stream.to_string()).count(), 2, "{waiting:?}");
    assert_eq!(waiting.len(), 4);

    // Small batches: one is folded while the one before it is written and fails.
    for batch_commits_max in [3, 30] {
        let read_models = refusing().await;
        let config = ProjectorConfig { batch_commits_max, ..config("small") };
        let projector = Projector::start(log.clone(), read_models.clone(), config);
        reached(&projector, &read_models, story.end().await).await;
        projector.stop().await;
        assert_eq!(read_models.digests().await.unwrap(), live, "{batch_commits_max}");
        assert_eq!(parked(&read_models).await, waiting, "{batch_commits_max}");
    }

    for memory_bytes in [1, 40_000, 1 << 30] {
        let replay = ReplayConfig { memory_bytes, ..ReplayConfig::default() };
        let config = ProjectorConfig { replay, ..config("rebuild") };
        let report = rebuild(&log, &read_models, &Which::All, &config).await.unwrap();
        assert_eq!(report.parked_streams, 2);
        let names = |parked: &[(String, Position, String)]| {
            parked.iter().map(|(stream, position, _)| (stream.clone(), *position)).collect::<Vec<_>>()
        };
        let again = parked(&read_models).await;
        assert_eq!(names(&again), names(&waiting), "{again:?}");
        assert!(
            again.iter().all(|(.., error)| error.contains("refused") || error.contains("waits")),
            "{again:?}"
        );
        assert_eq!(read_models.digests().await.unwrap(), live, "{memory_bytes}");
    }
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
    // A sum that differs from the rows is named as it is kept and as it should be.
    let schema: String =
        sql.query_one("SELECT schema FROM capstan.model WHERE name = 'tasks'", &[]).await.unwrap().get(0);
    let change = format!(
        "UPDATE {schema}.task_counts SET counted = counted + 1 WHERE (workspace, agent_id, state) = \
         (SELECT workspace, agent_id, state FROM {schema}.task_counts WHERE counted > 0 LIMIT 1)"
    );
    assert_eq!(sql.execute(&change, &[]).await.unwrap(), 1);
    let verified = verify(&log, &place.read_models, &ReplayConfig::default()).await.unwrap();
    let (last, others) = verified.differences.split_last().unwrap();
    assert_eq!(others, expected);
    assert_eq!((last.model.as_str(), last.count), ("tasks", 2));
    assert!(last.ids.iter().all(|id| id.starts_with("task_counts (")), "{last:?}");
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

/// Models whose rows are carried forward.
const CARRIED: [&str; 8] =
    ["streams", "tasks", "agents", "tokens", "schedules", "channels", "classes", "workspaces"];

#[tokio::test]
async fn what_is_carried_forward_has_the_same_rows_when_the_beginning_is_archived() {
    let place = Place::new().await;
    let mut story = Story::begin(7).await;
    for _ in 0..300 {
        story.step().await;
    }
    let middle = story.end().await;
    for _ in 0..300 {
        story.step().await;
    }
    let log = story.shared();
    let whole = story.end().await;
    project(&log, &place.read_models, whole).await;
    let before = place.read_models.digests().await.unwrap();
    story.carry_all(&place.read_models).await;
    for _ in 0..200 {
        story.step().await;
    }
    // The live projection meets the commits that carry forward while it has the rows.
    project(&log, &place.read_models, story.end().await).await;
    let live = place.read_models.digests().await.unwrap();
    assert_ne!(live, before);
    let verified = verify(&log, &place.read_models, &ReplayConfig::default()).await.unwrap();
    assert_eq!(verified.differences, Vec::new(), "of the whole log");
    // Of some streams only a part is archived; then everything before those commits is.
    for through in [middle, whole] {
        let through = through.sequence();
        story.log.archive(Archived { through, carried_through: through });
        let verified = verify(&log, &place.read_models, &ReplayConfig::default()).await.unwrap();
        assert_eq!(verified.differences, Vec::new(), "archived through {through}");
        let elsewhere = place.elsewhere().await;
        rebuild(&log, &elsewhere, &Which::All, &config("rebuild")).await.unwrap();
        let rebuilt = elsewhere.digests().await.unwrap();
        for (of_rebuilt, of_live) in rebuilt.iter().zip(&live) {
            if CARRIED.contains(&of_live.0) {
                assert_eq!(of_rebuilt, of_live, "archived through {through}");
            }
        }
        assert_eq!(elsewhere.parked(1).await.unwrap().len(), 0);
        let projected = place.elsewhere().await;
        project(&log, &projected, story.end().await).await;
        assert_eq!(projected.digests().await.unwrap(), rebuilt, "archived through {through}");
        let verified = verify(&log, &elsewhere, &ReplayConfig::default()).await.unwrap();
        assert_eq!(verified.differences, Vec::new(), "rebuilt");
    }
    // By hand: nobody says that those commits were carried forward, so a stream that lacks its beginning is parked.
    let (through, carried_through) = (middle.sequence(), 0);
    story.log.archive(Archived { through, carried_through });
    let elsewhere = place.elsewhere().await;
    rebuild(&log, &elsewhere, &Which::All, &config("rebuild")).await.unwrap();
    assert_ne!(elsewhere.parked(1).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_key_whose_commit_is_archived_is_known_by_its_digest() {
    let place = Place::new().await;
    let mut story = Story::begin(32).await;
    let index = story.accept(|_| {}).await;
    let stream = story.tasks[index].stream.clone();
    for number in 0..2 * KEYS_KEPT {
        story.reprioritise(index, &format!("key {number}")).await;
    }
    let commits = story.log.read_stream(&stream, Position::START).await.unwrap();
    let left = &commits[1..=KEYS_KEPT];
    let through = story.end().await.sequence();
    project(&story.shared(), &place.read_models, story.end().await).await;
    story.carry_all(&place.read_models).await;
    let end = story.end().await;
    project(&story.shared(), &place.read_models, end).await;
    story.log.archive(Archived { through, carried_through: through });
    let verified = verify(&story.shared(), &place.read_models, &ReplayConfig::default()).await.unwrap();
    assert_eq!(verified.differences, Vec::new());
    let (built, projected) = (place.elsewhere().await, place.elsewhere().await);
    rebuild(&story.shared(), &built, &Which::All, &config("rebuild")).await.unwrap();
    project(&story.shared(), &projected, end).await;
    assert_eq!(built.digests().await.unwrap(), projected.digests().await.unwrap());
    for recorded in left {
        let command = recorded.commit.commit_id;
        assert!(matches!(
            place.read_models.applied(&stream, command, end).await.unwrap(),
            KeptKey::Applied(applied) if applied.position == recorded.position
        ));
        for read_models in [&built, &projected] {
            assert_eq!(read_models.applied(&stream, command, end).await.unwrap(), KeptKey::Archived);
        }
    }
    assert_eq!(built.applied(&stream, CommitId(Uuid::from_u128(7)), end).await.unwrap(), KeptKey::New);
}

/// What was spent on each agent.
async fn spent(read_models: &ReadModels) -> Vec<(String, Option<Uuid>, f64, Option<f64>)> {
    let (_, spent) = read_models.spending().await.unwrap();
    let agents = spent.into_iter().filter(|spent| spent.agent_id.is_some());
    let mut agents: Vec<_> = agents
        .map(|spent| (spent.workspace, spent.agent_id, spent.cost_usd, spent.warned_limit_usd))
        .collect();
    agents.sort_by_key(|(_, agent, ..)| *agent);
    agents
}

#[tokio::test]
async fn what_was_spent_on_agents_is_the_same_when_the_reports_are_archived() {
    let place = Place::new().await;
    let mut story = Story::begin(11).await;
    for _ in 0..400 {
        story.step().await;
    }
    project(&story.shared(), &place.read_models, story.end().await).await;
    let early = spent(&place.read_models).await;
    assert!(early.len() > 1 && early.iter().any(|(_, _, cost, _)| *cost > 0.0), "{early:?}");
    let agent: StreamId = format!("{}/agent/{}", early[0].0, early[0].1.unwrap()).parse().unwrap();
    let stale = place.read_models.carried(&agent).await.unwrap().unwrap().1.spent;
    assert!(stale.is_some());
    for _ in 0..400 {
        story.step().await;
    }
    project(&story.shared(), &place.read_models, story.end().await).await;
    assert_ne!(spent(&place.read_models).await[0], early[0]);
    // Written down before others spent on the agent: it does not hold.
    let (head, carried) = place.read_models.carried(&agent).await.unwrap().unwrap();
    let carried = Carried { spent: stale, ..carried };
    story.append_records(&agent, &head, vec![carried.record().unwrap()], None).await;
    let middle = story.end().await;
    project(&story.shared(), &place.read_models, middle).await;
    story.carry_all(&place.read_models).await;
    for _ in 0..200 {
        story.step().await;
    }
    let end = story.end().await;
    project(&story.shared(), &place.read_models, end).await;
    let whole = place.elsewhere().await;
    rebuild(&story.shared(), &whole, &Which::All, &config("rebuild")).await.unwrap();
    let expected = spent(&place.read_models).await;
    assert_eq!(spent(&whole).await, expected);
    let through = middle.sequence();
    story.log.archive(Archived { through, carried_through: through });
    for memory_bytes in [1, 1 << 30] {
        let replay = ReplayConfig { memory_bytes, ..ReplayConfig::default() };
        let built = place.elsewhere().await;
        let config = ProjectorConfig { replay, ..config("rebuild") };
        rebuild(&story.shared(), &built, &Which::All, &config).await.unwrap();
        assert_eq!(spent(&built).await, expected, "{memory_bytes}");
    }
    let projected = place.elsewhere().await;
    project(&story.shared(), &projected, end).await;
    assert_eq!(spent(&projected).await, expected);
    for read_models in [&place.read_models, &projected] {
        let verified = verify(&story.shared(), read_models, &ReplayConfig::default()).await.unwrap();
        assert_eq!(verified.differences, Vec::new());
    }
}
