//! The inputs the next run delivers.

use crate::id::InputId;
use crate::task::event::QueueMode;
use crate::task::state::Task;

/// A text the next run may deliver.
#[derive(Clone, Copy, Debug)]
pub(in crate::task) struct QueuedText<'a> {
    /// The input.
    pub(in crate::task) input_id: InputId,
    /// Its text.
    pub(in crate::task) message: &'a str,
    /// The requested way to the agent.
    pub(in crate::task) queue_mode: QueueMode,
}

impl QueuedText<'_> {
    fn takes_own_turn(&self) -> bool {
        self.queue_mode == QueueMode::Queue
    }
}

/// The texts the next run delivers, oldest first: everything up to the first input that takes a turn to itself, or that
/// one alone. An interrupting input does not wait for those. `has_more`: the run delivers something else already, so
/// nothing takes the turn to itself.
pub(in crate::task) fn next_batch<'a>(
    task: &'a Task,
    newest: Option<QueuedText<'a>>,
    has_more: bool,
) -> Vec<QueuedText<'a>> {
    // Claimed inputs count: the attempt that claimed them has ended.
    let left = task.inbox.iter().map(|input| QueuedText {
        input_id: input.input_id,
        message: &input.message,
        queue_mode: input.queue_mode,
    });
    let all: Vec<QueuedText<'_>> = left.chain(newest).collect();
    if newest.is_some_and(|text| text.queue_mode == QueueMode::Interrupt) {
        return all.into_iter().filter(|text| !text.takes_own_turn()).collect();
    }
    match all.first() {
        Some(first) if first.takes_own_turn() && !has_more => vec![*first],
        _ => all.into_iter().take_while(|text| !text.takes_own_turn()).collect(),
    }
}
