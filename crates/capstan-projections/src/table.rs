//! One table of a read model, and the statements that write sets of rows to it.

use std::pin::pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::Error;
use tokio_postgres::types::ToSql;

use crate::cell::{Cell, CellType, ColumnArray, Failure};
use crate::session::Session;

/// Number of new rows from which COPY is cheaper than INSERT.
const COPY_ROWS_MIN: usize = 24;
/// Bytes sent to COPY at once. Each send wakes the connection's task, so single rows are too small.
pub(crate) const COPY_BYTES: usize = 256 * 1024;
/// Header of a COPY in the binary format: signature, no flags, no extension.
pub(crate) const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Trailer of a COPY in the binary format.
pub(crate) const COPY_TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

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
}

/// The reason rows were not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Postgres refused a statement.
    Postgres(Error),
    /// A value has no binary form.
    Unwritable(Failure),
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Failure> for WriteError {
    fn from(failure: Failure) -> Self {
        Self::Unwritable(failure)
    }
}

impl Table {
    /// Names of the columns, in the order of the cells.
    pub(crate) fn column_names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|column| column.name).collect()
    }

    /// Writes rows inside the session's open transaction.
    pub(crate) async fn write(
        &self,
        session: &Session,
        schema: &str,
        how: Write,
        rows: &[Vec<Cell<'_>>],
    ) -> Result<(), WriteError> {
        match how {
            _ if rows.is_empty() => Ok(()),
            Write::Copy if rows.len() >= COPY_ROWS_MIN => {
                let sql = format!(
                    "COPY {schema}.{} ({}) FROM STDIN (FORMAT binary)",
                    self.name,
                    self.column_names().join(", ")
                );
                copy(session, &sql, rows).await
            }
            Write::Insert | Write::Copy => self.execute(session, &self.insert_sql(schema), rows, how).await,
            Write::Update => self.execute(session, &self.update_sql(schema), rows, how).await,
            Write::Upsert => self.execute(session, &self.upsert_sql(schema), rows, how).await,
        }
    }

    /// The columns a statement is given, with their places: an update needs the key and what changes.
    fn sent(&self, how: Write) -> impl Iterator<Item = (usize, &TableColumn)> {
        let columns = self.columns.iter().enumerate();
        columns.filter(move |(place, column)| how != Write::Update || *place == 0 || column.changes)
    }

    async fn execute(
        &self,
        session: &Session,
        sql: &str,
        rows: &[Vec<Cell<'_>>],
        how: Write,
    ) -> Result<(), WriteError> {
        let mut columns = Vec::new();
        for (place, column) in self.sent(how) {
            let mut array = ColumnArray::new(column.holds);
            for row in rows {
                array.push(&row[place])?;
            }
            columns.push(array);
        }
        let statement = session.prepared(sql).await?;
        let parameters: Vec<&(dyn ToSql + Sync)> =
            columns.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
        session.client().execute(&statement, &parameters).await?;
        Ok(())
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
            names = self.sent(Write::Update).map(|(_, column)| column.name).collect::<Vec<_>>().join(", "),
        )
    }

    fn arrays(&self, how: Write) -> String {
        let arrays = self.sent(how).enumerate();
        let arrays = arrays.map(|(index, (_, column))| format!("${}::{}[]", index + 1, column.holds.sql()));
        arrays.collect::<Vec<_>>().join(", ")
    }

    fn assignments(&self, from: &str) -> String {
        let changing = self.columns.iter().filter(|column| column.changes);
        changing.map(|column| format!("{0} = {from}.{0}", column.name)).collect::<Vec<_>>().join(", ")
    }
}

/// Sends rows to a COPY in the binary format.
async fn copy(session: &Session, sql: &str, rows: &[Vec<Cell<'_>>]) -> Result<(), WriteError> {
    let statement = session.prepared(sql).await?;
    let mut sink = pin!(session.client().copy_in(&statement).await?);
    let mut out = BytesMut::with_capacity(2 * COPY_BYTES);
    out.put_slice(COPY_HEADER);
    for row in rows {
        encode(row, &mut out)?;
        if out.len() >= COPY_BYTES {
            sink.send(out.split().freeze()).await?;
        }
    }
    out.put_slice(&COPY_TRAILER);
    sink.send(out.freeze()).await?;
    sink.finish().await?;
    Ok(())
}

/// Encodes rows, each with the number of its last commit, as a COPY in the binary format takes them: in pieces of at least
/// `bytes`, until `take` answers false. Returns the number of rows.
pub(crate) fn encode_all<'a>(
    rows: impl Iterator<Item = (u64, Vec<Cell<'a>>)>,
    bytes: usize,
    take: &mut dyn FnMut(Bytes, u64) -> bool,
) -> Result<u64, Failure> {
    let piece = || BytesMut::with_capacity(bytes + bytes / 4);
    let (mut out, mut last) = (piece(), 0);
    let mut encoded = 0;
    for (sequence, cells) in rows {
        encode(&cells, &mut out)?;
        encoded += 1;
        last = sequence;
        if out.len() >= bytes && !take(std::mem::replace(&mut out, piece()).freeze(), last) {
            return Ok(encoded);
        }
    }
    if !out.is_empty() {
        take(out.freeze(), last);
    }
    Ok(encoded)
}

/// Appends a row as a COPY in the binary format takes it.
fn encode(cells: &[Cell<'_>], out: &mut BytesMut) -> Result<(), Failure> {
    out.put_i16(cells.len() as i16);
    for cell in cells {
        cell.write(out)?;
    }
    Ok(())
}
