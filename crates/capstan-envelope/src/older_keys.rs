//! Keyed commands of which only a digest is left, because their commits are archived.

use std::collections::VecDeque;

use data_encoding::BASE64_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::applied::HEAD_KEYS_MAX;
use crate::{AppliedKeys, CodecError, Commit, CommitId};

/// Most digests that a stream carries forward, the newest: 27 KB in the commit.
pub const OLDER_KEYS_MAX: usize = 2_560;
/// Most commands that are collected: what is older is neither carried nor in the head, but for the first, which the head keeps.
const COMMANDS_MAX: usize = OLDER_KEYS_MAX + HEAD_KEYS_MAX;

/// The first bytes of the SHA-256 of the id of a command. One stream has them, so two commands with the same are as good as
/// impossible. No part of the id itself would do: callers choose ids too, and those that one process makes of
/// the time have their last half in common.
type Digest = [u8; 8];

fn digest(command: CommitId) -> Digest {
    Sha256::digest(command.0.as_bytes()).first_chunk().copied().unwrap_or_default()
}

/// Digests of the keyed commands that left the head of a stream before it was carried forward, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OlderKeys(Vec<Digest>);

impl OlderKeys {
    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True for a command that was applied.
    pub fn knows(&self, command: CommitId) -> bool {
        self.0.contains(&digest(command))
    }
}

impl From<OlderKeys> for String {
    fn from(keys: OlderKeys) -> Self {
        BASE64_NOPAD.encode(keys.0.as_flattened())
    }
}

impl TryFrom<String> for OlderKeys {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = BASE64_NOPAD.decode(text.as_bytes()).map_err(|_| "not the digests of keys")?;
        let (digests, rest) = bytes.as_chunks();
        if rest.is_empty() { Ok(Self(digests.to_vec())) } else { Err("not whole digests of keys") }
    }
}

/// The keyed commands of a stream, collected from its commits in their order, the newest of them. One that carries the stream
/// forward says what stood before it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeysSeen {
    older: OlderKeys,
    /// Those after them, of which the id is known: as many as are carried, and those that the head may have.
    commands: VecDeque<CommitId>,
}

impl KeysSeen {
    /// Bytes that it holds at most.
    pub const BYTES_MAX: usize =
        OLDER_KEYS_MAX * size_of::<Digest>() + 2 * COMMANDS_MAX * size_of::<CommitId>();

    /// Takes the next commit.
    pub fn take(&mut self, commit: &Commit) -> Result<(), CodecError> {
        match Self::carried_by(commit)? {
            Some(before) => *self = before,
            None => {
                if let Some(command) = Self::command_of(commit) {
                    self.add(command);
                }
            }
        }
        Ok(())
    }

    /// Those before a commit that carries the stream forward; `None` for one with facts.
    pub fn carried_by(commit: &Commit) -> Result<Option<Self>, CodecError> {
        let before = |carried: crate::Carried| Self {
            older: carried.older,
            commands: carried.keys.commands().collect(),
        };
        Ok(commit.carried()?.map(before))
    }

    /// The command of a commit with facts, if it has a key.
    pub fn command_of(commit: &Commit) -> Option<CommitId> {
        commit.metadata.idempotency.as_ref().map(|_| commit.commit_id)
    }

    /// Takes the next keyed command.
    pub fn add(&mut self, command: CommitId) {
        if self.commands.len() == COMMANDS_MAX {
            self.commands.pop_front();
            // They would be older than all that are carried.
            self.older = OlderKeys::default();
        }
        self.commands.push_back(command);
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.older.0.capacity() * size_of::<Digest>() + self.commands.capacity() * size_of::<CommitId>()
    }

