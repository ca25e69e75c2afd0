//! The loop.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use capstan_decider::Decider;
use capstan_envelope::{Codec, CodecError, Commit, CommitId, Position, Recorded, StreamId};
use capstan_eventlog::{AppendError, Appended, EventLog, Snapshots};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::cache::{Growth, Slot, StreamCache};
use crate::context::Context;
use crate::loading::{Cold, read_events};
use crate::metric;
use crate::{CommandContext, Decided, DispatchError, Loaded, OnceContext, ReadFailure};

/// A decider whose commands can be executed from any task. Holds for every decider with plain data in it.
pub trait Dispatchable:
    Decider<
        Command: Sync,
        Event: Send + Sync,
        State: Serialize + DeserializeOwned + Send + Sync + 'static,
        Rejection: Send,
    > + 'static
{
}

impl<D> Dispatchable for D where
    D: Decider<
            Command: Sync,
            Event: Send + Sync,
            State: Serialize + DeserializeOwned + Send + Sync + 'static,
            Rejection: Send,
        > + 'static
{
}

/// Bounds of a dispatcher.
#[derive(Clone, Debug)]
pub struct DispatcherConfig {
    /// The memory of streams, which dispatchers of other categories may share.
    pub cache: StreamCache,
    /// Lost races after which a command is given back as contended.
    pub conflicts_max: u32,
    /// Longest pause before another try, in milliseconds.
    pub pause_ms_max: u64,
    /// Streams loaded at once. A load holds texts of the stream several times: its row, its last commit, its state.
    pub loads_max: usize,
}

impl DispatcherConfig {
    /// The usual bounds, with this memory of streams.
    pub fn new(cache: StreamCache) -> Self {
        Self { cache, conflicts_max: 32, pause_ms_max: 100, loads_max: 32 }
    }
}

/// Executes the commands of one category of streams.
pub struct Dispatcher<D: Dispatchable, C: Codec<Event = D::Event>> {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) snapshots: Arc<dyn Snapshots>,
    pub(crate) config: DispatcherConfig,
    /// A permit for each load under way.
    loads: Semaphore,
    kind: PhantomData<fn() -> (D, C)>,
}

impl<D: Dispatchable, C: Codec<Event = D::Event>> std::fmt::Debug for Dispatcher<D, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dispatcher({})", C::CATEGORY)
    }
}

pub(crate) type Outcome<D> = Result<Decided<D>, DispatchError<<D as Decider>::Rejection>>;
pub(crate) type Known<D> = Arc<Loaded<<D as Decider>::State>>;

/// The outcome of deciding a command on one loaded state.
pub(crate) enum Step<E> {
    /// Done before: the commit is known.
    Repeat(capstan_envelope::Applied),
    /// Nothing to record.
    Nothing,
    /// These are to be recorded.
    Record(Vec<E>),
}

impl<D: Dispatchable, C: Codec<Event = D::Event>> Dispatcher<D, C> {
    /// A dispatcher that has in memory what the cache has.
    pub fn new(log: Arc<dyn EventLog>, snapshots: Arc<dyn Snapshots>, config: DispatcherConfig) -> Self {
        let loads = Semaphore::new(config.loads_max.max(1));
        Self { log, snapshots, config, loads, kind: PhantomData }
    }

    /// The stream's slot in memory, made when there is none.
    pub(crate) fn slot(&self, stream: &StreamId) -> Arc<Slot<D::State>> {
        self.config.cache.slot(stream)
    }

    /// The stream's slot, if there is one.
    pub(crate) fn slot_if_any(&self, stream: &StreamId) -> Option<Arc<Slot<D::State>>> {
        self.config.cache.peek(stream)
    }

    /// The stream as this process knows it: other processes' commits show after [`Self::observe`], or at once after
    /// [`Self::refresh`].
    pub async fn load(&self, stream: &StreamId) -> Result<Arc<Loaded<D::State>>, ReadFailure> {
        let slot = self.slot(stream);
        if let Some(known) = slot.get() {
            return Ok(known);
        }
        let _turn = slot.turn.lock().await;
        if let Some(known) = slot.get() {
            return Ok(known);
        }
        let _permit = self.permit().await;
        let (Cold::Lagging(loaded) | Cold::Newest(loaded)) = self.load_cold(stream).await?;
        slot.put(&loaded, Growth::Unknown);
        Ok(loaded)
    }

    /// True while the stream is in memory.
    pub fn knows(&self, stream: &StreamId) -> bool {
        self.slot_if_any(stream).is_some_and(|slot| slot.get().is_some())
    }

