//! A task that is over, as it is carried forward when the commits before are archived.
//!
//! It must fit into one message of a nats-server, whatever was said to the task. So what is carried has a limit, and the
//! decider refuses what would exceed it (`task/bounds.rs`). Only what nobody is refused may exceed it later: then reports of the
//! system to the agent are cut, and after them the end of a prompt that holds such reports.

use super::{Changes, Child, ChildEnd, Progress, SizeBound, Task, ToolCalls, Watches};
use crate::stored::json_bytes;
use crate::task::event::InputSource;
use crate::task::shortened::shortened_as_json;
use crate::task::transitions::TaskState;

/// Most bytes of a task that is carried forward, as JSON. With the error and the usage that reads show besides, the idempotency
/// keys and the header of the commit it stays below 1 MiB, which a nats-server takes when nothing else is configured.
pub const CARRIED_BYTES_MAX: usize = 880 << 10;

/// Bytes of the JSON around the parts of a task.
const AROUND_BYTES: usize = 256;
/// Bytes of the note that a text was cut.
const NOTE_BYTES: usize = 64;
/// Bytes of a subtask that has ended, as far as they may be more than it takes now.
const CHILD_BYTES: usize = 128;
/// Bytes that the count of an output's rows takes once it has any.
const ROW_COUNT_BYTES: usize = 32;

impl Task {
    /// The task, which is over and settled, as it is carried forward. Changes of the command stand in the place of what they
    /// changed, and what only an open task needs is gone. What is left is at most [`CARRIED_BYTES_MAX`].
    #[must_use]
    pub fn carried(&self) -> Self {
        let mut task = Self::of(self.accepted.clone(), self.at_rest());
        if task.bytes() > CARRIED_BYTES_MAX {
            // Only for an attempt that asks the same again before it has the answer.
            task.answered = None;
        }
        let mut surplus = task.bytes().saturating_sub(CARRIED_BYTES_MAX);
        let (said, told): (Vec<_>, Vec<_>) =
            task.progress.inbox.left.iter_mut().partition(|input| input.source == InputSource::Caller);
        let prompts = task.progress.runs.kept.iter_mut().filter_map(|run| run.prompt.as_mut());
        let told = told.into_iter().map(|input| &mut input.message);
        let said = said.into_iter().map(|input| &mut input.message);
        told.chain(prompts).chain(said).for_each(|text| cut_by(text, &mut surplus));
        task
    }

    /// Most bytes that the task takes as it is carried forward, if it ended now, its reports to the agent whole.
    pub fn carried_bytes(&self) -> usize {
        let mut rest = self.at_rest();
        for child in rest.children.by_id.values_mut() {
            let cost_usd = 0.123_456_789_012_345_6;
            let ended = ChildEnd { cost_usd, run_no: u32::MAX, state: TaskState::Cancelled, report: None };
            *child = Child { subtask: None, ended: Some(ended) };
        }
        rest.children.joins.clear();
        // The next run of a task whose agent has nothing yet is told its message and the inputs, as one text.
        let is_told_again = !rest.inbox.is_empty()
            && self.current_run().is_none_or(|run| !run.delivered && run.prompt.is_none());
        let again = if is_told_again { json_bytes(&self.accepted.message) } else { 0 };
        let rows = self.outputs.len() * ROW_COUNT_BYTES;
        Self::of(self.accepted.clone(), rest).bytes() + again + rows
    }

    /// Most of those bytes, after `count` more events with which the task has the size `bound`.
    pub fn carried_bound(&self, bound: &SizeBound, count: usize) -> usize {
        let children = self.children.len() * CHILD_BYTES;
        let rows = (self.outputs.len() + count) * ROW_COUNT_BYTES;
        let SizeBound { accepted, message, progress, .. } = bound;
        // Whether the message is told again is not known.
        [*accepted, *message, *progress, children, rows, AROUND_BYTES]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    fn bytes(&self) -> usize {
        json_bytes(&*self.accepted) + self.progress_bytes() + AROUND_BYTES
    }

    /// The progress without what an end takes away, and without what only matters until then.
    fn at_rest(&self) -> Progress {
        let watches = Watches { batches: self.watches.batches.clone(), ..Watches::default() };
        Progress {
            changes: Changes::default(),
            live: None,
            tool_calls: ToolCalls::default(),
            watches,
            ..self.progress.clone()
        }
    }
}

/// Cuts a text by so many bytes, or by as many as it has.
fn cut_by(text: &mut String, surplus: &mut usize) {
    let before = json_bytes(text);
    if *surplus == 0 || before <= NOTE_BYTES {
        return;
    }
    *text = shortened_as_json(text, before.saturating_sub(*surplus + NOTE_BYTES));
    *surplus = surplus.saturating_sub(before.saturating_sub(json_bytes(text)));
}

#[cfg(test)]
mod tests;
