//! The latest commits, kept in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use capstan_envelope::{Held, Position, Recorded};

use crate::Cursor;

/// Memory of a commit besides its data: names, ids, metadata. In bytes.
const COMMIT_OVERHEAD_BYTES: usize = 1_024;
/// The same of an event.
const EVENT_OVERHEAD_BYTES: usize = 256;

/// A commit, and the memory it takes.
#[derive(Debug)]
struct Entry {
    recorded: Arc<Recorded>,
    bytes: usize,
}

impl Entry {
    fn new(recorded: Arc<Recorded>) -> Self {
        let data = |event: &capstan_envelope::EventRecord| EVENT_OVERHEAD_BYTES + event.data.get().len();
        let bytes = COMMIT_OVERHEAD_BYTES + recorded.commit.events.iter().map(data).sum::<usize>();
        Self { recorded, bytes }
    }

    fn position(&self) -> Position {
        self.recorded.position
    }
}

/// A window on the end of the log, bounded by number and by size.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Everything after this position, up to `head`, is here.
    from: Position,
    head: Position,
    entries: VecDeque<Entry>,
    /// Bytes of the entries.
    held: Held,
    commits_max: usize,
}

impl Recent {
    pub(crate) fn new(head: Position, commits_max: usize, memory: Held) -> Self {
        Self { from: head, head, entries: VecDeque::new(), held: memory, commits_max }
    }

    pub(crate) fn head(&self) -> Position {
        self.head
    }

    pub(crate) fn push(&mut self, recorded: Arc<Recorded>) {
        let entry = Entry::new(recorded);
        self.head = entry.position();
        self.held.add(entry.bytes);
        self.entries.push_back(entry);
    }

    /// Forgets the oldest commit if there are too many, or the share they are of is exceeded.
    pub(crate) fn forget_oldest(&mut self) -> Option<Arc<Recorded>> {
        if self.entries.len() <= self.commits_max && !self.held.share().is_exceeded() {
            return None;
        }
        let oldest = self.entries.pop_front()?;
        self.held.remove(oldest.bytes);
        self.from = oldest.position();
        Some(oldest.recorded)
    }

    /// Forgets everything and begins at `head`.
    pub(crate) fn restart(&mut self, head: Position) {
        self.entries.clear();
        self.held.set(0);
        (self.from, self.head) = (head, head);
    }

    /// True when the log has this position in its history, false when it has another commit there; `None` for
    /// positions outside the window.
    pub(crate) fn holds(&self, position: Position) -> Option<bool> {
        if position.reaches(self.from) && self.from.reaches(position) {
            return Some(position == self.from);
        }
        Some(self.entry_at(position)?.position() == position)
    }

    /// True when the window shows that `cursor` is no place of the log.
    pub(crate) fn refutes(&self, cursor: Cursor) -> bool {
        let entry = self.entry_at(cursor.position());
        self.holds(cursor.position()) == Some(false)
            || entry.is_some_and(|entry| !cursor.fits(&entry.recorded))
    }

    /// The commit with the number of this position, in the window.
    fn entry_at(&self, position: Position) -> Option<&Entry> {
        let index = self.entries.partition_point(|entry| !entry.position().reaches(position));
        self.entries.get(index).filter(|entry| position.reaches(entry.position()))
    }

    /// True when every event behind `cursor` is here.
    pub(crate) fn reaches(&self, cursor: Cursor) -> bool {
        is_all_behind(self.from, cursor)
    }

    /// The commits with events behind `cursor`, in order, and the position before them.
    pub(crate) fn after(&self, cursor: Cursor) -> (Position, impl Iterator<Item = &Arc<Recorded>>) {
        let first = self.entries.partition_point(|entry| cursor.seen_of(entry.position()).is_none());
        let before = first.checked_sub(1).map_or(self.from, |before| self.entries[before].position());
        (before, self.entries.range(first..).map(|entry| &entry.recorded))
    }
}

/// True when the commits behind `from` are all that a reader at `cursor` needs.
pub(crate) fn is_all_behind(from: Position, cursor: Cursor) -> bool {
    let is_later = cursor.position().reaches(from);
    is_later && !(cursor.is_inside() && from.reaches(cursor.position()))
}
