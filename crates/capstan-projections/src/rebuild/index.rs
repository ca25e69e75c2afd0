//! Creates the keys and indexes of filled tables: one statement for each, several at once, the largest tables first.

use std::collections::VecDeque;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::RebuildError;
use crate::generation::{GenerationError, TableIndexes};
use crate::read_models::ReadModels;
use crate::replay::progress::Meter;
use crate::session::Session;

/// Most statements at once.
const AT_ONCE_MAX: usize = 8;
/// Memory for the sort of one statement, and nothing of it for processes that help: the other statements have them.
const SETTINGS: &str = "SET maintenance_work_mem = '128MB'; SET max_parallel_maintenance_workers = 0";

/// A table on its way.
struct Table {
    indexes: TableIndexes,
    /// Statements that are under way or waiting, before those that come last.
    left: usize,
}

/// A statement of the table with this number.
struct Job {
    table: usize,
    sql: String,
    is_last: bool,
}

/// Creates keys and indexes of these tables of `schema`, about `at_once` of them at a time.
pub(super) async fn create(
    read_models: &ReadModels,
    schema: &str,
    tables: Vec<TableIndexes>,
    at_once: usize,
    meter: &Meter,
) -> Result<(), RebuildError> {
    let (mut waiting, mut all) = (VecDeque::new(), Vec::new());
    for (table, mut indexes) in tables.into_iter().enumerate() {
        let first = std::mem::take(&mut indexes.first);
        all.push(Table { indexes, left: first.len() });
        waiting.extend(first.into_iter().map(|sql| Job { table, sql, is_last: false }));
        if all[table].left == 0 {
            waiting.push_back(last(&mut all, table));
        }
    }
    let mut idle = Vec::new();
    for _ in 0..at_once.clamp(1, AT_ONCE_MAX).min(waiting.len()) {
        let session = read_models.session().await?;
        session.client().batch_execute(&format!("{SETTINGS}; SET search_path TO {schema}")).await?;
        idle.push(session);
    }
    let mut running = FuturesUnordered::new();
    loop {
        while !idle.is_empty()
            && let Some(job) = waiting.pop_front()
            && let Some(session) = idle.pop()
        {
            running.push(run(session, job));
        }
        let Some(done) = running.next().await else { return Ok(()) };
        let (session, job) = done?;
        idle.push(session);
        if job.is_last {
            meter.indexed();
            continue;
        }
        all[job.table].left -= 1;
        if all[job.table].left == 0 {
            // Its turn was before those that wait.
            waiting.push_front(last(&mut all, job.table));
        }
    }
}

fn last(all: &mut [Table], table: usize) -> Job {
    Job { table, sql: std::mem::take(&mut all[table].indexes.last), is_last: true }
}

async fn run(session: Session, job: Job) -> Result<(Session, Job), RebuildError> {
    session.client().batch_execute(&job.sql).await.map_err(GenerationError)?;
    Ok((session, job))
}
