//! The lines of an exported log: its commits, and the end.

use anyhow::{Context, ensure};
use capstan_envelope::{Commit, CommitHash, FORMAT_EPOCH, Position, Recorded, StreamId};
use capstan_eventlog::FingerprintKey;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A line of JSON: the commit as it is stored and what the message says besides.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    position: Position,
    recorded_at: DateTime<Utc>,
    hash: CommitHash,
    stream: StreamId,
    /// Sequence of the stream's commit before this one, 0 for none.
    previous: u64,
    commit: Box<RawValue>,
}

/// The last line of an export. A file without it was cut.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndLine {
    end: End,
}

/// The end of an export.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Format epoch of the log. What is derived from a commit may differ in another one, even where the text is the same.
    format_epoch: u32,
    /// Number of commits before it.
    pub(super) commits: u64,
    /// Position of the last one.
    pub(super) position: Position,
    /// Number of the last archived commit: the commits of the file begin after it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) archived_through: u64,
    /// Key under which the fingerprints in the commits were made: a copy of the log takes it over.
    fingerprint_key: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields by reference")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

/// What a line holds.
pub(super) enum Content {
    /// A commit that is what its line says.
    Commit(Box<Recorded>),
    /// Nothing follows.
    End(End),
}

/// Reads a line of an export.
pub(super) fn read(line: &str) -> anyhow::Result<Content> {
    if let Ok(EndLine { end }) = serde_json::from_str(line) {
        return Ok(Content::End(end));
    }
    let line: Line = serde_json::from_str(line)?;
    Ok(Content::Commit(Box::new(line.read()?)))
}

impl EndLine {
    /// The end after these commits: every one that is not archived.
    pub(super) fn after(position: Position, archived_through: u64, fingerprint_key: &FingerprintKey) -> Self {
        let fingerprint_key = fingerprint_key.to_text();
        let commits = position.sequence().saturating_sub(archived_through);
        Self { end: End { format_epoch: FORMAT_EPOCH, commits, position, archived_through, fingerprint_key } }
    }
}

impl End {
    /// Refuses an export of a log with another format epoch.
    pub(super) fn must_be_of_this_epoch(&self) -> anyhow::Result<()> {
        let found = self.format_epoch;
        ensure!(
            found == FORMAT_EPOCH,
            "the export has format epoch {found}, this build reads epoch {FORMAT_EPOCH}: import it with a build of its epoch"
        );
        Ok(())
    }

    /// The key, if it is one.
    pub(super) fn fingerprint_key(&self) -> anyhow::Result<FingerprintKey> {
        Ok(self.fingerprint_key.parse()?)
    }
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

    /// The commit, if it still has its hash and would be stored as it stands here.
    fn read(self) -> anyhow::Result<Recorded> {
        let text = self.commit.get().as_bytes();
        let at = self.position;
        let hash = CommitHash::of(&self.stream.tokens(), text);
        ensure!(hash == self.hash, "import the commit at {at}: it was changed");
        ensure!(
            at == Position::new(at.sequence(), hash),
            "import the commit at {at}: its hash makes it {}",
            Position::new(at.sequence(), hash)
        );
        let commit = Commit::from_bytes(self.stream, self.previous, text)
            .with_context(|| format!("import the commit at {at}"))?;
        ensure!(
            commit.to_bytes()? == text,
            "import the commit at {at}: this version would store it with another text; a newer one may have written it"
        );
        Ok(Recorded { position: at, recorded_at: self.recorded_at, hash, commit })
    }
}
