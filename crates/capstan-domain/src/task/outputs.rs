//! What the agent produces (reference/behaviour 1.8).

use crate::Faults;
use crate::id::AttemptId;
use crate::task::command::{AppendOutputRows, FinalizeOutput, ProduceOutput};
use crate::task::event::{Event, OutputFinalized, OutputProduced, OutputRowsAppended, OutputStatus};
use crate::task::rejection::Rejection;
use crate::task::state::{Live, Task};
use crate::task::worker_report::fenced;

pub(super) fn produce(task: &Task, command: &ProduceOutput) -> Result<Vec<Event>, Rejection> {
    let live = fenced(task, &command.attempt_id)?;
    // The same id inside a task is the same output: creation is idempotent.
    if task.outputs.contains_key(&command.output_id) {
        return Ok(Vec::new());
    }
    let mut faults = Faults::default();
    faults.require(!command.output_type.trim().is_empty(), "/output_type", "output_type is required");
    faults.require(!command.title.trim().is_empty(), "/title", "title is required");
    faults.require(
        matches!(command.status, OutputStatus::Active | OutputStatus::Pending),
        "/status",
        "status must be active or pending",
    );
    faults.into_result().map_err(Rejection::Invalid)?;
    Ok(vec![Event::OutputProduced(OutputProduced {
        output_id: command.output_id,
        run_id: Some(live.run_id),
        output_type: command.output_type.trim().to_owned(),
        title: command.title.trim().to_owned(),
        summary: command.summary.clone(),
        uri: command.uri.clone(),
        data: command.data.clone(),
        metadata: command.metadata.clone(),
        status: command.status,
        created_at: command.at,
    })])
}

pub(super) fn append_rows(task: &Task, command: &AppendOutputRows) -> Result<Vec<Event>, Rejection> {
    fenced_output(task, &command.attempt_id, command.output_id)?;
    if command.rows.is_empty() {
        return Ok(Vec::new());
    }
    Ok(vec![Event::OutputRowsAppended(OutputRowsAppended {
        output_id: command.output_id,
        rows: command.rows.clone(),
        at: command.at,
    })])
}

pub(super) fn finalize(task: &Task, command: &FinalizeOutput) -> Result<Vec<Event>, Rejection> {
    fenced_output(task, &command.attempt_id, command.output_id)?;
    Ok(vec![Event::OutputFinalized(OutputFinalized {
        output_id: command.output_id,
        summary: command.summary.clone(),
        at: command.at,
    })])
}

fn fenced_output<'a>(
    task: &'a Task,
    attempt_id: &AttemptId,
    output_id: crate::id::OutputId,
) -> Result<&'a Live, Rejection> {
    let live = fenced(task, attempt_id)?;
    if task.outputs.contains_key(&output_id) { Ok(live) } else { Err(Rejection::PartNotFound("output")) }
}
