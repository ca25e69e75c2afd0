//! One commit of an exported log.

use anyhow::{Context, ensure};
use capstan_envelope::{Commit, CommitHash, Position, Recorded, StreamId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A line of JSON: the commit as it is stored and what the message says besides.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    position: Position,
    recorded_at: DateTime<Utc>,
    hash: CommitHash,
    stream: StreamId,
    /// Sequence of the stream's commit before this one, 0 for none.
    previous: u64,
    commit: Box<RawValue>,
}

impl Line {
    pub(super) fn new(recorded: &Recorded) -> anyhow::Result<Self> {
        let commit = &recorded.commit;
        Ok(Self {
            position: recorded.position,
            recorded_at: recorded.recorded_at,
            hash: recorded.hash,
            stream: commit.stream.clone(),
            previous: commit.previous.sequence(),
            commit: RawValue::from_string(String::from_utf8(commit.to_bytes()?)?)?,
        })
    }

    /// The commit, if it still has its hash.
    pub(super) fn read(self) -> anyhow::Result<Recorded> {
        let text = self.commit.get().as_bytes();
        let hash = CommitHash::of(&self.stream.tokens(), text);
        ensure!(hash == self.hash, "import the commit at {}: it was changed", self.position);
        let commit = Commit::from_bytes(self.stream, self.previous, text)
            .with_context(|| format!("import the commit at {}", self.position))?;
        Ok(Recorded { position: self.position, recorded_at: self.recorded_at, hash, commit })
    }
}
