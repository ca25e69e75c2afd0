//! Streams in memory, bounded, with one writer at a time each.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_envelope::{Commit, StreamId};
use lru::LruCache;
use serde::Serialize;

use crate::Loaded;

/// Number of locks the streams share, so that look-ups of different streams seldom meet.
const SHARDS: usize = 64;

/// Bytes a stream in memory takes beside the text of its state and its keys: of a task, state and acceptance with room for what
/// most tasks lack, and its places in the cache.
const BYTES_PER_STREAM: usize = 3072;
/// Bytes a stream may grow by, beyond the size it was measured with, before it is measured anew.
const GROWTH_MAX: usize = 4096;

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
    size: Size,
    /// False once the slot has left the cache: what it remembers goes with its last user.
    counts: bool,
}

/// Bytes a stream counts for: those of its state when it was measured, and of the commits since. A state grows by about its
/// commits at most, so it counts for no less than it has, and for no more than twice of what it had when it was measured,
/// and [`GROWTH_MAX`]. Measuring writes the whole state, and is paid for by commits of that length.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    measured: usize,
    grown: usize,
}

impl Size {
    fn new(text: usize) -> Self {
        Self { measured: BYTES_PER_STREAM + text, grown: 0 }
    }

    fn of<S: Serialize>(loaded: &Loaded<S>) -> Self {
        Self::new(text_bytes(&loaded.head.applied) + text_bytes(&loaded.state))
    }

    /// The size after commits of so many bytes; none when it is to be measured.
    fn after(self, commits: usize) -> Option<Self> {
        let grown = self.grown.saturating_add(commits);
        (self.measured > 0 && grown <= self.measured + GROWTH_MAX).then_some(Self { grown, ..self })
    }

    fn bytes(self) -> usize {
        self.measured + self.grown
    }
}

/// Bytes of the events of commits that led from what is remembered to what is to be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Growth {
    /// Nobody counted them.
    Unknown,
    /// So many.
    Bytes(usize),
}

impl Growth {
    /// That of one commit.
    pub(crate) fn of(commit: &Commit) -> Self {
        Self::Bytes(commit.events.iter().map(|event| event.name.len() + event.data.get().len()).sum())
    }
}

impl<S: Serialize> Slot<S> {
    fn new(bytes: Arc<AtomicUsize>) -> Self {
        let memory = Memory { loaded: None, size: Size::default(), counts: true };
        Self { turn: tokio::sync::Mutex::new(()), memory: Mutex::new(memory), bytes }
    }

    pub(crate) fn get(&self) -> Option<Arc<Loaded<S>>> {
        guard(&self.memory).loaded.clone()
    }

    /// Remembers `newer` unless it, or something newer, is remembered already.
    pub(crate) fn put(&self, newer: &Arc<Loaded<S>>, growth: Growth) {
        let mut memory = guard(&self.memory);
        let is_older =
            |known: &Arc<Loaded<S>>| known.head.version <= newer.head.version && !Arc::ptr_eq(known, newer);
        if memory.loaded.as_ref().is_none_or(is_older) {
            self.set(&mut memory, Some(Arc::clone(newer)), growth);
        }
    }

    pub(crate) fn forget(&self) {
        self.set(&mut guard(&self.memory), None, Growth::Unknown);
    }

    /// Replaces what is remembered, if anything is, by what `advance` makes of it, which is the answer too.
    pub(crate) fn advance(
        &self,
        growth: Growth,
        advance: impl FnOnce(&Arc<Loaded<S>>) -> Option<Arc<Loaded<S>>>,
    ) -> Option<Arc<Loaded<S>>> {
        let mut memory = guard(&self.memory);
        let known = memory.loaded.as_ref()?;
        let after = advance(known);
        if !after.as_ref().is_some_and(|after| Arc::ptr_eq(after, known)) {
            self.set(&mut memory, after.clone(), growth);
        }
        after
    }

