//! Imports an exported log.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, ensure};
use capstan_envelope::Position;
use capstan_eventlog::{EventLog as _, FingerprintKey, JetStreamLog};

use super::chains::Chains;
use super::line::{Content, read};
use crate::output;

/// Appends every commit of the file with its original position and hash.
pub(super) async fn import(log: &JetStreamLog, file: &Path) -> anyhow::Result<()> {
    let head = log.head().await?;
    ensure!(head == Position::START, "import into this log: it is not empty, it ends at {head}");
    let (first, last, chains, key) =
        check(file, log.commit_bytes_max()).with_context(|| format!("import {}", file.display()))?;
    if first > 1 {
        // The copy begins where the log began.
        log.archive(first - 1).await?;
    }
    let mut begun = HashSet::new();
    // Before the first commit: fingerprints mean nothing under another key.
    log.adopt_fingerprint_key(&key).await?;
    for content in contents(file)? {
        let Content::Commit(mut recorded) = content? else { break };
        if begun.insert(recorded.commit.stream.clone()) {
            // What it follows is archived, if anything.
            recorded.commit.previous = Position::START;
        }
        let appended =
            log.append(&recorded.commit).await.with_context(|| format!("import {}", recorded.position))?;
        ensure!(
            (appended.position, appended.hash) == (recorded.position, recorded.hash),
            "import the commit at {}: it was stored at {}; another process writes to this log",
            recorded.position,
            appended.position
        );
    }
    let commits = last.sequence() + 1 - first;
    output::line(&format!("{commits} commits, {} streams imported", chains.streams()))?;
    Ok(())
}

/// Checks everything an append relies on; returns the number of the first commit, the last position, the chains and the
/// key of the log.
fn check(file: &Path, commit_bytes_max: usize) -> anyhow::Result<(u64, Position, Chains, FingerprintKey)> {
    let (mut chains, mut last, mut ended_with) = (Chains::default(), Position::START, None);
    let mut first = None;
    for (index, content) in contents(file)?.enumerate() {
        let line = || format!("read line {}", index + 1);
        ensure!(ended_with.is_none(), "{}: the line before it is the end of the export", line());
        match content? {
            Content::Commit(recorded) => {
                // The end says whether what is before it is archived.
                let is_first = first.is_none();
                let begins_at = *first.get_or_insert(recorded.position.sequence());
                if is_first {
                    chains = Chains::after(begins_at - 1);
                }
                ensure!(
                    is_first || recorded.position.follows(last),
                    "{}: a commit is missing between {last} and {}",
                    line(),
                    recorded.position
                );
                let bytes = recorded.commit.to_bytes()?.len();
                ensure!(
                    bytes <= commit_bytes_max,
                    "{}: the commit at {} has {bytes} bytes, this log takes {commit_bytes_max}",
                    line(),
                    recorded.position
                );
                chains.extend_in_place(&recorded).with_context(line)?;
                last = recorded.position;
            }
            Content::End(end) => {
                end.must_be_of_this_epoch().with_context(line)?;
                let archived_through = first.map_or(0, |first| first - 1);
                ensure!(
                    end.archived_through == archived_through,
                    "{}: the export begins after {}, but the first line is at {}; a commit is missing between them",
                    line(),
                    end.archived_through,
                    archived_through + 1
                );
                let commits = last.sequence() - archived_through;
                ensure!(
                    (end.commits, end.position) == (commits, last),
                    "{}: the export ends after {} commits at {}, but the lines before end after {commits} at {last}",
                    line(),
                    end.commits,
                    end.position
                );
                ended_with = Some(end.fingerprint_key().with_context(line)?);
            }
        }
    }
    let key = ended_with.with_context(|| {
        format!(
            "read to the end of the export: its last line is missing, the lines that are there end at {last}"
        )
    })?;
    Ok((first.unwrap_or(1), last, chains, key))
}

/// The lines of a file, one by one.
fn contents(file: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Content>>> {
    let lines = BufReader::new(File::open(file).context("open the file")?).lines();
    Ok(lines.enumerate().map(|(index, line)| {
        line.map_err(anyhow::Error::from)
            .and_then(|line| read(&line))
            .with_context(|| format!("read line {}", index + 1))
    }))
}
