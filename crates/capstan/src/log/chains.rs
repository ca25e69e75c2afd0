//! Checks the hash chains of all streams, commit by commit.

use std::collections::HashMap;

use anyhow::ensure;
use capstan_envelope::{Position, Recorded, StreamHead, StreamId};

/// The last commit of each stream.
#[derive(Default)]
pub(super) struct Chains {
    heads: HashMap<StreamId, StreamHead>,
    /// Number of the last archived commit: what a stream's first commit here follows may be among those.
    archived_through: u64,
}

impl Chains {
    /// The chains of a log that begins after this number.
    pub(super) fn after(archived_through: u64) -> Self {
        Self { heads: HashMap::new(), archived_through }
    }

    /// Takes the next commit; refuses one that does not follow its stream's last.
    pub(super) fn extend(&mut self, recorded: &Recorded) -> anyhow::Result<()> {
        let commit = &recorded.commit;
        let head = self.heads.entry(commit.stream.clone()).or_default();
        // A copy of a log names nothing for what is archived.
        let begins = head.version == 0
            && self.archived_through > 0
            && commit.previous.sequence() <= self.archived_through;
        ensure!(
            begins || head.is_followed_by(recorded),
            "verify {}: the commit at {} does not follow version {} at {}",
            commit.stream,
            recorded.position,
            head.version,
            head.position
        );
        head.position = recorded.position;
        head.version = commit.version;
        head.hash = recorded.hash;
        Ok(())
    }

    /// As [`Self::extend`], for a commit that must also name the place of its stream's last, as an append to it must.
    pub(super) fn extend_in_place(&mut self, recorded: &Recorded) -> anyhow::Result<()> {
        let stream = &recorded.commit.stream;
        let (named, last) = (
            recorded.commit.previous.sequence(),
            self.heads.get(stream).map_or(Position::START, |head| head.position),
        );
        let is_archived = last == Position::START && named <= self.archived_through;
        ensure!(
            is_archived || named == last.sequence(),
            "verify {stream}: the commit at {} names {named} as the number of the one before it, which is {}",
            recorded.position,
            last.sequence()
        );
        self.extend(recorded)
    }

    /// The number of streams.
    pub(super) fn streams(&self) -> usize {
        self.heads.len()
    }
}
