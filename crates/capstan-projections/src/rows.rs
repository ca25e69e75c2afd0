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
use crate::model::{Model, RowKey};
use crate::session::Session;
use crate::table::{COPY_BYTES, Table, TableColumn, Write, WriteError, encode};

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

/// The belief about the rows of a batch: the usual one, or that the batch may have been folded before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// What begins with a stream is new to the table, and what was read from it is still there.
    Next,
    /// Any row may be in the table already, even newer than the batch.
    Refold,
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
    /// Encodes every row for a COPY in the binary format, in pieces, until `take` answers false. Returns the number of rows.
    fn encode(&self, take: &mut dyn FnMut(Bytes) -> bool) -> Result<u64, StoreError>;
    /// Marks the changes as written.
    fn settle(&mut self);
    /// Drops everything: memory may differ from the tables.
    fn forget(&mut self);
    /// Hands over every row's key text and document.
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
        M::keys(recorded, event, &mut self.keys);
        for key in self.keys.drain(..) {
            if self.entries.contains_key(&key) {
                continue;
            }
            if M::STARTS_EMPTY && recorded.commit.version == FIRST_VERSION && batch == Batch::Next {
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
        let sql = format!(
            "SELECT id, workspace, position, version, doc FROM {schema}.{} WHERE id = ANY($1)",
            M::NAME
        );
        let statement = session.prepared(&sql).await.map_err(Self::failed)?;
        let found = session.client().query(&statement, &[&missing]).await.map_err(Self::failed)?;
        for row in found {
            let key: M::Key = row.get(0);
            let text: &str = row.get(4);
            let doc = M::read(&key, text).map_err(|source| StoreError::Unreadable {
                model: M::NAME,
                id: key.to_string(),
                source,
            })?;
            let entry = Entry {
                row: Some(doc),
                sequence: row.get::<_, i64>(2) as u64,
                index: usize::MAX,
                workspace: row.get::<_, &str>(1).into(),
                version: row.get::<_, i64>(3) as u64,
                is_stored: true,
                changed: false,
                bytes: AtomicUsize::new(0),
            };
            self.measure(&entry, text.len());
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
        M::keys(fact.recorded, event, &mut self.keys);
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
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for (key, entry, row, range) in kept {
            let doc = Cell::Utf8(&documents[range]);
            let rows = if entry.is_stored { &mut known } else { &mut new };
            rows.push(Self::cells(key, entry, row, doc));
        }
        let table = table::<M>();
        if batch == Batch::Refold {
            // One statement for all, since an update would miss the rows that are not there.
            new.append(&mut known);
        }
        let insert = if batch == Batch::Refold { Write::Upsert } else { Write::Insert };
        table.write(session, schema, insert, &new).await.map_err(Self::unwritten)?;
        table.write(session, schema, Write::Update, &known).await.map_err(Self::unwritten)?;
        if !gone.is_empty() {
            let sql = format!("DELETE FROM {schema}.{} WHERE id = ANY($1)", M::NAME);
            let statement = session.prepared(&sql).await.map_err(Self::failed)?;
            session.client().execute(&statement, &[&gone]).await.map_err(Self::failed)?;
        }
        Ok(())
    }

    fn encode(&self, take: &mut dyn FnMut(Bytes) -> bool) -> Result<u64, StoreError> {
        let mut out = BytesMut::with_capacity(COPY_BYTES + COPY_BYTES / 4);
        // In the order of their last change, so that rows changed together are close on disk.
        let mut entries: Vec<(&M::Key, &Entry<M>)> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(key, entry)| (entry.sequence, *key));
        let mut encoded = 0;
        for (key, entry) in entries {
            let Some(row) = &entry.row else { continue };
            encode(&Self::cells(key, entry, row, Cell::Json(row)), &mut out)
                .map_err(|error| Self::unwritten(error.into()))?;
            encoded += 1;
            if out.len() >= COPY_BYTES {
                let piece = std::mem::replace(&mut out, BytesMut::with_capacity(COPY_BYTES + COPY_BYTES / 4));
                if !take(piece.freeze()) {
                    return Ok(encoded);
                }
            }
        }
        if !out.is_empty() {
            take(out.freeze());
        }
        Ok(encoded)
    }

    fn settle(&mut self) {
        for key in self.changed.drain(..) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.changed = false;
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
            let doc = serde_json::to_vec(row)
                .map_err(|error| Self::unwritten(WriteError::Unwritable(error.into())))?;
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

/// Columns of the model's table, in the order of its cells.
pub(crate) fn column_names<M: Model>() -> Vec<&'static str> {
    table::<M>().column_names()
}
