//! Streams in memory, bounded, with one writer at a time each.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_envelope::StreamId;
use lru::LruCache;

use crate::Loaded;

/// Number of locks the streams share, so that look-ups of different streams seldom meet.
const SHARDS: usize = 64;

/// One stream's place in memory.
///
/// Whoever decides holds `turn`, so that writers of this process do not make conflicts for each other. What is
/// remembered has its own short lock, so that observing the log never waits for a decision under way. A slot
/// that is evicted while somebody uses it does no harm: two writers then meet at the log's expected version.
pub(crate) struct Slot<S> {
    pub(crate) turn: tokio::sync::Mutex<()>,
    loaded: Mutex<Option<Arc<Loaded<S>>>>,
}

impl<S> Slot<S> {
    fn new() -> Self {
        Self { turn: tokio::sync::Mutex::new(()), loaded: Mutex::new(None) }
    }

    pub(crate) fn get(&self) -> Option<Arc<Loaded<S>>> {
        guard(&self.loaded).clone()
    }

    /// Remembers `newer` unless something newer is remembered already.
    pub(crate) fn put(&self, newer: &Arc<Loaded<S>>) {
        let mut loaded = guard(&self.loaded);
        if loaded.as_ref().is_none_or(|known| known.head.version <= newer.head.version) {
            *loaded = Some(Arc::clone(newer));
        }
    }

    pub(crate) fn forget(&self) {
        *guard(&self.loaded) = None;
    }

    /// Replaces what is remembered, if anything is, by what `advance` makes of it, which is the answer too.
    pub(crate) fn advance(
        &self,
        advance: impl FnOnce(&Arc<Loaded<S>>) -> Option<Arc<Loaded<S>>>,
    ) -> Option<Arc<Loaded<S>>> {
        let mut loaded = guard(&self.loaded);
        *loaded = advance(loaded.as_ref()?);
        loaded.clone()
    }
}

/// The slots of the streams used last.
pub(crate) struct Cache<S> {
    hasher: RandomState,
    shards: Box<[Shard<S>]>,
}

type Shard<S> = Mutex<LruCache<StreamId, Arc<Slot<S>>>>;

impl<S> Cache<S> {
    pub(crate) fn new(entries_max: usize) -> Self {
        let of_shard = NonZeroUsize::new(entries_max / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::new(of_shard))).collect();
        Self { hasher: RandomState::new(), shards }
    }

    /// The slot of a stream, made when there is none.
    pub(crate) fn slot(&self, stream: &StreamId) -> Arc<Slot<S>> {
        let mut shard = guard(self.shard(stream));
        if let Some(slot) = shard.get(stream) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new());
        shard.put(stream.clone(), Arc::clone(&slot));
        slot
    }

    /// The slot of a stream, if there is one. Does not count as use.
    pub(crate) fn peek(&self, stream: &StreamId) -> Option<Arc<Slot<S>>> {
        guard(self.shard(stream)).peek(stream).cloned()
    }

    fn shard(&self, stream: &StreamId) -> &Shard<S> {
        &self.shards[self.hasher.hash_one(stream) as usize % SHARDS]
    }
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing below a guard can panic half way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