    /// The stream as the log has it now.
    pub async fn refresh(&self, stream: &StreamId) -> Result<Arc<Loaded<D::State>>, ReadFailure> {
        let slot = self.slot(stream);
        let _turn = slot.turn.lock().await;
        let newest = self.newest(stream, &slot, slot.get()).await;
        if matches!(newest, Err(ReadFailure::Broken { .. })) {
            // What we know is not in the log: look again next time.
            slot.forget();
        }
        newest
    }

    /// Executes a command on a stream and answers once its effect is stored.
    pub async fn execute(
        &self,
        stream: &StreamId,
        command: &D::Command,
        context: &CommandContext,
    ) -> Result<Decided<D>, DispatchError<D::Rejection>> {
        let context = context.keyed(self.log.fingerprint_key());
        self.execute_in(stream, command, Context::Named(&context)).await
    }

    /// As [`Self::execute`], of a command that nobody repeats.
    pub async fn execute_once(
        &self,
        stream: &StreamId,
        command: &D::Command,
        context: &OnceContext,
    ) -> Result<Decided<D>, DispatchError<D::Rejection>> {
        self.execute_in(stream, command, Context::Once(context)).await
    }

    async fn execute_in(&self, stream: &StreamId, command: &D::Command, context: Context<'_>) -> Outcome<D> {
        let slot = self.slot(stream);
        let outcome = {
            let _turn = slot.turn.lock().await;
            self.run(stream, &slot, command, context).await
        };
        if outcome
            .as_ref()
            .is_err_and(|error| matches!(error, DispatchError::Log(_) | DispatchError::Broken { .. }))
        {
            // The commit's fate may be unknown, or what we know is not in the log: look again next time.
            slot.forget();
        }
        count::<D>(C::CATEGORY, &outcome);
        outcome
    }

    /// Load → decide → append; conflict → catch up and again.
    ///
    /// A stream that is not in memory is first taken for a new one, since most are: if it is not, the append is
    /// refused (or the decider says no, which is confirmed), and it is loaded like any other.
    async fn run(
        &self,
        stream: &StreamId,
        slot: &Slot<D::State>,
        command: &D::Command,
        context: Context<'_>,
    ) -> Outcome<D> {
        let mut known = self.known(stream, slot).await?;
        let mut confirmed = false;
        for conflicts in 0..=self.config.conflicts_max {
            let loaded = known.clone().unwrap_or_default();
            match self.step(stream, &loaded, command, context).await {
                Ok(Step::Repeat(applied)) => return self.first_answer(loaded, applied).await,
                Ok(Step::Record(events)) => match self.append(stream, slot, loaded, events, context).await {
                    Err(DispatchError::Log(AppendError::Conflict { .. })) => self.pause(conflicts).await,
                    outcome => return outcome,
                },
                // Only an append proves that the memory was not stale, so a "no" is confirmed before it is said.
                Ok(Step::Nothing) if confirmed => return Ok(unchanged(loaded)),
                Err(refusal) if confirmed || matches!(refusal, DispatchError::Snapshot(_)) => {
                    return Err(refusal);
                }
                Ok(Step::Nothing) | Err(_) => {}
            }
            known = Some(self.newest(stream, slot, known).await?);
            confirmed = true;
        }
        Err(DispatchError::Contended)
    }

    /// Decides a command, unless it is a repeat.
    pub(crate) async fn step(
        &self,
        stream: &StreamId,
        loaded: &Loaded<D::State>,
        command: &D::Command,
        context: Context<'_>,
    ) -> Result<Step<D::Event>, DispatchError<D::Rejection>> {
        if let Some(applied) = self.repeated(stream, loaded, context).await? {
            return Ok(Step::Repeat(applied));
        }
        let current = loaded.head.version;
        if context.expected_version().is_some_and(|expected| expected != current) {
            return Err(DispatchError::VersionMismatch { current });
        }
        let events = D::decide(&loaded.state, command).map_err(DispatchError::Rejected)?;
        Ok(if events.is_empty() { Step::Nothing } else { Step::Record(events) })
    }

    pub(crate) async fn append(
        &self,
        stream: &StreamId,
        slot: &Slot<D::State>,
        loaded: Known<D>,
        events: Vec<D::Event>,
        context: Context<'_>,
    ) -> Outcome<D> {
        let commit = Self::commit(stream, &loaded, &events, context)?;
        let appended = self.log.append(&commit).await.map_err(DispatchError::Log)?;
        if appended.duplicate {
            // A repeat by us after a lost acknowledgement is not called one by the log, so this is older.
            return self.stored_before(stream, slot, appended.position, context).await;
        }
        Ok(Self::stored(slot, &loaded, events, commit, &appended, context))
    }

