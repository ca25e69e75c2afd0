//! COPY into one table, in the binary format.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use tokio_postgres::{Client, CopyInSink, Error, ToStatement};

use crate::cell::{Cell, Failure};

/// Bytes sent at once. Each send wakes the connection's task, so single rows are too small.
pub(crate) const COPY_BYTES: usize = 256 * 1024;
/// Signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// A COPY under way. Dropped before its end, it is taken back.
pub(crate) struct CopyIn {
    sink: Pin<Box<CopyInSink<Bytes>>>,
}

impl CopyIn {
    /// Begins a `COPY ... FROM STDIN (FORMAT binary)`.
    pub(crate) async fn begin<S: ToStatement + ?Sized + Sync>(
        client: &Client,
        sql: &S,
    ) -> Result<Self, Error> {
        let mut sink = Box::pin(client.copy_in(sql).await?);
        sink.feed(Bytes::from_static(HEADER)).await?;
        Ok(Self { sink })
    }

    /// Sends encoded rows; few of them wait for more.
    pub(crate) async fn send(&mut self, rows: Bytes) -> Result<(), Error> {
        self.sink.feed(rows).await
    }

    /// Ends it: now the table has the rows.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        self.sink.feed(Bytes::from_static(&TRAILER)).await?;
        self.sink.as_mut().finish().await.map(|_| ())
    }
}

/// Rows encoded for a COPY.
#[derive(Debug, Default)]
pub(crate) struct CopyRows {
    out: BytesMut,
}

impl CopyRows {
    /// Begins a row of so many columns.
    pub(crate) fn begin_row(&mut self, columns: usize) {
        self.out.put_i16(columns as i16);
    }

    /// Appends the value of the next column; returns its length.
    pub(crate) fn put(&mut self, cell: &Cell<'_>) -> Result<usize, Failure> {
        cell.write(&mut self.out).map(Option::unwrap_or_default)
    }

    /// Bytes of the rows.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes the rows added since the last time.
    pub(crate) fn take(&mut self) -> Bytes {
        let size = self.out.len();
        std::mem::replace(&mut self.out, BytesMut::with_capacity(size)).freeze()
    }
}
