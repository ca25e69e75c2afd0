//! The rows of one model in memory: read from its table, folded, written back in sets.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use capstan_contract::DomainEvent;
use capstan_contract::causes::explain;
use capstan_envelope::Recorded;
use tokio_postgres::error::SqlState;

use crate::cell::{Cell, CellType, Document};
use crate::events::Events;
use crate::fact::Fact;
use crate::model::{Aside, Model, RowKey, Stored};
use crate::session::Session;
use crate::table::{Table, TableColumn, Write, WriteError, encode_all};

/// Maximum number of rows kept after a batch; above it all are dropped and read again when needed.
const CACHED_ROWS_MAX: usize = 20_000;
/// Version of a stream with its first commit.
const FIRST_VERSION: u64 = 1;

/// The reason rows could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("read or write the rows of {model}")]
    Postgres {
        /// Name of the read model.
        model: &'static str,
        /// The error from Postgres.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A stored row does not deserialize in this build; a rebuild replaces it.
    #[error("read row {id} of {model}: it has another shape")]
    Unreadable {
        /// Name of the read model.
        model: &'static str,
        /// Id of the row.
        id: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A row cannot be written, for example because of its size.
    #[error("write a row of {model}")]
    Unwritable {
        /// Name of the read model.
        model: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// True when a row that was taken for new is in the table: it was folded before.
    pub(crate) fn is_known_row(&self) -> bool {
        matches!(self, Self::Postgres { source, .. } if source.code() == Some(&SqlState::UNIQUE_VIOLATION))
    }

    /// True when the statement found the transaction failed by another one.
    pub(crate) fn is_aftermath(&self) -> bool {
        let failed = Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
        matches!(self, Self::Postgres { source, .. } if source.code() == failed)
    }

    /// The error text, if the cause is in the data of a commit or a stored row, so that a retry cannot help.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Self::Postgres { source, .. } => refused_data(source),
            Self::Unwritable { .. } | Self::Unreadable { .. } => Some(explain(self)),
        }
    }
}

/// The error text, if Postgres rejected the data: data exceptions, violated constraints, exceeded limits.
pub(crate) fn refused_data(error: &tokio_postgres::Error) -> Option<String> {
    let code = error.code()?;
    let in_the_data = ["22", "23", "54"].iter().any(|class| code.code().starts_with(class));
    (in_the_data && *code != SqlState::UNDEFINED_TABLE).then(|| explain(error))
}

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
    bytes: AtomicUsize,
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
            bytes: AtomicUsize::new(0),
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
    bytes: AtomicUsize,
}

