//! Cursors: a place in a list that stays valid while rows are added and removed.

use chrono::{DateTime, Utc};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use uuid::Uuid;

/// Default number of objects on a page.
const LIMIT_DEFAULT: u32 = 50;
/// Maximum number of objects on a page.
const LIMIT_MAX: u32 = 500;

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Maximum number of objects; 50 when absent, at most 500.
    pub limit: Option<u32>,
    /// The cursor returned with the page before.
    pub cursor: Option<String>,
    /// True to count the whole list.
    pub count: bool,
}

/// A text that is not a cursor, or the cursor of another list or other filters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor does not belong to this list and these filters")]
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

    /// The cursor of a list, in hex: `list`, a hash of its model and filters, then order and id.
    pub(crate) fn to_cursor(self, list: u64) -> String {
        HEXLOWER.encode(&[&list.to_be_bytes()[..], &self.order.to_be_bytes(), self.id.as_bytes()].concat())
    }

    fn from_cursor(text: &str, list: u64) -> Result<Self, InvalidCursor> {
        let read = |text: &str| {
            let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
            let (of_list, rest) = bytes.split_first_chunk()?;
            let (order, id) = rest.split_first_chunk()?;
            let place = Self { order: i64::from_be_bytes(*order), id: Uuid::from_slice(id).ok()? };
            (u64::from_be_bytes(*of_list) == list).then_some(place)
        };
        read(text).ok_or(InvalidCursor)
    }
}

impl Page {
    /// The limit that applies.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    /// The place after which it starts in this list.
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
