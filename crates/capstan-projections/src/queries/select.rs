//! A read of one model as a value: conditions, then one statement, so that position and rows are of one instant.

use std::fmt::Write;

use capstan_contract::query::{Page, page_size};
use capstan_domain::id::TaskId;
use capstan_envelope::Position;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::catalogue::model;
use crate::catalogue::tasks::ACCEPTANCES;
use crate::checkpoint;
use crate::model::{Answer, Stored};
use crate::queries::cursor::{self, Place};
use crate::queries::{Item, Listing, QueryError, Total};
use crate::read_models::ReadModels;

/// Maximum bytes of documents on a page, except the last document: a page of large documents ends before its limit.
const PAGE_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// Maximum number of rows counted for the length of a list.
const COUNT_MAX: u64 = 10_000;

/// A question to one read model: an id, or the filter of a list.
pub trait Query: Send + Sync {
    /// The matching rows of a workspace.
    fn select(&self, workspace: &str) -> Select;
}

/// A question about a part of a task, such as a run.
pub trait PartOfTask: Query {}

impl ReadModels {
    /// The object that matches, or `None`.
    pub async fn one(&self, workspace: &str, query: &impl Query) -> Result<Option<Item>, QueryError> {
        query.select(workspace).one(self).await
    }

    /// A page of the objects that match.
    pub async fn list(
        &self,
        workspace: &str,
        query: &impl Query,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        query.select(workspace).page(self, page, PAGE_BYTES_MAX).await
    }

    /// The number of objects that match, counted up to `limit`.
    pub async fn count(&self, workspace: &str, query: &impl Query, limit: u64) -> Result<u64, QueryError> {
        query.select(workspace).count(self, limit).await
    }

    /// The task of a run or output, or `None`.
    pub async fn task_of(
        &self,
        workspace: &str,
        part: &impl PartOfTask,
    ) -> Result<Option<TaskId>, QueryError> {
        let Select { table, conditions, parameters, .. } = part.select(workspace);
        let sql = format!("SELECT task_id FROM capstan.{table} WHERE {conditions}");
        Ok(self.rows(&sql, &borrowed(&parameters)).await?.first().map(|row| TaskId(row.get(0))))
    }
}

/// A value of a condition.
type Parameter = Box<dyn ToSql + Send + Sync>;

/// Rows of one model in one workspace, in the order of their creation.
#[derive(Debug)]
pub struct Select {
    table: &'static str,
    order: &'static str,
    direction: Direction,
    conditions: String,
    parameters: Vec<Parameter>,
}

/// Order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    NewestFirst,
    OldestFirst,
}

impl Select {
    /// All rows of the workspace, oldest first.
    pub(crate) fn all(table: &'static str, workspace: &str) -> Self {
        Self {
            table,
            order: "created_at",
            direction: Direction::OldestFirst,
            conditions: "workspace = $1".to_owned(),
            parameters: vec![Box::new(workspace.to_owned())],
        }
    }

    /// The row with this id.
    pub(crate) fn by_id(table: &'static str, workspace: &str, id: Uuid) -> Self {
        let mut select = Self::all(table, workspace);
        select.filter("id = ?", id);
        select
    }

    /// Reverses the order.
    pub(crate) fn newest_first(mut self) -> Self {
        self.direction = Direction::NewestFirst;
        self
    }

    /// Orders by a sequence number instead of the time of creation.
    pub(crate) fn by_sequence(mut self, column: &'static str) -> Self {
        self.order = column;
        self
    }

    /// Adds a condition; `?` is the value.
    pub(crate) fn filter(&mut self, condition: &str, value: impl ToSql + Send + Sync + 'static) {
        self.parameters.push(Box::new(value));
        let numbered = condition.replace('?', &format!("${}", self.parameters.len()));
        // Writing to a String cannot fail.
        let _ = write!(self.conditions, " AND {numbered}");
    }

    /// Adds a condition when there is a value.
    pub(crate) fn filter_some(&mut self, condition: &str, value: Option<impl ToSql + Send + Sync + 'static>) {
        if let Some(value) = value {
            self.filter(condition, value);
        }
    }

    /// Adds a condition on a flag as a literal, so that a partial index can be used.
    pub(crate) fn filter_flag(&mut self, column: &str, wanted: Option<bool>) {
        match wanted {
            Some(true) => self.filter_plain(column),
            Some(false) => self.filter_plain(&format!("NOT {column}")),
            None => {}
        }
    }

    /// Adds a condition without a value.
    pub(crate) fn filter_plain(&mut self, condition: &str) {
        let _ = write!(self.conditions, " AND {condition}");
    }

