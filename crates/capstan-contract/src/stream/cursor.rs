//! A subscriber's place in the log.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use capstan_envelope::{Position, Recorded};

/// A place between two events of the log.
///
/// Its text is `<position>` after a whole commit, and `<position>.<index>` after one event, counted from 0, of a
/// commit that has more. Every place has exactly one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    position: Position,
    /// Number of events seen of the commit at `position`; `None` when all of them have been.
    seen: Option<NonZeroUsize>,
}

impl Cursor {
    /// After everything up to and including the commit at `position`.
    pub const fn after(position: Position) -> Self {
        Self { position, seen: None }
    }

    /// After the event with this index of the commit at `position`, which has `count` events.
    pub fn after_event(position: Position, index: usize, count: usize) -> Self {
        // The last event and the whole commit are the same place and have one name.
        Self { position, seen: NonZeroUsize::new(index + 1).filter(|seen| seen.get() < count) }
    }

    /// The position of the last commit of which events have been seen.
    pub fn position(self) -> Position {
        self.position
    }

    /// Number of events seen of the commit at `position`; `None` when all of them have been.
    pub fn seen_of(self, position: Position) -> Option<usize> {
        if position == self.position {
            self.seen.map(NonZeroUsize::get)
        } else if self.position.reaches(position) {
            None
        } else {
            Some(0)
        }
    }

    /// True when everything before `other` was seen here.
    pub fn reaches(self, other: Self) -> bool {
        self.seen_of(other.position).is_none_or(|seen| other.seen.is_some_and(|other| seen >= other.get()))
    }

    /// True when only some events of the commit at [`Cursor::position`] have been seen.
    pub fn is_inside(self) -> bool {
        self.seen.is_some()
    }

    /// False when the commit at [`Cursor::position`] is not this long.
    pub fn fits(self, recorded: &Recorded) -> bool {
        self.seen.is_none_or(|seen| seen.get() < recorded.commit.events.len())
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen {
            None => self.position.fmt(f),
            Some(seen) => write!(f, "{}.{}", self.position, seen.get() - 1),
        }
    }
}

/// A text that is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an event id: expected a position, or a position and the number of an event")]
pub struct ParseCursorError;

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, index) = match text.split_once('.') {
            Some((position, index)) => (position, Some(index)),
            None => (text, None),
        };
        let seen = |index: &str| NonZeroUsize::MIN.checked_add(index.parse().ok()?);
        let position: Position = position.parse().map_err(|_| ParseCursorError)?;
        let seen = index.map(|index| seen(index).ok_or(ParseCursorError)).transpose()?;
        let cursor = Self { position, seen };
        let is_its_text = cursor.to_string() == text && !(cursor.is_inside() && position == Position::START);
        is_its_text.then_some(cursor).ok_or(ParseCursorError)
    }
}

#[cfg(test)]
mod tests {
    use capstan_envelope::CommitHash;

    use super::*;

    #[test]
    fn a_cursor_reads_back_from_its_text() {
        for text in
            ["0", "0-7-00000000", "0-7-9f3ac21b.0", "3-18446744073709551615-9f3ac21b", "0-12-00000001.34"]
        {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        let wrong = ["", "x", "7", "7.1", ".1", "0.0", "0-7-9f3ac21b.", "0-7-9f3ac21b.x", "0-7-9f3ac21b.1.2"];
        let other_texts = ["0-7-9f3ac21b.007", "0-7-9f3ac21b.+0", "0-7-9f3ac21b.18446744073709551615"];
        for text in wrong.into_iter().chain(other_texts) {
            assert_eq!(text.parse::<Cursor>(), Err(ParseCursorError), "{text}");
        }
    }

    fn place(sequence: u64) -> Position {
        Position::new(sequence, CommitHash::NONE)
    }

    #[test]
    fn a_place_inside_a_commit_has_seen_the_commits_before_it_whole() {
        let inside = Cursor::after_event(place(7), 1, 3);
        assert_eq!(inside.to_string(), "0-7-00000000.1");
        assert_eq!([6, 7, 8].map(|sequence| inside.seen_of(place(sequence))), [None, Some(2), Some(0)]);
    }

    #[test]
    fn after_the_last_event_means_after_the_commit() {
        assert_eq!(Cursor::after_event(place(7), 2, 3), Cursor::after(place(7)));
    }
}
