//! The table of events: the parts of the task each event changes. Total: an odd history gives an odd task, never a panic.

use crate::task::event::{Event, InputSource};
use crate::task::state::{Blocker, Live, ParentReport, Sleep, State, Task};
use crate::task::transitions::TaskState;

pub(super) fn evolve(state: State, event: &Event) -> State {
    if let Event::TaskAccepted(accepted) = event {
        return Some(Box::new(Task::new(accepted)));
    }
    let mut task = state?;
    task.with_bound(event, |task| apply(task, event));
    Some(task)
}

/// Changes the task by an event after its acceptance.
pub(super) fn apply(task: &mut Task, event: &Event) {
    match event {
        Event::RunRequested(e) => {
            // Before the inputs and the sleep it repeats leave.
            let prompt = task.requested_prompt(e);
            task.enter_queue(e.queued_at, None);
            task.run_requested(e.cause);
            task.consumed(&e.inputs);
            let live = task.live.as_ref().map(|live| live.run_id);
            task.runs.requested(e, prompt, live);
        }
        Event::AttemptLeased(e) => {
            task.enter(TaskState::Running);
            task.epoch = e.attempt_id.epoch;
            task.live = Some(Live::leased(e));
            task.runs.leased(e);
        }
        Event::AttemptStarted(e) => {
            task.with_live(&e.attempt_id, |live| live.is_started = true);
            task.runs.started(e);
        }
        Event::AttemptCancelRequested(e) => {
            task.with_live(&e.attempt_id, |live| live.cancel_grace_until = Some(e.grace_until));
        }
        Event::AttemptEnded(e) => {
            task.live.take_if(|live| live.attempt_id == e.attempt_id);
            task.runs.attempt_ended(e);
        }
        Event::RetryScheduled(e) => {
            task.enter_queue(e.available_at, Some(e.available_at));
            task.runs.retry_scheduled(e);
        }
        Event::RunEnded(e) => {
            task.runs.ended(e);
            task.run_ended(e.result.as_ref());
        }
        Event::UsageRecorded(e) => task.cost_usd += e.usage.cost_usd,
        Event::TaskContinued(_) => task.state = TaskState::Running,
        Event::TaskSlept(e) => {
            task.enter(TaskState::Sleeping);
            task.sleep = Some(Sleep { wake_at: e.wake_at, follow_up_prompt: e.follow_up_prompt.clone() });
        }
        Event::TaskDone(_) => {
            task.end(TaskState::Done, None);
            task.runs.task_done();
        }
        Event::TaskFailed(e) => task.end(TaskState::Error, Some(&e.error)),
        Event::TaskCancelled(e) => task.end(TaskState::Cancelled, e.reason.as_deref()),
        Event::TaskDropped(e) => task.end(TaskState::Dropped, Some(e.reason.as_str())),
        Event::TaskArchived(e) => task.archived_at = Some(e.at),
        Event::TaskUnarchived(_) => task.archived_at = None,
        Event::TaskReprioritised(e) => task.priority = e.priority,
        Event::TaskBudgetSet(e) => task.change_accepted(|changes| changes.budget = Some(e.clone())),
        Event::TaskLabelled(e) => task.change_accepted(|changes| changes.set_labels(e)),
        Event::TaskDeadlineSet(e) => task.change_accepted(|changes| changes.deadline = Some(e.clone())),
        Event::TaskRoutingSet(e) => task.change_accepted(|changes| changes.routing = Some(e.clone())),
        Event::TaskPayloadSet(e) => task.change_payload(e),
        Event::BlockerOpened(e) => {
            task.enter(TaskState::Waiting);
            task.blocker_revision = e.revision;
            task.blocker = Some(Blocker::opened(e));
            task.runs.asked(e);
        }
        Event::BlockerUpdated(e) => task.with_blocker(e.blocker_id, |blocker| blocker.updated(e)),
        Event::BlockerVoted(e) => task.with_blocker(e.blocker_id, |blocker| blocker.voted(e)),
        Event::BlockerClosed(e) => {
            if let Some(blocker) = task.blocker.take_if(|open| open.opened.blocker_id == e.blocker_id) {
                let waits = e.input_id.filter(|input_id| task.input(*input_id).is_some());
                task.answered = waits.map(|input_id| (blocker, input_id));
            }
        }
        Event::InputAccepted(e) => {
            match e.source {
                InputSource::Caller => task.wake_count = 0,
                InputSource::Subtasks => task.children.join_reported(),
                InputSource::Watch | InputSource::ToolCall | InputSource::Deadline => {}
            }
            task.inbox.accepted(e);
        }
        Event::InputClaimed(e) => task.inbox.claimed(e),
        Event::InputReturned(e) => task.inbox.returned(e.seq),
        Event::InputDeferred(e) => task.inbox.deferred(e),
        Event::InputConsumed(e) => {
            let input_id = task.inbox.numbered(e.seq).map(|input| input.input_id);
            task.consumed(&[e.seq].into_iter().collect());
            task.with_live(&e.attempt_id, |live| live.acknowledged = input_id);
        }
        Event::OutputProduced(e) => {
            task.outputs.produced(e);
            if let Some(number) = task.outputs.get(e.output_id).map(|output| output.number) {
                task.rows.produced(number, &e.data);
            }
        }
        Event::OutputRowsAppended(e) => {
            if let Some(number) = task.outputs.get(e.output_id).map(|output| output.number) {
                task.rows.appended(number, &e.rows);
            }
        }
        Event::OutputFinalized(e) => task.outputs.finalized(e),
        Event::OutputStatusChanged(e) => task.outputs.status_changed(e),
        Event::OutputArchived(e) => task.outputs.archived(e.output_id),
        Event::ToolCallDeferred(e) => task.tool_calls.deferred(e),
        Event::ToolCallAllowed(e) => task.tool_calls.allowed(e),
        Event::ToolCallDecided(e) => task.tool_calls.decided(e),
        Event::ToolExecutionStarted(e) => task.tool_calls.execution_started(e),
        Event::ToolExecutionEnded(e) => task.tool_calls.execution_ended(e.tool_call_id),
        Event::SubtasksSpawned(e) => task.children.spawned(e),
        Event::SubtaskEnded(e) => task.children.ended(e),
        Event::ParentTold(_) => task.report = ParentReport { is_sent: true, ..ParentReport::default() },
        Event::WatchArmed(e) => task.watches.arm(e),
        Event::WatchFired(e) => task.watches.fire(e),
        Event::WatchDisarmed(e) => task.watches.disarm(e.watch_id),
        Event::BudgetWarned(e) => drop(task.warned.insert(e.scope, e.clone())),
        // An acceptance makes the task; a spent budget is recorded beside the blocker that waits for more.
        Event::TaskAccepted(_) | Event::BudgetExceeded(_) => {}
    }
}
