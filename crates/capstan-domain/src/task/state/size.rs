//! Most bytes of a task, known after each event without measuring the task again.

use std::sync::OnceLock;

use super::Task;
use crate::stored::json_bytes;
use crate::task::event::Event;

/// Bytes that an event adds to a task at most, for each of its own as JSON and besides: what is kept of it has other names around it,
/// and is counted with the position it is kept at.
const FACTOR: usize = 2;
const BESIDES: usize = 512;
/// Bytes by which events may have made a bound larger before the task is measured again, and the part of its size.
const DRIFT_MIN: usize = 16 << 10;
const DRIFT_PART: usize = 16;

/// Most bytes of a task as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeBound {
    /// Of the command with its changes.
    pub accepted: usize,
    /// Of its message.
    pub message: usize,
    /// Of the progress.
    pub progress: usize,
    /// Bytes that events added since the task was measured.
    drift: usize,
}

impl SizeBound {
    /// The bytes of a task, measured.
    fn of(task: &Task) -> Self {
        Self {
            accepted: json_bytes(&*task.accepted),
            message: json_bytes(&task.accepted.message),
            progress: task.progress_bytes(),
            drift: 0,
        }
    }

    /// That of the task after one more event.
    #[must_use]
    pub(in crate::task) fn after(self, event: &Event) -> Self {
        let more = event.bytes().saturating_mul(FACTOR).saturating_add(BESIDES);
        let (mut accepted, mut message, mut progress) = (self.accepted, self.message, self.progress);
        progress = progress.saturating_add(more);
        if changes_command(event) {
            // What it replaces is not known, and a run may have to keep the old message.
            progress = progress.saturating_add(message);
            (accepted, message) = (accepted.saturating_add(more), message.saturating_add(more));
        } else if let Event::RunRequested(_) = event {
            // A prompt is put together from the message and from texts that leave for it.
            progress = progress.saturating_add(message);
        }
        let drift =
            self.drift.saturating_add(progress - self.progress).saturating_add(accepted - self.accepted);
        Self { accepted, message, progress, drift }
    }

    /// True while measuring again would tell little more.
    fn is_close(&self) -> bool {
        self.drift <= DRIFT_MIN.max((self.accepted.saturating_add(self.progress)) / DRIFT_PART)
    }
}

fn changes_command(event: &Event) -> bool {
    matches!(
        event,
        Event::TaskAccepted(_)
            | Event::TaskBudgetSet(_)
            | Event::TaskLabelled(_)
            | Event::TaskDeadlineSet(_)
            | Event::TaskRoutingSet(_)
            | Event::TaskPayloadSet(_)
    )
}

/// The bound of a task, once somebody asked for it. It says nothing that the task does not, so all are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(OnceLock<SizeBound>);

impl PartialEq for Known {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Task {
    /// Most bytes of the task: as measured when this was asked for first, and with what events have added since.
    pub fn size_bound(&self) -> SizeBound {
        *self.size.0.get_or_init(|| SizeBound::of(self))
    }

    /// Changes the task as this event says, and keeps the bound.
    pub(in crate::task) fn with_bound(&mut self, event: &Event, change: impl FnOnce(&mut Self)) {
        let known = self.size.0.take();
        change(self);
        let known = known.map(|bound| bound.after(event)).filter(SizeBound::is_close);
        self.size = Known(known.map(OnceLock::from).unwrap_or_default());
    }
}
