//! The latest commits, kept in memory.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use capstan_envelope::{Held, Position, Recorded};

use crate::{Cursor, Frame};

/// Memory of a commit besides its data: names, ids, metadata. In bytes.
const COMMIT_OVERHEAD_BYTES: usize = 1_024;
/// The same of an event, with what its frame shows and its stored form leaves out.
const EVENT_OVERHEAD_BYTES: usize = 1_536;

/// A commit and, once somebody wanted them, its frames.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) recorded: Arc<Recorded>,
    frames: OnceLock<Vec<Frame>>,
    bytes: usize,
}

impl Entry {
    pub(crate) fn new(recorded: Arc<Recorded>) -> Self {
        // Data is held twice once the frames are made.
        let data = |event: &capstan_envelope::EventRecord| EVENT_OVERHEAD_BYTES + 2 * event.data.get().len();
        let bytes = COMMIT_OVERHEAD_BYTES + recorded.commit.events.iter().map(data).sum::<usize>();
        Self { recorded, frames: OnceLock::new(), bytes }
    }

    pub(crate) fn position(&self) -> Position {
        self.recorded.position
    }

    /// The frames of the events behind `cursor`.
    pub(crate) fn frames_after(&self, cursor: Cursor) -> &[Frame] {
        let Some(seen) = cursor.seen_of(self.position()) else { return &[] };
        let frames = self.frames.get_or_init(|| Frame::from_commit(&self.recorded));
        frames.get(seen..).unwrap_or_default()
    }
}

/// A window on the end of the log, bounded by number and by size.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Everything after this position, up to `head`, is here.
    from: Position,
    head: Position,
    entries: VecDeque<Arc<Entry>>,
    /// Bytes of the entries.
    held: Held,
    commits_max: usize,
}

impl Recent {
    pub(crate) fn new(head: Position, commits_max: usize, held: Held) -> Self {
        Self { from: head, head, entries: VecDeque::new(), held, commits_max }
    }

    pub(crate) fn head(&self) -> Position {
        self.head
    }

    pub(crate) fn push(&mut self, entry: Arc<Entry>) {
        self.head = entry.position();
        self.held.add(entry.bytes);
        self.entries.push_back(entry);
        while self.entries.len() > self.commits_max || self.held.share().is_exceeded() {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.held.remove(oldest.bytes);
            self.from = oldest.position();
        }
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
    fn entry_at(&self, position: Position) -> Option<&Arc<Entry>> {
        let index = self.entries.partition_point(|entry| !entry.position().reaches(position));
        self.entries.get(index).filter(|entry| position.reaches(entry.position()))
    }

    /// True when every event behind `cursor` is here.
    pub(crate) fn reaches(&self, cursor: Cursor) -> bool {
        let is_here = cursor.position().reaches(self.from);
        is_here && !(cursor.is_inside() && self.from.reaches(cursor.position()))
    }

    /// The commits with events behind `cursor`, in order.
    pub(crate) fn after(&self, cursor: Cursor) -> impl Iterator<Item = &Arc<Entry>> {
        let first = self.entries.partition_point(|entry| cursor.seen_of(entry.position()).is_none());
        self.entries.range(first..)
    }
}
