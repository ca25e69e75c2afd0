//! One table of a read model, and the statements that write sets of rows to it.

use bytes::Bytes;
use tokio_postgres::types::ToSql;

use crate::cell::{Cell, CellType, ColumnArray, Failure};
use crate::copy_in::{COPY_BYTES, CopyIn, CopyRows};
use crate::session::Session;
use crate::store_error::StoreError;

/// Number of new rows from which COPY is cheaper than INSERT.
const COPY_ROWS_MIN: usize = 24;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableColumn {
    pub(crate) name: &'static str,
    pub(crate) holds: CellType,
    /// False for a column that is written once; updates leave it out.
    pub(crate) changes: bool,
}

/// A table. Its first column is the key. A row is replaced by one of a higher `position` only, and never where no column
/// changes.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The read model it belongs to.
    pub(crate) model: &'static str,
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<TableColumn>,
}

/// The way rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    /// Rows the table does not have; one that it has fails with a unique violation.
    Insert,
    /// The same by COPY, where there are enough rows.
    Copy,
    /// Rows the table has; one that it does not have is not written.
    Update,
    /// Rows the table may have.
    Upsert,
    /// Rows the table has, with columns that are else written once.
    Replace,
    /// Rows the table has, of which only the key is given.
    Delete,
}

/// Rows on their way to a table, encoded as they are added, and the statement that writes them.
#[derive(Debug)]
pub(crate) struct Outgoing {
    model: &'static str,
    sql: String,
    count: usize,
    rows: Encoded,
}

#[derive(Debug)]
enum Encoded {
    /// Rows for COPY: those in pieces that are large enough to be sent, and the last ones.
    Copy { columns: usize, pieces: Vec<Bytes>, last: CopyRows },
    /// The values of each column; none for columns the statement is not given.
    Columns(Vec<Option<ColumnArray>>),
}

impl Table {
    /// Names of the columns, in the order of the cells.
    pub(crate) fn column_names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|column| column.name).collect()
    }

    /// Begins to write so many rows.
    pub(crate) fn outgoing(&self, schema: &str, how: Write, rows: usize) -> Outgoing {
        let sql = match how {
            Write::Copy if rows >= COPY_ROWS_MIN => {
                let columns = self.columns.len();
                let rows = Encoded::Copy { columns, pieces: Vec::new(), last: CopyRows::default() };
                return Outgoing { model: self.model, sql: self.copy_sql(schema), count: 0, rows };
            }
            Write::Insert | Write::Copy => self.insert_sql(schema),
            Write::Update => self.update_sql(schema),
            Write::Upsert => self.upsert_sql(schema),
            Write::Replace => self.replace_sql(schema),
            Write::Delete => self.delete_sql(schema),
        };
        let columns = self.columns.iter().enumerate();
        let columns = columns
            .map(|(place, column)| is_sent(how, place, column).then(|| ColumnArray::new(column.holds)));
        Outgoing { model: self.model, sql, count: 0, rows: Encoded::Columns(columns.collect()) }
    }

    /// The columns a statement is given.
    fn sent(&self, how: Write) -> impl Iterator<Item = &TableColumn> {
        let columns = self.columns.iter().enumerate();
        columns.filter(move |(place, column)| is_sent(how, *place, column)).map(|(_, column)| column)
    }

    fn copy_sql(&self, schema: &str) -> String {
        format!("COPY {schema}.{} ({}) FROM STDIN (FORMAT binary)", self.name, self.column_names().join(", "))
    }

    fn insert_sql(&self, schema: &str) -> String {
        format!(
            "INSERT INTO {schema}.{table} AS t ({names}) SELECT * FROM UNNEST({arrays})",
            table = self.name,
            names = self.column_names().join(", "),
            arrays = self.arrays(Write::Insert),
        )
    }

    fn upsert_sql(&self, schema: &str) -> String {
        let key = self.columns[0].name;
        let insert = self.insert_sql(schema);
        let set = self.assignments("excluded");
        if set.is_empty() {
            return format!("{insert} ON CONFLICT ({key}) DO NOTHING");
        }
        format!("{insert} ON CONFLICT ({key}) DO UPDATE SET {set} WHERE t.position < excluded.position")
    }

    fn update_sql(&self, schema: &str) -> String {
        let key = self.columns[0].name;
        format!(
            "UPDATE {schema}.{table} AS t SET {set} FROM UNNEST({arrays}) AS u ({names}) \
             WHERE t.{key} = u.{key} AND t.position < u.position",
            table = self.name,
            set = self.assignments("u"),
            arrays = self.arrays(Write::Update),
            names = self.sent(Write::Update).map(|column| column.name).collect::<Vec<_>>().join(", "),
        )
    }

    fn replace_sql(&self, schema: &str) -> String {
        let (key, insert) = (self.columns[0].name, self.insert_sql(schema));
        let set = self.columns[1..].iter().map(|column| format!("{0} = excluded.{0}", column.name));
        format!("{insert} ON CONFLICT ({key}) DO UPDATE SET {}", set.collect::<Vec<_>>().join(", "))
    }

    fn delete_sql(&self, schema: &str) -> String {
        format!("DELETE FROM {schema}.{} WHERE {} = ANY($1)", self.name, self.columns[0].name)
    }

    fn arrays(&self, how: Write) -> String {
        let arrays = self.sent(how).enumerate();
        let arrays = arrays.map(|(index, column)| format!("${}::{}[]", index + 1, column.holds.sql()));
        arrays.collect::<Vec<_>>().join(", ")
    }

    fn assignments(&self, from: &str) -> String {
        let changing = self.columns.iter().filter(|column| column.changes);
        changing.map(|column| format!("{0} = {from}.{0}", column.name)).collect::<Vec<_>>().join(", ")
    }
}

