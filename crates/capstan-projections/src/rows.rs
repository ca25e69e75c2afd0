//! The rows of one model in memory: read from its table, folded, written back in sets.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use async_trait::async_trait;
use bytes::Bytes;
use capstan_contract::DomainEvent;
use capstan_envelope::{Carried, Recorded, StreamId};

use crate::cell::{Cell, CellType, Failure};
use crate::copy_in::CopyRows;
use crate::events::Events;
use crate::fact::Fact;
use crate::model::{Aside, Model, RowKey, Stored};
use crate::replay::spill::name_hash;
use crate::session::Session;
use crate::store_error::StoreError;
use crate::table::{Outgoing, Table, TableColumn, Write};

/// Rows for which memory is kept when all are dropped.
const ENTRIES_KEPT: usize = 1_024;
/// Places that the map of entries has for each, between one and two and a half.
const PLACES: usize = 2;
/// Place of the document among the columns of a table.
const DOC: usize = 4;
/// Version of a stream with its first commit.
const FIRST_VERSION: u64 = 1;

/// A row, or its known absence, with the commit it was last folded from.
#[derive(Debug)]
pub(crate) struct Entry<R> {
    pub(crate) row: Option<R>,
    /// The commit's number in the log; 0 before the first one.
    sequence: u64,
    /// Index of the last folded event within its commit.
    index: usize,
    workspace: Box<str>,
    version: u64,
    /// True when the table has the row, as far as this process knows.
    is_stored: bool,
    /// True when it was folded since it was last written.
    changed: bool,
    /// Length of the document as last read or written.
    doc_bytes: usize,
    /// The same of the document in the second table, of which the row holds the content.
    aside_bytes: usize,
}

impl<R> Default for Entry<R> {
    fn default() -> Self {
        Self {
            row: None,
            sequence: 0,
            index: 0,
            workspace: Box::default(),
            version: 0,
            is_stored: false,
            changed: false,
            doc_bytes: 0,
            aside_bytes: 0,
        }
    }
}

/// Number of commits from which the writes of a batch follow each other, for COPY, instead of being pipelined.
const MANY_COMMITS: usize = 24;

/// The way a batch is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// A few commits: their statements are pipelined. What begins with a stream is new to the table, and what was read from
    /// it is still there.
    Few,
    /// Many commits: new rows go by COPY, which must not be pipelined with a statement that may fail.
    Many,
    /// The batch may have been folded before: any row may be in the table already, even newer than the batch.
    Refold,
}

impl Batch {
    /// The usual way for this number of commits.
    pub(crate) fn of(commits: usize) -> Self {
        if commits < MANY_COMMITS { Self::Few } else { Self::Many }
    }

    /// The next tries of a batch that Postgres rejected, the last one first; `None` when its only commit is at fault. One that
    /// met rows of an earlier fold is folded again as such; another is halved until the faulty commit is found.
    pub(crate) fn retried<T>(self, batch: &[T], is_known_row: bool) -> Option<Vec<(&[T], Self)>> {
        if self != Self::Refold && is_known_row {
            return Some(vec![(batch, Self::Refold)]);
        }
        let (first, second) = batch.split_at(batch.len() / 2);
        (batch.len() > 1).then(|| vec![(second, self), (first, self)])
    }
}

/// The rows of one model.
#[derive(Debug)]
pub(crate) struct ModelRows<M: Model> {
    entries: HashMap<M::Key, Entry<M>>,
    changed: Vec<M::Key>,
    missing: HashSet<M::Key>,
    keys: Vec<M::Key>,
    /// Sum of the entries' bytes.
    bytes: usize,
    /// Hashes of the keys whose rows are folded; `None` for all.
    only: Option<RangeInclusive<u64>>,
}

impl<M: Model> Default for ModelRows<M> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            changed: Vec::new(),
            missing: HashSet::new(),
            keys: Vec::new(),
            bytes: 0,
            only: None,
        }
    }
}

