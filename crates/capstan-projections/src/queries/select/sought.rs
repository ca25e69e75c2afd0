//! Lists of tasks by what is sought in their texts and labels, newest first.
//!
//! All statements of a read see one instant. What is found by an index is looked at one by one: so an index may name too many
//! tasks, and whether it has caught up with the rows decides nothing but the time.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use deadpool_postgres::{Object, Transaction};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use super::{DocForm, PROBED, Place, Select, borrowed};
use crate::queries::QueryError;
use crate::read_models::ReadModels;
use crate::search::gram::{Gram, TOO_MANY};
use crate::search::pages::{self, Places};
use crate::search::texts::{SoughtGrams, Texts};

/// Rows that are in memory at once while they are looked at.
const LOOKED_AT: i32 = 32;
/// Tasks by the index from which they are looked at before more of it is read.
const ENOUGH: usize = 1_000;
/// Blocks of the index that are read first; then four times as many, and so on.
const BLOCKS_FIRST: usize = 8;

/// Grams that are read of every block, once it is known which are rare.
const RAREST: usize = 3;

/// A block of the index.
struct IndexedBlock {
    number: i32,
    /// Times of creation of its tasks.
    oldest: DateTime<Utc>,
    newest: DateTime<Utc>,
}

/// The newest tasks found so far.
struct Found {
    tasks: BTreeSet<(DateTime<Utc>, Uuid)>,
    wanted: usize,
}

impl Found {
    fn add(&mut self, created_at: DateTime<Utc>, id: Uuid) {
        self.tasks.insert((created_at, id));
        if self.tasks.len() > self.wanted {
            self.tasks.pop_first();
        }
    }

    /// True when no task of this time or an earlier one is among those wanted.
    fn is_beyond(&self, created_at: DateTime<Utc>) -> bool {
        self.tasks.len() >= self.wanted && self.tasks.first().is_none_or(|(oldest, _)| created_at < *oldest)
    }
}

/// Begins a read whose statements see one instant.
async fn begin(client: &mut Object) -> Result<Transaction<'_>, QueryError> {
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let transaction = transaction.start().await.map_err(QueryError::unavailable)?;
    // Each statement names the rows it needs by a key; a plan for a small table would read all of it later. What is off counts as
    // very expensive, which is no reason to compile.
    let sql = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";
    transaction.batch_execute(sql).await.map_err(QueryError::unavailable)?;
    Ok(transaction)
}

