//! Pages: a place in a list that stays right while rows come and go.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Objects on a page when the caller does not say.
const LIMIT_DEFAULT: u32 = 50;
/// Objects on a page at most.
const LIMIT_MAX: u32 = 500;
/// Characters of a cursor: list, order and id in hex.
const CURSOR_LEN: usize = 64;

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects wanted; 50 when absent, at most 500.
    pub limit: Option<u32>,
    /// Where the last page ended, as its answer said.
    pub cursor: Option<String>,
    /// Whether to count what the whole list holds.
    pub count: bool,
}

/// A text that is no cursor of ours, or one of another list or other filters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the cursor")]
pub struct InvalidCursor;

/// The last row of a page: lists are ordered by a number and an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Microseconds of the creation time, or a sequence number.
    pub(crate) order: i64,
    pub(crate) id: Uuid,
}

impl Place {
    pub(crate) fn new(created_at: DateTime<Utc>, id: Uuid) -> Self {
        Self { order: created_at.timestamp_micros(), id }
    }

    /// The order as a time.
    pub(crate) fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.order).unwrap_or_default()
    }

    /// The cursor of a list; `list` stands for what it lists and how it is filtered.
    pub(crate) fn to_cursor(self, list: u64) -> String {
        let mut text = String::with_capacity(CURSOR_LEN);
        for byte in list.to_be_bytes().iter().chain(&self.order.to_be_bytes()).chain(self.id.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    fn from_cursor(text: &str, list: u64) -> Result<Self, InvalidCursor> {
        if text.len() != CURSOR_LEN || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(InvalidCursor);
        }
        let number = |text| u64::from_str_radix(text, 16).map_err(|_| InvalidCursor);
        if number(&text[..16])? != list {
            return Err(InvalidCursor);
        }
        let order = number(&text[16..32])?.cast_signed();
        let id = u128::from_str_radix(&text[32..], 16).map_err(|_| InvalidCursor)?;
        Ok(Self { order, id: Uuid::from_u128(id) })
    }
}

impl Page {
    /// The limit that applies.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    /// Where it begins in this list.
    pub(crate) fn place(&self, list: u64) -> Result<Option<Place>, InvalidCursor> {
        self.cursor.as_deref().map(|text| Place::from_cursor(text, list)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_foreign_text_is_refused() {
        for order in [0, -1, i64::MAX, i64::MIN, 1_700_000_000_000_000] {
            let place = Place { order, id: Uuid::from_u128(7) };
            assert_eq!(Place::from_cursor(&place.to_cursor(9), 9), Ok(place));
            assert_eq!(Place::from_cursor(&place.to_cursor(9), 8), Err(InvalidCursor));
        }
        for text in ["", "x", &"g".repeat(64), &"ä".repeat(32), &"0".repeat(63)] {
            assert_eq!(Place::from_cursor(text, 0), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn limits_are_clamped() {
        let limit = |limit| Page { limit, ..Page::default() }.limit();
        assert_eq!([limit(None), limit(Some(0)), limit(Some(7)), limit(Some(9_999))], [50, 1, 7, 500]);
    }
}
