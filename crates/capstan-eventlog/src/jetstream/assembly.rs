//! Puts commits together into batches without ever cutting a decision in two.
//!
//! A consumer may deliver the beginning of an atomic batch before its end. For a decision over several streams that
//! must not show, so its members are held back until the last one has come.

use std::sync::Arc;

use capstan_envelope::{Position, Recorded};

use crate::TailBatch;

/// The commits ready for a reader, and those held back until their group is complete.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    ready: TailBatch,
    held: Vec<Arc<Recorded>>,
    /// True when there is something to tell, be it only progress.
    has_news: bool,
}

impl Assembly {
    /// Nothing yet, after `position`; the reader is told even that.
    pub(crate) fn after(position: Position) -> Self {
        Self { ready: TailBatch { position, ..TailBatch::default() }, held: Vec::new(), has_news: true }
    }

    /// Takes the next commit; `is_open` when more of the same decision follow.
    pub(crate) fn take(&mut self, recorded: Recorded, is_open: bool, caught_up: bool) {
        let position = recorded.position;
        self.held.push(Arc::new(recorded));
        if !is_open {
            self.ready.commits.append(&mut self.held);
            self.ready.position = position;
            self.ready.caught_up = caught_up;
            self.has_news = true;
        }
    }

    /// Moves over commits that are not selected, up to `position`: the reader is live.
    pub(crate) fn take_progress(&mut self, position: Position) {
        if self.held.is_empty() && (position > self.ready.position || !self.ready.caught_up) {
            self.ready.position = position.max(self.ready.position);
            self.ready.caught_up = true;
            self.has_news = true;
        }
    }

    /// Forgets the beginning of a decision; its reader starts over from [`Assembly::position`].
    pub(crate) fn drop_held(&mut self) {
        self.held.clear();
    }

    /// True when the beginning of a decision waits for its end.
    pub(crate) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// True when there is something to tell.
    pub(crate) fn has_news(&self) -> bool {
        self.has_news
    }

    /// True when everything selected was handed out or is ready to be.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.ready.caught_up
    }

    /// Commits ready to be handed out.
    pub(crate) fn ready_len(&self) -> usize {
        self.ready.commits.len()
    }

    /// Position of the reader once it has taken all that is ready.
    pub(crate) fn position(&self) -> Position {
        self.ready.position
    }

    /// The last commit received, held ones included.
    pub(crate) fn received(&self) -> Position {
        self.held.last().map_or(self.ready.position, |held| held.position)
    }

    /// Hands out what is ready.
    pub(crate) fn hand_out(&mut self) -> TailBatch {
        self.has_news = false;
        let rest =
            TailBatch { commits: Vec::new(), position: self.ready.position, caught_up: self.ready.caught_up };
        std::mem::replace(&mut self.ready, rest)
    }
}

#[cfg(test)]
mod tests {
    use capstan_envelope::{Commit, CommitHash};

    use super::*;

    fn place(sequence: u64) -> Position {
        Position::new(sequence, CommitHash::NONE)
    }

    fn recorded(position: u64) -> Recorded {
        let text = br#"{"id":"00000000-0000-0000-0000-000000000000","version":1,"at":"2026-01-01T00:00:00Z","by":"system",
            "command":"note","events":[{"noted":"a"}]}"#;
        let commit = Commit::from_bytes("dev/task/1".parse().unwrap(), 0, text).unwrap();
        let (position, recorded_at) = (place(position), chrono::DateTime::UNIX_EPOCH);
        Recorded { position, recorded_at, hash: CommitHash::NONE, commit }
    }

    fn positions(batch: &TailBatch) -> Vec<u64> {
        batch.commits.iter().map(|recorded| recorded.position.sequence()).collect()
    }

    #[test]
    fn the_beginning_of_a_decision_is_held_until_its_end() {
        let mut assembly = Assembly::after(Position::START);
        assembly.take(recorded(1), false, false);
        assembly.take(recorded(2), true, false);
        assembly.take(recorded(3), true, true);
        let first = assembly.hand_out();
        assert_eq!((positions(&first), first.position.sequence(), first.caught_up), (vec![1], 1, false));
        assert!(!assembly.has_news() && assembly.is_holding());
        assert_eq!(assembly.received().sequence(), 3);
        assembly.take(recorded(4), false, true);
        let second = assembly.hand_out();
        assert_eq!(
            (positions(&second), second.position.sequence(), second.caught_up),
            (vec![2, 3, 4], 4, true)
        );
    }

    #[test]
    fn progress_waits_while_a_decision_is_held() {
        let mut assembly = Assembly::after(Position::START);
        assembly.hand_out();
        assembly.take(recorded(2), true, false);
        assembly.take_progress(place(9));
        assert!(!assembly.has_news());
        assembly.drop_held();
        assembly.take_progress(place(9));
        assert_eq!(assembly.hand_out().position.sequence(), 9);
    }
}
