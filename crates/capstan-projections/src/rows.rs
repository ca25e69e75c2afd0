//! The rows of one model in memory: read from its table, folded, written back in sets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::{BufMut, BytesMut};
use capstan_contract::DomainEvent;
use capstan_contract::causes::explain;
use capstan_envelope::Recorded;
use futures_util::SinkExt;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::cell::{Cell, CellType, ColumnArray, Failure};
use crate::events::Events;
use crate::fact::Fact;
use crate::model::{Model, RowKey};
use crate::session::Session;

/// Maximum number of rows kept after a batch; above it all are dropped and read again when needed.
const CACHED_ROWS_MAX: usize = 20_000;
/// Index of the document among the columns.
const DOC: usize = 4;
/// Bytes sent to COPY at once. Each send wakes the connection's task, so single rows are too small.
const COPY_BYTES: usize = 256 * 1024;
/// Header of a COPY in the binary format: signature, no flags, no extension.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Trailer of a COPY in the binary format.
const COPY_TRAILER: i16 = -1;

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
            changed: false,
            bytes: AtomicUsize::new(0),
        }
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
    fn want(&mut self, recorded: &Recorded, event: &DomainEvent);
    /// Reads the registered rows.
    async fn fetch(&mut self, session: &Session, schema: &str) -> Result<(), StoreError>;
    /// Folds an event, the `index`th of its commit. Idempotent.
    fn fold(&mut self, fact: &Fact<'_>, index: usize);
    /// Writes the rows that changed, inside the session's open transaction.
    async fn write(&self, session: &Session, schema: &str) -> Result<(), StoreError>;
    /// Copies every row into the empty table.
    async fn copy(self: Box<Self>, session: Session, schema: String) -> Result<u64, StoreError>;
    /// Marks the changes as written.
    fn settle(&mut self);
    /// Drops everything: memory may differ from the tables.
    fn forget(&mut self);
    /// Every row's document, by key text.
    fn documents(&self) -> BTreeMap<String, String>;
    /// Number of rows in memory.
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

    fn unwritable(source: Failure) -> StoreError {
        StoreError::Unwritable { model: M::NAME, source }
    }

    fn cells<'a>(key: &'a M::Key, entry: &'a Entry<M>, row: &'a M) -> Vec<Cell<'a>> {
        let mut cells = Vec::with_capacity(5 + M::COLUMNS.len());
        cells.extend([
            key.cell(),
            Cell::Text(Some((&*entry.workspace).into())),
            Cell::number(entry.sequence),
            Cell::number(entry.version),
            Cell::Json(row),
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

    fn want(&mut self, recorded: &Recorded, event: &DomainEvent) {
        let Some(event) = M::Event::select(event) else { return };
        M::keys(recorded, event, &mut self.keys);
        for key in self.keys.drain(..) {
            if self.entries.contains_key(&key) {
                continue;
            }
            if M::STARTS_EMPTY && recorded.commit.version == FIRST_VERSION {
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

    async fn write(&self, session: &Session, schema: &str) -> Result<(), StoreError> {
        if self.changed.is_empty() {
            return Ok(());
        }
        // In key order, so that two writers lock rows in the same order and cannot deadlock.
        let mut changed: Vec<&M::Key> = self.changed.iter().collect();
        changed.sort_unstable();
        let mut columns: Vec<ColumnArray> = column_types::<M>().into_iter().map(ColumnArray::new).collect();
        let mut gone: Vec<M::Key> = Vec::new();
        let mut kept = 0_usize;
        for key in changed {
            let Some(entry) = self.entries.get(key) else { continue };
            if let Some(row) = &entry.row {
                let before = columns[DOC].bytes();
                for (column, cell) in columns.iter_mut().zip(Self::cells(key, entry, row)) {
                    column.push(&cell).map_err(Self::unwritable)?;
                }
                // Without its length prefix.
                self.measure(entry, columns[DOC].bytes() - before - size_of::<i32>());
                kept += 1;
            } else {
                self.measure(entry, 0);
                gone.push(key.clone());
            }
        }
        if kept > 0 {
            let statement = session.prepared(&upsert_sql::<M>(schema)).await.map_err(Self::failed)?;
            let parameters: Vec<&(dyn ToSql + Sync)> =
                columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
            session.client().execute(&statement, &parameters).await.map_err(Self::failed)?;
        }
        if !gone.is_empty() {
            let sql = format!("DELETE FROM {schema}.{} WHERE id = ANY($1)", M::NAME);
            let statement = session.prepared(&sql).await.map_err(Self::failed)?;
            session.client().execute(&statement, &[&gone]).await.map_err(Self::failed)?;
        }
        Ok(())
    }

    async fn copy(self: Box<Self>, session: Session, schema: String) -> Result<u64, StoreError> {
        let names = column_names::<M>().join(", ");
        // In the transaction that made a table empty, Postgres takes the rows as seen by all: nothing has to come back to
        // them later, and a server with `wal_level = minimal` keeps them out of its write-ahead log.
        let begin = format!("BEGIN; TRUNCATE {schema}.{}", M::NAME);
        session.client().batch_execute(&begin).await.map_err(Self::failed)?;
        let sql = format!("COPY {schema}.{} ({names}) FROM STDIN (FORMAT binary, FREEZE)", M::NAME);
        let mut sink = pin!(session.client().copy_in(sql.as_str()).await.map_err(Self::failed)?);
        let mut out = BytesMut::with_capacity(2 * COPY_BYTES);
        out.put_slice(COPY_HEADER);
        // In the order of their last change, so that rows changed together are close on disk.
        let mut entries: Vec<(&M::Key, &Entry<M>)> = self.entries.iter().collect();
        entries.sort_unstable_by_key(|(key, entry)| (entry.sequence, *key));
        for (key, entry) in entries {
            let Some(row) = &entry.row else { continue };
            let cells = Self::cells(key, entry, row);
            out.put_i16(cells.len() as i16);
            for cell in cells {
                cell.write(&mut out).map_err(Self::unwritable)?;
            }
            if out.len() >= COPY_BYTES {
                sink.send(out.split().freeze()).await.map_err(Self::failed)?;
            }
        }
        out.put_i16(COPY_TRAILER);
        sink.send(out.freeze()).await.map_err(Self::failed)?;
        let copied = sink.finish().await.map_err(Self::failed)?;
        session.client().batch_execute("COMMIT").await.map_err(Self::failed)?;
        Ok(copied)
    }

    fn settle(&mut self) {
        for key in self.changed.drain(..) {
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.changed = false;
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

    fn documents(&self) -> BTreeMap<String, String> {
        let rows = self.entries.iter().filter_map(|(key, entry)| Some((key, entry.row.as_ref()?)));
        rows.map(|(key, row)| (key.to_string(), serde_json::to_string(row).unwrap_or_default())).collect()
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn column_types<M: Model>() -> Vec<CellType> {
    let mut types = vec![M::Key::HOLDS, CellType::Text, CellType::BigInt, CellType::BigInt, CellType::Text];
    types.extend(M::COLUMNS.iter().map(|column| column.holds));
    types
}

/// Columns of the model's table, in the order of its cells.
pub(crate) fn column_names<M: Model>() -> Vec<&'static str> {
    let mut names = vec!["id", "workspace", "position", "version", "doc"];
    names.extend(M::COLUMNS.iter().map(|column| column.name));
    names
}

fn upsert_sql<M: Model>(schema: &str) -> String {
    let names = column_names::<M>();
    let arrays: Vec<String> = column_types::<M>()
        .iter()
        .enumerate()
        .map(|(index, holds)| format!("${}::{}[]", index + 1, holds.sql()))
        .collect();
    let changing = M::COLUMNS.iter().filter(|column| column.changes).map(|column| column.name);
    let set: Vec<String> = ["position", "version", "doc"]
        .into_iter()
        .chain(changing)
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    format!(
        "INSERT INTO {schema}.{table} AS t ({names}) SELECT * FROM UNNEST({arrays}) \
         ON CONFLICT (id) DO UPDATE SET {set} WHERE t.position < excluded.position",
        table = M::NAME,
        names = names.join(", "),
        arrays = arrays.join(", "),
        set = set.join(", "),
    )
}