/// The rows of any model.
#[async_trait]
pub(crate) trait Rows: Send + Sync {
    /// Name of the model.
    fn name(&self) -> &'static str;
    /// Registers the rows an event needs that are not in memory.
    fn want(&mut self, recorded: &Recorded, event: &DomainEvent, batch: Batch);
    /// Number of registered rows to read.
    fn lacking(&self) -> usize;
    /// Registers the row that a commit of this stream carries forward, if it is not in memory.
    fn want_carried(&mut self, stream: &StreamId, carried: &Carried);
    /// Puts the row that a commit carries forward in the place of what is there. Idempotent.
    fn carry(&mut self, recorded: &Recorded, carried: &Carried) -> serde_json::Result<()>;
    /// Reads the registered rows.
    async fn fetch(&mut self, session: &Session, schema: &str) -> Result<(), StoreError>;
    /// Folds an event, the `index`th of its commit. Idempotent.
    fn fold(&mut self, fact: &Fact<'_>, index: usize);
    /// Encodes the rows that changed, with the statements that write them.
    fn hand_out(&mut self, schema: &str, batch: Batch, to: &mut Vec<Outgoing>) -> Result<(), StoreError>;
    /// Encodes every row for a COPY in the binary format, in pieces of at least `bytes`, until `take` answers false; with each
    /// piece comes the number of the commit its last row was folded from. Returns the number of rows.
    fn encode(&self, bytes: usize, take: &mut dyn FnMut(Bytes, u64) -> bool) -> Result<u64, StoreError>;
    /// The same for the rows of the second table, see [`Aside`].
    fn encode_aside(&self, bytes: usize, take: &mut dyn FnMut(Bytes, u64) -> bool)
    -> Result<u64, StoreError>;
    /// Takes the changes for written: what is folded next goes on from them. When they are not written after all, memory must
    /// be [forgotten](Self::forget).
    fn settle(&mut self);
    /// Drops everything: memory may differ from the tables.
    fn forget(&mut self);
    /// Hands over the key text of every row that was never settled, and its document; for a model with two tables, both.
    fn each_document(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError>;
    /// Number of rows in memory.
    fn len(&self) -> usize;
    /// Drops the rows of which the hash of the key is outside, and takes no others from now on.
    fn restrict(&mut self, hashes: RangeInclusive<u64>);
    /// Bytes that the rows take, by the documents as last read or written.
    fn bytes(&self) -> usize;
}

impl<M: Model> ModelRows<M> {
    /// A row in memory.
    pub(crate) fn entry(&self, key: &M::Key) -> Option<&Entry<M>> {
        self.entries.get(key)
    }

    /// The rows in the order of their last change, so that those changed together are close on disk.
    fn by_age(&self) -> Vec<(&M::Key, &Entry<M>, &M)> {
        let rows = self.entries.iter().filter_map(|(key, entry)| Some((key, entry, entry.row.as_ref()?)));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by_key(|(key, entry, _)| (entry.sequence, *key));
        rows
    }

    fn failed(source: tokio_postgres::Error) -> StoreError {
        StoreError::Postgres { model: M::NAME, source }
    }

    fn unwritable(source: Failure) -> StoreError {
        StoreError::Unwritable { model: M::NAME, source }
    }

    /// Encodes rows in pieces of at least `bytes`, until `take` answers false. `put` answers false for one that is left out.
    /// Returns the number of rows.
    fn encode_all(
        &self,
        bytes: usize,
        take: &mut dyn FnMut(Bytes, u64) -> bool,
        put: impl Fn(&mut CopyRows, &M::Key, &Entry<M>, &M) -> Result<bool, Failure>,
    ) -> Result<u64, StoreError> {
        let (mut out, mut last, mut encoded) = (CopyRows::default(), 0, 0);
        for (key, entry, row) in self.by_age() {
            if !put(&mut out, key, entry, row).map_err(Self::unwritable)? {
                continue;
            }
            encoded += 1;
            last = entry.sequence;
            if out.len() >= bytes && !take(out.take(), last) {
                return Ok(encoded);
            }
        }
        if out.len() > 0 {
            take(out.take(), last);
        }
        Ok(encoded)
    }
}

#[async_trait]
impl<M: Model> Rows for ModelRows<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn want(&mut self, recorded: &Recorded, event: &DomainEvent, batch: Batch) {
        let Some(event) = M::Event::select(event) else { return };
        M::keys(&Fact::alone(recorded, event), &mut self.keys);
        let is_new = M::ROWS_ARE_NEW || (M::STARTS_EMPTY && recorded.commit.version == FIRST_VERSION);
        for key in self.keys.drain(..) {
            if self.entries.contains_key(&key) {
                continue;
            }
            if is_new && batch != Batch::Refold {
                self.entries.insert(key, Entry::default());
            } else {
                self.missing.insert(key);
            }
        }
    }

    fn lacking(&self) -> usize {
        self.missing.len()
    }

    fn want_carried(&mut self, stream: &StreamId, carried: &Carried) {
        if let Some(key) = M::carried_key(stream, carried).filter(|key| !self.entries.contains_key(key)) {
            self.missing.insert(key);
        }
    }

    fn carry(&mut self, recorded: &Recorded, carried: &Carried) -> serde_json::Result<()> {
        let Some(key) = M::carried_key(&recorded.commit.stream, carried) else { return Ok(()) };
        if self.only.as_ref().is_some_and(|only| !only.contains(&name_hash(&key.to_string()))) {
            return Ok(());
        }
        let row = M::carried(recorded, carried)?;
        let entry = self.entries.entry(key.clone()).or_default();
        let sequence = recorded.position.sequence();
        if entry.sequence >= sequence || !M::holds(carried, entry.sequence) {
            return Ok(());
        }
        let written = entry.row.take();
        entry.row = row.map(|(workspace, mut row)| {
            entry.workspace = workspace.into();
            if entry.is_stored && !row.replaces_aside(written.as_ref()) {
                // What is written once stands in its table.
                row.settled();
            }
            row
        });
        (entry.sequence, entry.index, entry.version) = (sequence, 0, recorded.commit.version);
        if !std::mem::replace(&mut entry.changed, true) {
            self.changed.push(key);
        }
        Ok(())
    }

    async fn fetch(&mut self, session: &Session, schema: &str) -> Result<(), StoreError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<M::Key> = self.missing.drain().collect();
        let aside = M::ASIDE.map_or_else(
            || "NULL::text".to_owned(),
            |aside| format!("(SELECT a.doc FROM {schema}.{} a WHERE a.id = t.id)", aside.table),
        );
        let sql = format!(
            "SELECT id, workspace, position AS sequence, version, doc, {aside} AS aside FROM {schema}.{} t WHERE id = ANY($1)",
            M::NAME
        );
        let statement = session.prepared(&sql).await.map_err(Self::failed)?;
        let found = session.client().query(&statement, &[&missing]).await.map_err(Self::failed)?;
        for row in found {
            let key: M::Key = row.get(0);
            let stored = Stored::from_row(&row);
            let read = M::read(&key, &stored).map_err(|source| StoreError::Unreadable {
                model: M::NAME,
                id: key.to_string(),
                source,
            })?;
            let entry = Entry {
                row: Some(read),
                sequence: stored.sequence,
                index: usize::MAX,
                workspace: row.get::<_, &str>(1).into(),
                version: stored.version,
                is_stored: true,
                changed: false,
                doc_bytes: stored.doc.len(),
                aside_bytes: stored.aside.map_or(0, str::len),
            };
            self.bytes += entry.doc_bytes + entry.aside_bytes;
            self.entries.insert(key, entry);
        }
        for key in missing {
            self.entries.entry(key).or_default();
        }
        Ok(())
    }

