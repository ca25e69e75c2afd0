//! What no person says: news of watches and of subtasks. It wakes a task that sleeps and never answers a question.

use chrono::{DateTime, Utc};
use serde_json::Map;

use crate::id::InputId;
use crate::task::decide::{close_blocker, request_run_with_inputs};
use crate::task::event::{
    BlockerStatus, Event, InputAccepted, InputKind, InputOutcome, InputSource, QueueMode, RunCause,
};
use crate::task::inbox::Said;
use crate::task::state::{Task, TaskState};

/// Tells the task something: at once when it sleeps or waits for nothing but subtasks, else when its turn ends or its
/// question is answered. A task that is over is told nothing.
pub(super) fn tell(
    task: &Task,
    input_id: InputId,
    source: InputSource,
    message: String,
    at: DateTime<Utc>,
) -> Vec<Event> {
    if task.state.is_terminal() || task.input(input_id).is_some() {
        return Vec::new();
    }
    let joins = task.waits_for_subtasks();
    let wakes = task.state == TaskState::Sleeping || joins;
    let mut events = Vec::new();
    let said = Said { input_id, message: &message, queue_mode: QueueMode::default() };
    let mut request = wakes.then(|| request_run_with_inputs(task, None, Some(said), at));
    if let (Some(Event::RunRequested(run)), InputSource::Subtasks) = (&mut request, source) {
        run.cause = RunCause::Subtasks;
    }
    events.push(Event::InputAccepted(InputAccepted {
        input_id,
        seq: task.next_input_seq(),
        kind: InputKind::FreeText,
        message,
        said: None,
        action: None,
        items: Vec::new(),
        queue_mode: QueueMode::default(),
        source,
        answers: Map::new(),
        blocker_id: None,
        outcome: if wakes { InputOutcome::Resumed } else { InputOutcome::Queued },
        accepted_at: at,
    }));
    if joins {
        // News of something else leaves the join standing: the task waits for it again when its turn ends.
        let ended =
            if source == InputSource::Subtasks { BlockerStatus::Resolved } else { BlockerStatus::Superseded };
        close_blocker(task, ended, at, &mut events);
    }
    events.extend(request);
    events
}

impl InputSource {
    /// True for what no person said and nobody asked.
    pub fn is_automated(self) -> bool {
        matches!(self, Self::Watch | Self::Subtasks)
    }
}
