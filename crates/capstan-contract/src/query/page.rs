use capstan_envelope::Position;
use serde::de::{Deserialize, Deserializer, Error};

use crate::beside::beside;

/// Objects on a page without a limit.
const LIMIT_DEFAULT: u32 = 50;
/// Most objects on a page.
pub const LIMIT_MAX: u32 = 500;

/// Hexadecimal digits of the cursor of a list.
pub const CURSOR_DIGITS: usize = 64;
/// The fault of a cursor of another list.
pub const FOREIGN_CURSOR: &str = "must be a next_cursor of this list with the same filters";

/// The number of objects on a page: 50 when no limit is given, else the limit, at least 1 and at most 500.
pub fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

/// Declares fields beside a query that waits for the read models.
macro_rules! waiting {
    ($(#[$doc:meta])* $kind:ident { $($own:tt)* }) => {
        beside! {
            $(#[$doc])*
            #[derive(Default)]
            $kind {
                $($own)*
                /// Waits until the read models have reached this log position.
                min_position: Option<Position>,
                /// Longest wait in milliseconds. The server's settings `limits.wait_ms_default` and `limits.wait_ms` are its default and its limit.
                wait_ms: Option<u32>,
            }

            fn min_position(&self) -> Option<Position> {
                self.min_position
            }

            fn wait_ms(&self) -> Option<u32> {
                self.wait_ms
            }
        }
    };
}

waiting! {
    /// The fields beside a query of one object: the position to wait for.
    Wait {}
}

waiting! {
    /// The fields beside the query of a list: the page, and the position to wait for.
    Page {
        /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
        limit: Option<u32>,
        /// The `next_cursor` of the previous page.
        #[serde(default, deserialize_with = "cursor")]
        cursor: Option<String>,
        /// True to include the `total` of all pages, counted up to 10000.
        #[serde(default)]
        count: bool,
    }
}

/// Reads a cursor. The list whose it is knows more about it; a text of another form is the cursor of none.
fn cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let cursor = Option::<String>::deserialize(deserializer)?;
    let is_cursor =
        |text: &String| text.len() == CURSOR_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match cursor {
        Some(text) if !is_cursor(&text) => Err(D::Error::custom(FOREIGN_CURSOR)),
        cursor => Ok(cursor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_clamped() {
        assert_eq!([None, Some(0), Some(7), Some(9_999)].map(page_size), [50, 1, 7, 500]);
    }
}
