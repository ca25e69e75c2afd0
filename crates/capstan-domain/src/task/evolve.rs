//! Applies recorded facts. Total: an odd history gives an odd task, never a panic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::outcome_text::ErrorClass;
use crate::task::event::{
    AttemptOutcome, BlockerKind, Event, InputOutcome, InputSource, QueueMode, RunCause, RunStatus,
    TaskAccepted, TaskPayloadSet, ToolPermission,
};
use crate::task::state::outputs;
use crate::task::state::{
    Blocker, Child, Input, InputState, Live, Output, Run, Sleep, State, Task, ToolCall, ToolCallState,
};
use crate::task::transitions::TaskState;

/// Batches of source events remembered, so that a repeated one fires nothing.
const FIRED_KEPT: usize = 256;

pub(super) fn evolve(state: State, event: &Event) -> State {
    if let Event::TaskAccepted(accepted) = event {
        return Some(Box::new(Task {
            accepted: Arc::clone(accepted),
            // Replaced by the event that follows in the same commit: RunRequested or TaskSlept.
            state: TaskState::Queued,
            priority: accepted.priority,
            runs: Vec::new(),
            epoch: 0,
            live: None,
            queued_at: None,
            available_at: None,
            sleep: None,
            inbox: Vec::new(),
            blocker: None,
            blocker_revision: 0,
            answered: None,
            outputs: BTreeMap::new(),
            archived_at: None,
            wake_count: 0,
            cost_usd: 0.0,
            tool_calls: BTreeMap::new(),
            children: BTreeMap::new(),
            watches: BTreeMap::new(),
            fired: Vec::new(),
            parent_told: false,
            warned: BTreeMap::new(),
            fired_watches: BTreeSet::new(),
            joins: Vec::new(),
            result: None,
            error: None,
        }));
    }
    let mut task = state?;
    apply(&mut task, event);
    Some(task)
}

