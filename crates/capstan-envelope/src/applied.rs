//! The repeatable commands a stream applied.
//!
//! Three parts answer whether a keyed command was applied before, so that the head does not grow with the stream:
//!
//! 1. the newest [`KEYS_KEPT`] keyed commands stand in the head, with what a repeat is answered, and so does the one that
//!    began the stream. A few more do, until they leave together: the filter changes seldom, see [`Stored`];
//! 2. a filter of fixed size in the head knows every one that left. It never misses one, so most new commands are
//!    known to be new without a look-up. It takes a new one for an old one in 0.1 % of the cases after 400 keys, 2 % after
//!    1,000, 15 % after 2,000 and nearly always after 10,000;
//! 3. what the filter may know is looked up where keys are kept for ever: in a table of the read models, which gets a key with
//!    the commit that makes it leave and is believed once it stands at or beyond the newest such commit, or in the stream
//!    itself. Of a command whose commit is archived a digest may be all that is left ([`crate::OlderKeys`]): it is known to have
//!    been applied, and not what it was answered.

use std::collections::VecDeque;

use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Serialize};

use crate::{CommitId, Position};

/// Keyed commands that stand in the head, at least.
pub const KEYS_KEPT: usize = 16;
/// Keyed commands that leave it together.
const LEAVE_TOGETHER: usize = 4;
/// Keyed commands that stand in the head, at most, without the one that began the stream.
pub(crate) const HEAD_KEYS_MAX: usize = KEYS_KEPT + LEAVE_TOGETHER - 1;
/// Bytes of the filter.
const FILTER_BYTES: usize = 1024;
/// Bits that a key sets in it.
const PROBES: u32 = 4;
/// Bits that number a bit of the filter.
const PROBE_BITS: u32 = (FILTER_BYTES * 8).ilog2();

/// The memory of one repeatable command that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Position of its commit.
    pub position: Position,
    /// The stream's version after it.
    pub version: u64,
    /// Fingerprint of its body.
    pub fingerprint: String,
}

/// What the head of a stream knows of a keyed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered<'a> {
    /// It was never applied.
    New,
    /// It was applied.
    Applied(&'a Applied),
    /// It may have been applied. Where keys are kept, it stands from this position on.
    Perhaps(Position),
}

/// The keyed commands of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct AppliedKeys {
    /// The one that began the stream.
    first: Option<(CommitId, Applied)>,
    /// The newest of the others, oldest first.
    recent: VecDeque<(CommitId, Applied)>,
    left: Option<Left>,
}

/// The keyed commands that left the head.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Left {
    /// Position of the commit with which the newest of them left.
    until: Position,
    filter: Box<[u8; FILTER_BYTES]>,
}

impl AppliedKeys {
    /// What is known of a command.
    pub fn look(&self, command: CommitId) -> Remembered<'_> {
        let mut known = self.recent.iter().rev().chain(&self.first);
        if let Some((_, applied)) = known.find(|(known, _)| *known == command) {
            return Remembered::Applied(applied);
        }
        match &self.left {
            Some(left) if probes(command).all(|(byte, bit)| left.filter[byte] & bit != 0) => {
                Remembered::Perhaps(left.until)
            }
            Some(_) | None => Remembered::New,
        }
    }

    /// True while no keyed command was applied.
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.recent.is_empty() && self.left.is_none()
    }

    /// The commands of which it has what a repeat is answered.
    pub(crate) fn commands(&self) -> impl Iterator<Item = CommitId> {
        self.first.iter().chain(&self.recent).map(|(command, _)| *command)
    }

    pub(crate) fn insert(&mut self, command: CommitId, applied: Applied) {
        if applied.version == 1 {
            self.first = Some((command, applied));
            return;
        }
        // A fold may advance the head with each event of a commit.
        if self.recent.iter().any(|(known, _)| *known == command) {
            return;
        }
        let until = applied.position;
        for (oldest, _) in self.recent.drain(..self.leaving()) {
            let left = self.left.get_or_insert_with(|| Left { until, filter: Box::new([0; FILTER_BYTES]) });
            left.until = until;
            for (byte, bit) in probes(oldest) {
                left.filter[byte] |= bit;
            }
        }
        self.recent.push_back((command, applied));
    }

    /// The commands that leave with the next keyed one.
    pub(crate) fn next_to_leave(&self) -> impl Iterator<Item = &(CommitId, Applied)> {
        self.recent.iter().take(self.leaving())
    }

    /// Number of the commands that leave with the next keyed one.
    fn leaving(&self) -> usize {
        let is_full = self.recent.len() + 1 >= KEYS_KEPT + LEAVE_TOGETHER;
        if is_full { LEAVE_TOGETHER } else { 0 }
    }
}

/// The bits of a key: byte, and mask in it.
fn probes(command: CommitId) -> impl Iterator<Item = (usize, u8)> {
    // Ids are not evenly spread where a version or a time stands in them; the upper half of the product is.
    let spread = command.0.as_u128().wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    (1..=PROBES).map(move |probe| {
        let place = (spread >> (128 - PROBE_BITS * probe)) as usize % (FILTER_BYTES * 8);
        (place / 8, 1 << (place % 8))
    })
}

