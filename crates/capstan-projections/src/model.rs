//! The shape of a read model: a pure fold of events into rows.

use std::fmt::Debug;
use std::hash::Hash;

use capstan_contract::schema::NamedSchema;
use capstan_envelope::{Carried, Recorded, StreamId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::events::Events;
use crate::fact::Fact;

/// Identifies a row, in the column `id`.
pub(crate) trait RowKey:
    Clone + Debug + Eq + Ord + Hash + Send + Sync + ToSql + FromSqlOwned + ToString + 'static
{
    /// Type of the column.
    const HOLDS: CellType;

    /// The key as a value.
    fn cell(&self) -> Cell<'_>;
}

impl RowKey for Uuid {
    const HOLDS: CellType = CellType::Uuid;

    fn cell(&self) -> Cell<'_> {
        Cell::Uuid(Some(*self))
    }
}

impl RowKey for String {
    const HOLDS: CellType = CellType::Text;

    fn cell(&self) -> Cell<'_> {
        Cell::Text(Some(self.into()))
    }
}

/// The parts of a read model that follow from the name of its module.
pub(crate) trait Named {
    /// Name of the model, its table and its folder.
    const NAME: &'static str;
    /// The `CREATE TABLE` statement, then a line `-- indexes`, then the statements to run after the rows are in.
    const SCHEMA: &'static str;
}

/// A row as its table holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored<'a> {
    /// Number in the log of the commit it was last folded from.
    pub(crate) sequence: u64,
    /// Version of its stream at that commit.
    pub(crate) version: u64,
    /// Its document.
    pub(crate) doc: &'a str,
    /// Its document in the table [`Aside`]; for an answer, that of its task.
    pub(crate) aside: Option<&'a str>,
}

impl<'a> Stored<'a> {
    /// The columns `sequence` (the position), `version`, `doc` and `aside` of a row that has a document.
    pub(crate) fn from_row(row: &'a Row) -> Self {
        Self {
            sequence: row.get::<_, i64>("sequence") as u64,
            version: row.get::<_, i64>("version") as u64,
            doc: row.get("doc"),
            aside: row.get("aside"),
        }
    }
}

/// True for a value that a document leaves out.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a document shows that the state of its stream lacks, as it is carried forward.
pub(crate) fn shown_in<S: DeserializeOwned>(carried: &Carried) -> serde_json::Result<Option<S>> {
    carried.shown.as_ref().map(|shown| serde_json::from_str(shown.get())).transpose()
}

/// The same in the document of a row: the fields of that name.
pub(crate) fn shown_of<S: Serialize + DeserializeOwned>(doc: &str) -> serde_json::Result<Box<RawValue>> {
    serde_json::value::to_raw_value(&serde_json::from_str::<S>(doc)?)
}

/// A second table of a model, with the part of its rows that is written once, and again only when the row is carried forward
/// with another. Its columns are `id`, `doc` and those of [`Aside::columns`].
pub(crate) struct Aside<R: 'static> {
    /// Name of the table.
    pub(crate) table: &'static str,
    /// The document of a new row; `None` once it is written.
    pub(crate) doc: fn(&R) -> Option<String>,
    /// Further columns.
    pub(crate) columns: &'static [Column<R>],
}

/// A table of sums over the rows of a model, which triggers of its table keep; see the part `-- sums` of its schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    /// Name of the table; a row with `counted` 0 counts as absent.
    pub(crate) table: &'static str,
    /// The view that makes the same of the rows.
    pub(crate) of_rows: &'static str,
    /// Columns of both.
    pub(crate) columns: &'static [&'static str],
}

/// Hours since 1970.
pub(crate) fn hour(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(3_600)
}

/// The object the API returns, where that is more than the stored document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The column with the id of the task whose acceptance is a part of the object.
    pub(crate) task_id: &'static str,
    /// Makes the object from the row with the first id, whose task has the second one.
    pub(crate) object: fn(Uuid, Uuid, &Stored<'_>) -> serde_json::Result<Box<RawValue>>,
}

