//! Checks the hash chains of all streams, commit by commit.

use std::collections::HashMap;

use anyhow::ensure;
use capstan_envelope::{Position, Recorded, StreamHead, StreamId};

/// The last commit of each stream.
#[derive(Default)]
pub(super) struct Chains(HashMap<StreamId, StreamHead>);

impl Chains {
    /// Takes the next commit; refuses one that does not follow its stream's last.
    pub(super) fn extend(&mut self, recorded: &Recorded) -> anyhow::Result<()> {
        let head = self.0.entry(recorded.commit.stream.clone()).or_default();
        ensure!(
            head.is_followed_by(recorded),
            "verify {}: the commit at {} does not follow version {} at {}",
            recorded.commit.stream,
            recorded.position,
            head.version,
            head.position
        );
        head.position = recorded.position;
        head.version = recorded.commit.version;
        head.hash = recorded.hash;
        Ok(())
    }

    /// As [`Self::extend`], for a commit that must also name the place of its stream's last, as an append to it must.
    pub(super) fn extend_in_place(&mut self, recorded: &Recorded) -> anyhow::Result<()> {
        let stream = &recorded.commit.stream;
        let (named, last) = (
            recorded.commit.previous.sequence(),
            self.0.get(stream).map_or(Position::START, |head| head.position),
        );
        ensure!(
            named == last.sequence(),
            "verify {stream}: the commit at {} names {named} as the number of the one before it, which is {}",
            recorded.position,
            last.sequence()
        );
        self.extend(recorded)
    }

    /// The number of streams.
    pub(super) fn streams(&self) -> usize {
        self.0.len()
    }
}