    /// The commit that records these events after `loaded`.
    pub(crate) fn commit(
        stream: &StreamId,
        loaded: &Loaded<D::State>,
        events: &[D::Event],
        context: Context<'_>,
    ) -> Result<Commit, CodecError> {
        let (commit_id, metadata) = context.metadata();
        let mut commit = Commit {
            // Without one, it is named when it is whole.
            commit_id: commit_id.unwrap_or(CommitId(metadata.correlation_id)),
            stream: stream.clone(),
            version: loaded.head.version + 1,
            previous: loaded.head.position,
            previous_hash: loaded.head.hash,
            metadata,
            events: Vec::new(),
        };
        commit.events = C::encode(events, commit.facts())?;
        Ok(if commit_id.is_some() { commit } else { commit.named_by_content() })
    }

    /// Remembers what was just recorded, and answers with it.
    pub(crate) fn stored(
        slot: &Slot<D::State>,
        before: &Loaded<D::State>,
        events: Vec<D::Event>,
        commit: Commit,
        appended: &Appended,
        context: Context<'_>,
    ) -> Decided<D> {
        let (position, version, growth) = (appended.position, commit.version, Growth::of(&commit));
        let recorded = Recorded { position, recorded_at: context.occurred_at(), hash: appended.hash, commit };
        let mut head = before.head.clone();
        head.advance(&recorded);
        let state = capstan_decider::fold::<D>(before.state.clone(), &events);
        let loaded = Arc::new(Loaded { head, state });
        slot.put(&loaded, growth);
        Decided { events, loaded, position, version, duplicate: false, changed: true }
    }

    /// The log knew the command though the memory did not: an unkeyed command came twice, or this process has not
    /// seen the stream yet.
    pub(crate) async fn stored_before(
        &self,
        stream: &StreamId,
        slot: &Slot<D::State>,
        position: Position,
        context: Context<'_>,
    ) -> Outcome<D> {
        let stored = self.log.at(position).await.map_err(DispatchError::Read)?;
        let Some(stored) = stored else {
            return Err(DispatchError::Broken { stream: stream.clone(), position });
        };
        let told = stored.commit.metadata.idempotency.as_ref().map(|told| &told.fingerprint);
        if told != context.repeatable().map(|(_, asked)| &asked.fingerprint) {
            return Err(DispatchError::IdempotencyConflict);
        }
        let loaded = self.newest(stream, slot, slot.get()).await?;
        Ok(Decided {
            events: read_events::<C>(&stored)?,
            loaded,
            position: stored.position,
            version: stored.commit.version,
            duplicate: true,
            changed: false,
        })
    }

    pub(crate) async fn first_answer(
        &self,
        loaded: Known<D>,
        applied: capstan_envelope::Applied,
    ) -> Outcome<D> {
        let stored = self.log.at(applied.position).await.map_err(DispatchError::Read)?;
        let events = stored.as_ref().map(read_events::<C>).transpose()?.unwrap_or_default();
        let (position, version) = (applied.position, applied.version);
        Ok(Decided { events, loaded, position, version, duplicate: true, changed: false })
    }

    /// Brings what is known up to the log; `None` loads the stream cold first.
    pub(crate) async fn newest(
        &self,
        stream: &StreamId,
        slot: &Slot<D::State>,
        known: Option<Known<D>>,
    ) -> Result<Known<D>, ReadFailure> {
        let newest = if let Some(known) = known {
            self.catch_up(stream, known).await?
        } else {
            let _permit = self.permit().await;
            match self.load_cold(stream).await? {
                Cold::Lagging(known) => self.catch_up(stream, known).await?,
                Cold::Newest(newest) => newest,
            }
        };
        slot.put(&newest, Growth::Unknown);
        Ok(newest)
    }

    /// The right to load a stream; none is refused, since nobody closes the semaphore.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.loads.acquire().await.ok()
    }

    /// The first lost race is run again at once, further ones after a growing, jittered pause.
    pub(crate) async fn pause(&self, conflicts: u32) {
        metrics::counter!(metric::CONFLICTS, "category" => C::CATEGORY).increment(1);
        if conflicts > 0 {
            let ceiling = (1_u64 << conflicts.min(16)).min(self.config.pause_ms_max).max(1);
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..=ceiling))).await;
        }
    }
}

pub(crate) fn unchanged<D: Decider>(loaded: Arc<Loaded<D::State>>) -> Decided<D> {
    let (position, version) = (loaded.head.position, loaded.head.version);
    Decided { events: Vec::new(), loaded, position, version, duplicate: false, changed: false }
}

fn count<D: Decider>(category: &'static str, outcome: &Outcome<D>) {
    count_as(
        category,
        match outcome {
            Ok(decided) => decided.as_outcome(),
            Err(error) => error.as_outcome(),
        },
    );
}

pub(crate) fn count_as(category: &'static str, outcome: &'static str) {
    metrics::counter!(metric::COMMANDS, "category" => category, "outcome" => outcome).increment(1);
}
