//! Tests of the plans of lists: each filter reads an index made for it, whose rows are in the order of the list.

use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::TaskState;
use capstan_domain::task::event::{OutputStatus, Priority, RunStatus};
use capstan_testkit::servers::TestServers;
use chrono::{Duration, Utc};
use uuid::Uuid;

use crate::queries::select::Query;
use crate::queries::span::Span;
use crate::queries::{BlockerFilter, OutputFilter, RunFilter, TaskFilter};
use crate::read_models::ReadModels;

/// Rows of each table: half of them in one workspace, none of them with what the filters below want.
const ROWS: &str = "
    CREATE TEMP TABLE base AS SELECT i, md5(i::text)::uuid AS id, CASE WHEN i % 2 = 0 THEN 'dev' ELSE 'w' || i % 99 END AS workspace,
        md5((i % 8)::text)::uuid AS agent_id, now() - i * interval '1 minute' AS at FROM generate_series(1, 20000) i;
    INSERT INTO capstan_rm_1.tasks (id, workspace, position, version, agent_id, state, open, unsettled, priority, archived, created_at, updated_at,
                                    updated_hour, doc)
        SELECT id, workspace, i, 1, agent_id, 'done', false, false, 'normal', false, at, at, extract(epoch FROM at)::bigint / 3600, '{}' FROM base;
    INSERT INTO capstan_rm_1.acceptances (id, position, doc) SELECT id, i, repeat('x', 900) FROM base;
    INSERT INTO capstan_rm_1.runs (id, workspace, position, version, doc, task_id, agent_id, session_id, status, cost_usd, created_at,
                                   updated_at, updated_hour)
        SELECT id, workspace, i, 1, '{}', id, agent_id, id::text, 'ok', 0.1, at, at, extract(epoch FROM at)::bigint / 3600 FROM base;
    INSERT INTO capstan_rm_1.outputs (id, workspace, position, version, doc, task_id, agent_id, output_type, status, archived, hidden,
                                      row_count, created_at)
        SELECT id, workspace, i, 1, '{}', id, agent_id, 'report', 'final', false, false, 0, at FROM base;
    INSERT INTO capstan_rm_1.blockers (id, workspace, position, version, doc, task_id, agent_id, kind, open, created_at)
        SELECT id, workspace, i, 1, '{}', id, agent_id, 'question', true, at FROM base;
    ANALYZE capstan_rm_1.tasks; ANALYZE capstan_rm_1.acceptances; ANALYZE capstan_rm_1.runs; ANALYZE capstan_rm_1.outputs;
    ANALYZE capstan_rm_1.blockers";

/// The columns of the index that begins with these, by its name.
async fn index(read_models: &ReadModels, table: &str, columns: &str) -> String {
    let sql = "SELECT indexname::text FROM pg_indexes WHERE schemaname = 'capstan_rm_1' AND tablename = $1 AND strpos(indexdef, $2) > 0";
    let rows = read_models.rows(sql, &[&table, &format!("({columns}")]).await.unwrap();
    assert_eq!(rows.len(), 1, "indexes of {table} on {columns}");
    rows[0].get(0)
}

/// Read models with these rows, and the servers they are on.
pub(super) async fn filled(rows: &str) -> (TestServers, ReadModels) {
    let servers = TestServers::start().await.unwrap();
    let read_models = ReadModels::connect(&servers.fresh_database().await.unwrap()).unwrap();
    read_models.migrate().await.unwrap();
    read_models.client().await.unwrap().batch_execute(rows).await.unwrap();
    (servers, read_models)
}

