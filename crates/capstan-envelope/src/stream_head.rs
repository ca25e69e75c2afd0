//! The facts a writer needs of a stream besides its state.

use serde::{Deserialize, Serialize};

use crate::{Applied, AppliedKeys, Carried, CommitHash, CommitId, Position, Recorded};

/// The end of a stream: what the next append expects, and which repeatable commands were applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHead {
    /// Position of the last commit.
    pub position: Position,
    /// Number of commits.
    pub version: u64,
    /// Hash of the last commit.
    pub hash: CommitHash,
    /// Commands that carried an idempotency key.
    #[serde(default, skip_serializing_if = "AppliedKeys::is_empty")]
    pub applied: AppliedKeys,
}

impl StreamHead {
    /// The head of a stream that begins with this commit, for a reader who knows nothing before it.
    pub fn carried(recorded: &Recorded, carried: &Carried) -> Self {
        let Recorded { position, hash, commit, .. } = recorded;
        Self { position: *position, version: commit.version, hash: *hash, applied: carried.keys.clone() }
    }

    /// Moves the head over one more commit of its stream.
    pub fn advance(&mut self, recorded: &Recorded) {
        self.position = recorded.position;
        self.version = recorded.commit.version;
        self.hash = recorded.hash;
        if let Some(idempotency) = &recorded.commit.metadata.idempotency {
            self.applied.insert(
                recorded.commit.commit_id,
                Applied {
                    position: recorded.position,
                    version: recorded.commit.version,
                    fingerprint: idempotency.fingerprint.clone(),
                },
            );
        }
    }

    /// The keyed commands that leave the head with this commit; none where the head stands there already.
    pub fn keys_left_with(&self, recorded: &Recorded) -> Vec<(CommitId, Applied)> {
        let is_next = recorded.commit.version > self.version;
        let leaving = self.applied.next_to_leave().cloned();
        if is_next && recorded.commit.metadata.idempotency.is_some() { leaving.collect() } else { Vec::new() }
    }

    /// True when `recorded` is exactly the next commit of this stream: dense version, linked hash. Sequences are not
    /// compared, since they change with an import.
    pub fn is_followed_by(&self, recorded: &Recorded) -> bool {
        recorded.commit.version == self.version + 1 && recorded.commit.previous_hash == self.hash
    }
}