/// A read model: its row in memory. Every table has the columns `id`, `workspace`, `position`, `version`, `doc` and those of
/// [`Model::COLUMNS`]. The document is the JSON form of the row; it is the object the API returns, unless
/// [`Model::ANSWER_FROM`] makes that.
///
/// The fold is total: an inconsistent history gives inconsistent rows, never a panic. Histories that cannot be
/// folded at all are parked before any model sees them.
pub(crate) trait Model: Named + Clone + Debug + Send + Sync + Serialize + 'static {
    /// Increases with every change of the fold or the table: rows of another version are rebuilt, never read.
    const VERSION: i32;
    /// Bytes of what a row holds behind pointers, besides the texts of its documents.
    const BOXED: usize = 0;
    /// The columns reads filter and sort by.
    const COLUMNS: &'static [Column<Self>];
    /// The name and schema of the row in API answers; `None` for rows the API does not return.
    const ANSWER: Option<NamedSchema>;
    /// The way to that object from the stored document; `None` when they are the same.
    const ANSWER_FROM: Option<Answer> = None;
    /// The table with the part of the rows that never changes.
    const ASIDE: Option<Aside<Self>> = None;
    /// The sums that are kept of its rows.
    const SUMS: &'static [Sum] = &[];
    /// Tables that are filled behind the rows, in transactions of their own.
    const TRAILING: &'static [&'static str] = &[];
    /// True when the first commit of a stream has no rows yet, so the table is not read for it.
    const STARTS_EMPTY: bool = true;
    /// True when every commit has rows of its own, so the table is never read for them.
    const ROWS_ARE_NEW: bool = false;
    /// True when the rows follow from the heads of streams ([`Fact::left`]): where such a model is rebuilt, the heads are, too,
    /// because those of the active tables are ahead of what is folded.
    const FOLLOWS_HEADS: bool = false;
    /// True when a row takes from several streams: its key does not follow from the name of the stream. A rebuild folds
    /// such a model in one thread, and without the acceptance of the task ([`Fact::accepted`]).
    const SPANS_STREAMS: bool = false;
    /// True when a commit that carries a stream forward carries the row too.
    const IS_CARRIED: bool = false;
    /// The events the model reads.
    type Event<'a>: Events<'a>;
    /// Identifies a row.
    type Key: RowKey;

    /// The workspace of the row. Defaults to that of the stream; differs where one stream serves all workspaces.
    fn workspace<'a>(fact: &Fact<'a, Self::Event<'a>>) -> &'a str {
        fact.workspace()
    }

    /// Collects the keys of the rows an event may change. Before the rows are read, the fact is without what they say:
    /// [`Fact::accepted`] and [`Fact::left`].
    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Self::Key>);

    /// Folds one event into one row; `None` means there is no row.
    fn apply<'a>(row: Option<Self>, key: &Self::Key, fact: &Fact<'a, Self::Event<'a>>) -> Option<Self>;

    /// Reads a row back.
    fn read(key: &Self::Key, stored: &Stored<'_>) -> serde_json::Result<Self>;

    /// The key of the row that a commit of this stream carries forward; `None` for rows that are not carried.
    fn carried_key(_: &StreamId, _: &Carried) -> Option<Self::Key> {
        None
    }

    /// What reads show of a row with this document that the state of the stream lacks; `None` where that is nothing.
    fn shown(_: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        Ok(None)
    }

    /// The row as a commit carries it forward, with its workspace; `None` when there is none. It shows what the row shows that
    /// is folded from the commits before, but for the version of the stream.
    fn carried(_: &Recorded, _: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        Ok(None)
    }

    /// True when the row is as the commit carries it; `last` is the number of the commit it was last folded from, 0 for none.
    fn holds(_: &Carried, _last: u64) -> bool {
        true
    }

    /// True when the document in [`Aside`] is no longer the one written with a row, now that it is `self`.
    fn replaces_aside(&self, _written: Option<&Self>) -> bool {
        false
    }

    /// Forgets what is needed only to write a new row.
    fn settled(&mut self) {}
}
