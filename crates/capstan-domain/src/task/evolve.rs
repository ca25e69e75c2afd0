//! Applies recorded facts. Total: an odd history gives an odd task, never a panic.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::outcome_text::ErrorClass;
use crate::task::event::{AttemptOutcome, Event, RunStatus};
use crate::task::state::{Blocker, Input, InputState, Live, Run, Sleep, State, Task, TaskState};

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
            summaries: BTreeMap::new(),
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
        Event::RunEnded(e) => with_run(task, e.run_id, |run| run.status = e.status),
        Event::TaskContinued(_) => task.state = TaskState::Running,
        Event::TaskSlept(e) => {
            task.state = TaskState::Sleeping;
            task.queued_at = None;
            task.available_at = None;
            task.sleep = Some(Sleep { wake_at: e.wake_at, follow_up_prompt: e.follow_up_prompt.clone() });
        }
        Event::TaskDone(_) => end(task, TaskState::Done),
        Event::TaskFailed(_) => end(task, TaskState::Error),
        Event::TaskCancelled(_) => end(task, TaskState::Cancelled),
        Event::TaskDropped(_) => end(task, TaskState::Dropped),
        Event::BlockerOpened(e) => {
            task.state = TaskState::Waiting;
            task.blocker_revision = e.revision;
            with_run(task, e.run_id, |run| run.delivered = true);
            task.blocker = Some(Blocker {
                blocker_id: e.blocker_id,
                run_id: e.run_id,
                summary: e.summary.clone(),
                questions: e.questions.clone(),
            });
        }
        Event::BlockerClosed(e) => {
            if task.blocker.as_ref().is_some_and(|blocker| blocker.blocker_id == e.blocker_id) {
                let blocker = task.blocker.take();
                task.answered = blocker.zip(e.input_id);
            }
        }
        Event::InputAccepted(e) => task.inbox.push(Input {
            input_id: e.input_id,
            seq: e.seq,
            kind: e.kind,
            message: e.message.clone(),
            answers: e.answers.clone(),
            outcome: e.outcome,
            state: InputState::Pending,
        }),
        Event::InputClaimed(e) => {
            with_input(task, e.input_id, |input| input.state = InputState::Claimed(e.attempt_id.clone()));
        }
        Event::InputReturned(e) => with_input(task, e.input_id, |input| input.state = InputState::Pending),
        Event::InputConsumed(e) => with_input(task, e.input_id, consume),
        Event::OutputProduced(e) => {
            task.outputs.insert(e.output_id, e.status);
        }
        Event::OutputStatusChanged(e) => {
            task.outputs.insert(e.output_id, e.status);
        }
        Event::OutputFinalized(e) => {
            task.summaries.insert(e.output_id, e.summary.clone());
        }
        // An acceptance makes the task; rows of outputs and usage decide nothing yet, read models keep them.
        Event::TaskAccepted(_) | Event::OutputRowsAppended(_) | Event::UsageRecorded(_) => {}
    }
}

fn end(task: &mut Task, state: TaskState) {
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
