//! Streams in memory, bounded by their bytes, with one writer at a time each.

use std::any::Any;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capstan_envelope::{Commit, Held, MemoryShare, StreamId};
use lru::LruCache;
use serde::Serialize;

use crate::Loaded;

/// Bytes of a slot without a state, and of its places in the cache.
const SLOT_BYTES: usize = 512;
/// Bytes a state takes beside its text and its keys: of a task, state and acceptance with room for what most tasks lack.
const STATE_BYTES: usize = 2560;
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
}

/// What is remembered of a stream.
struct Memory<S> {
    loaded: Option<Arc<Loaded<S>>>,
    size: Size,
    /// None once the slot has left the cache: what it remembers goes with its last user.
    held: Option<Held>,
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
        Self { measured: STATE_BYTES + text, grown: 0 }
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
    fn new(share: &MemoryShare) -> Self {
        let memory = Memory { loaded: None, size: Size::default(), held: Some(share.hold(SLOT_BYTES)) };
        Self { turn: tokio::sync::Mutex::new(()), memory: Mutex::new(memory) }
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
            memory.set(Some(Arc::clone(newer)), growth);
        }
    }

    pub(crate) fn forget(&self) {
        guard(&self.memory).set(None, Growth::Unknown);
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
            memory.set(after.clone(), growth);
        }
        after
    }
}

impl<S: Serialize> Memory<S> {
    fn set(&mut self, loaded: Option<Arc<Loaded<S>>>, growth: Growth) {
        if let Some(held) = &mut self.held {
            self.size = match (&loaded, growth) {
                (None, _) => Size::default(),
                // Nothing but this commit.
                (Some(loaded), Growth::Bytes(bytes)) if loaded.head.version == 1 => Size::new(bytes),
                (Some(loaded), Growth::Bytes(bytes)) => {
                    self.size.after(bytes).unwrap_or_else(|| Size::of(loaded))
                }
                (Some(loaded), Growth::Unknown) => Size::of(loaded),
            };
            held.set(SLOT_BYTES + self.size.bytes());
        }
        self.loaded = loaded;
    }
}

/// A slot of a stream of any category.
trait AnySlot: Any + Send + Sync {
    /// Stops counting: the slot has left the cache.
    fn leave(&self);
}

impl<S: Send + Sync + 'static> AnySlot for Slot<S> {
    fn leave(&self) {
        guard(&self.memory).held = None;
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

/// The streams that the dispatchers of a process have in memory. Those used least recently leave when all together take more
/// bytes than the share has, by an estimate. Clones are the same cache.
#[derive(Clone)]
pub struct StreamCache {
    share: MemoryShare,
    slots: Arc<Mutex<LruCache<StreamId, Arc<dyn AnySlot + Send + Sync>>>>,
}

impl StreamCache {
    /// An empty cache with this share.
    pub fn new(share: MemoryShare) -> Self {
        // A bounded one would take all of its places at once.
        Self { share, slots: Arc::new(Mutex::new(LruCache::unbounded())) }
    }

    /// The slot of a stream, made when there is none.
    pub(crate) fn slot<S: Serialize + Send + Sync + 'static>(&self, stream: &StreamId) -> Arc<Slot<S>> {
        let mut slots = guard(&self.slots);
        if let Some(slot) = slots.get(stream).and_then(of_kind) {
            return slot;
        }
        let slot = Arc::new(Slot::new(&self.share));
        let before = slots.put(stream.clone(), Arc::clone(&slot) as _);
        drop(slots);
        if let Some(before) = before {
            before.leave();
        }
        self.make_room();
        slot
    }

    /// The slot of a stream, if there is one. Does not count as use.
    pub(crate) fn peek<S: Send + Sync + 'static>(&self, stream: &StreamId) -> Option<Arc<Slot<S>>> {
        guard(&self.slots).peek(stream).and_then(of_kind)
    }

    /// Drops the streams used least recently until the others fit. One that is larger than the share leaves as well.
    pub(crate) fn make_room(&self) {
        while self.share.is_exceeded() {
            let Some((_, left)) = guard(&self.slots).pop_lru() else { break };
            left.leave();
        }
    }
}

