//! One commit as a line of JSON.

use capstan_envelope::{Commit, CommitHash, Position, Recorded};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A commit with its position. Every field is kept as it is stored: the data of an event is copied as raw text, so that
/// the hash does not change.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    position: Position,
    recorded_at: DateTime<Utc>,
    hash: CommitHash,
    commit: &'a Commit,
}

#[derive(Deserialize)]
struct Read {
    position: Position,
    recorded_at: DateTime<Utc>,
    hash: CommitHash,
    commit: Commit,
}

impl Line<'_> {
    /// Writes a commit as one line.
    pub(super) fn of(recorded: &Recorded) -> Result<String, serde_json::Error> {
        let Recorded { position, recorded_at, hash, commit } = recorded;
        serde_json::to_string(&Line { position: *position, recorded_at: *recorded_at, hash: *hash, commit })
    }

    /// Reads a line.
    pub(super) fn read(text: &str) -> Result<Recorded, serde_json::Error> {
        let Read { position, recorded_at, hash, commit } = serde_json::from_str(text)?;
        Ok(Recorded { position, recorded_at, hash, commit })
    }
}
