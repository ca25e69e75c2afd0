//! Where a subscriber stands.

use std::fmt;
use std::str::FromStr;

use capstan_envelope::Position;

/// A place between two events of the log.
///
/// Its text is `<position>` after a whole commit, and `<position>.<index>` after one event, counted from 0, of a
/// commit that has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    position: Position,
    index: Option<usize>,
}

impl Cursor {
    /// After everything up to and including the commit at `position`.
    pub const fn after(position: Position) -> Self {
        Self { position, index: None }
    }

    /// After the event with this index of the commit at `position`, which has `count` events.
    pub(crate) fn after_event(position: Position, index: usize, count: usize) -> Self {
        // The last event and the whole commit are the same place and have one name.
        Self { position, index: (index + 1 < count).then_some(index) }
    }

    /// Every commit up to this position has been seen whole.
    pub fn whole(self) -> Position {
        match self.index {
            None => self.position,
            Some(_) => Position::new(self.position.sequence().saturating_sub(1)),
        }
    }

    /// The commit the cursor stands in or behind.
    pub fn position(self) -> Position {
        self.position
    }

    /// How many events of the commit at `position` have been seen; `None` when all of them have.
    pub(crate) fn seen_of(self, position: Position) -> Option<usize> {
        match position.cmp(&self.position) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => self.index.map(|index| index + 1),
            std::cmp::Ordering::Greater => Some(0),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => self.position.fmt(f),
            Some(index) => write!(f, "{}.{index}", self.position),
        }
    }
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("read a cursor from this text")]
pub struct ParseCursorError;

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (position, index) = match text.split_once('.') {
            Some((position, index)) => (position, Some(index)),
            None => (text, None),
        };
        let position: Position = position.parse().map_err(|_| ParseCursorError)?;
        let index = index.map(str::parse).transpose().map_err(|_| ParseCursorError)?;
        if index.is_some() && position == Position::START {
            return Err(ParseCursorError);
        }
        Ok(Self { position, index })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_from_its_text() {
        for text in ["0", "7", "7.0", "18446744073709551615", "12.34"] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in ["", "x", "7.", ".1", "-1", "7.x", "7.1.2", "0.0", "18446744073709551616"] {
            assert_eq!(text.parse::<Cursor>(), Err(ParseCursorError), "{text}");
        }
    }

    #[test]
    fn a_place_inside_a_commit_has_seen_the_commits_before_it_only() {
        let inside = Cursor::after_event(Position::new(7), 1, 3);
        assert_eq!((inside.to_string().as_str(), inside.whole()), ("7.1", Position::new(6)));
        let seen: Vec<_> = (6..9).map(|position| inside.seen_of(Position::new(position))).collect();
        assert_eq!(seen, [None, Some(2), Some(0)]);
    }

    #[test]
    fn after_the_last_event_means_after_the_commit() {
        assert_eq!(Cursor::after_event(Position::new(7), 2, 3), Cursor::after(Position::new(7)));
    }
}