impl std::fmt::Debug for StreamCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamCache").field("share", &self.share).finish_non_exhaustive()
    }
}

/// The slot, unless it is of another kind of state.
fn of_kind<S: Send + Sync + 'static>(slot: &Arc<dyn AnySlot + Send + Sync>) -> Option<Arc<Slot<S>>> {
    let slot: Arc<dyn Any + Send + Sync> = slot.clone();
    slot.downcast().ok()
}

fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing below a guard can panic half way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn stream(number: usize) -> StreamId {
        format!("dev/note/{number}").parse().expect("a name")
    }

    fn note(bytes: usize) -> Arc<Loaded<String>> {
        Arc::new(Loaded { state: "x".repeat(bytes), ..Loaded::default() })
    }

    /// An empty cache, and its share.
    fn cache(bytes: usize) -> (StreamCache, MemoryShare) {
        let share = MemoryShare::new(bytes);
        (StreamCache::new(share.clone()), share)
    }

    #[test]
    fn it_holds_no_more_bytes_than_it_may() {
        let (cache, share) = cache(200_000);
        for number in 0..600 {
            let slot = cache.slot(&stream(number));
            assert!(share.held() <= 200_000, "{} bytes", share.held());
            slot.put(&note(2_000), Growth::Unknown);
        }
        let last: Arc<Slot<String>> = cache.slot(&stream(599));
        assert!(last.get().is_some(), "the one used last is there");
        for number in 0..5_000 {
            cache.slot::<String>(&stream(number));
            assert!(share.held() <= 200_000, "{} bytes without states", share.held());
        }
    }

    #[test]
    fn streams_of_several_kinds_share_it_and_those_in_use_stay() {
        let (cache, share) = cache(200_000);
        let agent: StreamId = "dev/agent/a".parse().expect("a name");
        cache.slot(&agent).put(&note(10), Growth::Unknown);
        for number in 0..600 {
            let counted = Arc::new(Loaded { state: Counted::default(), ..Loaded::default() });
            cache.slot(&stream(number)).put(&counted, Growth::Unknown);
            assert!(cache.slot::<String>(&agent).get().is_some(), "after {number} others");
        }
        assert!(cache.peek::<Counted>(&agent).is_none(), "it is of another kind");
        assert!(cache.slot::<Counted>(&agent).get().is_none(), "one slot replaces the other");
        drop(cache);
        assert_eq!(share.held(), 0);
    }

    #[test]
    fn a_slot_that_left_while_it_was_used_counts_no_longer() {
        let (cache, share) = cache(0);
        let used = cache.slot(&stream(0));
        used.put(&note(1_000), Growth::Unknown);
        assert_eq!(share.held(), 0);
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
        let (cache, share) = cache(1 << 20);
        let (slot, times) = (cache.slot(&stream(0)), Arc::<AtomicUsize>::default());
        // What a commit adds leaves again with the one after it, but for a tenth. The first one is not measured.
        for version in 2..=1_000_usize {
            let text = "x".repeat(version * 10 + 100);
            let mut loaded = Loaded { state: Counted { text, times: times.clone() }, ..Loaded::default() };
            loaded.head.version = version as u64;
            slot.put(&Arc::new(loaded), Growth::Bytes(100));
            let (truth, held) = (SLOT_BYTES + STATE_BYTES + version * 10 + 100, share.held());
            assert!((truth..=2 * truth + GROWTH_MAX + 100).contains(&held), "{held} for {truth} bytes");
        }
        let times = times.load(Ordering::Relaxed);
        assert!(times <= 20, "measured {times} times");
        slot.forget();
        assert_eq!(share.held(), SLOT_BYTES);
    }
}
