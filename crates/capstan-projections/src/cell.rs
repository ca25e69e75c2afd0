//! The values of table columns, by row for COPY and by column for UNNEST.

use std::error::Error;

use bytes::BytesMut;
use chrono::{DateTime, Utc};
use tokio_postgres::types::{IsNull, ToSql, Type};
use uuid::Uuid;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellType {
    Uuid,
    Text,
    Time,
    BigInt,
    Flag,
}

impl CellType {
    /// The name SQL knows the type by.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Text => "text",
            Self::Time => "timestamptz",
            Self::BigInt => "bigint",
            Self::Flag => "boolean",
        }
    }

    /// The type as the client names it.
    pub(crate) fn wire(self) -> Type {
        match self {
            Self::Uuid => Type::UUID,
            Self::Text => Type::TEXT,
            Self::Time => Type::TIMESTAMPTZ,
            Self::BigInt => Type::INT8,
            Self::Flag => Type::BOOL,
        }
    }
}

/// One column of a read model besides the five that every model has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) holds: CellType,
    /// False for a column that never changes after the row was made; updates leave it alone.
    pub(crate) changes: bool,
}

impl Column {
    /// A column set once.
    pub(crate) const fn fixed(name: &'static str, holds: CellType) -> Self {
        Self { name, holds, changes: false }
    }

    /// A column that changes.
    pub(crate) const fn changing(name: &'static str, holds: CellType) -> Self {
        Self { name, holds, changes: true }
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    Uuid(Option<Uuid>),
    Text(Option<String>),
    Time(Option<DateTime<Utc>>),
    BigInt(Option<i64>),
    Flag(Option<bool>),
}

impl Cell {
    /// A text Postgres takes: it cannot store the NUL character, which a caller's text may hold.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::Text(Some(if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }))
    }

    /// A text that may be absent.
    pub(crate) fn text_or_null(text: Option<&str>) -> Self {
        text.map_or(Self::Text(None), Self::text)
    }

    /// A position or version.
    pub(crate) fn number(number: u64) -> Self {
        Self::BigInt(Some(number as i64))
    }
}

impl ToSql for Cell {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Uuid(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Time(value) => value.to_sql(ty, out),
            Self::BigInt(value) => value.to_sql(ty, out),
            Self::Flag(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // Which cell stands in which column is checked against the column list when rows are made.
        true
    }

    tokio_postgres::types::to_sql_checked!();
}

/// The values of one column over many rows.
#[derive(Debug)]
pub(crate) enum Cells {
    Uuid(Vec<Option<Uuid>>),
    Text(Vec<Option<String>>),
    Time(Vec<Option<DateTime<Utc>>>),
    BigInt(Vec<Option<i64>>),
    Flag(Vec<Option<bool>>),
}

impl Cells {
    /// No values yet.
    pub(crate) fn of(holds: CellType, capacity: usize) -> Self {
        match holds {
            CellType::Uuid => Self::Uuid(Vec::with_capacity(capacity)),
            CellType::Text => Self::Text(Vec::with_capacity(capacity)),
            CellType::Time => Self::Time(Vec::with_capacity(capacity)),
            CellType::BigInt => Self::BigInt(Vec::with_capacity(capacity)),
            CellType::Flag => Self::Flag(Vec::with_capacity(capacity)),
        }
    }

    /// Adds the next row's value.
    pub(crate) fn push(&mut self, cell: Cell) {
        match (self, cell) {
            (Self::Uuid(all), Cell::Uuid(value)) => all.push(value),
            (Self::Text(all), Cell::Text(value)) => all.push(value),
            (Self::Time(all), Cell::Time(value)) => all.push(value),
            (Self::BigInt(all), Cell::BigInt(value)) => all.push(value),
            (Self::Flag(all), Cell::Flag(value)) => all.push(value),
            (cells, cell) => unreachable!("the model's cells follow its column list: {cells:?} got {cell:?}"),
        }
    }

    /// As a parameter of a statement.
    pub(crate) fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Uuid(all) => all,
            Self::Text(all) => all,
            Self::Time(all) => all,
            Self::BigInt(all) => all,
            Self::Flag(all) => all,
        }
    }
}