async fn query(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, QueryError> {
    let statement = transaction.prepare_cached(sql).await.map_err(QueryError::unavailable)?;
    transaction.query(&statement, parameters).await.map_err(QueryError::from_statement)
}

impl Select {
    /// The number of tasks, counted up to `limit`.
    pub(super) async fn count_sought(&self, read_models: &ReadModels, limit: u64) -> Result<u64, QueryError> {
        let mut client = read_models.client().await?;
        let transaction = begin(&mut client).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.found(&transaction, None, limit).await?.len() as u64)
    }

    /// The rows of a page after this place, which is among the conditions.
    pub(super) async fn sought_rows(
        &mut self,
        read_models: &ReadModels,
        form: &DocForm,
        place: Option<Place>,
        limit: u32,
        bytes_max: i64,
    ) -> Result<Vec<Row>, QueryError> {
        let mut client = read_models.client().await?;
        let transaction = begin(&mut client).await?;
        // One row more than the limit: there is a next page.
        let ids = self.found(&transaction, place, limit as usize + 1).await?;
        // The conditions hold for them, so their parameters are not needed any more.
        self.parameters = vec![Box::new(ids), Box::new(i64::from(limit) + 1), Box::new(bytes_max)];
        let columns = format!("id, {}, {}", self.order, form.inner());
        let rows = format!("SELECT {columns} FROM capstan.{} t WHERE id = ANY($1)", self.table);
        let sql = self.page_sql(form, &rows, "NULL::bigint");
        query(&transaction, &sql, &borrowed(&self.parameters)).await
    }

    /// The ids of the newest tasks, at most so many, in any order.
    async fn found(
        &self,
        transaction: &Transaction<'_>,
        place: Option<Place>,
        wanted: usize,
    ) -> Result<Vec<Uuid>, QueryError> {
        let mut found = Found { tasks: BTreeSet::new(), wanted };
        self.find(transaction, place, &mut found).await?;
        Ok(found.tasks.into_iter().map(|(_, id)| id).collect())
    }

    async fn find(
        &self,
        transaction: &Transaction<'_>,
        place: Option<Place>,
        found: &mut Found,
    ) -> Result<(), QueryError> {
        let end = format!("{} LIMIT {PROBED}", self.sorted());
        let sql = format!("SELECT id FROM ({}) u{end}", self.union(&format!("id, {}", self.order), &end));
        let rows = query(transaction, &sql, &borrowed(&self.parameters)).await?;
        let number = self.parameters.len() + 1;
        if rows.len() < PROBED as usize {
            let ids: Vec<Uuid> = rows.iter().map(|row| row.get(0)).collect();
            let of = format!("SELECT unnest(${number}::uuid[]) AS id");
            return self.look_at(transaction, &of, &[&ids], found).await;
        }
        let sql =
            "SELECT block, position, oldest, newest FROM capstan.search_blocks ORDER BY newest DESC, block";
        let rows = query(transaction, sql, &[]).await?;
        let indexed = rows.iter().map(|row| row.get::<_, i64>(1)).max().unwrap_or_default();
        let of = format!(
            "SELECT id FROM capstan.acceptances WHERE position > ${number}::bigint \
             UNION SELECT id FROM capstan.tasks WHERE reworded_at > ${number}::bigint"
        );
        self.look_at(transaction, &of, &[&indexed], found).await?;
        let blocks = rows.iter().map(|row| IndexedBlock {
            number: row.get(0),
            oldest: row.get(2),
            newest: row.get(3),
        });
        let blocks: Vec<_> =
            blocks.filter(|block| place.is_none_or(|place| block.oldest <= place.time())).collect();
        self.find_indexed(transaction, &blocks, found).await
    }

    /// Finds tasks by the index.
    async fn find_indexed(
        &self,
        transaction: &Transaction<'_>,
        blocks: &[IndexedBlock],
        found: &mut Found,
    ) -> Result<(), QueryError> {
        let mut indexed = IndexedPlaces::new(self.sought.grams(&self.workspace));
        let number = self.parameters.len() + 1;
        let of = format!(
            "SELECT s.ids[e.place % {ids} + 1] AS id FROM unnest(${number}::int[], ${next}::int[]) e(block, place), \
             LATERAL (SELECT ids FROM capstan.search_ids s WHERE s.block = e.block AND s.part = e.place / {ids} OFFSET 0) s",
            ids = crate::search::IDS,
            next = number + 1,
        );
        let (mut left, mut size) = (blocks, BLOCKS_FIRST);
        while !left.is_empty() {
            let (group, rest) = left.split_at(size.min(left.len()));
            (left, size) = (rest, size.saturating_mul(4));
            let numbers: Vec<i32> = group.iter().map(|block| block.number).collect();
            let places = indexed.read(transaction, &numbers).await?;
            let (mut of_blocks, mut at): (Vec<i32>, Vec<i32>) = (Vec::new(), Vec::new());
            for (index, block) in group.iter().enumerate() {
                if let Some(places) = places.get(&block.number) {
                    at.extend(places.iter().map(|place| place as i32));
                    of_blocks.resize(at.len(), block.number);
                }
                let next = group.get(index + 1);
                if !at.is_empty() && (at.len() >= ENOUGH || next.is_none()) {
                    self.look_at(transaction, &of, &[&of_blocks, &at], found).await?;
                    (of_blocks, at) = (Vec::new(), Vec::new());
                }
                let is_over = next.or(left.first()).is_some_and(|next| found.is_beyond(next.newest));
                if at.is_empty() && is_over {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Looks at the tasks with the ids that a statement names, newest first, until those wanted are found. Its parameters are behind
    /// those of the conditions.
    async fn look_at(
        &self,
        transaction: &Transaction<'_>,
        of: &str,
        parameters: &[&(dyn ToSql + Sync)],
        found: &mut Found,
    ) -> Result<(), QueryError> {
        // The acceptances are read once the order is known, and only as far as they are looked at.
        let sql = format!(
            "SELECT x.id, x.created_at, x.label, x.doc, (SELECT a.doc FROM capstan.acceptances a WHERE a.id = x.id) FROM \
             (SELECT t.* FROM ({of}) c, LATERAL (SELECT id, created_at, label, doc FROM capstan.tasks t \
                                                 WHERE t.id = c.id AND {} OFFSET 0) t \
              ORDER BY created_at DESC, id DESC) x",
            self.all_conditions()
        );
        let statement = transaction.prepare_cached(&sql).await.map_err(QueryError::unavailable)?;
        let mut all = borrowed(&self.parameters);
        all.extend(parameters);
        let portal = transaction.bind(&statement, &all).await.map_err(QueryError::from_statement)?;
        loop {
            let rows =
                transaction.query_portal(&portal, LOOKED_AT).await.map_err(QueryError::from_statement)?;
            for row in &rows {
                let (id, created_at): (Uuid, DateTime<Utc>) = (row.get(0), row.get(1));
                if found.is_beyond(created_at) {
                    return Ok(());
                }
                let Some(acceptance) = row.get::<_, Option<&str>>(4) else { continue };
                if self.sought.is_in(&Texts::read(row.get(2), row.get(3), acceptance)?) {
                    found.add(created_at, id);
                }
            }
            if rows.len() < LOOKED_AT as usize {
                return Ok(());
            }
        }
    }
}

/// The places in blocks of the index of the tasks that may have what is sought.
struct IndexedPlaces {
    sought: SoughtGrams,
    /// The single grams. Once the first blocks were read, the rarest ones come first.
    single: Vec<Gram>,
    /// Number of grams that are read of all blocks; the others only of those in which these leave any place.
    first: usize,
}

impl IndexedPlaces {
    fn new(sought: SoughtGrams) -> Self {
        let single = sought.single();
        Self { first: single.len(), single, sought }
    }

    /// The places in each of these blocks.
    async fn read(
        &mut self,
        transaction: &Transaction<'_>,
        blocks: &[i32],
    ) -> Result<HashMap<i32, Places>, QueryError> {
        let mut known: HashMap<i32, HashMap<Gram, Places>> = HashMap::new();
        let (first, others) = self.single.split_at(self.first);
        self.read_single(transaction, blocks, first, &mut known).await?;
        let is_left =
            |block: &i32| known.get(block).is_some_and(|of| self.sought.places(of, None) != Places::NONE);
        let left: Vec<i32> = blocks.iter().copied().filter(is_left).collect();
        if !others.is_empty() {
            self.read_single(transaction, &left, others, &mut known).await?;
        }
        let mut within: HashMap<i32, Places> = HashMap::new();
        if let Some((first, last)) = self.sought.range() {
            let sql = "SELECT b.block, p.first, p.page FROM unnest($1::int[]) b(block), \
                       LATERAL (SELECT max(first) AS first FROM capstan.search_pages p \
                                WHERE p.block = b.block AND p.first <= $2) f, \
                       LATERAL (SELECT first, page FROM capstan.search_pages p \
                                WHERE p.block = b.block AND p.first >= coalesce(f.first, $2) AND p.first <= $3) p";
            within.extend(left.iter().map(|block| (*block, Places::NONE)));
            for row in query(transaction, sql, &[&left, &first, &last]).await? {
                let places = pages::within(&(first..=last), row.get(1), row.get(2));
                within.entry(row.get(0)).or_insert(Places::NONE).unite(&places);
            }
        }
        if others.is_empty() {
            self.learn(&known);
        }
        let of_block = |block: i32| Some((block, self.sought.places(known.get(&block)?, within.get(&block))));
        Ok(left.into_iter().filter_map(of_block).collect())
    }

    async fn read_single(
        &self,
        transaction: &Transaction<'_>,
        blocks: &[i32],
        grams: &[Gram],
        known: &mut HashMap<i32, HashMap<Gram, Places>>,
    ) -> Result<(), QueryError> {
        let sql = "SELECT b.block, g.gram, p.first, p.page FROM unnest($1::int[]) b(block), unnest($2::bigint[]) g(gram), \
                   LATERAL (SELECT first, page FROM capstan.search_pages p \
                            WHERE p.block = b.block AND p.first <= g.gram ORDER BY p.first DESC LIMIT 1) p";
        for block in blocks {
            known.entry(*block).or_default().extend(grams.iter().map(|gram| (*gram, Places::NONE)));
        }
        for row in query(transaction, sql, &[&blocks, &grams]).await? {
            let gram: Gram = row.get(1);
            let places = pages::within(&(gram..=gram), row.get(2), row.get(3));
            known.entry(row.get(0)).or_default().insert(gram, places);
        }
        Ok(())
    }

    /// Sorts the grams by the number of their places in the first blocks.
    fn learn(&mut self, known: &HashMap<i32, HashMap<Gram, Places>>) {
        let count =
            |gram: &Gram| -> u32 { known.values().filter_map(|of| of.get(gram)).map(Places::count).sum() };
        // Without those that have too many grams a block cannot be left out.
        self.single.sort_by_cached_key(|gram| (*gram != TOO_MANY, count(gram)));
        self.first = RAREST.min(self.single.len());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::queries::TaskFilter;
    use crate::queries::plans::filled;
    use crate::queries::select::Query;
    use crate::search::trail;

    /// Tasks in the order of their positions: 3,000 of `dev`, created a second after each other but for every seventh, which is an
    /// hour older, and as many of others. The old half of them is labelled.
    const ROWS: &str = r#"
        INSERT INTO capstan_rm_1.tasks (id, workspace, position, version, agent_id, state, open, unsettled, priority, label, archived,
                                        created_at, updated_at, updated_hour, doc)
            SELECT lpad(i::text, 32, '0')::uuid, CASE WHEN i % 2 = 0 THEN 'dev' ELSE 'w' || i % 9 END, i, 1, md5((i % 8)::text)::uuid,
                   CASE WHEN i % 4 = 0 THEN 'done' ELSE 'queued' END, false, false, 'normal', CASE WHEN i % 10 = 0 THEN 'Tag ' || i END,
                   false, at, at, extract(epoch FROM at)::bigint / 3600, '{"progress":{}}'
            FROM (SELECT i, '2026-01-01T00:00:00Z'::timestamptz + (i - CASE WHEN i % 7 = 0 THEN 3600 ELSE 0 END) * interval '1 second' AS at
                  FROM generate_series(1, 6000) i) r;
        INSERT INTO capstan_rm_1.acceptances (id, position, doc)
            SELECT lpad(i::text, 32, '0')::uuid, i, jsonb_build_object('accepted', jsonb_build_object('message',
                       'Wert ' || i || ' ÄRGER ' || md5((i / 6)::text) || CASE WHEN i % 3000 = 100 THEN ' selten' ELSE '' END,
                       'labels', CASE WHEN i < 3000 THEN '{"half":"old"}' ELSE '{}' END::jsonb))::text
            FROM generate_series(1, 6000) i"#;

    /// The numbers of the tasks that are found behind this one in the list, sorted.
    async fn found(
        read_models: &ReadModels,
        filter: &TaskFilter,
        behind: Option<u128>,
        wanted: usize,
    ) -> Vec<u128> {
        let mut select = filter.select("dev");
        let place = behind.map(|number| {
            let begin: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
            Place::new(begin + chrono::TimeDelta::seconds(created(number) as i64), id(number))
        });
        select.put_place(place);
        let mut client = read_models.client().await.unwrap();
        let transaction = begin(&mut client).await.unwrap();
        let ids = select.found(&transaction, place, wanted).await.unwrap();
        let mut numbers: Vec<_> =
            ids.iter().map(|id| format!("{:x}", id.as_u128()).parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn id(number: u128) -> Uuid {
        format!("{number:032}").parse().unwrap()
    }

    fn created(number: u128) -> i128 {
        number as i128 - if number.is_multiple_of(7) { 3_600 } else { 0 }
    }

    /// Whether the task of this number is sought.
    type Holds = fn(u128) -> bool;

    #[tokio::test]
    async fn the_newest_tasks_are_found_however_far_the_index_is() {
        let (_servers, read_models) = filled(ROWS).await;
        let session = read_models.session().await.unwrap();
        let text = |text: &str| TaskFilter { text: Some(text.into()), ..TaskFilter::default() };
        let old = BTreeMap::from([("half".to_owned(), "old".to_owned())]);
        let done = vec![capstan_domain::task::TaskState::Done];
        let cases: [(TaskFilter, Holds); 12] = [
            (text("wert"), |_| true),
            (text("wert 59"), |n| n.to_string().starts_with("59")),
            (text("ärger"), |_| true),
            (text("SELTEN"), |n| n % 3_000 == 100),
            (text("selten."), |_| false),
            (text("tag 4"), |n| n % 10 == 0 && n.to_string().starts_with('4')),
            (text("g 42"), |n| n % 10 == 0 && n.to_string().starts_with("42")),
            (text("ä"), |_| true),
            (text("ß"), |_| false),
            (TaskFilter { labels: old.clone(), ..TaskFilter::default() }, |n| n < 3_000),
            (TaskFilter { labels: old, ..text("selten") }, |n| n == 100),
            (TaskFilter { states: done, ..text("wert 3") }, |n| n % 4 == 0 && n.to_string().starts_with('3')),
        ];
        // First no block, then some, smaller ones behind them, and others where some were taken back.
        for (size, left) in [(0, 0), (700, 400), (64, 16), (0, 0), (1_000, 200)] {
            if size > 0 {
                assert_eq!(trail::fill(&session, "capstan_rm_1", size).await.unwrap(), left);
            }
            for (filter, holds) in &cases {
                for (behind, wanted) in [(None, 1), (None, 50), (None, 10_000), (Some(3_002), 70)] {
                    let place = |number: u128| std::cmp::Reverse((created(number), number));
                    let is_behind = |number| behind.is_none_or(|behind| place(number) > place(behind));
                    let mut expected: Vec<u128> = (2..=6_000).step_by(2).filter(|n| holds(*n)).collect();
                    expected.retain(|number| is_behind(*number));
                    expected.sort_unstable_by_key(|number| place(*number));
                    expected.truncate(wanted);
                    expected.sort_unstable();
                    let found = found(&read_models, filter, behind, wanted).await;
                    assert_eq!(found, expected, "{filter:?}, {wanted} behind {behind:?}, blocks of {size}");
                }
            }
            if size == 64 {
                trail::take_back(&session, "capstan_rm_1", 3_000).await.unwrap();
            }
        }
    }
}