type Entry = (CommitId, Position, u64, String);

/// The stored form: without the names of fields, which would be most of it.
///
/// The newest comes first, and what changes seldom last. Postgres records of a changed row what is between the bytes that its two
/// versions have in common at the beginning and at the end. So a keyed commit costs one entry, and only one that makes some leave
/// all of them; where this stands at the end of the row.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recent: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<(Position, String)>,
}

impl From<AppliedKeys> for Stored {
    fn from(keys: AppliedKeys) -> Self {
        let entry = |(command, applied): (CommitId, Applied)| {
            (command, applied.position, applied.version, applied.fingerprint)
        };
        Self {
            first: keys.first.map(entry),
            recent: keys.recent.into_iter().rev().map(entry).collect(),
            left: keys.left.map(|left| (left.until, BASE64_NOPAD.encode(left.filter.as_slice()))),
        }
    }
}

impl From<Stored> for AppliedKeys {
    fn from(stored: Stored) -> Self {
        let entry = |(command, position, version, fingerprint): Entry| {
            (command, Applied { position, version, fingerprint })
        };
        let left = stored.left.map(|(until, text)| {
            let bytes = BASE64_NOPAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
            // A filter that cannot be read knows every key: all are looked up.
            Left { until, filter: bytes.unwrap_or_else(|| Box::new([0xff; FILTER_BYTES])) }
        });
        Self {
            first: stored.first.map(entry),
            recent: stored.recent.into_iter().rev().map(entry).collect(),
            left,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::CommitHash;

    fn key(number: u64) -> CommitId {
        CommitId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes()))
    }

    fn with(count: u64) -> AppliedKeys {
        with_after(0, count)
    }

    /// Those of a log in which this many commits stand before.
    fn with_after(before: u64, count: u64) -> AppliedKeys {
        let mut keys = AppliedKeys::default();
        for number in 1..=count {
            let position = Position::new(before + number, CommitHash::of("s", &number.to_be_bytes()));
            let fingerprint = "f".repeat(22);
            keys.insert(key(number), Applied { position, version: number, fingerprint });
        }
        keys
    }

    #[test]
    fn the_newest_keys_are_known_and_of_older_ones_that_they_may_be() {
        for count in 20..120 {
            let keys = with(count);
            assert!(matches!(keys.look(key(1)), Remembered::Applied(known) if known.version == 1));
            let is_known = |number| matches!(keys.look(key(number)), Remembered::Applied(known) if known.version == number);
            let kept = (2..=count).filter(|number| is_known(*number)).count() as u64;
            assert!((KEYS_KEPT..KEYS_KEPT + LEAVE_TOGETHER).contains(&(kept as usize)), "{kept} of {count}");
            assert!((count - kept + 1..=count).all(is_known), "they are the newest of {count}");
            // The others left with the commit after which there were no more than must be.
            let since = kept - KEYS_KEPT as u64;
            for number in 2..=count - kept {
                let Remembered::Perhaps(until) = keys.look(key(number)) else {
                    panic!("{number} of {count}")
                };
                assert_eq!(until.sequence(), count - since);
            }
        }
    }

    #[test]
    fn a_keyed_command_seldom_changes_more_of_the_stored_form_than_its_beginning() {
        let stored = |count| serde_json::to_string(&with(count)).unwrap();
        let changed = (50..150).map(|count| {
            let (before, after) = (stored(count), stored(count + 1));
            let equal = before.bytes().rev().zip(after.bytes().rev()).take_while(|(a, b)| a == b).count();
            after.len() - equal
        });
        let (few, many): (Vec<_>, Vec<_>) = changed.partition(|bytes| *bytes < 150);
        assert_eq!((few.len(), many.len()), (75, 25), "{few:?} {many:?}");
    }

    #[test]
    fn a_commit_counts_once_however_often_it_is_seen() {
        let mut keys = with(5);
        let Remembered::Applied(applied) = keys.look(key(5)) else { panic!("known") };
        keys.insert(key(5), applied.clone());
        assert_eq!(keys, with(5));
    }

    #[test]
    fn few_new_keys_are_taken_for_old_ones() {
        for (left, most) in [(0, 0), (400, 30), (1_000, 300), (2_000, 1_800)] {
            let keys = with(left + 1 + KEYS_KEPT as u64);
            let new = 1_000_000..1_010_000;
            let mistaken = new.filter(|number| keys.look(key(*number)) != Remembered::New).count();
            assert!(mistaken <= most, "{mistaken} of 10,000 after {left}");
        }
    }

    #[test]
    fn the_stored_form_is_bounded_and_gives_the_same_keys() {
        let mut largest = 0;
        for count in [0, 3, 17, 18, 5_000, 5_001, 5_002, 5_003] {
            let keys = with_after(1_000_000_000_000, count);
            let text = serde_json::to_string(&keys).unwrap();
            largest = largest.max(text.len());
            assert_eq!(serde_json::from_str::<AppliedKeys>(&text).unwrap(), keys);
        }
        assert!((3_300..=3_500).contains(&largest), "{largest} bytes");
    }
}