    /// Adds a condition that a column has one of these values; any value matches when there are none.
    pub(crate) fn filter_any<T: ToSql + Send + Sync + 'static>(
        &mut self,
        column: &str,
        values: impl IntoIterator<Item = T>,
    ) where
        Vec<T>: ToSql,
    {
        let values: Vec<T> = values.into_iter().collect();
        if !values.is_empty() {
            self.filter(&format!("{column} = ANY(?)"), values);
        }
    }

    async fn one(self, read_models: &ReadModels) -> Result<Option<Item>, QueryError> {
        let form = DocForm::of(self.table);
        let sql = format!(
            "SELECT c.position, c.hash, {} FROM capstan.checkpoint c \
             JOIN (SELECT {} FROM capstan.{} t WHERE {} LIMIT 1) r ON true",
            form.outer(),
            form.inner(),
            self.table,
            self.conditions
        );
        let rows = self.run(read_models, &sql).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let Some(doc) = form.object(row)? else { return Ok(None) };
        let version = row.get::<_, i64>("version") as u64;
        Ok(Some(Item { doc, version, position: checkpoint::position(row) }))
    }

    async fn count(&mut self, read_models: &ReadModels, limit: u64) -> Result<u64, QueryError> {
        self.parameters.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM capstan.{} t WHERE {} LIMIT ${}) found",
            self.table,
            self.conditions,
            self.parameters.len()
        );
        let rows = self.run(read_models, &sql).await?;
        self.parameters.pop();
        Ok(rows.first().map_or(0, |row| row.get::<_, i64>(0) as u64))
    }

    /// The length of the whole list, counted up to [`COUNT_MAX`].
    async fn total(&mut self, read_models: &ReadModels) -> Result<Total, QueryError> {
        let found = self.count(read_models, COUNT_MAX + 1).await?;
        Ok(Total { count: found.min(COUNT_MAX), is_more: found > COUNT_MAX })
    }

    /// Identifies the list: table, order and conditions. A cursor is valid for one list only.
    fn list_id(&self) -> u64 {
        let Self { table, order, direction, conditions, parameters } = self;
        let text = format!("{table} {order} {direction:?} {conditions} {parameters:?}");
        let mut first = [0; 8];
        first.copy_from_slice(&Sha256::digest(text)[..8]);
        u64::from_be_bytes(first)
    }

    /// One page, which ends with the document that reaches `bytes_max`.
    async fn page(
        mut self,
        read_models: &ReadModels,
        page: &Page,
        bytes_max: i64,
    ) -> Result<Listing, QueryError> {
        let limit = page_size(page.limit);
        let list_id = self.list_id();
        let place = cursor::start(page, list_id)?;
        let total = if page.count { Some(self.total(read_models).await?) } else { None };
        let is_time = self.order != "seq";
        let (after, sorted) = match self.direction {
            Direction::NewestFirst => ("<", "DESC"),
            Direction::OldestFirst => (">", "ASC"),
        };
        if let Some(place) = place {
            let order: Parameter = if is_time { Box::new(place.time()) } else { Box::new(place.order) };
            self.parameters.push(order);
            self.parameters.push(Box::new(place.id));
            let (order, id) = (self.parameters.len() - 1, self.parameters.len());
            let _ = write!(self.conditions, " AND ({}, id) {after} (${order}, ${id})", self.order);
        }
        let order = self.order;
        let form = DocForm::of(self.table);
        // One row more than the limit: there is a next page.
        self.parameters.push(Box::new(i64::from(limit) + 1));
        self.parameters.push(Box::new(bytes_max));
        // Postgres knows the length of a large document without reading it, so the omitted ones cost nothing.
        let sql = format!(
            "SELECT c.position, c.hash, r.id, r.{order}, r.found, {outer} FROM capstan.checkpoint c \
             LEFT JOIN (SELECT f.*, count(*) OVER () AS found, \
                               sum({length}) OVER (ORDER BY {order} {sorted}, id {sorted} \
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
                        FROM (SELECT id, {order}, {inner} FROM capstan.{table} t WHERE {conditions} \
                              ORDER BY {order} {sorted}, id {sorted} LIMIT ${more}) f) r \
               ON coalesce(r.before, 0) < ${bytes} \
             ORDER BY r.{order} {sorted}, r.id {sorted}",
            outer = form.outer(),
            inner = form.inner(),
            length = form.length(),
            table = self.table,
            conditions = self.conditions,
            more = self.parameters.len() - 1,
            bytes = self.parameters.len(),
        );
        let rows = self.run(read_models, &sql).await?;
        let position = rows.first().map_or(Position::START, checkpoint::position);
        let mut items = Vec::with_capacity(rows.len().min(limit as usize));
        let mut last = None;
        for row in rows.iter().take(limit as usize) {
            let Some(object) = form.object(row)? else { continue };
            items.push(object);
            last = Some(if is_time {
                Place::new(row.get(3), row.get(2))
            } else {
                Place { order: row.get(3), id: row.get(2) }
            });
        }
        let found = rows.first().and_then(|row| row.get::<_, Option<i64>>(4)).unwrap_or_default();
        let more = found > items.len() as i64;
        let next_cursor = last.filter(|_| more).map(|place| place.to_cursor(list_id));
        Ok(Listing { items, next_cursor, limit, total, position })
    }

    async fn run(&self, read_models: &ReadModels, sql: &str) -> Result<Vec<Row>, QueryError> {
        read_models.rows(sql, &borrowed(&self.parameters)).await
    }
}

