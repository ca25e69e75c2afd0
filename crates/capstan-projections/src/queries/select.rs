//! A read of one model as a value: conditions, then one statement, so that position and rows are of one instant.

mod sought;

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
use crate::search::texts::Sought;

/// Maximum bytes of documents on a page, except the last document: a page of large documents ends before its limit.
const PAGE_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// Maximum number of rows counted for the length of a list.
const COUNT_MAX: u64 = 10_000;

/// The same for texts, labels and times of change.
const FOUND_MAX: u64 = 1_000;

/// Rows at the beginning of a list that are looked at one by one before an index that is not in its order is read.
const PROBED: i64 = 1_000;

/// Maximum number of combinations that are read one after another.
const COMBINATIONS_MAX: usize = 64;

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
    /// Alternatives, of which each row fits exactly one: the list is the union of all their combinations. Each combination is
    /// read in order by one index, where a set of values would have to be read as a whole and sorted.
    each: Vec<Vec<String>>,
    /// Conditions with an index that is not in the order of the list, each after ` AND `.
    rest: String,
    workspace: String,
    /// What is sought in the texts and labels of tasks, newest first.
    sought: Sought,
    /// True when the plan depends on the values of the parameters, and is made for them; else it is kept.
    by_value: bool,
}

/// Order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    NewestFirst,
    OldestFirst,
}