#[tokio::test]
async fn every_filter_reads_the_index_that_is_made_for_it() {
    let (_servers, read_models) = filled(ROWS).await;
    let agent_id = Some(AgentId(Uuid::from_u128(1)));
    let span = Span { after: Some(Utc::now() - Duration::hours(2)), before: None };
    let tasks = TaskFilter { archived: Some(false), ..TaskFilter::default() };
    let in_order = "workspace, state, archived, created_at, id";
    let lists = [
        (tasks.clone(), "tasks", in_order),
        (TaskFilter { archived: None, ..tasks.clone() }, "tasks", in_order),
        (TaskFilter { states: vec![TaskState::Waiting], ..tasks.clone() }, "tasks", in_order),
        (TaskFilter { created: span, ..tasks.clone() }, "tasks", in_order),
        (
            TaskFilter { agent_id, ..tasks.clone() },
            "tasks",
            "workspace, agent_id, state, archived, created_at, id",
        ),
        (
            TaskFilter { label: Some("x".into()), ..tasks.clone() },
            "tasks",
            "workspace, label, archived, created_at, id",
        ),
        (
            TaskFilter { parent_task_id: Some(TaskId(Uuid::nil())), ..tasks.clone() },
            "tasks",
            "parent_task_id, created_at, id",
        ),
        (
            TaskFilter { source_output_ids: vec!["x".into()], ..tasks.clone() },
            "tasks",
            "workspace, source_output_id, archived, created_at, id",
        ),
        (
            TaskFilter {
                waiting_reasons: vec![capstan_contract::query::WaitingReason::Input],
                ..tasks.clone()
            },
            "tasks",
            "workspace, waiting_reason, archived, created_at, id",
        ),
        (TaskFilter { updated: span, ..tasks.clone() }, "tasks", "workspace, updated_hour"),
        (
            TaskFilter { priorities: vec![Priority::Urgent], ..tasks },
            "tasks",
            "workspace, priority, archived, created_at, id",
        ),
    ];
    for (filter, table, columns) in lists {
        check(&read_models, &filter, table, columns).await;
    }
    let runs = RunFilter::default();
    for (filter, columns) in [
        (runs.clone(), "workspace, status, created_at, id"),
        (
            RunFilter { statuses: vec![RunStatus::Running], ..runs.clone() },
            "workspace, status, created_at, id",
        ),
        (RunFilter { agent_id, ..runs.clone() }, "workspace, agent_id, status, created_at, id"),
        (RunFilter { task_id: Some(TaskId(Uuid::nil())), ..runs.clone() }, "task_id, created_at, id"),
        (RunFilter { session_id: Some("x".into()), ..runs.clone() }, "hashtextextended(session_id"),
        (RunFilter { updated: span, ..runs }, "workspace, updated_hour"),
    ] {
        check(&read_models, &filter, "runs", columns).await;
    }
    let outputs = OutputFilter { archived: Some(false), hidden: Some(false), ..OutputFilter::default() };
    for (filter, columns) in [
        (outputs.clone(), "workspace, archived, hidden, created_at, id"),
        (
            OutputFilter { archived: Some(true), hidden: None, ..outputs.clone() },
            "workspace, archived, hidden, created_at, id",
        ),
        (
            OutputFilter { agent_id, ..outputs.clone() },
            "workspace, agent_id, archived, hidden, created_at, id",
        ),
        (
            OutputFilter { output_type: Some("x".into()), ..outputs.clone() },
            "workspace, output_type, archived, hidden, created_at, id",
        ),
        (
            OutputFilter { statuses: vec![OutputStatus::ALL[0]], ..outputs },
            "workspace, status, archived, hidden, created_at, id",
        ),
    ] {
        check(&read_models, &filter, "outputs", columns).await;
    }
    let inbox = BlockerFilter::default();
    for (filter, columns) in [
        (inbox.clone(), "workspace, created_at, id"),
        (
            BlockerFilter { kinds: vec![capstan_domain::task::event::BlockerKind::Budget], ..inbox.clone() },
            "workspace, kind, created_at, id",
        ),
        (BlockerFilter { agent_id, ..inbox }, "workspace, agent_id, created_at, id"),
    ] {
        check(&read_models, &filter, "blockers", columns).await;
    }
}

async fn check(
    read_models: &ReadModels,
    filter: &(impl Query + std::fmt::Debug),
    table: &str,
    columns: &str,
) {
    let index = index(read_models, table, columns).await;
    let plans = filter.select("dev").explained(read_models).await;
    let plan = &plans[0];
    assert!(plan.contains(&index), "{filter:?} does not read {index}:\n{plan}");
    for plan in &plans {
        assert!(!plan.contains(&format!("Seq Scan on {table}")), "{filter:?}\n{plan}");
    }
}
