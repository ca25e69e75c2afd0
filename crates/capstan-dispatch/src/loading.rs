//! Loading streams into memory and keeping them current.

use std::sync::Arc;

use capstan_envelope::{Codec, Commit, Position, Recorded, StreamHead, StreamId, UnreadableCommit};
use serde::de::DeserializeOwned;

use crate::cache::{Growth, Slot};
use crate::dispatcher::{Dispatchable, Dispatcher, Known};
use crate::{Loaded, ReadFailure};

/// Longest stream that is read backwards, in commits.
const STEPS_BACK_MAX: u64 = 16;

impl<D: Dispatchable, C: Codec<Event = D::Event>> Dispatcher<D, C> {
    /// Snapshot row, else the stream itself, which is slower and always there. A snapshot may lag; an append decided on it
    /// is then refused and the tail fetched.
    pub(crate) async fn load_cold(&self, stream: &StreamId) -> Result<Cold<D::State>, ReadFailure> {
        match self.snapshots.load(stream).await {
            Ok(None) => {}
            Ok(Some(snapshot)) => match serde_json::from_str::<D::State>(snapshot.state.get()) {
                Ok(state) => return Ok(Cold::Lagging(Arc::new(Loaded { head: snapshot.head, state }))),
                Err(error) => {
                    // Disposable by design: another build wrote it, and the log still has everything.
                    tracing::warn!(%stream, %error, "a snapshot has another shape and is ignored");
                }
            },
            // Only its row knows a stream of which the log holds nothing.
            Err(error) if self.log.archived().forgets_streams() => return Err(error.into()),
            Err(error) => {
                tracing::debug!(%stream, %error, "a stream is read from the log, without its snapshot");
            }
        }
        match self.log.last(stream).await? {
            None => Ok(Cold::Newest(Arc::default())),
            Some(last) => self.load_whole(stream, last).await.map(Cold::Newest),
        }
    }

    /// The whole stream. A short one is read backwards, one commit after another: each tells where the one before it is,
    /// and a replay by subject costs seconds in a large log.
    async fn load_whole(
        &self,
        stream: &StreamId,
        last: Recorded,
    ) -> Result<Arc<Loaded<D::State>>, ReadFailure> {
        let begins = |commit: &Commit| commit.version == 1 || commit.carries_forward();
        if last.commit.version > STEPS_BACK_MAX && !begins(&last.commit) {
            return self.catch_up(stream, Arc::default()).await;
        }
        let mut commits = vec![last];
        while let Some(first) = commits.last().filter(|first| !begins(&first.commit)) {
            match self.log.at(first.commit.previous).await? {
                Some(before) if before.commit.stream == *stream => commits.push(before),
                // The replay tells what is wrong, or that the beginning was archived.
                Some(_) | None => return self.catch_up(stream, Arc::default()).await,
            }
        }
        commits.reverse();
        extend::<D, C>(stream, Arc::default(), &commits)
    }

    /// The commits of the log after `known`.
    pub(crate) async fn catch_up(
        &self,
        stream: &StreamId,
        known: Arc<Loaded<D::State>>,
    ) -> Result<Arc<Loaded<D::State>>, ReadFailure> {
        if known.head.position > Position::START {
            // One cheap look-up settles the usual case, that nothing new came.
            match self.log.last(stream).await? {
                Some(last) if last.position == known.head.position && last.hash == known.head.hash => {
                    return Ok(known);
                }
                Some(last) if known.head.is_followed_by(&last) => {
                    return extend::<D, C>(stream, known, &[last]);
                }
                Some(last) if known.head.position.reaches(last.position) => {
                    // What we know is not in the log: it was replaced under us.
                    return Err(ReadFailure::Broken { stream: stream.clone(), position: last.position });
                }
                Some(_) => {}
                None => return Err(self.gone(stream, known.head.position)),
            }
        }
        let tail = self.log.read_stream(stream, known.head.position).await?;
        extend::<D, C>(stream, known, &tail)
    }

    /// A stream that was known up to `position`, and of which the log holds nothing.
    fn gone(&self, stream: &StreamId, position: Position) -> ReadFailure {
        let stream = stream.clone();
        if position.sequence() <= self.log.archived().through {
            ReadFailure::Archived { stream, position }
        } else {
            ReadFailure::Broken { stream, position }
        }
    }

