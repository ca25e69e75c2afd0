//! Pages: a place in a list that stays right while rows come and go.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Objects on a page when the caller does not say.
const LIMIT_DEFAULT: u32 = 50;
/// Objects on a page at most.
const LIMIT_MAX: u32 = 500;

/// Which page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects wanted; 50 when absent, at most 500.
    pub limit: Option<u32>,
    /// Where the last page ended, as its answer said.
    pub cursor: Option<String>,
}

/// A text that is no cursor of ours.
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

    pub(crate) fn to_cursor(self) -> String {
        let mut text = String::with_capacity(48);
        for byte in self.order.to_be_bytes().iter().chain(self.id.as_bytes()) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    fn from_cursor(text: &str) -> Result<Self, InvalidCursor> {
        if text.len() != 48 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(InvalidCursor);
        }
        let order = u64::from_str_radix(&text[..16], 16).map_err(|_| InvalidCursor)?.cast_signed();
        let id = u128::from_str_radix(&text[16..], 16).map_err(|_| InvalidCursor)?;
        Ok(Self { order, id: Uuid::from_u128(id) })
    }
}

impl Page {
    /// The limit that applies.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
    }

    /// Where it begins.
    pub(crate) fn place(&self) -> Result<Option<Place>, InvalidCursor> {
        self.cursor.as_deref().map(Place::from_cursor).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_foreign_text_is_refused() {
        for order in [0, -1, i64::MAX, i64::MIN, 1_700_000_000_000_000] {
            let place = Place { order, id: Uuid::from_u128(7) };
            assert_eq!(Place::from_cursor(&place.to_cursor()), Ok(place));
        }
        for text in ["", "x", &"g".repeat(48), &"ä".repeat(24), &"0".repeat(47)] {
            assert_eq!(Place::from_cursor(text), Err(InvalidCursor), "{text}");
        }
    }

    #[test]
    fn limits_are_clamped() {
        let limit = |limit| Page { limit, cursor: None }.limit();
        assert_eq!([limit(None), limit(Some(0)), limit(Some(7)), limit(Some(9_999))], [50, 1, 7, 500]);
    }
}
