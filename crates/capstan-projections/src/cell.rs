//! Column values in the binary format: by row for COPY, by column for UNNEST.

use std::borrow::Cow;
use std::error::Error;

use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::{IsNull, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

/// Length of an absent value.
const NULL: i32 = -1;
/// Dimensions, null flag, element type, length and lower bound, 4 bytes each.
const ARRAY_HEADER: usize = 20;

/// The reason a value cannot be written.
pub(crate) type Failure = Box<dyn Error + Sync + Send>;

/// Type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellType {
    Uuid,
    Text,
    Time,
    BigInt,
    Float,
    Flag,
}

impl CellType {
    /// The type in SQL.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Time => "timestamptz",
            Self::BigInt => "bigint",
            Self::Float => "double precision",
            Self::Flag => "boolean",
        }
    }

    /// The type in the client library.
    pub(crate) fn wire(self) -> Type {
        match self {
            Self::Uuid => Type::UUID,
            Self::Text => Type::TEXT,
            Self::Time => Type::TIMESTAMPTZ,
            Self::BigInt => Type::INT8,
            Self::Float => Type::FLOAT8,
            Self::Flag => Type::BOOL,
        }
    }
}

/// A column of a read model besides the five that every model has.
pub(crate) struct Column<R: 'static> {
    /// Column name.
    pub(crate) name: &'static str,
    /// Type of its values.
    pub(crate) holds: CellType,
    /// The value of a row.
    pub(crate) cell: fn(&R) -> Cell<'_>,
    /// False for a column that is written once; updates leave it out.
    pub(crate) changes: bool,
}

impl<R> Column<R> {
    /// A column that is written once.
    pub(crate) const fn fixed(name: &'static str, holds: CellType, cell: fn(&R) -> Cell<'_>) -> Self {
        Self { name, holds, cell, changes: false }
    }

    /// A column that updates write.
    pub(crate) const fn changing(name: &'static str, holds: CellType, cell: fn(&R) -> Cell<'_>) -> Self {
        Self { name, holds, cell, changes: true }
    }
}

/// One value, borrowed from its row where it is large.
#[derive(Clone)]
pub(crate) enum Cell<'a> {
    Uuid(Option<Uuid>),
    Text(Option<Cow<'a, str>>),
    /// A value that is serialized as JSON when the cell is written, so that the text is not kept.
    Json(&'a dyn Document),
    Time(Option<DateTime<Utc>>),
    BigInt(Option<i64>),
    Float(Option<f64>),
    Flag(Option<bool>),
}

/// A value that can be written to a text column as JSON.
pub(crate) trait Document: Sync {
    /// Appends the JSON text.
    fn write(&self, out: &mut BytesMut) -> serde_json::Result<()>;
}

impl<T: Serialize + Sync> Document for T {
    fn write(&self, out: &mut BytesMut) -> serde_json::Result<()> {
        serde_json::to_writer(out.writer(), self)
    }
}

impl<'a> Cell<'a> {
    /// A text with NUL characters replaced: Postgres cannot store them.
    pub(crate) fn text(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        Self::Text(Some(if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text }))
    }

    /// An optional text.
    pub(crate) fn text_or_null(text: Option<&'a str>) -> Self {
        text.map_or(Self::Text(None), Self::text)
    }

    /// A position or version.
    pub(crate) fn number(number: u64) -> Self {
        Self::BigInt(Some(number as i64))
    }

    fn holds(&self) -> CellType {
        match self {
            Self::Uuid(_) => CellType::Uuid,
            Self::Text(_) | Self::Json(_) => CellType::Text,
            Self::Time(_) => CellType::Time,
            Self::BigInt(_) => CellType::BigInt,
            Self::Float(_) => CellType::Float,
            Self::Flag(_) => CellType::Flag,
        }
    }

    /// Appends the bytes of the value, without their length.
    fn put(&self, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let ty = self.holds().wire();
        match self {
            Self::Uuid(value) => value.to_sql(&ty, out),
            Self::Text(value) => value.as_deref().to_sql(&ty, out),
            Self::Json(value) => Ok(value.write(out).map(|()| IsNull::No)?),
            Self::Time(value) => value.to_sql(&ty, out),
            Self::BigInt(value) => value.to_sql(&ty, out),
            Self::Float(value) => value.to_sql(&ty, out),
            Self::Flag(value) => value.to_sql(&ty, out),
        }
    }

    /// Appends length and bytes, as in arrays and COPY. Returns the length; none for NULL.
    pub(crate) fn write(&self, out: &mut BytesMut) -> Result<Option<usize>, Failure> {
        let at = out.len();
        out.put_i32(NULL);
        if matches!(self.put(out)?, IsNull::Yes) {
            return Ok(None);
        }
        let length = out.len() - at - size_of::<i32>();
        out[at..at + size_of::<i32>()].copy_from_slice(&i32::try_from(length)?.to_be_bytes());
        Ok(Some(length))
    }
}

/// The values of one column in the binary format of a Postgres array, written directly into one buffer.
#[derive(Debug)]
pub(crate) struct ColumnArray {
    holds: CellType,
    elements: BytesMut,
    count: i32,
    has_null: bool,
}

impl ColumnArray {
    /// An empty array.
    pub(crate) fn new(holds: CellType) -> Self {
        Self { holds, elements: BytesMut::new(), count: 0, has_null: false }
    }

    /// Appends the value of the next row; returns its length.
    pub(crate) fn push(&mut self, cell: &Cell<'_>) -> Result<usize, Failure> {
        assert_eq!(cell.holds(), self.holds, "the value has the type of its column");
        let length = cell.write(&mut self.elements)?;
        self.has_null |= length.is_none();
        self.count += 1;
        Ok(length.unwrap_or_default())
    }
}

impl ToSql for ColumnArray {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        let Kind::Array(element) = ty.kind() else { return Err("a column is written as an array".into()) };
        out.reserve(ARRAY_HEADER + self.elements.len());
        out.put_i32(1);
        out.put_i32(i32::from(self.has_null));
        out.put_u32(element.oid());
        out.put_i32(self.count);
        out.put_i32(1);
        out.put_slice(&self.elements);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(ty.kind(), Kind::Array(_))
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_written_as_the_client_writes_an_array() {
        let mut column = ColumnArray::new(CellType::Text);
        for cell in [Cell::text("a\0b"), Cell::Text(None), Cell::Json(&[1, 2])] {
            column.push(&cell).unwrap();
        }
        let (mut ours, mut theirs) = (BytesMut::new(), BytesMut::new());
        column.to_sql(&Type::TEXT_ARRAY, &mut ours).unwrap();
        vec![Some("a\u{fffd}b"), None, Some("[1,2]")].to_sql(&Type::TEXT_ARRAY, &mut theirs).unwrap();
        assert_eq!(ours, theirs);
    }
}