    /// What is known of a stream before a command: nothing of one that is not in memory, which is taken for a new one. A
    /// log that may have forgotten a stream refuses no append to it, so it is looked for.
    pub(crate) async fn known(
        &self,
        stream: &StreamId,
        slot: &Slot<D::State>,
    ) -> Result<Option<Known<D>>, ReadFailure> {
        match slot.get() {
            None if self.log.archived().forgets_streams() => self.newest(stream, slot, None).await.map(Some),
            known => Ok(known),
        }
    }

    /// Advances what is remembered of a stream when the live tail shows a commit, of this process or another. Never
    /// waits, never reads; streams that are not in memory are left alone.
    pub fn observe(&self, recorded: &Recorded) {
        self.follow(recorded);
    }

    /// As [`Self::observe`]; what is remembered then, at this commit or a later one.
    fn follow(&self, recorded: &Recorded) -> Option<Arc<Loaded<D::State>>> {
        if recorded.commit.stream.category() != C::CATEGORY {
            return None;
        }
        let slot = self.slot_if_any(&recorded.commit.stream)?;
        let known = slot.advance(Growth::of(&recorded.commit), |known| {
            if recorded.commit.version <= known.head.version {
                return Some(Arc::clone(known));
            }
            // A gap, a broken link or an unreadable event: forget, so that the next load looks at the log itself
            // and reports what it finds.
            extend::<D, C>(&recorded.commit.stream, Arc::clone(known), std::slice::from_ref(recorded)).ok()
        });
        // A process that takes no commands asks for no slot, which would make it.
        self.config.cache.make_room();
        known
    }

    /// As [`Self::observe`], and also takes a stream into memory that begins with this commit. For a process that
    /// follows all streams of the category and will soon act on them. What is remembered then, at this commit or a later
    /// one.
    pub fn adopt(&self, recorded: &Recorded) -> Option<Arc<Loaded<D::State>>> {
        let stream = &recorded.commit.stream;
        if stream.category() == C::CATEGORY && recorded.commit.version == 1 {
            let slot = self.slot(stream);
            if slot.get().is_none()
                && let Ok(begun) = extend::<D, C>(stream, Arc::default(), std::slice::from_ref(recorded))
            {
                slot.put(&begun, Growth::of(&recorded.commit));
            }
            slot.get()
        } else {
            self.follow(recorded)
        }
    }
}

/// A stream fresh in memory.
pub(crate) enum Cold<S> {
    /// As some snapshot knew it.
    Lagging(Arc<Loaded<S>>),
    /// As the log has it now.
    Newest(Arc<Loaded<S>>),
}

fn extend<D: Dispatchable, C: Codec<Event = D::Event>>(
    stream: &StreamId,
    known: Arc<Loaded<D::State>>,
    tail: &[Recorded],
) -> Result<Arc<Loaded<D::State>>, ReadFailure> {
    if tail.is_empty() {
        return Ok(known);
    }
    let mut loaded = Arc::unwrap_or_clone(known);
    // Whoever knows nothing before it begins with the commit that carries the stream forward. What is before that may lack
    // its own beginning.
    let carried = (loaded.head.version == 0)
        .then(|| tail.iter().rposition(|recorded| recorded.commit.carries_forward()))
        .flatten();
    let mut tail = tail;
    if let Some(index) = carried {
        loaded = begin_with(&tail[index])?;
        tail = &tail[index + 1..];
    }
    for recorded in tail {
        if !loaded.head.is_followed_by(recorded) {
            return Err(ReadFailure::Broken { stream: stream.clone(), position: recorded.position });
        }
        let events = read_events::<C>(recorded)?;
        loaded.state = capstan_decider::fold::<D>(loaded.state, &events);
        loaded.head.advance(recorded);
    }
    Ok(Arc::new(loaded))
}

/// The stream as this commit carries it forward.
fn begin_with<S: DeserializeOwned + Default>(recorded: &Recorded) -> Result<Loaded<S>, UnreadableCommit> {
    let read = || match recorded.commit.carried()? {
        Some(carried) => {
            Ok(Loaded { head: StreamHead::carried(recorded, &carried), state: carried.state()? })
        }
        None => Ok(Loaded::default()),
    };
    read().map_err(|source| UnreadableCommit { position: recorded.position, source })
}

/// The events of a commit, or its place when it cannot be read.
pub fn read_events<C: Codec>(recorded: &Recorded) -> Result<Vec<C::Event>, UnreadableCommit> {
    C::decode(&recorded.commit).map_err(|source| UnreadableCommit { position: recorded.position, source })
}
