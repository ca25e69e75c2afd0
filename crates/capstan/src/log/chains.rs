//! Checks the hash chains of all streams, commit by commit.

use std::collections::HashMap;

use anyhow::ensure;
use capstan_envelope::{Recorded, StreamHead, StreamId};

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

    /// The number of streams.
    pub(super) fn streams(&self) -> usize {
        self.0.len()
    }
}
