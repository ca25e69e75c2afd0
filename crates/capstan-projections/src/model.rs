//! The shape of a read model: a pure fold of events into rows.

use std::fmt::Debug;
use std::hash::Hash;

use capstan_contract::schema::NamedSchema;
use capstan_envelope::Recorded;
use serde::Serialize;
use serde::de::DeserializeOwned;
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

/// A read model: its row in memory, stored as the JSON object that reads return. Every table has the columns `id`,
/// `workspace`, `position`, `version`, `doc` and those of [`Model::COLUMNS`].
///
/// The fold is total: an inconsistent history gives inconsistent rows, never a panic. Histories that cannot be
/// folded at all are parked before any model sees them.
pub(crate) trait Model:
    Named + Clone + Debug + Send + Sync + Serialize + DeserializeOwned + 'static
{
    /// Increases with every change of the fold or the table: rows of another version are rebuilt, never read.
    const VERSION: i32;
    /// The columns reads filter and sort by.
    const COLUMNS: &'static [Column<Self>];
    /// The name and schema of the row in API answers; `None` for rows the API does not return.
    const ANSWER: Option<NamedSchema>;
    /// True when the first commit of a stream has no rows yet, so the table is not read for it. After a replay such
    /// rows have positions the table is past, and are not written. The stream snapshots are always read, so that a
    /// second beginning of a stream is detected.
    const STARTS_EMPTY: bool = true;
    /// True when a row takes from several streams: its key does not follow from the name of the stream. A rebuild folds
    /// such a model in one thread, and without the acceptance of the task ([`Fact::accepted`]).
    const SPANS_STREAMS: bool = false;
    /// The events the model reads.
    type Event<'a>: Events<'a>;
    /// Identifies a row.
    type Key: RowKey;

    /// The workspace of the row. Defaults to that of the stream; differs where one stream serves all workspaces.
    fn workspace<'a>(fact: &Fact<'a, Self::Event<'a>>) -> &'a str {
        fact.workspace()
    }

    /// Collects the keys of the rows an event may change.
    fn keys(recorded: &Recorded, event: Self::Event<'_>, keys: &mut Vec<Self::Key>);

    /// Folds one event into one row; `None` means there is no row.
    fn apply<'a>(row: Option<Self>, key: &Self::Key, fact: &Fact<'a, Self::Event<'a>>) -> Option<Self>;

    /// Reads a row back from its document.
    fn read(key: &Self::Key, doc: &str) -> Result<Self, serde_json::Error> {
        let _ = key;
        serde_json::from_str(doc)
    }
}