impl<M: Model> Default for ModelRows<M> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            changed: Vec::new(),
            missing: HashSet::new(),
            keys: Vec::new(),
            bytes: AtomicUsize::new(0),
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
    /// Reads the registered rows.
    async fn fetch(&mut self, session: &Session, schema: &str) -> Result<(), StoreError>;
    /// Folds an event, the `index`th of its commit. Idempotent.
    fn fold(&mut self, fact: &Fact<'_>, index: usize);
    /// Writes the rows that changed, inside the session's open transaction.
    async fn write(&self, session: &Session, schema: &str, batch: Batch) -> Result<(), StoreError>;
    /// Encodes every row for a COPY in the binary format, in pieces of at least `bytes`, until `take` answers false; with each
    /// piece comes the number of the commit its last row was folded from. Returns the number of rows.
    fn encode(&self, bytes: usize, take: &mut dyn FnMut(Bytes, u64) -> bool) -> Result<u64, StoreError>;
    /// The same for the rows of the second table, see [`Aside`].
    fn encode_aside(&self, bytes: usize, take: &mut dyn FnMut(Bytes, u64) -> bool)
    -> Result<u64, StoreError>;
    /// Marks the changes as written.
    fn settle(&mut self);
    /// Drops everything: memory may differ from the tables.
    fn forget(&mut self);
    /// Hands over the key text of every row that was never settled, and its document; for a model with two tables, both.
    fn each_document(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError>;
    /// Number of rows in memory.
    #[cfg(test)]
    fn len(&self) -> usize;
    /// Bytes of the documents as last read or written.
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

    /// Records the length of an entry's document.
    fn measure(&self, entry: &Entry<M>, bytes: usize) {
        let before = entry.bytes.swap(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_sub(before, Ordering::Relaxed);
    }

    fn failed(source: tokio_postgres::Error) -> StoreError {
        StoreError::Postgres { model: M::NAME, source }
    }

    fn unwritten(error: WriteError) -> StoreError {
        match error {
            WriteError::Postgres(source) => Self::failed(source),
            WriteError::Unwritable(source) => StoreError::Unwritable { model: M::NAME, source },
        }
    }

    fn cells<'a>(key: &'a M::Key, entry: &'a Entry<M>, row: &'a M, doc: Cell<'a>) -> Vec<Cell<'a>> {
        let mut cells = Vec::with_capacity(5 + M::COLUMNS.len());
        cells.extend([
            key.cell(),
            Cell::Text(Some((&*entry.workspace).into())),
            Cell::number(entry.sequence),
            Cell::number(entry.version),
            doc,
        ]);
        cells.extend(M::COLUMNS.iter().map(|column| (column.cell)(row)));
        cells
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
        let is_new = M::STARTS_EMPTY && recorded.commit.version == FIRST_VERSION;
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
                bytes: AtomicUsize::new(0),
            };
            self.measure(&entry, stored.doc.len() + stored.aside.map_or(0, str::len));
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

    async fn write(&self, session: &Session, schema: &str, batch: Batch) -> Result<(), StoreError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        // In key order, so that two writers lock rows in the same order and cannot deadlock.
        let mut changed: Vec<&M::Key> = self.changed.iter().collect();
        changed.sort_unstable();
        let mut documents = BytesMut::new();
        let mut kept: Vec<(&M::Key, &Entry<M>, &M, Range<usize>)> = Vec::with_capacity(changed.len());
        let mut gone: Vec<M::Key> = Vec::new();
        for key in changed {
            let Some(entry) = self.entries.get(key) else { continue };
            if let Some(row) = &entry.row {
                let from = documents.len();
                row.write(&mut documents)
                    .map_err(|error| Self::unwritten(WriteError::Unwritable(error.into())))?;
                self.measure(entry, documents.len() - from);
                kept.push((key, entry, row, from..documents.len()));
            } else {
                self.measure(entry, 0);
                gone.push(key.clone());
            }
        }
        let (mut new, mut known, mut new_asides) = (Vec::new(), Vec::new(), Vec::new());
        for (key, entry, row, range) in kept {
            let doc = Cell::Utf8(&documents[range]);
            let rows = if entry.is_stored { &mut known } else { &mut new };
            rows.push(Self::cells(key, entry, row, doc));
            new_asides.extend(aside_cells(key, row));
        }
        let insert = match batch {
            Batch::Few => Write::Insert,
            Batch::Many => Write::Copy,
            Batch::Refold => Write::Upsert,
        };
        if let Some(table) = aside_table::<M>() {
            table.write(session, schema, insert, &new_asides).await.map_err(Self::unwritten)?;
        }
        let table = table::<M>();
        table.write(session, schema, insert, &new).await.map_err(Self::unwritten)?;
        table.write(session, schema, Write::Update, &known).await.map_err(Self::unwritten)?;
        if !gone.is_empty() {
            let sql = format!("DELETE FROM {schema}.{} WHERE id = ANY($1)", M::NAME);
            let statement = session.prepared(&sql).await.map_err(Self::failed)?;
            session.client().execute(&statement, &[&gone]).await.map_err(Self::failed)?;
        }
        Ok(())
    }

    fn encode(&self, bytes: usize, take: &mut dyn FnMut(Bytes, u64) -> bool) -> Result<u64, StoreError> {
        let rows = self.by_age().into_iter();
        let rows =
            rows.map(|(key, entry, row)| (entry.sequence, Self::cells(key, entry, row, Cell::Json(row))));
        encode_all(rows, bytes, take).map_err(|error| Self::unwritten(error.into()))
    }

    fn encode_aside(
        &self,
        bytes: usize,
        take: &mut dyn FnMut(Bytes, u64) -> bool,
    ) -> Result<u64, StoreError> {
        let rows = self.by_age().into_iter();
        let rows = rows.filter_map(|(key, entry, row)| Some((entry.sequence, aside_cells(key, row)?)));
        encode_all(rows, bytes, take).map_err(|error| Self::unwritten(error.into()))
    }

    fn settle(&mut self) {
        for key in self.changed.drain(..) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.changed = false;
                entry.row.iter_mut().for_each(M::settled);
                entry.is_stored = entry.row.is_some();
            }
        }
        if self.entries.len() > CACHED_ROWS_MAX {
            self.entries.clear();
            self.bytes = AtomicUsize::new(0);
        }
    }

    fn forget(&mut self) {
        *self = Self::default();
    }

    fn each_document(&self, take: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
        for (key, entry) in &self.entries {
            let Some(row) = &entry.row else { continue };
            let mut doc = serde_json::to_vec(row)
                .map_err(|error| Self::unwritten(WriteError::Unwritable(error.into())))?;
            let aside = M::ASIDE.and_then(|aside| (aside.doc)(row));
            doc.extend_from_slice(aside.unwrap_or_default().as_bytes());
            take(&key.to_string(), &doc);
        }
        Ok(())
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
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
    Table { name: M::NAME, columns }
}

/// The table with the part of the model's rows that never changes.
fn aside_table<M: Model>() -> Option<Table> {
    let Aside { table, columns: further, .. } = M::ASIDE?;
    let column = |name, holds| TableColumn { name, holds, changes: false };
    let mut columns = vec![column("id", M::Key::HOLDS), column("doc", CellType::Text)];
    columns.extend(further.iter().map(|further| column(further.name, further.holds)));
    Some(Table { name: table, columns })
}

/// The row in that table, unless it is written already.
fn aside_cells<'a, M: Model>(key: &'a M::Key, row: &'a M) -> Option<Vec<Cell<'a>>> {
    let Aside { doc, columns, .. } = M::ASIDE?;
    let mut cells = vec![key.cell(), Cell::Text(Some(doc(row)?.into()))];
    cells.extend(columns.iter().map(|column| (column.cell)(row)));
    Some(cells)
}

/// Name and columns of that table.
pub(crate) fn aside_columns<M: Model>() -> Option<(&'static str, Vec<&'static str>)> {
    aside_table::<M>().map(|table| (table.name, table.column_names()))
}

/// Columns of the model's table, in the order of its cells.
pub(crate) fn column_names<M: Model>() -> Vec<&'static str> {
    table::<M>().column_names()
}
