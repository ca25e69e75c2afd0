//! Streams in memory, bounded, with one writer at a time each.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_envelope::StreamId;
use lru::LruCache;
use serde::Serialize;

use crate::Loaded;

/// Number of locks the streams share, so that look-ups of different streams seldom meet.
const SHARDS: usize = 64;

/// Bytes a stream in memory takes beside the text of its state.
const BYTES_PER_STREAM: usize = 2048;

/// One stream's place in memory.
///
/// Whoever decides holds `turn`, so that writers of this process do not make conflicts for each other. What is
/// remembered has its own short lock, so that observing the log never waits for a decision under way. A slot
/// that is evicted while somebody uses it does no harm: two writers then meet at the log's expected version.
pub(crate) struct Slot<S> {
    pub(crate) turn: tokio::sync::Mutex<()>,
    memory: Mutex<Memory<S>>,
    /// Bytes of all slots of the cache.
    bytes: Arc<AtomicUsize>,
}

/// What is remembered of a stream.
struct Memory<S> {
    loaded: Option<Arc<Loaded<S>>>,
    /// Bytes it counts for.
    bytes: usize,
    /// False once the slot has left the cache: what it remembers goes with its last user.
    counts: bool,
}

impl<S: Serialize> Slot<S> {
    fn new(bytes: Arc<AtomicUsize>) -> Self {
        let memory = Memory { loaded: None, bytes: 0, counts: true };
        Self { turn: tokio::sync::Mutex::new(()), memory: Mutex::new(memory), bytes }
    }

    pub(crate) fn get(&self) -> Option<Arc<Loaded<S>>> {
        guard(&self.memory).loaded.clone()
    }

    /// Remembers `newer` unless something newer is remembered already.
    pub(crate) fn put(&self, newer: &Arc<Loaded<S>>) {
        let mut memory = guard(&self.memory);
        if memory.loaded.as_ref().is_none_or(|known| known.head.version <= newer.head.version) {
            self.set(&mut memory, Some(Arc::clone(newer)));
        }
    }

    pub(crate) fn forget(&self) {
        self.set(&mut guard(&self.memory), None);
    }

    /// Replaces what is remembered, if anything is, by what `advance` makes of it, which is the answer too.
    pub(crate) fn advance(
        &self,
        advance: impl FnOnce(&Arc<Loaded<S>>) -> Option<Arc<Loaded<S>>>,
    ) -> Option<Arc<Loaded<S>>> {
        let mut memory = guard(&self.memory);
        let known = memory.loaded.as_ref()?;
        let after = advance(known);
        if !after.as_ref().is_some_and(|after| Arc::ptr_eq(after, known)) {
            self.set(&mut memory, after.clone());
        }
        after
    }

    fn set(&self, memory: &mut Memory<S>, loaded: Option<Arc<Loaded<S>>>) {
        if memory.counts {
            let bytes = loaded.as_ref().map_or(0, |loaded| BYTES_PER_STREAM + text_bytes(&loaded.state));
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
            self.bytes.fetch_sub(memory.bytes, Ordering::Relaxed);
            memory.bytes = bytes;
        }
        memory.loaded = loaded;
    }

    /// Stops counting: the slot has left the cache.
    fn leave(&self) {
        let mut memory = guard(&self.memory);
        self.bytes.fetch_sub(memory.bytes, Ordering::Relaxed);
        (memory.bytes, memory.counts) = (0, false);
    }
}

/// Bytes of a state as text.
fn text_bytes(state: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0 += text.len();
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A state that cannot be written counts as far as it was.
    let _ = serde_json::to_writer(&mut count, state);
    count.0
}

/// The slots of the streams used last, bounded in number and in bytes; one larger than all may stay until the next.
pub(crate) struct Cache<S> {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    hasher: RandomState,
    shards: Box<[Shard<S>]>,
}

type Shard<S> = Mutex<LruCache<StreamId, Arc<Slot<S>>>>;

impl<S: Serialize> Cache<S> {
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Self {
        let of_shard = NonZeroUsize::new(entries_max / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::new(of_shard))).collect();
        Self { bytes: Arc::default(), bytes_max, hasher: RandomState::new(), shards }
    }

    /// The slot of a stream, made when there is none.
    pub(crate) fn slot(&self, stream: &StreamId) -> Arc<Slot<S>> {
        let mut shard = guard(self.shard(stream));
        if let Some(slot) = shard.get(stream) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new(Arc::clone(&self.bytes)));
        if let Some((_, left)) = shard.push(stream.clone(), Arc::clone(&slot)) {
            left.leave();
        }
        // Others of this shard make room, as those of the other shards do when they are used.
        while self.bytes.load(Ordering::Relaxed) > self.bytes_max
            && shard.len() > 1
            && let Some((_, left)) = shard.pop_lru()
        {
            left.leave();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: usize) -> StreamId {
        format!("dev/note/{number}").parse().expect("a name")
    }

    fn note(bytes: usize) -> Arc<Loaded<String>> {
        Arc::new(Loaded { state: "x".repeat(bytes), ..Loaded::default() })
    }

    #[test]
    fn it_holds_no_more_bytes_than_it_may() {
        let cache = Cache::<String>::new(100_000, 200_000);
        for number in 0..600 {
            cache.slot(&stream(number)).put(&note(2_000));
            let held = cache.bytes.load(Ordering::Relaxed);
            // One of each shard may stay until its shard is used again.
            assert!(held <= 200_000 + (SHARDS + 1) * 4_050, "{held} bytes");
        }
        let last = cache.slot(&stream(599));
        assert!(last.get().is_some(), "the one used last is there");
        last.forget();
        for number in 0..5_000 {
            cache.slot(&stream(number));
        }
        assert!(cache.bytes.load(Ordering::Relaxed) <= 200_000, "what left counts no longer");
    }

    #[test]
    fn a_slot_that_left_while_it_was_used_counts_no_longer() {
        let cache = Cache::<String>::new(SHARDS, 1 << 20);
        let used = cache.slot(&stream(0));
        for number in 1..1_000 {
            cache.slot(&stream(number));
        }
        used.put(&note(1_000));
        assert_eq!(cache.bytes.load(Ordering::Relaxed), 0);
        assert!(used.get().is_some(), "whoever uses it goes on");
    }
}
