//! Adds blocks to the index, behind the rows.

use std::pin::pin;
use std::time::Duration;

use capstan_contract::causes::explain;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::pages::Block;
use super::texts::Texts;
use super::{BLOCK, IDS};
use crate::catalogue::tasks::TaskRow;
use crate::generation;
use crate::model::Named as _;
use crate::read_models::ReadModels;
use crate::session::Session;
use crate::store_error::StoreError;

/// Time before the next try after a failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Adds blocks of so many tasks to the index of the active tables whenever there are enough. Never ends.
pub(crate) async fn follow(read_models: ReadModels, block: usize) {
    let mut reached = read_models.reached();
    let mut session = None;
    loop {
        let at = reached.borrow_and_update().sequence();
        match fill_active(&read_models, &mut session, block).await {
            Ok(left) => {
                // Each task is a commit at least, but few commits are new tasks: near the end of a block it is not asked after
                // each of them. The position falls when the tables are rebuilt from another log.
                let next = at + block.saturating_sub(left).max(block / 8) as u64;
                let moved = reached.wait_for(|now| now.sequence() >= next || now.sequence() < at).await;
                if moved.is_err() {
                    return;
                }
            }
            Err(error) => {
                session = None;
                tracing::warn!(
                    error = explain(&error),
                    "the index of texts does not follow the rows; it will retry"
                );
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Adds blocks to the index of the active tables; returns how many tasks are left. The session is kept for the next time.
pub(crate) async fn fill_active(
    read_models: &ReadModels,
    session: &mut Option<Session>,
    block: usize,
) -> Result<usize, StoreError> {
    let session = match session {
        Some(session) => session,
        None => session.insert(read_models.session().await.map_err(failed)?),
    };
    let schemas = generation::active(session.client()).await.map_err(|error| failed(error.0))?;
    let Some(schema) = schemas.get(TaskRow::NAME) else { return Ok(0) };
    fill(session, schema, block).await
}

/// Adds blocks of so many tasks to the index in this schema until fewer are left; returns how many. Of two at once, one
/// waits for the other.
pub(crate) async fn fill(session: &Session, schema: &str, block: usize) -> Result<usize, StoreError> {
    let (client, block) = (session.client(), block.clamp(1, BLOCK));
    // In the order of positions, by their indexes, whatever the statistics say.
    client.batch_execute("SET enable_seqscan = off; SET enable_bitmapscan = off").await.map_err(failed)?;
    loop {
        client.batch_execute("BEGIN").await.map_err(failed)?;
        let left = add(session, schema, block).await;
        let end = if matches!(left, Ok(None)) { "COMMIT" } else { "ROLLBACK" };
        client.batch_execute(end).await.map_err(failed)?;
        if let Some(left) = left? {
            return Ok(left);
        }
    }
}

/// Takes the blocks back that end at this position or behind it: a task came into the rows later than others behind it.
pub(crate) async fn take_back(session: &Session, schema: &str, position: u64) -> Result<(), StoreError> {
    let client = session.client();
    for table in ["search_ids", "search_pages", "search_blocks"] {
        let sql = format!(
            "DELETE FROM {schema}.{table} WHERE block IN (SELECT block FROM {schema}.search_blocks WHERE position >= $1)"
        );
        client.execute(&sql, &[&(position as i64)]).await.map_err(failed)?;
    }
    Ok(())
}

fn failed(source: tokio_postgres::Error) -> StoreError {
    StoreError::Postgres { model: TaskRow::NAME, source }
}

/// How many tasks there are behind a position, up to `most`: by the indexes alone, since it is asked far more often than a block is
/// added.
async fn left(session: &Session, schema: &str, after: i64, most: usize) -> Result<usize, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM (\
         (SELECT 1 FROM {schema}.acceptances WHERE position > $1 LIMIT $2) UNION ALL \
         (SELECT 1 FROM {schema}.tasks WHERE reworded_at > $1 LIMIT $2)) newer"
    );
    let statement = session.prepared(&sql).await.map_err(failed)?;
    let row = session.client().query_one(&statement, &[&after, &(most as i64)]).await.map_err(failed)?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

/// Adds one block inside the open transaction; answers how many tasks there are when those are too few.
async fn add(session: &Session, schema: &str, size: usize) -> Result<Option<usize>, StoreError> {
    let client = session.client();
    let lock = format!("LOCK TABLE {schema}.search_blocks IN SHARE ROW EXCLUSIVE MODE");
    client.batch_execute(&lock).await.map_err(failed)?;
    let sql =
        format!("SELECT coalesce(max(block) + 1, 0), coalesce(max(position), 0) FROM {schema}.search_blocks");
    let last = client.query_one(&sql, &[]).await.map_err(failed)?;
    let (number, after): (i32, i64) = (last.get(0), last.get(1));
    let left = left(session, schema, after, size).await?;
    if left < size {
        return Ok(Some(left));
    }
    // What was changed comes again with the position of its row, which is that of the change or a later one.
    let sql = format!(
        "SELECT e.position, t.id, t.workspace, t.created_at, t.label, t.doc, a.doc FROM \
         ((SELECT position, id FROM {schema}.acceptances WHERE position > $1 ORDER BY position LIMIT $2) UNION ALL \
          (SELECT reworded_at, id FROM {schema}.tasks WHERE reworded_at > $1 ORDER BY reworded_at LIMIT $2) \
          ORDER BY position, id LIMIT $2) e, \
         LATERAL (SELECT * FROM {schema}.tasks t WHERE t.id = e.id OFFSET 0) t, \
         LATERAL (SELECT * FROM {schema}.acceptances a WHERE a.id = e.id OFFSET 0) a ORDER BY e.position, e.id"
    );
    let statement = session.prepared(&sql).await.map_err(failed)?;
    let limit = size as i64;
    let parameters: [&(dyn ToSql + Sync); 2] = [&after, &limit];
    let mut rows = pin!(client.query_raw(&statement, parameters).await.map_err(failed)?);
    let (mut block, mut ids, mut position) = (Block::default(), Vec::with_capacity(size), after);
    let mut created: Vec<DateTime<Utc>> = Vec::with_capacity(size);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        let id: Uuid = row.get(1);
        let texts = Texts::read(row.get(4), row.get(5), row.get(6));
        let unreadable = |source| StoreError::Unreadable { model: TaskRow::NAME, id: id.to_string(), source };
        block.push(texts.map_err(unreadable)?.grams(row.get(2)));
        ids.push(id);
        created.push(row.get(3));
        // Two entries have the same one when a task was changed in the commit that is carried forward: the later of both is not lost,
        // because its row is the same.
        position = row.get(0);
    }
    let (Some(oldest), Some(newest)) = (created.iter().min(), created.iter().max()) else {
        return Ok(Some(0));
    };
    if ids.len() < size {
        return Ok(Some(ids.len()));
    }
    let sql = format!(
        "INSERT INTO {schema}.search_blocks (block, position, oldest, newest) VALUES ($1, $2, $3, $4)"
    );
    client.execute(&sql, &[&number, &position, oldest, newest]).await.map_err(failed)?;
    let sql = format!(
        "INSERT INTO {schema}.search_ids (block, part, ids) \
         SELECT $1, (n - 1) / {IDS}, array_agg(id ORDER BY n) FROM unnest($2::uuid[]) WITH ORDINALITY u(id, n) GROUP BY 2"
    );
    client.execute(&sql, &[&number, &ids]).await.map_err(failed)?;
    let (firsts, pages): (Vec<i64>, Vec<Vec<u8>>) = block.pages().into_iter().unzip();
    let sql = format!(
        "INSERT INTO {schema}.search_pages (block, first, page) \
         SELECT $1, first, page FROM unnest($2::bigint[], $3::bytea[]) u(first, page)"
    );
    client.execute(&sql, &[&number, &firsts, &pages]).await.map_err(failed)?;
    Ok(None)
}