    fn fold(&mut self, fact: &Fact<'_>, index: usize) {
        let Some(event) = M::Event::select(fact.event) else { return };
        let fact = &fact.with(event);
        M::keys(fact, &mut self.keys);
        for key in self.keys.drain(..) {
            if self.only.as_ref().is_some_and(|only| !only.contains(&name_hash(&key.to_string()))) {
                continue;
            }
            let entry = self.entries.entry(key.clone()).or_default();
            let sequence = fact.recorded.position.sequence();
            if entry.sequence > 0 && (entry.sequence, entry.index) >= (sequence, index) {
                continue;
            }
            entry.row = M::apply(entry.row.take(), &key, fact);
            entry.sequence = sequence;
            entry.index = index;
            entry.version = fact.version();
            if entry.workspace.is_empty() {
                entry.workspace = M::workspace(fact).into();
            }
            if !std::mem::replace(&mut entry.changed, true) {
                self.changed.push(key);
            }
        }
    }

    fn hand_out(&mut self, schema: &str, batch: Batch, to: &mut Vec<Outgoing>) -> Result<(), StoreError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        // In key order, so that two writers lock rows in the same order and cannot deadlock.
        self.changed.sort_unstable();
        let is_new = |key| self.entries.get(key).is_some_and(|entry| entry.row.is_some() && !entry.is_stored);
        let new = self.changed.iter().filter(|key| is_new(*key)).count();
        let insert = match batch {
            Batch::Few => Write::Insert,
            Batch::Many => Write::Copy,
            Batch::Refold => Write::Upsert,
        };
        let table = table::<M>();
        let aside = |how| aside_table::<M>().map(|table| table.outgoing(schema, how, new));
        let (mut asides, mut replaced) = (aside(insert), aside(Write::Replace));
        let [mut inserts, mut updates, mut deletions] =
            [insert, Write::Update, Write::Delete].map(|how| table.outgoing(schema, how, new));
        for key in &self.changed {
            let Some(entry) = self.entries.get_mut(key) else { continue };
            let (mut doc_bytes, mut aside_bytes) = (0, entry.aside_bytes);
            if let Some(row) = &entry.row {
                let out = if entry.is_stored { &mut updates } else { &mut inserts };
                out.begin_row();
                let put = each_cell(key, entry, row, |place, cell| {
                    let put = out.put(place, cell)?;
                    doc_bytes += if place == DOC { put } else { 0 };
                    Ok(())
                });
                put.map_err(Self::unwritable)?;
                let asides = if entry.is_stored { &mut replaced } else { &mut asides };
                if let Some((out, doc)) = asides.as_mut().zip(aside_doc(row)) {
                    out.begin_row();
                    aside_bytes = doc.len();
                    let put = each_aside_cell(key, row, doc, |place, cell| out.put(place, cell).map(drop));
                    put.map_err(Self::unwritable)?;
                }
            } else {
                deletions.begin_row();
                deletions.put(0, &key.cell()).map_err(Self::unwritable)?;
                aside_bytes = 0;
            }
            self.bytes = self.bytes + doc_bytes + aside_bytes - entry.doc_bytes - entry.aside_bytes;
            (entry.doc_bytes, entry.aside_bytes) = (doc_bytes, aside_bytes);
        }
        let statements = asides.into_iter().chain(replaced).chain([inserts, updates, deletions]);
        to.extend(statements.filter(|statement| !statement.is_empty()));
        Ok(())
    }

    fn encode(&self, bytes: usize, take: &mut dyn FnMut(Bytes, u64) -> bool) -> Result<u64, StoreError> {
        let columns = table::<M>().columns.len();
        self.encode_all(bytes, take, |out, key, entry, row| {
            out.begin_row(columns);
            each_cell(key, entry, row, |_, cell| out.put(cell).map(drop)).map(|()| true)
        })
    }

    fn encode_aside(
        &self,
        bytes: usize,
        take: &mut dyn FnMut(Bytes, u64) -> bool,
    ) -> Result<u64, StoreError> {
        let columns = aside_table::<M>().map_or(0, |table| table.columns.len());
        self.encode_all(bytes, take, |out, key, _, row| {
            let Some(doc) = aside_doc(row) else { return Ok(false) };
            out.begin_row(columns);
            each_aside_cell(key, row, doc, |_, cell| out.put(cell).map(drop)).map(|()| true)
        })
    }

    fn settle(&mut self) {
        for key in self.changed.drain(..) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.changed = false;
                entry.row.iter_mut().for_each(M::settled);
                entry.is_stored = entry.row.is_some();
            }
        }
    }

    fn forget(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.clear();
        entries.shrink_to(ENTRIES_KEPT);
        *self = Self { entries, ..Self::default() };
    }

    fn each_document(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        for (key, entry) in &self.entries {
            let Some(row) = &entry.row else { continue };
            let mut doc = serde_json::to_vec(row).map_err(|error| Self::unwritable(error.into()))?;
            doc.extend_from_slice(aside_doc(row).unwrap_or_default().as_bytes());
            take(&key.to_string(), &doc);
        }
        Ok(())
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn restrict(&mut self, hashes: RangeInclusive<u64>) {
        self.entries.retain(|key, _| hashes.contains(&name_hash(&key.to_string())));
        self.only = Some(hashes);
    }

    fn bytes(&self) -> usize {
        self.bytes + self.entries.len() * (PLACES * size_of::<(M::Key, Entry<M>)>() + M::BOXED)
    }
}

