//! The inputs the next run delivers.

use crate::task::event::QueueMode;
use crate::task::state::Task;

/// Most bytes of a prompt that is put together from several texts: as many as one message may have by default. A commit
/// with it, and the body of an attempt, stay within what the log and NATS take.
const PROMPT_BYTES_MAX: usize = 256 << 10;
/// Bytes between two texts of a prompt.
const BETWEEN: usize = 2;

/// A text the next run may deliver.
#[derive(Clone, Copy, Debug)]
pub(in crate::task) struct QueuedText<'a> {
    /// Number of the input.
    pub(in crate::task) seq: u32,
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
/// one alone. An interrupting input does not wait for those. `already`: bytes of what the run delivers anyway, if
/// anything; nothing takes the turn to itself then. What makes the prompt longer than [`PROMPT_BYTES_MAX`] waits for the
/// run after it, but for one text where the run delivers nothing else.
pub(in crate::task) fn next_batch<'a>(
    task: &'a Task,
    newest: Option<QueuedText<'a>>,
    already: Option<usize>,
) -> Vec<QueuedText<'a>> {
    // Claimed inputs count: the attempt that claimed them has ended.
    let left = task.inbox.iter().map(|input| QueuedText {
        seq: input.seq,
        message: &input.message,
        queue_mode: input.queue_mode,
    });
    if let Some(interrupt) = newest.filter(|text| text.queue_mode == QueueMode::Interrupt) {
        let used = already.unwrap_or(0) + interrupt.message.len();
        let mut batch = fitting(left.filter(|text| !text.takes_own_turn()), Some(used));
        batch.push(interrupt);
        return batch;
    }
    let mut all = left.chain(newest).peekable();
    match all.peek().copied() {
        Some(first) if first.takes_own_turn() && already.is_none() => vec![first],
        _ => fitting(all.take_while(|text| !text.takes_own_turn()), already),
    }
}

/// The texts up to the first that does not fit beside `already` and those before it.
fn fitting<'a>(texts: impl Iterator<Item = QueuedText<'a>>, already: Option<usize>) -> Vec<QueuedText<'a>> {
    let mut used = already;
    let fits = |text: &QueuedText<'a>| {
        let sum = used.map_or(0, |bytes| bytes + BETWEEN) + text.message.len();
        let is_taken = used.is_none() || sum <= PROMPT_BYTES_MAX;
        used = Some(sum);
        is_taken
    };
    texts.take_while(fits).collect()
}