    /// Those that a head with these keys has no more, at most the newest [`OLDER_KEYS_MAX`].
    pub fn without(&self, head: &AppliedKeys) -> OlderKeys {
        let known: Vec<CommitId> = head.commands().collect();
        let left = self.commands.iter().rev().filter(|command| !known.contains(command));
        let older = left.map(|command| digest(*command)).chain(self.older.0.iter().rev().copied());
        let mut older: Vec<Digest> = older.take(OLDER_KEYS_MAX).collect();
        older.reverse();
        OlderKeys(older)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{
        Actor, Carried, CommitHash, Idempotency, KEYS_KEPT, Metadata, Position, Recorded, StreamHead,
    };

    /// An id as one process makes it of the time: its last half is always the same.
    fn key(number: u64) -> CommitId {
        CommitId(Uuid::from_u64_pair((number << 32) | 0x11f1, 0x8000_0242_ac11_0002))
    }

    fn commit(number: u64) -> Commit {
        let at = DateTime::UNIX_EPOCH;
        let idempotency = Some(Idempotency { key: number.to_string(), fingerprint: "f".into() });
        Commit {
            commit_id: key(number),
            stream: "dev/agent/a".parse().unwrap(),
            version: number,
            previous: Position::START,
            previous_hash: CommitHash::NONE,
            metadata: Metadata { idempotency, ..Metadata::new("c", Actor::System, Uuid::nil(), at) },
            events: Vec::new(),
        }
    }

    fn take(seen: &mut KeysSeen, head: &mut StreamHead, number: u64) {
        let commit = commit(number);
        seen.take(&commit).unwrap();
        let hash = CommitHash::of("s", &number.to_be_bytes());
        let position = Position::new(number, hash);
        head.advance(&Recorded { position, recorded_at: DateTime::UNIX_EPOCH, hash, commit });
    }

    #[test]
    fn every_key_is_in_the_head_or_among_the_older_ones_also_after_a_second_archive() {
        let (mut seen, mut head) = (KeysSeen::default(), StreamHead::default());
        (1..=101).for_each(|number| take(&mut seen, &mut head, number));
        let older = seen.without(&head.applied);
        let known = |older: &OlderKeys, number| older.knows(key(number));
        assert!((2..=85).all(|number| known(&older, number)));
        assert!(!known(&older, 1) && (86..=101).all(|number| !known(&older, number)));

        let state = serde_json::value::RawValue::from_string("null".into()).unwrap();
        let carried =
            Carried { state, keys: head.applied.clone(), older: older.clone(), shown: None, spent: None };
        let text = serde_json::to_string(&carried).unwrap();
        assert_eq!(serde_json::from_str::<Carried>(&text).unwrap().older, older);
        let mut later = KeysSeen::default();
        later.take(&Commit { events: vec![carried.record().unwrap()], ..commit(102) }).unwrap();
        (103..=142).for_each(|number| take(&mut later, &mut head, number));
        let older = later.without(&head.applied);
        assert!((2..=101).all(|number| known(&older, number)));
        assert!((103..=142 - KEYS_KEPT as u64).all(|number| known(&older, number)));
        assert!(!known(&older, 1) && !known(&older, 142) && !known(&older, 7_000));
    }

    #[test]
    fn they_are_bounded_and_the_newest_stay() {
        let (mut seen, mut head) = (KeysSeen::default(), StreamHead::default());
        let count = OLDER_KEYS_MAX as u64 + 1_001;
        (1..=count).for_each(|number| take(&mut seen, &mut head, number));
        let older = seen.without(&head.applied);
        assert!(String::from(older.clone()).len() <= 28_000);
        let newest = count - KEYS_KEPT as u64;
        assert!(older.knows(key(newest)) && older.knows(key(newest + 1 - OLDER_KEYS_MAX as u64)));
        assert!(!older.knows(key(newest - OLDER_KEYS_MAX as u64)));
        // However many more there are, no more is held.
        (count + 1..count + 10_000).for_each(|number| take(&mut seen, &mut head, number));
        assert!(seen.bytes() <= KeysSeen::BYTES_MAX, "{}", seen.bytes());
        let newest = count + 9_999 - KEYS_KEPT as u64;
        let older = seen.without(&head.applied);
        assert!(older.knows(key(newest - 3)) && older.knows(key(newest + 1 - OLDER_KEYS_MAX as u64)));
    }
}