/// The model's table, its columns in the order of the cells.
fn table<M: Model>() -> Table {
    let column = |name, holds, changes| TableColumn { name, holds, changes };
    let mut columns = vec![
        column("id", M::Key::HOLDS, false),
        column("workspace", CellType::Text, false),
        column("position", CellType::BigInt, true),
        column("version", CellType::BigInt, true),
        column("doc", CellType::Text, true),
    ];
    columns.extend(M::COLUMNS.iter().map(|column| TableColumn {
        name: column.name,
        holds: column.holds,
        changes: column.changes,
    }));
    Table { model: M::NAME, name: M::NAME, columns }
}

/// The table with the part of the model's rows that never changes.
fn aside_table<M: Model>() -> Option<Table> {
    let Aside { table, columns: further, .. } = M::ASIDE?;
    let column = |name, holds| TableColumn { name, holds, changes: false };
    let mut columns = vec![column("id", M::Key::HOLDS), column("doc", CellType::Text)];
    columns.extend(further.iter().map(|further| column(further.name, further.holds)));
    Some(Table { model: M::NAME, name: table, columns })
}

/// Feeds the values of a row, each with the place of its column.
fn each_cell<M: Model>(
    key: &M::Key,
    entry: &Entry<M>,
    row: &M,
    mut put: impl FnMut(usize, &Cell<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    put(0, &key.cell())?;
    put(1, &Cell::Text(Some((&*entry.workspace).into())))?;
    put(2, &Cell::number(entry.sequence))?;
    put(3, &Cell::number(entry.version))?;
    put(DOC, &Cell::Json(row))?;
    let mut columns = (DOC + 1..).zip(M::COLUMNS);
    columns.try_for_each(|(place, column)| put(place, &(column.cell)(row)))
}

/// The document of the row in the second table, unless it is written already.
fn aside_doc<M: Model>(row: &M) -> Option<String> {
    M::ASIDE.and_then(|aside| (aside.doc)(row))
}

/// Feeds the values of that row.
fn each_aside_cell<M: Model>(
    key: &M::Key,
    row: &M,
    doc: String,
    mut put: impl FnMut(usize, &Cell<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    put(0, &key.cell())?;
    put(1, &Cell::Text(Some(doc.into())))?;
    let columns = M::ASIDE.map_or(&[][..], |aside| aside.columns);
    (2..).zip(columns).try_for_each(|(place, column)| put(place, &(column.cell)(row)))
}

/// Name and columns of that table.
pub(crate) fn aside_columns<M: Model>() -> Option<(&'static str, Vec<&'static str>)> {
    aside_table::<M>().map(|table| (table.name, table.column_names()))
}

/// Columns of the model's table, in the order of its cells.
pub(crate) fn column_names<M: Model>() -> Vec<&'static str> {
    table::<M>().column_names()
}
