//! Rows in the binary format of Postgres' COPY.

use bytes::{BufMut, Bytes, BytesMut};

/// Rows of one table.
pub(crate) struct CopyRows(BytesMut);

impl CopyRows {
    /// No rows yet.
    pub(crate) fn new() -> Self {
        let mut bytes = BytesMut::from(&b"PGCOPY\n\xff\r\n\0"[..]);
        // No flags and no header extension.
        bytes.put_u64(0);
        Self(bytes)
    }

    /// Begins a row of so many fields.
    pub(crate) fn row(&mut self, fields: i16) -> &mut Self {
        self.0.put_i16(fields);
        self
    }

    /// Adds the next field of the row, in the binary form of its type.
    pub(crate) fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.put_i32(i32::try_from(bytes.len()).expect("a field is shorter than 2 GiB"));
        self.0.extend_from_slice(bytes);
        self
    }

    /// The whole copy.
    pub(crate) fn finish(mut self) -> Bytes {
        self.0.put_i16(-1);
        self.0.freeze()
    }
}