/// The columns that make an object, and the way from them.
struct DocForm {
    answer: Option<Answer>,
}

impl DocForm {
    fn of(table: &str) -> Self {
        Self { answer: model(table).and_then(|model| model.answer_from) }
    }

    /// Expressions over the table `t`.
    fn inner(&self) -> String {
        let Some(Answer { task_id, .. }) = self.answer else { return "version, doc".to_owned() };
        format!(
            "version, doc, position AS sequence, {task_id} AS doc_task, id AS doc_id, \
             (SELECT a.doc FROM capstan.{ACCEPTANCES} a WHERE a.id = t.{task_id}) AS aside"
        )
    }

    /// The same columns of the subquery `r`.
    fn outer(&self) -> &'static str {
        match self.answer {
            Some(_) => "r.version, r.doc, r.sequence, r.doc_task, r.doc_id, r.aside",
            None => "r.version, r.doc",
        }
    }

    /// The length of an object, roughly.
    fn length(&self) -> &'static str {
        match self.answer {
            Some(_) => "octet_length(doc) + coalesce(octet_length(aside), 0)",
            None => "octet_length(doc)",
        }
    }

    /// The object of a row; `None` when the subquery had none.
    fn object(&self, row: &Row) -> Result<Option<Box<RawValue>>, QueryError> {
        let Some(Answer { object, .. }) = self.answer else {
            return Ok(row.get::<_, Option<String>>("doc").map(RawValue::from_string).transpose()?);
        };
        let Some(id) = row.get::<_, Option<Uuid>>("doc_id") else { return Ok(None) };
        Ok(Some(object(id, row.get("doc_task"), &Stored::from_row(row))?))
    }
}

fn borrowed(parameters: &[Parameter]) -> Vec<&(dyn ToSql + Sync)> {
    parameters.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
}

#[cfg(test)]
mod tests {
    use capstan_testkit::servers::TestServers;

    use super::*;

    #[tokio::test]
    async fn a_page_of_large_documents_ends_early_and_the_next_ones_have_the_rest() {
        let servers = TestServers::start().await.unwrap();
        let read_models = ReadModels::connect(&servers.fresh_database().await.unwrap()).unwrap();
        read_models.migrate().await.unwrap();
        let client = read_models.client().await.unwrap();
        // Seven documents of 20 kB that do not compress, two of them created at the same instant.
        client
            .batch_execute(
                "INSERT INTO capstan.agents (id, workspace, position, version, doc, agent_key, active, key_form, name_form, \
                                             created_at) \
                 SELECT lpad(n::text, 32, '0')::uuid, 'dev', n, 1, \
                        '\"' || n || ' ' || (SELECT string_agg(md5((n * 1000 + m)::text), '') \
                                           FROM generate_series(1, 625) m) || '\"', \
                        n::text, true, n::text, n::text, '2026-01-01'::timestamptz + greatest(n, 2) * interval '1 second' \
                 FROM generate_series(1, 7) n",
            )
            .await
            .unwrap();
        for (bytes_max, limit, pages) in [
            (50_000, 500, vec![3, 3, 1]),
            (1, 500, vec![1; 7]),
            (50_000, 2, vec![2, 2, 2, 1]),
            (1_000_000, 500, vec![7]),
            (1_000_000, 7, vec![7]),
        ] {
            for direction in [Direction::OldestFirst, Direction::NewestFirst] {
                let mut page = Page { limit: Some(limit), ..Page::default() };
                let (mut sizes, mut seen) = (Vec::new(), String::new());
                loop {
                    let select = Select { direction, ..Select::all("agents", "dev") };
                    let listing = select.page(&read_models, &page, bytes_max).await.unwrap();
                    sizes.push(listing.items.len());
                    seen.extend(listing.items.iter().map(|item| &item.get()[1..2]));
                    page.cursor = listing.next_cursor;
                    if page.cursor.is_none() {
                        break;
                    }
                }
                assert_eq!(sizes, pages, "{bytes_max} {limit} {direction:?}");
                let all = if direction == Direction::OldestFirst { "1234567" } else { "7654321" };
                assert_eq!(seen, all);
            }
        }
        let none = Select::all("agents", "other");
        let none = none.page(&read_models, &Page::default(), PAGE_BYTES_MAX).await.unwrap();
        assert!(none.items.is_empty() && none.next_cursor.is_none());
    }
}
