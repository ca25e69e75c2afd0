//! A place in the log.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CommitHash;

/// Bytes of the commit's hash that a position carries.
const HASH_BYTES: usize = 4;
/// The text of [`Position::START`].
const START_TEXT: &str = "0";
/// The only slot there is today.
const SLOT: u16 = 0;

/// A place in the log: everything up to and including one commit.
///
/// Its text is `<slot>-<sequence>-<hash>`, as in `0-48213-9f3ac21b`: the log stream, the commit's number in it, and the
/// first eight hex digits of the commit's hash. The hash makes a position of another history recognisable, even when
/// this log is longer. Clients take the text as opaque. [`Position::START`] is `0`, before the first commit of any slot.
///
/// The order of positions sorts by slot first and so says nothing about time across slots: use [`Position::reaches`] to
/// ask whether one place includes another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(
    with = "String",
    extend(
        "pattern" = r"^(0|(0|[1-9][0-9]{0,4})-[1-9][0-9]{0,19}-[0-9a-f]{8})$",
        "examples" = ["0-48213-9f3ac21b"]
    ),
    description = "A place in the log, as opaque text such as `0-48213-9f3ac21b`. `0` is the beginning."
)]
pub struct Position {
    slot: u16,
    sequence: u64,
    hash: [u8; HASH_BYTES],
}

impl Position {
    /// Before the first commit.
    pub const START: Self = Self { slot: SLOT, sequence: 0, hash: [0; HASH_BYTES] };

    /// The position of the commit with this number in the log and this hash; [`Position::START`] for number 0.
    pub fn new(sequence: u64, hash: CommitHash) -> Self {
        if sequence == 0 {
            return Self::START;
        }
        Self { slot: SLOT, sequence, hash: hash.first_bytes() }
    }

    /// The commit's number in its log; for the event log and for columns that rows are ordered by.
    pub const fn sequence(self) -> u64 {
        self.sequence
    }

    /// True when everything up to `other` is also before or at this position: same slot, no smaller number. The hashes
    /// are not compared, only the log can say whether both belong to one history.
    pub fn reaches(self, other: Self) -> bool {
        other == Self::START || (self.slot == other.slot && self.sequence >= other.sequence)
    }

    /// The position that reaches the other one; this one when both do, or neither.
    #[must_use]
    pub fn later_of(self, other: Self) -> Self {
        if self.reaches(other) || !other.reaches(self) { self } else { other }
    }

    /// True when the commit here is the next one of its log after `before`.
    pub fn follows(self, before: Self) -> bool {
        (before == Self::START || self.slot == before.slot)
            && self.sequence.checked_sub(1) == Some(before.sequence)
    }

    /// Number of commits from `before` to this position; 0 when `before` is not earlier.
    pub fn commits_since(self, before: Self) -> u64 {
        self.sequence.saturating_sub(before.sequence)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::START {
            return f.pad(START_TEXT);
        }
        write!(f, "{}-{}-{}", self.slot, self.sequence, HEXLOWER.encode_display(&self.hash))
    }
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a position such as 0-48213-9f3ac21b, or 0 for the beginning")]
pub struct ParsePositionError;

impl FromStr for Position {
    type Err = ParsePositionError;

    /// Reads exactly what `Display` writes: every position has one text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == START_TEXT {
            return Ok(Self::START);
        }
        let read = || {
            let mut parts = text.split('-');
            let (slot, sequence, hex) = (number(parts.next()?)?, number(parts.next()?)?, parts.next()?);
            let mut hash = [0; HASH_BYTES];
            let is_whole = parts.next().is_none() && hex.len() == 2 * HASH_BYTES && sequence > 0;
            (is_whole && HEXLOWER.decode_mut(hex.as_bytes(), &mut hash).is_ok()).then_some(Self {
                slot,
                sequence,
                hash,
            })
        };
        read().ok_or(ParsePositionError)
    }
}

/// Reads digits without a sign and without leading zeros.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    let is_plain =
        digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if is_plain { digits.parse().ok() } else { None }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position(text: &str) -> Position {
        text.parse().unwrap()
    }

    proptest! {
        #[test]
        fn a_position_reads_back_from_its_text(slot: u16, sequence in 1..=u64::MAX, hash: [u8; HASH_BYTES]) {
            let position = Position { slot, sequence, hash };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn a_text_that_is_read_is_the_text_of_its_position(text in "[0-9a-fA-F+]{1,3}-[0-9+ ]{1,3}-[0-9a-fA-F]{7,9}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }

    #[test]
    fn a_position_names_slot_number_and_hash() {
        let hash = CommitHash::of("dev.task.1", b"a commit");
        let expected = format!("0-48213-{}", HEXLOWER.encode(&hash.to_bytes()[..4]));
        assert_eq!(Position::new(48_213, hash).to_string(), expected);
        assert_eq!((Position::START.to_string().as_str(), position("0")), ("0", Position::START));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "1",
            "00",
            "-",
            "0-",
            "0-1",
            "0-1-",
            "0-0-00000000",
            "0-1-9f3ac21",
            "0-1-9f3ac21b0",
            "0-1-9F3AC21B",
            "0-1-9f3ac21g",
            "00-1-9f3ac21b",
            "0-01-9f3ac21b",
            "0-+1-9f3ac21b",
            "0--1-9f3ac21b",
            " 0-1-9f3ac21b",
            "0-1-9f3ac21b-",
            "0-1-9f3ac21b-0",
            "65536-1-9f3ac21b",
            "0-18446744073709551616-9f3ac21b",
            "x-1-9f3ac21b",
        ] {
            assert_eq!(text.parse::<Position>(), Err(ParsePositionError), "{text:?}");
        }
    }

    #[test]
    fn a_place_reaches_earlier_ones_of_its_slot_and_the_beginning_of_any() {
        let (seven, other_seven) = (position("0-7-00000001"), position("0-7-00000002"));
        let (eight, elsewhere) = (position("0-8-00000003"), position("1-3-00000004"));
        assert!(eight.reaches(seven) && seven.reaches(seven) && seven.reaches(other_seven));
        assert!(!seven.reaches(eight) && !seven.reaches(elsewhere) && !elsewhere.reaches(seven));
        assert!(elsewhere.reaches(Position::START) && !Position::START.reaches(elsewhere));
        assert!(
            eight.follows(seven) && !seven.follows(eight) && !elsewhere.follows(position("0-2-00000005"))
        );
        assert_eq!(seven.later_of(eight), eight);
        assert_eq!((eight.later_of(seven), seven.later_of(elsewhere)), (eight, seven));
        assert_eq!((eight.commits_since(seven), seven.commits_since(eight)), (1, 0));
    }
}