/// True for a column the statement is given: an update needs the key and what changes, a deletion the key.
fn is_sent(how: Write, place: usize, column: &TableColumn) -> bool {
    match how {
        Write::Insert | Write::Copy | Write::Upsert | Write::Replace => true,
        Write::Update => place == 0 || column.changes,
        Write::Delete => place == 0,
    }
}

impl Outgoing {
    /// True without rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Begins the next row.
    pub(crate) fn begin_row(&mut self) {
        self.count += 1;
        let Encoded::Copy { columns, pieces, last } = &mut self.rows else { return };
        if last.len() >= COPY_BYTES {
            pieces.push(last.take());
        }
        last.begin_row(*columns);
    }

    /// Appends the row's value of a column, unless the statement is not given it; those of a row come in order. Returns
    /// its length.
    pub(crate) fn put(&mut self, place: usize, cell: &Cell<'_>) -> Result<usize, Failure> {
        match &mut self.rows {
            Encoded::Copy { last, .. } => last.put(cell),
            Encoded::Columns(columns) => match columns.get_mut(place) {
                Some(Some(column)) => column.push(cell),
                Some(None) | None => Ok(0),
            },
        }
    }

    /// Writes the rows inside the session's open transaction.
    pub(crate) async fn send(self, session: &Session) -> Result<(), StoreError> {
        let Self { model, sql, rows, .. } = self;
        let sent = async {
            let statement = session.prepared(&sql).await?;
            match rows {
                Encoded::Copy { pieces, mut last, .. } => {
                    let mut copy = CopyIn::begin(session.client(), &statement).await?;
                    for piece in pieces {
                        copy.send(piece).await?;
                    }
                    copy.send(last.take()).await?;
                    copy.end().await
                }
                Encoded::Columns(columns) => {
                    let columns = columns.iter().flatten();
                    let parameters: Vec<_> = columns.map(|column| column as &(dyn ToSql + Sync)).collect();
                    session.client().execute(&statement, &parameters).await.map(|_| ())
                }
            }
        };
        sent.await.map_err(|source| StoreError::Postgres { model, source })
    }
}