fn apply(task: &mut Task, event: &Event) {
    match event {
        Event::RunRequested(e) => {
            task.state = TaskState::Queued;
            task.parent_told = false;
            if e.cause == RunCause::Wake {
                task.wake_count = task.wake_count.saturating_add(1);
            } else if e.cause == RunCause::Retry {
                task.wake_count = 0;
            }
            task.result = None;
            task.error = None;
            task.queued_at = Some(e.queued_at);
            task.available_at = None;
            task.sleep = None;
            for input in &mut task.inbox {
                if e.input_ids.contains(&input.input_id) {
                    consume(input);
                }
            }
            // Kept until now so that what reached no agent can be said again.
            if let Some(last) = task.runs.last_mut() {
                last.prompt = String::new();
            }
            task.runs.push(Run {
                run_id: e.run_id,
                cause: e.cause,
                status: RunStatus::Accepted,
                delivered: false,
                prompt: e.prompt.clone(),
                resumed_from: e.resumed_from_run_id,
                attempts: 0,
                failed: 0,
                lost: 0,
            });
        }
        Event::AttemptLeased(e) => {
            task.state = TaskState::Running;
            task.queued_at = None;
            task.available_at = None;
            task.epoch = e.attempt_id.epoch;
            task.live = Some(Live {
                attempt_id: e.attempt_id.clone(),
                run_id: e.run_id,
                attempt_no: e.attempt_no,
                worker_id: e.worker_id,
                lease_ms: e.lease_ms,
                leased_at: e.leased_at,
                started_at: None,
                cancel_grace_until: None,
            });
            with_run(task, e.run_id, |run| run.attempts = e.attempt_no);
        }
        Event::AttemptStarted(e) => {
            if let Some(live) = task.live.as_mut().filter(|live| live.attempt_id == e.attempt_id) {
                live.started_at = Some(e.started_at);
            }
            with_run(task, e.run_id, |run| {
                run.status = RunStatus::Running;
                run.delivered = true;
            });
        }
        Event::AttemptCancelRequested(e) => {
            if let Some(live) = task.live.as_mut().filter(|live| live.attempt_id == e.attempt_id) {
                live.cancel_grace_until = Some(e.grace_until);
            }
        }
        Event::AttemptEnded(e) => {
            if task.live.as_ref().is_some_and(|live| live.attempt_id == e.attempt_id) {
                task.live = None;
            }
            with_run(task, e.run_id, |run| match (e.outcome, e.error_class) {
                (AttemptOutcome::Lost, _) | (AttemptOutcome::Error, Some(ErrorClass::RateLimited)) => {
                    run.lost = run.lost.saturating_add(1);
                }
                (AttemptOutcome::Error, _) => run.failed = run.failed.saturating_add(1),
                // Only an agent that was told what to do can have done it.
                (AttemptOutcome::Ok, _) => run.delivered = true,
                (AttemptOutcome::Timeout | AttemptOutcome::Cancelled, _) => {}
            });
        }
        Event::RetryScheduled(e) => {
            task.state = TaskState::Queued;
            task.queued_at = Some(e.available_at);
            task.available_at = Some(e.available_at);
            with_run(task, e.run_id, |run| run.status = RunStatus::Accepted);
        }
        Event::RunEnded(e) => {
            with_run(task, e.run_id, |run| run.status = e.status);
            // Unless the same decision says more, an approved call that is being carried out is what is left.
            if task.state == TaskState::Running && task.executing_call().is_some() {
                task.state = TaskState::Waiting;
            }
            if has_parent(task) {
                task.result.clone_from(&e.result);
            }
        }
        Event::TaskContinued(_) => task.state = TaskState::Running,
        Event::TaskSlept(e) => {
            task.state = TaskState::Sleeping;
            task.queued_at = None;
            task.available_at = None;
            task.sleep = Some(Sleep { wake_at: e.wake_at, follow_up_prompt: e.follow_up_prompt.clone() });
        }
        Event::TaskDone(_) => end(task, TaskState::Done),
        Event::TaskFailed(e) => end_badly(task, TaskState::Error, Some(e.error.as_str())),
        Event::TaskCancelled(e) => end_badly(task, TaskState::Cancelled, e.reason.as_deref()),
        Event::TaskDropped(e) => end_badly(task, TaskState::Dropped, Some(e.reason.as_str())),
        Event::BlockerOpened(e) => {
            task.state = TaskState::Waiting;
            task.queued_at = None;
            task.available_at = None;
            task.sleep = None;
            task.blocker_revision = e.revision;
            // A budget stops a run whether or not its agent was told anything.
            if e.kind != BlockerKind::Budget {
                with_run(task, e.run_id, |run| run.delivered = true);
            }
            task.blocker = Some(Blocker { opened: e.clone(), votes: Vec::new() });
        }
        Event::BlockerUpdated(e) => with_blocker(task, e.blocker_id, |blocker| {
            blocker.opened.summary.clone_from(&e.summary);
            blocker.opened.details.clone_from(&e.details);
            blocker.opened.questions.clone_from(&e.questions);
            blocker.opened.items.clone_from(&e.items);
        }),
        Event::BlockerVoted(e) => {
            with_blocker(task, e.blocker_id, |blocker| blocker.votes.push(e.by.clone()));
        }
        Event::BlockerClosed(e) => {
            if task.blocker.as_ref().is_some_and(|blocker| blocker.opened.blocker_id == e.blocker_id) {
                let blocker = task.blocker.take();
                task.answered = blocker.zip(e.input_id);
            }
        }
        Event::InputAccepted(e) => {
            if e.source == InputSource::Caller {
                task.wake_count = 0;
            }
            if e.source == InputSource::Subtasks {
                let task_id = task.id();
                task.joins.retain(|join| join.input_id(task_id) != e.input_id);
            }
            task.inbox.push(Input {
                input_id: e.input_id,
                seq: e.seq,
                kind: e.kind,
                message: e.message.clone(),
                queue_mode: e.queue_mode,
                source: e.source,
                action: e.action,
                answers: e.answers.clone(),
                outcome: e.outcome,
                // What says nothing to the agent is done with.
                state: if e.message.is_empty() { InputState::Consumed } else { InputState::Pending },
            });
        }
        Event::InputDeferred(e) => with_input(task, e.input_id, |input| {
            input.state = InputState::Pending;
            input.queue_mode = QueueMode::Followup;
            input.outcome = InputOutcome::Queued;
        }),
        Event::InputClaimed(e) => {
            with_input(task, e.input_id, |input| input.state = InputState::Claimed(e.attempt_id.clone()));
        }
        Event::InputReturned(e) => with_input(task, e.input_id, |input| input.state = InputState::Pending),
        Event::InputConsumed(e) => with_input(task, e.input_id, consume),
        Event::OutputProduced(e) => {
            let number = u32::try_from(task.outputs.len()).unwrap_or(u32::MAX).saturating_add(1);
            task.outputs.insert(e.output_id, outputs::produced(e, number));
        }
        Event::OutputStatusChanged(e) => with_output(task, e.output_id, |output| output.status = e.status),
        Event::OutputFinalized(e) => {
            with_output(task, e.output_id, |output| output.summary = Some(e.summary.clone()));
        }
        Event::OutputArchived(e) => with_output(task, e.output_id, |output| output.is_archived = true),
        Event::UsageRecorded(e) => task.cost_usd += e.usage.cost_usd,
        Event::TaskArchived(e) => task.archived_at = Some(e.at),
        Event::TaskUnarchived(_) => task.archived_at = None,
        Event::TaskReprioritised(e) => task.priority = e.priority,
        Event::TaskBudgetSet(e) => Arc::make_mut(&mut task.accepted).budget_usd = e.budget_usd,
        Event::TaskLabelled(e) => {
            let accepted = Arc::make_mut(&mut task.accepted);
            accepted.label.clone_from(&e.label);
            accepted.labels.clone_from(&e.labels);
        }
        Event::TaskDeadlineSet(e) => Arc::make_mut(&mut task.accepted).deadline = e.deadline,
        Event::TaskRoutingSet(e) => Arc::make_mut(&mut task.accepted).routing.clone_from(&e.routing),
        Event::TaskPayloadSet(e) => {
            change_payload(Arc::make_mut(&mut task.accepted), e);
            retell(task);
        }
        Event::ToolCallDeferred(e) => {
            // One call is asked about at a time: an older one was left behind by its question.
            task.tool_calls
                .retain(|_, call| call.state != ToolCallState::Pending && !call.is_forgotten(e.at));
            let call = ToolCall { deferred: e.clone(), state: ToolCallState::Pending };
            task.tool_calls.insert(e.tool_call_id, call);
        }
        Event::ToolCallAllowed(e) => {
            // A pre-approval holds once.
            task.tool_calls.retain(|_, call| {
                e.by != ToolPermission::PreApproval
                    || call.deferred.tool != e.tool
                    || call.deferred.arguments_hash != e.arguments_hash
                    || !matches!(call.state, ToolCallState::PreApproved { .. })
            });
        }
        // With a reason it is feedback: the call may come again.
        Event::ToolCallDecided(e) if !e.approved && e.reason.is_some() => {
            task.tool_calls.remove(&e.tool_call_id);
        }
        Event::ToolCallDecided(e) => with_call(task, e.tool_call_id, |call| {
            call.state = match (e.approved, e.executor) {
                (false, _) => ToolCallState::Rejected { at: e.at },
                (true, None) => ToolCallState::PreApproved { at: e.at },
                (true, Some(executor)) => ToolCallState::Approved { executor, tries: 0 },
            };
        }),
        Event::ToolExecutionStarted(e) => with_call(task, e.tool_call_id, |call| {
            if let ToolCallState::Approved { executor, .. } | ToolCallState::Executing { executor, .. } =
                call.state
            {
                let (try_no, worker_id, until) = (e.try_no, e.worker_id, e.until);
                call.state = ToolCallState::Executing { executor, try_no, worker_id, until };
            }
        }),
        Event::ToolExecutionEnded(e) => {
            task.tool_calls.remove(&e.tool_call_id);
        }
        Event::SubtasksSpawned(e) => {
            for subtask in &e.subtasks {
                let made_from = Some(Box::new(subtask.clone()));
                let child = Child { label: subtask.label.clone(), subtask: made_from, ended: None };
                task.children.entry(subtask.task_id).or_insert(child);
            }
            task.joins.extend(e.join_wait());
        }
        Event::SubtaskEnded(e) => {
            let child = Child { label: e.label.clone(), subtask: None, ended: Some(e.clone()) };
            task.children.insert(e.task_id, child);
        }
        Event::ParentTold(_) => task.parent_told = true,
        Event::WatchArmed(e) => {
            task.watches.insert(e.watch_id, e.watch.clone());
        }
        Event::WatchFired(e) => {
            task.fired.push(e.items_hash.clone());
            task.fired_watches.insert(e.watch_id);
            let surplus = task.fired.len().saturating_sub(FIRED_KEPT);
            task.fired.drain(..surplus);
        }
        Event::WatchDisarmed(e) => {
            task.watches.remove(&e.watch_id);
            task.fired_watches.remove(&e.watch_id);
        }
        Event::BudgetWarned(e) => drop(task.warned.insert(e.scope, e.clone())),
        // An acceptance makes the task; rows of outputs decide nothing, read models keep them; a spent budget is
        // told beside the blocker that waits for more.
        Event::TaskAccepted(_) | Event::OutputRowsAppended(_) | Event::BudgetExceeded(_) => {}
    }
}

