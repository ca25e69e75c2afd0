//! Commits that were decided on a log in memory go to the real one: first all first commits of their streams, then all second
//! ones, each linked to where the one before it was stored.

use std::collections::HashMap;
use std::sync::Arc;

use capstan_dispatch::{Dispatchable, Dispatcher, DispatcherConfig, NoSnapshots};
use capstan_envelope::{Codec, CommitHash, Position, Recorded, StreamId};
use capstan_eventlog::{EventLog, MemoryLog, Selection};

use crate::memory::MemoryBudget;

/// A dispatcher on a log, with a memory of its own.
pub(super) fn dispatcher<D: Dispatchable, C: Codec<Event = D::Event>>(
    log: &Arc<dyn EventLog>,
) -> Dispatcher<D, C> {
    let config = DispatcherConfig::new(MemoryBudget::default().streams());
    Dispatcher::new(Arc::clone(log), Arc::new(NoSnapshots), config)
}

/// Publishes everything in `memory`; returns the number of commits.
pub(super) async fn publish(memory: &MemoryLog, log: &Arc<dyn EventLog>) -> anyhow::Result<usize> {
    let mut commits = Vec::new();
    let mut tail = memory.tail(Selection::All, Position::START).await?;
    loop {
        let batch = tail.next().await?;
        commits.extend(batch.commits);
        if batch.caught_up {
            break;
        }
    }
    // A group of commits stays inside one workspace.
    let wave = |recorded: &Recorded| (recorded.commit.version, recorded.commit.stream.workspace().clone());
    commits.sort_by_cached_key(|recorded| wave(recorded));
    let mut ends: HashMap<StreamId, (Position, CommitHash)> = HashMap::new();
    for together in commits.chunk_by(|a, b| wave(a) == wave(b)) {
        let mut linked: Vec<_> = together.iter().map(|recorded| recorded.commit.clone()).collect();
        for commit in &mut linked {
            if let Some((position, hash)) = ends.get(&commit.stream) {
                commit.previous = *position;
                commit.previous_hash = *hash;
            }
        }
        let stored = log.append_together(&linked).await?;
        for (commit, stored) in linked.into_iter().zip(stored) {
            ends.insert(commit.stream, (stored.position, stored.hash));
        }
    }
    Ok(commits.len())
}
