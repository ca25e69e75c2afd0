//! The id of a frame.

use std::fmt;
use std::str::FromStr;

use capstan_envelope::Position;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Cursor;

/// The id of a frame, after which a stream resumes: a place in the log and, on a stream with log lines, among those.
///
/// Its text is that of the cursor, or `<cursor>~<line>` with the place of the last line. Every place has exactly one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(rename = "EventId", with = "String")]
pub struct Place {
    /// Place in the log.
    pub cursor: Cursor,
    /// Place among the log lines, where it is known.
    pub line: Option<u64>,
}

impl From<Cursor> for Place {
    fn from(cursor: Cursor) -> Self {
        Self { cursor, line: None }
    }
}

impl From<Position> for Place {
    fn from(position: Position) -> Self {
        Cursor::after(position).into()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.trim().parse().map_err(|_| "must be an event id as sent on a stream")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            None => self.cursor.fmt(f),
            Some(line) => write!(f, "{}~{line}", self.cursor),
        }
    }
}

/// A text that is not the id of a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event id as sent on a stream")]
pub struct ParsePlaceError;

impl FromStr for Place {
    type Err = ParsePlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (cursor, line) = match text.split_once('~') {
            Some((cursor, line)) => (cursor, Some(line)),
            None => (text, None),
        };
        let cursor = cursor.parse().map_err(|_| ParsePlaceError)?;
        let line = line.map(str::parse).transpose().map_err(|_| ParsePlaceError)?;
        let place = Self { cursor, line };
        (place.to_string() == text).then_some(place).ok_or(ParsePlaceError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_its_text() {
        for text in ["0", "0-7-9f3ac21b", "0~0", "0-7-9f3ac21b~812", "0-7-9f3ac21b.0~18446744073709551615"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["", "~1", "0~", "0~+1", "0~01", "0~1~2", "0~18446744073709551616", "0.1~1"] {
            assert_eq!(text.parse::<Place>(), Err(ParsePlaceError), "{text}");
        }
    }
}
