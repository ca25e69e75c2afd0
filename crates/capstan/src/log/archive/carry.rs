//! Carries streams forward: each gets a commit that says what stood before it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use capstan_contract::TaskCodec;
use capstan_domain::task::State;
use capstan_envelope::{
    Actor, Codec as _, Commit, CommitId, KeysSeen, Metadata, Position, StreamHead, StreamId,
};
use capstan_eventlog::{AppendError, EventLog, JetStreamLog};
use capstan_projections::ReadModels;
use chrono::{SubsecRound as _, Utc};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::content::{Seen, Streams};

/// Longest wait for the rows to stand where the log does.
pub(super) const ROWS_WAIT: Duration = Duration::from_secs(30);
/// Most tries with a stream that others write to, and with an agent that others spend on.
pub(super) const TRIES_MAX: usize = 50;
/// Streams read and carried forward at once: they share flushes of the log.
const AT_ONCE: usize = 64;
/// Bytes that a stream takes while it is carried forward for each byte of its state, rounded up: as rows, as texts, as parsed
/// JSON, as the commit, as what is sent and as what is read back. And bytes besides.
const COPIES: u64 = 24;
const BESIDES: u64 = 16 << 10;
/// Most bytes of a state and of a commit.
const STATE_BYTES_MAX: u64 = 1 << 20;
/// Name of the command in the metadata of the commits.
const COMMAND: &str = "carry-forward";

/// Carries streams forward, so many at once that they fit the memory.
pub(super) struct Carrier<'a> {
    log: &'a JetStreamLog,
    read_models: &'a ReadModels,
    memory: Semaphore,
    memory_bytes: u64,
}

impl<'a> Carrier<'a> {
    /// With so many bytes of memory.
    pub(super) fn new(log: &'a JetStreamLog, read_models: &'a ReadModels, memory_bytes: usize) -> Self {
        let memory_bytes = memory_bytes.clamp(1, u32::MAX as usize);
        Self { log, read_models, memory: Semaphore::new(memory_bytes), memory_bytes: memory_bytes as u64 }
    }

    /// Bytes of the commits that would carry these streams forward, of those that wait; and their number. Writes nothing.
    pub(super) async fn weigh(&self, streams: &Streams, through: u64) -> anyhow::Result<(u64, u64)> {
        let sizes = self.each(streams, through, |stream, seen| async move {
            // It would say the same again.
            if seen.is_carried_last { Ok(seen.bytes) } else { self.bytes(&stream, seen).await }
        });
        let sizes: Vec<u64> = sizes.await?;
        Ok((sizes.iter().sum(), sizes.len() as u64))
    }

    /// Carries those forward that wait, of streams that were read up to `read`. Answers their number.
    pub(super) async fn carry(
        &self,
        streams: &Streams,
        through: u64,
        read: Position,
    ) -> anyhow::Result<usize> {
        let carried = self.each(streams, through, |stream, seen| async move {
            self.carry_forward(&stream, &seen.keys, read).await
        });
        Ok(carried.await?.len())
    }

    /// Does something with each stream that waits, within the memory.
    async fn each<'s, T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        streams: &'s Streams,
        through: u64,
        act: impl Fn(StreamId, &'s Seen) -> F,
    ) -> anyhow::Result<Vec<T>> {
        let act = &act;
        let acts = streams.iter().filter(|(_, seen)| seen.waits(through)).map(|(name, seen)| async move {
            let bytes = COPIES * seen.bytes.min(STATE_BYTES_MAX) + BESIDES;
            let bytes = u32::try_from(bytes.min(self.memory_bytes)).unwrap_or(u32::MAX);
            let _held = self.memory.acquire_many(bytes).await?;
            act(StreamId::from_tokens(name)?, seen).await
        });
        futures_util::stream::iter(acts).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Bytes of the commit that would carry a stream forward.
    async fn bytes(&self, stream: &StreamId, seen: &Seen) -> anyhow::Result<u64> {
        for _ in 0..TRIES_MAX {
            let Some((head, carried)) = self.rows(stream).await? else { continue };
            let (_, stored) = commit(stream, &head, carried, &seen.keys)?;
            read_back(stream, &stored)?;
            return Ok(stored.len() as u64);
        }
        bail!("carry {stream} forward: others write to it all the time; archive again")
    }

    /// The stream as the rows have it; none when they changed while they were read.
    async fn rows(
        &self,
        stream: &StreamId,
    ) -> anyhow::Result<Option<(StreamHead, capstan_envelope::Carried)>> {
        let carried = match self.read_models.carried(stream).await {
            Err(error) if error.is_retryable() => return Ok(None),
            carried => carried?,
        };
        let (head, carried) = carried.with_context(|| {
            format!("carry {stream} forward: the read models do not have it; rebuild them")
        })?;
        if stream.category() == TaskCodec::CATEGORY {
            let state: State = carried.state()?;
            let is_over = state.is_none_or(|task| task.is_at_rest());
            ensure!(is_over, "carry {stream} forward: it was set in motion meanwhile; archive again");
        }
        Ok(Some((head, carried)))
    }

    /// Appends the commit that carries a stream forward. `keys` are those of its commits up to `read`.
    async fn carry_forward(&self, stream: &StreamId, keys: &KeysSeen, read: Position) -> anyhow::Result<()> {
        for _ in 0..TRIES_MAX {
            let last = self.log.last(stream).await?;
            let last = last.with_context(|| format!("carry {stream} forward: it is gone"))?.position;
            self.read_models.wait_for(last, ROWS_WAIT).await.context("wait for the read models")?;
            let Some((head, carried)) = self.rows(stream).await?.filter(|(head, _)| head.position == last)
            else {
                continue;
            };
            let mut keys = keys.clone();
            if !read.reaches(head.position) {
                for recorded in self.log.read_stream(stream, read).await? {
                    keys.take(&recorded.commit)?;
                }
            }
            let (commit, stored) = commit(stream, &head, carried, &keys)?;
            read_back(stream, &stored)?;
            drop(stored);
            match self.log.append(&commit).await {
                Ok(_) => return Ok(()),
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(error).with_context(|| format!("carry {stream} forward")),
            }
        }
        bail!("carry {stream} forward: others write to it all the time; archive again")
    }
}

/// The commit that carries a stream forward which has this head, and its stored bytes. `keys` are those of all its commits.
fn commit(
    stream: &StreamId,
    head: &StreamHead,
    mut carried: capstan_envelope::Carried,
    keys: &KeysSeen,
) -> anyhow::Result<(Commit, Vec<u8>)> {
    carried.older = keys.without(&carried.keys);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{COMMAND} {stream} {}", head.version).as_bytes());
    let commit = Commit {
        commit_id: CommitId(id),
        stream: stream.clone(),
        version: head.version + 1,
        previous: head.position,
        previous_hash: head.hash,
        metadata: Metadata::new(COMMAND, Actor::System, id, Utc::now().trunc_subsecs(3)),
        events: vec![carried.record()?],
    };
    let stored = commit.to_bytes()?;
    Ok((commit, stored))
}

/// Refuses a commit that could not be read: once the prefix is purged nothing else tells what it says.
fn read_back(stream: &StreamId, stored: &[u8]) -> anyhow::Result<()> {
    let stored = Commit::from_bytes(stream.clone(), 0, stored);
    let read = stored.map_err(anyhow::Error::from).and_then(|stored| {
        let carried = stored.carried()?.context("it carries nothing")?;
        Ok(carried.state::<serde_json::Value>()?)
    });
    read.with_context(|| format!("carry {stream} forward: its commit cannot be read back"))?;
    Ok(())
}
