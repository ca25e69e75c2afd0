//! News the system reports to a task.

use chrono::{DateTime, Utc};

use crate::id::InputId;
use crate::task::event::{
    BlockerStatus, Event, InputAccepted, InputOutcome, InputSource, QueueMode, RunCause, TaskContinued,
};
use crate::task::state::Task;
use crate::task::steps::batch::QueuedText;
use crate::task::steps::{blocker, run};
use crate::task::transitions::TaskState;

/// Reports news to the task: at once when it waits for nothing else, else when its turn ends or its question is answered.
/// News never answers a question, and a task that is over receives none.
pub(in crate::task) fn report(
    task: &Task,
    input_id: InputId,
    source: InputSource,
    message: String,
    at: DateTime<Utc>,
) -> Vec<Event> {
    if task.state.is_terminal() || task.input(input_id).is_some() {
        return Vec::new();
    }
    let ends_join = task.waits_for_subtasks() && source.is_automated();
    let is_awaited =
        source == InputSource::ToolCall && task.state == TaskState::Waiting && task.blocker.is_none();
    let live = task.working_attempt().filter(|_| is_awaited);
    let outcome = if live.is_some() {
        InputOutcome::Delivered
    } else if is_awaited || ends_join || task.state == TaskState::Sleeping {
        InputOutcome::Resumed
    } else {
        InputOutcome::Queued
    };
    let cause = match source {
        InputSource::ToolCall => RunCause::ToolCall,
        InputSource::Subtasks => RunCause::Subtasks,
        InputSource::Caller | InputSource::Watch | InputSource::Deadline => RunCause::Input,
    };
    let seq = task.inbox.next_seq();
    let text = QueuedText { seq, message: &message, queue_mode: QueueMode::default() };
    let next = match (live, outcome) {
        (Some(live), _) => Some(Event::TaskContinued(TaskContinued { run_id: live.run_id, at })),
        (None, InputOutcome::Resumed) => {
            Some(Event::RunRequested(run::request_with_inputs(task, cause, None, Some(text), at)))
        }
        (None, _) => None,
    };
    let mut events =
        vec![Event::InputAccepted(InputAccepted::text(input_id, seq, source, message, outcome, at))];
    if ends_join {
        // News of something else does not end the wait: the task waits for its subtasks again when its turn ends.
        let status =
            if source == InputSource::Subtasks { BlockerStatus::Resolved } else { BlockerStatus::Superseded };
        blocker::close_open(task, status, at, &mut events);
    }
    events.extend(next);
    events
}
