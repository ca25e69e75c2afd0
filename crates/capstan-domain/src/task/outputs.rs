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
    if task.outputs.get(&command.output_id).and_then(|output| output.summary.as_ref())
        == Some(&command.summary)
    {
        return Ok(Vec::new());
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::Command;
    use crate::task::fixture::{
        at, attempt, finish_ok, kinds, output, output_id, produce, queued, started, stopping,
    };

    fn rows(number: u128, rows: Vec<serde_json::Value>) -> Command {
        Command::AppendOutputRows(AppendOutputRows {
            attempt_id: attempt(1),
            output_id: output_id(number),
            rows,
            at: at(17),
        })
    }

    fn finalize(number: u128, summary: &str) -> Command {
        Command::FinalizeOutput(FinalizeOutput {
            attempt_id: attempt(1),
            output_id: output_id(number),
            summary: summary.into(),
            at: at(18),
        })
    }

    #[test]
    fn an_output_is_produced_once() {
        let produced = || started().and(produce(1, OutputStatus::Active));
        started().when(produce(1, OutputStatus::Active)).then_with(|events, state| {
            assert_eq!(kinds(events), ["output"]);
            assert_eq!(state.as_ref().unwrap().outputs[&output_id(1)].status, OutputStatus::Active);
        });
        produced().when(produce(1, OutputStatus::Pending)).then_nothing();
    }

    #[test]
    fn all_faults_of_an_output_are_reported_together() {
        let command = ProduceOutput {
            output_type: " ".into(),
            title: String::new(),
            status: OutputStatus::Approved,
            ..output(1, OutputStatus::Active)
        };
        started()
            .when(Command::ProduceOutput(Box::new(command)))
            .then_rejected_with(|no| matches!(no, Rejection::Invalid(faults) if faults.len() == 3));
    }

    #[test]
    fn rows_are_added_to_an_output_of_the_task() {
        let produced = || started().and(produce(1, OutputStatus::Active));
        produced()
            .when(rows(1, vec![json!({"a": 1})]))
            .then_with(|events, _| assert_eq!(kinds(events), ["rows"]));
        produced().when(rows(1, Vec::new())).then_nothing();
        produced().when(rows(2, vec![json!(1)])).then_rejected(Rejection::PartNotFound("output"));
    }

    #[test]
    fn an_output_takes_its_final_summary_and_the_same_again_changes_nothing() {
        let produced = || started().and(produce(1, OutputStatus::Active));
        produced().when(finalize(1, "all")).then_with(|events, _| assert_eq!(kinds(events), ["finalized"]));
        produced().and(finalize(1, "all")).when(finalize(1, "all")).then_nothing();
        produced()
            .and(finalize(1, "all"))
            .when(finalize(1, "more"))
            .then_with(|events, _| assert_eq!(kinds(events), ["finalized"]));
        produced().when(finalize(2, "all")).then_rejected(Rejection::PartNotFound("output"));
    }

    #[test]
    fn only_the_live_attempt_produces() {
        for (history, current_epoch) in [(queued(), 0), (stopping(), 1), (started().and(finish_ok(1)), 1)] {
            let lost = Rejection::LeaseLost { current_epoch };
            history.when(produce(1, OutputStatus::Active)).then_rejected(lost);
        }
        let after = || started().and(produce(1, OutputStatus::Active)).and(finish_ok(1));
        after().when(rows(1, vec![json!(1)])).then_rejected(Rejection::LeaseLost { current_epoch: 1 });
        after().when(finalize(1, "x")).then_rejected(Rejection::LeaseLost { current_epoch: 1 });
    }
}