fn change_payload(accepted: &mut TaskAccepted, change: &TaskPayloadSet) {
    if let Some(message) = &change.message {
        accepted.message.clone_from(message);
    }
    if let Some(prompt) = &change.extra_system_prompt {
        accepted.extra_system_prompt = Some(prompt.clone()).filter(|text| !text.is_empty());
    }
    if let Some(attachments) = &change.attachments {
        accepted.attachments.clone_from(attachments);
    }
    accepted.timeout_ms = change.timeout_ms.unwrap_or(accepted.timeout_ms);
    accepted.deliver = change.deliver.or(accepted.deliver);
}

/// The first run tells the command as it stands when a worker begins, not as it was when the run was asked for.
fn retell(task: &mut Task) {
    if let [run] = task.runs.as_mut_slice()
        && run.cause == RunCause::Accepted
        && !run.delivered
    {
        run.prompt.clone_from(&task.accepted.message);
    }
}

fn has_parent(task: &Task) -> bool {
    task.accepted.parent_task_id.is_some()
}

fn end_badly(task: &mut Task, state: TaskState, error: Option<&str>) {
    end(task, state);
    if has_parent(task) {
        task.error = error.map(str::to_owned);
    }
}

fn end(task: &mut Task, state: TaskState) {
    // Calls nobody began to carry out end with the task; what began may still report.
    task.tool_calls
        .retain(|_, call| !matches!(call.state, ToolCallState::Pending | ToolCallState::Approved { .. }));
    // What it waited for is of no use to it any more; the children's ends are recorded all the same.
    task.joins.clear();
    task.state = state;
    task.queued_at = None;
    task.available_at = None;
    task.sleep = None;
}