impl Direction {
    fn sql(self) -> &'static str {
        match self {
            Self::NewestFirst => "DESC",
            Self::OldestFirst => "ASC",
        }
    }

    /// Compares a row with one before it.
    fn after(self) -> &'static str {
        match self {
            Self::NewestFirst => "<",
            Self::OldestFirst => ">",
        }
    }
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
            each: Vec::new(),
            rest: String::new(),
            workspace: workspace.to_owned(),
            sought: Sought::default(),
            by_value: false,
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

    /// Takes rows for which a flag is as wanted, or both kinds of them.
    pub(crate) fn each_flag(&mut self, column: &str, wanted: Option<bool>) {
        let alternatives = [(false, format!("NOT {column}")), (true, column.to_owned())];
        let alternatives =
            alternatives.into_iter().filter(|(flag, _)| wanted.is_none_or(|wanted| wanted == *flag));
        self.each.push(alternatives.map(|(_, condition)| condition).collect());
    }

    /// Takes rows with each of these words in a column; they are of a closed choice, and stand in the statement.
    pub(crate) fn each_word(&mut self, column: &str, words: impl IntoIterator<Item = &'static str>) {
        let mut alternatives: Vec<_> = words.into_iter().map(|word| format!("{column} = '{word}'")).collect();
        // A row fits one of them, whatever is repeated.
        alternatives.sort_unstable();
        alternatives.dedup();
        self.each.push(alternatives);
    }

    /// Takes tasks that have this.
    pub(crate) fn seek(&mut self, sought: Sought) {
        self.sought = sought;
    }

    /// Begins conditions with an index that is not in the order of the list; answers where.
    pub(crate) fn begin_rest(&mut self) -> usize {
        self.conditions.len()
    }

    /// Ends them.
    pub(crate) fn end_rest(&mut self, begin: usize) {
        self.rest = self.conditions.split_off(begin);
    }

    /// Lets the plan depend on the values of the conditions.
    pub(crate) fn plan_by_value(&mut self) {
        self.by_value = true;
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
             JOIN (SELECT u.*{} FROM (SELECT {} FROM capstan.{} t WHERE {} LIMIT 1) u) r ON true",
            form.outer(),
            form.aside(),
            form.inner(),
            self.table,
            self.conditions
        );
        let rows = self.run(read_models, &sql, Plan::Kept).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let Some(doc) = form.object(row)? else { return Ok(None) };
        let version = row.get::<_, i64>("version") as u64;
        Ok(Some(Item { doc, version, position: checkpoint::position(row) }))
    }

    /// The union over all combinations of alternatives: these columns of their rows, each with this end.
    fn union(&self, columns: &str, end: &str) -> String {
        let mut combinations = vec![self.conditions.clone()];
        let count: usize = self.each.iter().map(Vec::len).product();
        for alternatives in &self.each {
            combinations = if count > COMBINATIONS_MAX {
                combinations.iter().map(|all| format!("{all} AND ({})", alternatives.join(" OR "))).collect()
            } else {
                let with = |all: &String| {
                    alternatives.iter().map(|one| format!("{all} AND {one}")).collect::<Vec<_>>()
                };
                combinations.iter().flat_map(with).collect()
            };
        }
        let selects = combinations.iter().map(|conditions| {
            format!("(SELECT {columns} FROM capstan.{} t WHERE {conditions}{end})", self.table)
        });
        selects.collect::<Vec<_>>().join(" UNION ALL ")
    }

    /// All conditions.
    fn all_conditions(&self) -> String {
        let mut conditions = self.conditions.clone();
        for alternatives in &self.each {
            conditions.push_str(" AND (");
            conditions.push_str(&alternatives.join(" OR "));
            conditions.push(')');
        }
        conditions + &self.rest
    }

    /// The rows that hold all conditions, by the index that fits best, in any order.
    fn by_index(&self, columns: &str) -> String {
        format!("SELECT {columns} FROM capstan.{} t WHERE {}", self.table, self.all_conditions())
    }

    /// Those of them among the first [`PROBED`] rows in the order of the list.
    fn among_first(&self, columns: &str) -> String {
        let sorted = self.sorted();
        let columns = format!("{columns}, updated_at, updated_hour");
        let candidates = self.union(&columns, &format!("{sorted} LIMIT {PROBED}"));
        format!(
            "SELECT * FROM (SELECT * FROM ({candidates}) u{sorted} LIMIT {PROBED}) t WHERE true{}",
            self.rest
        )
    }

    /// The number of rows that are looked at for that.
    fn looked(&self) -> String {
        let first = self.union(&format!("id, {}", self.order), &format!("{} LIMIT {PROBED}", self.sorted()));
        format!("(SELECT count(*) FROM (SELECT 1 FROM ({first}) u LIMIT {PROBED}) l)")
    }

    /// The order of the list.
    fn sorted(&self) -> String {
        let (order, sorted) = (self.order, self.direction.sql());
        format!(" ORDER BY {order} {sorted}, id {sorted}")
    }

    /// The number of rows, counted up to `limit`.
    async fn count(&mut self, read_models: &ReadModels, limit: u64) -> Result<u64, QueryError> {
        if !self.sought.is_empty() {
            return self.count_sought(read_models, limit).await;
        }
        let before = self.parameters.len();
        self.parameters.push(Box::new(i64::try_from(limit).unwrap_or(i64::MAX)));
        let limit = self.parameters.len();
        let of = |rows: &str, looked: &str| {
            format!("SELECT count(*), {looked} FROM (SELECT 1 FROM ({rows}) u LIMIT ${limit}) found")
        };
        let unknown = "NULL::bigint";
        let statements = if self.is_in_order() {
            vec![of(&self.union("1 AS one", ""), unknown)]
        } else {
            let columns = format!("id, {}", self.order);
            vec![of(&self.among_first(&columns), &self.looked()), of(&self.by_index("1 AS one"), unknown)]
        };
        let mut found = 0;
        for (sql, how) in statements.iter().zip(self.plans()) {
            let rows = self.run(read_models, sql, how).await?;
            let Some(row) = rows.first() else { break };
            found = row.get::<_, i64>(0) as u64;
            if row.get::<_, Option<i64>>(1).is_some_and(|looked| looked < PROBED) {
                break;
            }
        }
        self.parameters.truncate(before);
        Ok(found)
    }

    /// True when an index has the rows in the order of the list.
    fn is_in_order(&self) -> bool {
        self.sought.is_empty() && self.rest.is_empty()
    }

    /// The ids of the first rows, at most `limit`.
    pub(crate) async fn ids(mut self, read_models: &ReadModels, limit: i64) -> Result<Vec<Uuid>, QueryError> {
        self.parameters.push(Box::new(limit));
        let end = format!("{} LIMIT ${}", self.sorted(), self.parameters.len());
        let rows = self.union(&format!("id, {}", self.order), &end);
        let sql = format!("SELECT id FROM ({rows}) u{end}");
        let rows = self.run(read_models, &sql, Plan::Kept).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The length of the whole list, counted up to [`COUNT_MAX`], or to [`FOUND_MAX`] where rows are not counted in an index.
    async fn total(&mut self, read_models: &ReadModels) -> Result<Total, QueryError> {
        let most = if self.is_in_order() { COUNT_MAX } else { FOUND_MAX };
        let found = self.count(read_models, most + 1).await?;
        Ok(Total { count: found.min(most), is_more: found > most })
    }

    /// Identifies the list: table, order and conditions. A cursor is valid for one list only.
    fn list_id(&self) -> u64 {
        let Self {
            table,
            order,
            direction,
            conditions,
            parameters,
            each,
            rest,
            sought,
            workspace: _,
            by_value: _,
        } = self;
        let text =
            format!("{table} {order} {direction:?} {conditions} {parameters:?} {each:?} {rest} {sought:?}");
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
        let form = DocForm::of(self.table);
        self.put_place(place);
        let rows = if self.sought.is_empty() {
            self.rows(read_models, &form, limit, bytes_max).await?
        } else {
            self.sought_rows(read_models, &form, place, limit, bytes_max).await?
        };
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

    /// The rows of a page.
    async fn rows(
        &mut self,
        read_models: &ReadModels,
        form: &DocForm,
        limit: u32,
        bytes_max: i64,
    ) -> Result<Vec<Row>, QueryError> {
        let mut rows = Vec::new();
        for (sql, how) in self.statements(form, limit, bytes_max).iter().zip(self.plans()) {
            rows = self.run(read_models, sql, how).await?;
            let is_whole = rows.first().is_some_and(|row| {
                row.get::<_, Option<i64>>("found").is_some_and(|found| found > limit.into())
                    || row.get::<_, Option<i64>>("looked").is_some_and(|looked| looked < PROBED)
            });
            if is_whole {
                break;
            }
        }
        Ok(rows)
    }

    /// Takes rows after this place of the list only.
    fn put_place(&mut self, place: Option<Place>) {
        let Some(place) = place else { return };
        let after = self.direction.after();
        let is_time = self.order != "seq";
        let order: Parameter = if is_time { Box::new(place.time()) } else { Box::new(place.order) };
        self.parameters.push(order);
        self.parameters.push(Box::new(place.id));
        let (order, id) = (self.parameters.len() - 1, self.parameters.len());
        let _ = write!(self.conditions, " AND ({}, id) {after} (${order}, ${id})", self.order);
    }

    /// The statements of a page: the second one is for the case that the first one does not find the whole page.
    fn statements(&mut self, form: &DocForm, limit: u32, bytes_max: i64) -> Vec<String> {
        // One row more than the limit: there is a next page.
        self.parameters.push(Box::new(i64::from(limit) + 1));
        self.parameters.push(Box::new(bytes_max));
        let columns = format!("id, {}, {}", self.order, form.inner());
        let end = format!("{} LIMIT ${}", self.sorted(), self.parameters.len() - 1);
        if self.is_in_order() {
            return vec![self.page_sql(form, &self.union(&columns, &end), "NULL::bigint")];
        }
        // What is frequent is found among the first rows; of what is rare an index has few rows.
        vec![
            self.page_sql(form, &self.among_first(&columns), &self.looked()),
            self.page_sql(form, &self.by_index(&columns), "NULL::bigint"),
        ]
    }

    /// The statement of a page: the first of these rows, with the position. The last two parameters are the number of rows and the
    /// bytes; `looked` is the number of rows that were looked at.
    fn page_sql(&self, form: &DocForm, rows: &str, looked: &str) -> String {
        let (order, sorted) = (self.order, self.direction.sql());
        let (more, bytes) = (self.parameters.len() - 1, self.parameters.len());
        // Postgres knows the length of a large document without reading it, so the omitted ones cost nothing.
        format!(
            "SELECT c.position, c.hash, r.id, r.{order}, r.found, {outer}, {looked} AS looked FROM capstan.checkpoint c \
             LEFT JOIN (SELECT f.*, count(*) OVER () AS found, \
                               sum({length}) OVER (ORDER BY {order} {sorted}, id {sorted} \
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
                        FROM (SELECT u.*{aside} FROM (SELECT * FROM ({rows}) v{in_order} LIMIT ${more}) u) f) r \
               ON coalesce(r.before, 0) < ${bytes} \
             ORDER BY r.{order} {sorted}, r.id {sorted}",
            outer = form.outer(),
            length = form.length(),
            aside = form.aside(),
            in_order = self.sorted(),
        )
    }

    /// The plans of the statements of its first page, the last one first.
    #[cfg(test)]
    pub(crate) async fn explained(mut self, read_models: &ReadModels) -> Vec<String> {
        let form = DocForm::of(self.table);
        let statements = self.statements(&form, 50, PAGE_BYTES_MAX);
        let mut plans = Vec::new();
        for sql in statements.iter().rev() {
            let sql = format!("EXPLAIN {sql}");
            let rows = read_models.rows_by_value(&sql, &borrowed(&self.parameters)).await.unwrap();
            plans.push(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("\n"));
        }
        plans
    }

    /// The plans of the first and of the second statement. The index of the second one depends on how many rows were changed when.
    fn plans(&self) -> [Plan; 2] {
        [if self.by_value { Plan::ForValues } else { Plan::Kept }, Plan::ForValues]
    }

    async fn run(&self, read_models: &ReadModels, sql: &str, plan: Plan) -> Result<Vec<Row>, QueryError> {
        let parameters = borrowed(&self.parameters);
        match plan {
            Plan::ForValues => read_models.rows_by_value(sql, &parameters).await,
            Plan::Kept => read_models.rows(sql, &parameters).await,
        }
    }
}

/// The plan of a statement.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// Made once on each connection.
    Kept,
    /// Made for the values of the parameters.
    ForValues,
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
        format!("version, doc, position AS sequence, {task_id} AS doc_task, id AS doc_id")
    }

    /// The document of the task, beside these columns.
    fn aside(&self) -> String {
        let is_there = self.answer.is_some();
        let sql = format!(", (SELECT a.doc FROM capstan.{ACCEPTANCES} a WHERE a.id = u.doc_task) AS aside");
        if is_there { sql } else { String::new() }
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
