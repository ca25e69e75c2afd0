//! What a read model is: a pure fold of events into rows.

use std::fmt::Debug;
use std::hash::Hash;

use capstan_contract::DomainEvent;
use capstan_envelope::Recorded;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;

/// The identity of a row, in the column `id`.
pub(crate) trait RowKey:
    Clone + Debug + Eq + Ord + Hash + Send + Sync + ToSql + FromSqlOwned + ToString + 'static
{
    /// The column's type.
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

/// A read model. Every table has the columns `id`, `workspace`, `position`, `version`, `doc` and those of
/// [`Model::COLUMNS`].
///
/// The fold is total: an odd history gives odd rows, never a panic. Histories that cannot be folded at all are
/// kept out before any model sees them.
pub(crate) trait Model: Send + Sync + 'static {
    /// Name of the model, its table and its folder.
    const NAME: &'static str;
    /// Grows with every change of the fold or the table: rows of another version are rebuilt, never read.
    const VERSION: i32;
    /// The table, then a line `-- indexes`, then what is built after the rows are in.
    const SCHEMA: &'static str;
    /// The columns reads filter and sort by.
    const COLUMNS: &'static [Column];
    /// True when the first commit of a stream finds no rows: nothing is read from the table for it. Fed once more it
    /// gives rows at positions the table is past, and those are not written. The snapshots do look, so that a second
    /// beginning of a stream is noticed.
    const STARTS_EMPTY: bool = true;
    /// Names a row.
    type Key: RowKey;
    /// The row as the fold sees it; written as the JSON object that reads answer.
    type Row: Clone + Send + Sync + Serialize + DeserializeOwned;

    /// The tenant whose row it is. That of the stream, except where one stream serves all tenants.
    fn workspace<'a>(fact: &Fact<'a>) -> &'a str {
        fact.workspace()
    }

    /// Names the rows an event may change.
    fn keys(recorded: &Recorded, event: &DomainEvent, keys: &mut Vec<Self::Key>);

    /// Folds one event into one row; `None` means there is no row.
    fn apply(row: Option<Self::Row>, key: &Self::Key, fact: &Fact<'_>) -> Option<Self::Row>;

    /// The row's values of [`Model::COLUMNS`], in that order.
    fn cells(row: &Self::Row) -> Vec<Cell<'_>>;

    /// Reads a row back from its document.
    fn read(key: &Self::Key, doc: &str) -> Result<Self::Row, serde_json::Error> {
        let _ = key;
        serde_json::from_str(doc)
    }
}