    fn set(&self, memory: &mut Memory<S>, loaded: Option<Arc<Loaded<S>>>, growth: Growth) {
        if memory.counts {
            let size = match (&loaded, growth) {
                (None, _) => Size::default(),
                // Nothing but this commit.
                (Some(loaded), Growth::Bytes(bytes)) if loaded.head.version == 1 => Size::new(bytes),
                (Some(loaded), Growth::Bytes(bytes)) => {
                    memory.size.after(bytes).unwrap_or_else(|| Size::of(loaded))
                }
                (Some(loaded), Growth::Unknown) => Size::of(loaded),
            };
            self.bytes.fetch_add(size.bytes(), Ordering::Relaxed);
            self.bytes.fetch_sub(memory.size.bytes(), Ordering::Relaxed);
            memory.size = size;
        }
        memory.loaded = loaded;
    }

    /// Stops counting: the slot has left the cache.
    fn leave(&self) {
        let mut memory = guard(&self.memory);
        self.bytes.fetch_sub(memory.size.bytes(), Ordering::Relaxed);
        (memory.size, memory.counts) = (Size::default(), false);
    }
}

/// Bytes of a value as text.
fn text_bytes(value: &impl Serialize) -> usize {
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
    // A value that cannot be written counts as far as it was.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// The slots of the streams used last, bounded in number and in bytes; one larger than all may stay until the next.
pub(crate) struct Cache<S> {
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
    /// Most slots of a shard.
    of_shard: usize,
    hasher: RandomState,
    shards: Box<[Shard<S>]>,
}

type Shard<S> = Mutex<LruCache<StreamId, Arc<Slot<S>>>>;

impl<S: Serialize> Cache<S> {
    pub(crate) fn new(entries_max: usize, bytes_max: usize) -> Self {
        let of_shard = (entries_max / SHARDS).max(1);
        // A bounded one takes all of its places at once, and a process has many caches that stay nearly empty.
        let shards = (0..SHARDS).map(|_| Mutex::new(LruCache::unbounded())).collect();
        Self { bytes: Arc::default(), bytes_max, of_shard, hasher: RandomState::new(), shards }
    }

    /// The slot of a stream, made when there is none.
    pub(crate) fn slot(&self, stream: &StreamId) -> Arc<Slot<S>> {
        let mut shard = guard(self.shard(stream));
        if let Some(slot) = shard.get(stream) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new(Arc::clone(&self.bytes)));
        shard.push(stream.clone(), Arc::clone(&slot));
        // Others of this shard make room, as those of the other shards do when they are used.
        while (shard.len() > self.of_shard || self.bytes.load(Ordering::Relaxed) > self.bytes_max)
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
            cache.slot(&stream(number)).put(&note(2_000), Growth::Unknown);
            let held = cache.bytes.load(Ordering::Relaxed);
            // One of each shard may stay until its shard is used again.
            assert!(held <= 200_000 + (SHARDS + 1) * 5_080, "{held} bytes");
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
        used.put(&note(1_000), Growth::Unknown);
        assert_eq!(cache.bytes.load(Ordering::Relaxed), 0);
        assert!(used.get().is_some(), "whoever uses it goes on");
    }
    /// Serialises like a text, and counts how often.
    #[derive(Default)]
    struct Counted {
        text: String,
        times: Arc<AtomicUsize>,
    }

    impl Serialize for Counted {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.times.fetch_add(1, Ordering::Relaxed);
            self.text.serialize(serializer)
        }
    }

    #[test]
    fn a_stream_is_measured_seldom_and_counts_about_right_however_many_commits_it_takes() {
        let cache = Cache::<Counted>::new(SHARDS, 1 << 20);
        let (slot, times) = (cache.slot(&stream(0)), Arc::<AtomicUsize>::default());
        // What a commit adds leaves again with the one after it, but for a tenth. The first one is not measured.
        for version in 2..=1_000_usize {
            let text = "x".repeat(version * 10 + 100);
            let mut loaded = Loaded { state: Counted { text, times: times.clone() }, ..Loaded::default() };
            loaded.head.version = version as u64;
            slot.put(&Arc::new(loaded), Growth::Bytes(100));
            let (truth, held) = (BYTES_PER_STREAM + version * 10 + 100, cache.bytes.load(Ordering::Relaxed));
            assert!((truth..=2 * truth + GROWTH_MAX + 100).contains(&held), "{held} for {truth} bytes");
        }
        let times = times.load(Ordering::Relaxed);
        assert!(times <= 20, "measured {times} times");
        slot.forget();
        assert_eq!(cache.bytes.load(Ordering::Relaxed), 0);
    }
}
