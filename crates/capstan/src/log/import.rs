//! Imports an exported log.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, ensure};
use capstan_envelope::{Position, Recorded};
use capstan_eventlog::EventLog;

use super::chains::Chains;
use super::line::Line;
use crate::output;

/// Appends every commit of the file with its original position and hash.
pub(super) async fn import(log: &dyn EventLog, file: &Path) -> anyhow::Result<()> {
    let head = log.head().await?;
    ensure!(head == Position::START, "import into this log: it is not empty, it ends at {head}");
    let mut chains = Chains::default();
    let mut last = Position::START;
    for recorded in read(file)? {
        let recorded = recorded?;
        ensure!(
            recorded.position.follows(last),
            "import {}: a commit is missing between {last} and {}",
            file.display(),
            recorded.position
        );
        chains.extend(&recorded)?;
        last = recorded.position;
    }
    for recorded in read(file)? {
        let recorded = recorded?;
        let appended =
            log.append(&recorded.commit).await.with_context(|| format!("import {}", recorded.position))?;
        ensure!(
            (appended.position, appended.hash) == (recorded.position, recorded.hash),
            "import the commit at {}: it was stored at {}; another process writes to this log",
            recorded.position,
            appended.position
        );
    }
    output::line(&format!("{} commits, {} streams imported", last.sequence(), chains.streams()))?;
    Ok(())
}

/// The commits of a file, one by one.
fn read(file: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Recorded>>> {
    let lines = BufReader::new(File::open(file).with_context(|| format!("open {}", file.display()))?).lines();
    Ok(lines.enumerate().map(|(index, line)| {
        let line = line.with_context(|| format!("read line {}", index + 1))?;
        let line: Line = serde_json::from_str(&line).with_context(|| format!("read line {}", index + 1))?;
        line.read()
    }))
}