fn consume(input: &mut Input) {
    input.state = InputState::Consumed;
    input.message = String::new();
    input.answers = serde_json::Map::new();
}

fn with_run(task: &mut Task, run_id: crate::id::RunId, change: impl FnOnce(&mut Run)) {
    if let Some(run) = task.runs.iter_mut().rev().find(|run| run.run_id == run_id) {
        change(run);
    }
}

fn with_input(task: &mut Task, input_id: crate::id::InputId, change: impl FnOnce(&mut Input)) {
    if let Some(input) = task.inbox.iter_mut().rev().find(|input| input.input_id == input_id) {
        change(input);
    }
}

fn with_output(task: &mut Task, output_id: crate::id::OutputId, change: impl FnOnce(&mut Output)) {
    if let Some(output) = task.outputs.get_mut(&output_id) {
        change(output);
    }
}

fn with_call(task: &mut Task, call: crate::id::ToolCallId, change: impl FnOnce(&mut ToolCall)) {
    if let Some(call) = task.tool_calls.get_mut(&call) {
        change(call);
    }
}

fn with_blocker(task: &mut Task, blocker_id: crate::id::BlockerId, change: impl FnOnce(&mut Blocker)) {
    if let Some(blocker) = task.blocker.as_mut().filter(|blocker| blocker.opened.blocker_id == blocker_id) {
        change(blocker);
    }
}
