//! Cursors: a place in a list that stays valid while rows are added and removed.

use capstan_contract::query::Page;
use chrono::{DateTime, Utc};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use uuid::Uuid;

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

/// The place after which a page starts in this list.
pub(crate) fn start(page: &Page, list: u64) -> Result<Option<Place>, InvalidCursor> {
    page.cursor.as_deref().map(|text| Place::from_cursor(text, list)).transpose()
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
}
