use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::beside::Beside;

/// Objects on a page without a limit.
const LIMIT_DEFAULT: u32 = 50;
/// Most objects on a page.
pub const LIMIT_MAX: u32 = 500;

/// The number of objects on a page: 50 when no limit is given, else the limit, at least 1 and at most 500.
pub fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX)
}

/// The fields beside a query of one object: the position to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wait {
    /// Waits until the read models have reached this log position.
    pub min_position: Option<Position>,
    /// Longest wait in milliseconds; 2000 by default, at most 30000.
    pub wait_ms: Option<u32>,
}

impl Beside for Wait {
    const NAMES: &'static [&'static str] = &["min_position", "wait_ms"];

    fn min_position(&self) -> Option<(Position, Option<u32>)> {
        self.min_position.map(|position| (position, self.wait_ms))
    }
}

/// The fields beside the query of a list: the page, and the position to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
    pub limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    pub cursor: Option<String>,
    /// True to include the `total` of all pages, counted up to 10000.
    #[serde(default)]
    pub count: bool,
    /// Waits until the read models have reached this log position.
    pub min_position: Option<Position>,
    /// Longest wait in milliseconds; 2000 by default, at most 30000.
    pub wait_ms: Option<u32>,
}

impl Beside for Page {
    const NAMES: &'static [&'static str] = &["limit", "cursor", "count", "min_position", "wait_ms"];

    fn min_position(&self) -> Option<(Position, Option<u32>)> {
        self.min_position.map(|position| (position, self.wait_ms))
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
