//! What is said to a task, and how it reaches a run (domain.md 4).

use crate::task::command::{AckInput, ClaimInput, SubmitInput};
use crate::task::decide::request_run;
use crate::task::event::{
    BlockerClosed, BlockerStatus, Event, InputAccepted, InputClaimed, InputConsumed, InputKind, InputOutcome,
    RunCause, TaskContinued,
};
use crate::task::rejection::Rejection;
use crate::task::state::{InputState, Task, TaskState};
use crate::task::worker_report::fenced;

pub(super) fn submit(task: &Task, command: &SubmitInput) -> Result<Vec<Event>, Rejection> {
    if command.message.len() > command.message_bytes_max {
        return Err(Rejection::TooLarge { field: "message", limit_bytes: command.message_bytes_max });
    }
    if task.input(command.input_id).is_some() {
        return Ok(Vec::new());
    }
    if let Some(run_id) = command.run_id {
        task.run(run_id).ok_or(Rejection::PartNotFound("run"))?;
    }
    let message = text_of(command);
    if message.is_empty() {
        return Err(Rejection::invalid("/message", "message is required"));
    }
    let open = task.blocker.as_ref();
    if let Some(named) = command.blocker_id
        && open.is_none_or(|blocker| blocker.blocker_id != named)
    {
        return Err(Rejection::BlockerClosed);
    }
    let outcome = match (task.state, task.working_attempt()) {
        (TaskState::Waiting, Some(_)) => InputOutcome::Delivered,
        // A queued task gets its inputs with the run it already waits for, once that run's turn ends.
        (TaskState::Running | TaskState::Queued, _) => InputOutcome::Queued,
        _ => InputOutcome::Resumed,
    };
    let mut events = vec![Event::InputAccepted(InputAccepted {
        input_id: command.input_id,
        seq: u32::try_from(task.inbox.len()).unwrap_or(u32::MAX).saturating_add(1),
        kind: InputKind::FreeText,
        message: message.clone(),
        answers: command.answers.clone(),
        blocker_id: open.map(|blocker| blocker.blocker_id),
        outcome,
        accepted_at: command.at,
    })];
    if let Some(blocker) = open {
        events.push(Event::BlockerClosed(BlockerClosed {
            blocker_id: blocker.blocker_id,
            status: BlockerStatus::Resolved,
            input_id: Some(command.input_id),
            closed_at: command.at,
        }));
    }
    match outcome {
        InputOutcome::Delivered => {
            if let Some(live) = task.working_attempt() {
                events.push(Event::TaskContinued(TaskContinued { run_id: live.run_id, at: command.at }));
            }
        }
        InputOutcome::Resumed => {
            // Older inputs that no run took come first: nothing said to the task is lost or overtaken.
            let (mut ids, mut texts): (Vec<_>, Vec<_>) =
                task.pending_inputs().map(|input| (input.input_id, input.message.clone())).unzip();
            ids.push(command.input_id);
            texts.push(message);
            if let Some(run) = task.active_run() {
                // The run that asked has no attempt any more; this input begins its successor.
                events.push(crate::task::decide::run_ended(
                    run.run_id,
                    crate::task::event::RunStatus::Ok,
                    None,
                    command.at,
                ));
            }
            events.push(request_run(task, RunCause::Input, texts.join("\n\n"), ids, command.at));
        }
        InputOutcome::Queued => {}
    }
    Ok(events)
}

/// The text of an input: what was said, else its answers by question.
fn text_of(command: &SubmitInput) -> String {
    let message = command.message.trim();
    if !message.is_empty() || command.answers.is_empty() {
        return message.to_owned();
    }
    let line = |(id, answer): (&String, &serde_json::Value)| match answer.as_str() {
        Some(text) => format!("{id}: {text}"),
        None => format!("{id}: {answer}"),
    };
    command.answers.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn claim(task: &Task, command: &ClaimInput) -> Result<Vec<Event>, Rejection> {
    fenced(task, &command.attempt_id)?;
    Ok(task
        .pending_inputs()
        .next()
        .map(|input| {
            Event::InputClaimed(InputClaimed {
                input_id: input.input_id,
                attempt_id: command.attempt_id.clone(),
                at: command.at,
            })
        })
        .into_iter()
        .collect())
}

pub(super) fn ack(task: &Task, command: &AckInput) -> Result<Vec<Event>, Rejection> {
    fenced(task, &command.attempt_id)?;
    let input = task.input(command.input_id).ok_or(Rejection::PartNotFound("input"))?;
    match &input.state {
        InputState::Claimed(by) if *by == command.attempt_id => {
            Ok(vec![Event::InputConsumed(InputConsumed {
                input_id: command.input_id,
                attempt_id: command.attempt_id.clone(),
                at: command.at,
            })])
        }
        InputState::Consumed => Ok(Vec::new()),
        InputState::Pending | InputState::Claimed(_) => {
            Err(Rejection::invalid("/input_id", "the input is not claimed by this attempt"))
        }
    }
}
