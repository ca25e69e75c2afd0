//! Outputs of a task. The holder of its lease and callers from outside follow the same rules; only the former is fenced.

use chrono::{DateTime, Utc};

use crate::id::{AttemptId, OutputId, RunId};
use crate::redaction::{refuse_placeholders, refuse_placeholders_in_values};
use crate::task::command::{AppendOutputRows, ArchiveOutputs, FinalizeOutput, ProduceOutput};
use crate::task::event::{
    Event, OutputArchived, OutputFinalized, OutputProduced, OutputRowsAppended, OutputStatus,
};
use crate::task::rejection::Rejection;
use crate::task::state::outputs::{NAME_BYTES_MAX, TITLE_BYTES_MAX, draft, open_text_bytes, wait_group};
use crate::task::state::{Known, RowCount, Task};
use crate::text::non_blank;
use crate::{Fault, Faults, limits};

/// Most outputs of a task: any of them may be changed at any time, so all of them are known to every decision.
const OUTPUTS_MAX: usize = 1000;
/// Most rows of one append.
const ROWS_PER_APPEND_MAX: usize = 10_000;
/// Most rows of an output.
const ROWS_MAX: u64 = 10_000_000;
/// Most bytes of the rows appended to an output, as JSON.
const ROW_BYTES_MAX: u64 = 1 << 30;
/// Most bytes of titles, wait groups and drafts of the outputs of a task that wait for a decision.
const OPEN_TEXT_BYTES_MAX: usize = 128 << 10;

pub(super) fn produce(
    task: &Task,
    (command, fingerprint): (&ProduceOutput, &str),
    output_id: OutputId,
    attempt_id: Option<&AttemptId>,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let status = command.status.map_or(OutputStatus::Active, Into::into);
    let run_id = run_of_caller(task, attempt_id)?;
    let mut faults = Faults::default();
    let output_type = faults.required("/output_type", &command.output_type).to_owned();
    let title = faults.required("/title", &command.title).to_owned();
    faults.require(
        command.id.is_none() || non_blank(command.name.as_deref()).is_none(),
        "",
        "at most one of id and name may be given",
    );
    check_lengths(command, &title, &mut faults);
    if attempt_id.is_none() {
        refuse_placeholders(&command.data, "/data", &mut faults);
        refuse_placeholders(&command.metadata, "/metadata", &mut faults);
    }
    faults.into_result().map_err(Rejection::Invalid)?;
    let produced = OutputProduced {
        output_id,
        run_id,
        output_type,
        title,
        summary: command.summary.clone(),
        uri: command.uri.clone(),
        data: command.data.clone(),
        metadata: command.metadata.clone(),
        fingerprint: Some(fingerprint.to_owned()),
        status,
        created_at: at,
    };
    match task.outputs.get(output_id) {
        None if task.outputs.len() >= OUTPUTS_MAX => Err(Rejection::Invalid(vec![Fault {
            pointer: String::new(),
            message: format!("a task may have at most {OUTPUTS_MAX} outputs"),
        }])),
        None if task.outputs.open_text_bytes() + open_text_bytes(&produced) > OPEN_TEXT_BYTES_MAX => {
            Err(Rejection::Full {
                what: "outputs that wait for a decision",
                limit_bytes: OPEN_TEXT_BYTES_MAX,
            })
        }
        None => Ok(vec![Event::OutputProduced(produced)]),
        // The same id inside a task is the same output: creation is idempotent, whatever became of it since.
        Some(output) if output.record.is_made_as(fingerprint) => Ok(Vec::new()),
        Some(_) => Err(Rejection::OutputConflict),
    }
}

/// Notes the texts of an output that every later decision on it knows and that are too long.
fn check_lengths(command: &ProduceOutput, title: &str, faults: &mut Faults) {
    faults.at_most("/title", title, TITLE_BYTES_MAX);
    faults.at_most("/output_type", &command.output_type, limits::NAME_BYTES_MAX);
    let group = wait_group(&command.metadata).unwrap_or_default();
    faults.at_most("/metadata/_wait_group_id", &group, NAME_BYTES_MAX);
    if let Some(draft) = draft(&command.output_type, &command.data, &command.metadata) {
        faults.at_most("/data/draft_id", &draft.draft_id, NAME_BYTES_MAX);
        for (pointer, text) in
            [("/data/thread_id", draft.thread_id), ("/data/to", draft.to), ("/data/subject", draft.subject)]
        {
            faults.at_most(pointer, &text.unwrap_or_default(), NAME_BYTES_MAX);
        }
    }
}

pub(super) fn append_rows(
    task: &Task,
    command: &AppendOutputRows,
    attempt_id: Option<&AttemptId>,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let before = task.rows.of(output_of_caller(task, attempt_id, command.output_id)?.number);
    if command.rows.is_empty() {
        return Ok(Vec::new());
    }
    let RowCount(count, bytes) = before.and(&command.rows);
    let mut faults = Faults::default();
    faults.require(
        command.rows.len() <= ROWS_PER_APPEND_MAX,
        "/rows",
        format_args!("at most {ROWS_PER_APPEND_MAX} rows are appended at once"),
    );
    faults.require(count <= ROWS_MAX, "/rows", format_args!("an output has at most {ROWS_MAX} rows"));
    faults.require(
        bytes <= ROW_BYTES_MAX,
        "/rows",
        format_args!("the rows of an output have at most {ROW_BYTES_MAX} bytes"),
    );
    if attempt_id.is_none() {
        refuse_placeholders_in_values(&command.rows, "/rows", &mut faults);
    }
    faults.into_result().map_err(Rejection::Invalid)?;
    Ok(vec![Event::OutputRowsAppended(OutputRowsAppended {
        output_id: command.output_id,
        first_row: before.0.saturating_add(1),
        rows: command.rows.clone(),
        at,
    })])
}

pub(super) fn finalize(
    task: &Task,
    (command, fingerprint): (&FinalizeOutput, &str),
    attempt_id: Option<&AttemptId>,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let output = output_of_caller(task, attempt_id, command.output_id)?;
    if output.record.has_summary(fingerprint) {
        return Ok(Vec::new());
    }
    Ok(vec![Event::OutputFinalized(OutputFinalized {
        output_id: command.output_id,
        summary: command.summary.clone(),
        fingerprint: fingerprint.to_owned(),
        at,
    })])
}

pub(super) fn archive(
    task: &Task,
    command: &ArchiveOutputs,
    at: DateTime<Utc>,
) -> Result<Vec<Event>, Rejection> {
    let mut events = Vec::new();
    for output_id in &command.output_ids {
        let output = task.outputs.get(*output_id).ok_or(Rejection::PartNotFound("output"))?;
        if !output.record.is_archived {
            events.push(Event::OutputArchived(OutputArchived { output_id: *output_id, at }));
        }
    }
    Ok(events)
}

/// The run of the reporting attempt, if it holds the lease; none for callers from outside.
fn run_of_caller(task: &Task, attempt_id: Option<&AttemptId>) -> Result<Option<RunId>, Rejection> {
    attempt_id.map(|attempt_id| task.fenced(attempt_id).map(|live| live.run_id)).transpose()
}

fn output_of_caller<'a>(
    task: &'a Task,
    attempt_id: Option<&AttemptId>,
    output_id: OutputId,
) -> Result<Known<'a>, Rejection> {
    run_of_caller(task, attempt_id)?;
    task.outputs.get(output_id).ok_or(Rejection::PartNotFound("output"))
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::Given;
    use serde_json::json;

    use super::*;
    use crate::Requested;
    use crate::task::command::NewOutputStatus;
    use crate::task::fixture::{
        at, attempt, fingerprint, finish_ok, kinds, output, output_id, produce, produced_by, producing,
        queued, started, stopping, task_id,
    };
    use crate::task::{Command, TaskDecider};

    fn rows(number: u128, rows: Vec<serde_json::Value>) -> Requested<Command> {
        Command::AppendOutputRows {
            command: AppendOutputRows { output_id: output_id(number), rows },
            attempt_id: Some(attempt(1)),
        }
        .at(at(17))
    }

    fn finalize(number: u128, summary: &str) -> Requested<Command> {
        let command = FinalizeOutput { output_id: output_id(number), summary: summary.into() };
        let fingerprint = fingerprint(&command.identity(task_id()));
        Command::FinalizeOutput { command, fingerprint, attempt_id: Some(attempt(1)) }.at(at(18))
    }

    #[test]
    fn an_output_is_produced_once() {
        let produced = || started().and(produce(1, NewOutputStatus::Active));
        started().when(produce(1, NewOutputStatus::Active)).then_with(|events, state| {
            assert_eq!(kinds(events), ["output"]);
            assert_eq!(
                state.as_ref().unwrap().outputs.get(output_id(1)).unwrap().record.status,
                OutputStatus::Active
            );
        });
        produced().when(produce(1, NewOutputStatus::Active)).then_nothing();
    }

    #[test]
    fn a_task_has_so_many_outputs_and_no_more() {
        let limit = OUTPUTS_MAX as u128;
        let full = || {
            let make =
                |history: Given<TaskDecider>, number| history.and(produce(number, NewOutputStatus::Active));
            (1..=limit).fold(started(), make)
        };
        let refusal = Rejection::invalid("", "a task may have at most 1000 outputs");
        full().when(produce(limit + 1, NewOutputStatus::Active)).then_rejected(refusal);
        full().when(produce(1, NewOutputStatus::Active)).then_nothing();
    }

    #[test]
    fn an_output_that_is_known_by_its_digests_only_is_the_same_as_before() {
        let many =
            || (1..=40).fold(started(), |all, number| all.and(produce(number, NewOutputStatus::Active)));
        let task = crate::task::fixture::task_of(&many());
        assert_eq!((task.outputs.len(), task.outputs.named().count()), (40, 16));
        assert!(task.progress_bytes() < 40 * 28 + 16 * 120 + 400, "{}", task.progress_bytes());
        many().when(produce(1, NewOutputStatus::Active)).then_nothing();
        let other = ProduceOutput { title: "Another".into(), ..output(1, NewOutputStatus::Active) };
        many().when(producing(1, other)).then_rejected(Rejection::OutputConflict);
        many().when(rows(1, vec![json!(1)])).then_with(|events, _| assert_eq!(kinds(events), ["rows"]));
        many().and(finalize(1, "all")).when(finalize(1, "all")).then_nothing();
        let archive =
            || Command::ArchiveOutputs(ArchiveOutputs { output_ids: vec![output_id(1)] }).at(at(60));
        many().and(archive()).when(archive()).then_nothing();
        many().when(rows(41, vec![json!(1)])).then_rejected(Rejection::PartNotFound("output"));
        // Those that wait for a decision are known whole, however many others came since.
        let pending =
            (41..=60).fold(many(), |all, number| all.and(produce(number, NewOutputStatus::Pending)));
        let task = crate::task::fixture::task_of(&pending);
        let waiting = task.outputs.named().filter(|(_, known)| known.record.status == OutputStatus::Pending);
        assert_eq!(waiting.map(|(_, known)| known.title()).collect::<Vec<_>>(), vec!["A report"; 20]);
    }

    #[test]
    fn texts_of_outputs_have_limits_alone_and_together() {
        let titled = |number, title: &str| {
            let titled = ProduceOutput { title: title.into(), ..output(number, NewOutputStatus::Pending) };
            producing(number, titled)
        };
        let refusal = Rejection::invalid("/title", "title must be at most 512 bytes");
        started().when(titled(1, &"x".repeat(513))).then_rejected(refusal);
        let title = "x".repeat(512);
        let full = (1..=256).fold(started(), |all, number| all.and(titled(number, &title)));
        let refusal =
            Rejection::Full { what: "outputs that wait for a decision", limit_bytes: OPEN_TEXT_BYTES_MAX };
        full.when(titled(257, &title)).then_rejected(refusal);
    }

    #[test]
    fn the_same_id_with_other_content_is_a_conflict_and_what_became_of_it_since_does_not_matter() {
        let produced = || started().and(produce(1, NewOutputStatus::Active));
        let titled =
            |title: &str| ProduceOutput { title: title.into(), ..output(1, NewOutputStatus::Active) };
        let noted = ProduceOutput {
            metadata: json!({"note": 1}).as_object().unwrap().clone(),
            ..output(1, NewOutputStatus::Active)
        };
        for other in [titled("Another"), noted, output(1, NewOutputStatus::Pending)] {
            produced().when(producing(1, other)).then_rejected(Rejection::OutputConflict);
        }
        produced()
            .and(rows(1, vec![json!(1)]))
            .and(finalize(1, "all"))
            .when(producing(1, titled(" A report ")))
            .then_nothing();
    }

    #[test]
    fn callers_from_outside_add_outputs_in_every_state_without_a_lease() {
        let outside = || produced_by(1, output(1, NewOutputStatus::Active), None);
        for history in [queued(), started(), stopping(), started().and(finish_ok(1))] {
            history.when(outside()).then_with(|events, _| {
                let [Event::OutputProduced(produced)] = events else { panic!("one output") };
                assert_eq!(produced.run_id, None);
            });
        }
        // What the agent made and what is added from outside are one set.
        started().and(produce(1, NewOutputStatus::Active)).when(outside()).then_nothing();
        let more = Command::AppendOutputRows {
            command: AppendOutputRows { output_id: output_id(1), rows: vec![json!(1)] },
            attempt_id: None,
        }
        .at(at(60));
        let ended = || started().and(produce(1, NewOutputStatus::Active)).and(finish_ok(1));
        ended().when(more.clone()).then_with(|events, _| assert_eq!(kinds(events), ["rows"]));
        queued().when(more).then_rejected(Rejection::PartNotFound("output"));
    }

    #[test]
    fn outputs_are_archived_once() {
        let archive = |numbers: &[u128]| {
            let output_ids = numbers.iter().map(|number| output_id(*number)).collect();
            Command::ArchiveOutputs(ArchiveOutputs { output_ids }).at(at(60))
        };
        let two =
            || started().and(produce(1, NewOutputStatus::Active)).and(produce(2, NewOutputStatus::Active));
        two().when(archive(&[1])).then_with(|events, _| assert_eq!(kinds(events), ["output archived"]));
        two().and(archive(&[1])).when(archive(&[1])).then_nothing();
        two()
            .and(archive(&[1]))
            .when(archive(&[1, 2]))
            .then_with(|events, _| assert_eq!(kinds(events), ["output archived"]));
        two().when(archive(&[1, 3])).then_rejected(Rejection::PartNotFound("output"));
    }

    #[test]
    fn all_faults_of_an_output_are_reported_together() {
        let command = ProduceOutput {
            output_type: " ".into(),
            title: String::new(),
            ..output(1, NewOutputStatus::Active)
        };
        started()
            .when(producing(1, command))
            .then_rejected_with(|no| matches!(no, Rejection::Invalid(faults) if faults.len() == 2));
    }

    #[test]
    fn an_output_is_named_by_id_or_by_name() {
        let both = |name: &str| ProduceOutput {
            id: Some(output_id(7)),
            name: Some(name.into()),
            ..output(1, NewOutputStatus::Active)
        };
        started()
            .when(producing(1, both("report")))
            .then_rejected(Rejection::invalid("", "at most one of id and name may be given"));
        started().when(producing(1, both(" "))).then_with(|events, _| assert_eq!(kinds(events), ["output"]));
    }

    #[test]
    fn callers_cannot_store_the_placeholder_of_a_hidden_value() {
        let map = || json!({"api_key": "[redacted]"}).as_object().cloned().unwrap();
        let hidden = || ProduceOutput { data: map(), metadata: map(), ..output(1, NewOutputStatus::Active) };
        let pointers = |no: &Rejection| match no {
            Rejection::Invalid(faults) => faults.iter().map(|fault| fault.pointer.clone()).collect(),
            _ => Vec::new(),
        };
        let outside = |attempt_id| produced_by(1, hidden(), attempt_id);
        started()
            .when(outside(None))
            .then_rejected_with(|no| pointers(no) == ["/data/api_key", "/metadata/api_key"]);
        let rows = |attempt_id| {
            let rows = vec![json!(1), json!({"token": "[redacted]"})];
            let command = AppendOutputRows { output_id: output_id(1), rows };
            Command::AppendOutputRows { command, attempt_id }.at(at(17))
        };
        let produced = || started().and(produce(1, NewOutputStatus::Active));
        produced().when(rows(None)).then_rejected_with(|no| pointers(no) == ["/rows/1/token"]);
        // An agent reports what it found, and overwrites nothing.
        started().and(outside(Some(attempt(1)))).when(rows(Some(attempt(1)))).then_with(|events, _| {
            assert_eq!(kinds(events), ["rows"]);
        });
    }

    #[test]
    fn rows_are_added_to_an_output_of_the_task() {
        let produced = || started().and(produce(1, NewOutputStatus::Active));
        produced()
            .when(rows(1, vec![json!({"a": 1})]))
            .then_with(|events, _| assert_eq!(kinds(events), ["rows"]));
        produced().when(rows(1, Vec::new())).then_nothing();
        produced().when(rows(2, vec![json!(1)])).then_rejected(Rejection::PartNotFound("output"));
    }

    #[test]
    fn rows_are_numbered_after_those_the_output_was_produced_with_and_only_counted() {
        let data = json!({"rows": [1, 2]}).as_object().cloned().unwrap();
        let table = ProduceOutput { data, ..output(1, NewOutputStatus::Active) };
        let history = started().and(producing(1, table)).and(rows(1, vec![json!(3), json!("four")]));
        history.when(rows(1, vec![json!(5)])).then_with(|events, state| {
            let [Event::OutputRowsAppended(appended)] = events else { panic!("rows") };
            assert_eq!(appended.first_row, 5);
            let appended = (r#"[3,"four"]"#.len() + "[5]".len()) as u64;
            assert_eq!(state.as_ref().unwrap().rows.of(1), RowCount(5, appended));
        });
        // What is no list has no rows.
        let data = json!({"rows": "none"}).as_object().cloned().unwrap();
        let other = ProduceOutput { data, ..output(1, NewOutputStatus::Active) };
        started().and(producing(1, other)).when(rows(1, vec![json!(1)])).then_with(|events, _| {
            assert!(matches!(events, [Event::OutputRowsAppended(appended)] if appended.first_row == 1));
        });
    }

    #[test]
    fn the_rows_of_an_append_and_of_an_output_are_limited_in_number_and_bytes() {
        let produced = || started().and(produce(1, NewOutputStatus::Active));
        let at_once = |count: usize| rows(1, vec![json!(1); count]);
        produced().when(at_once(ROWS_PER_APPEND_MAX)).then_with(|events, _| assert_eq!(events.len(), 1));
        produced()
            .when(at_once(ROWS_PER_APPEND_MAX + 1))
            .then_rejected(Rejection::invalid("/rows", "at most 10000 rows are appended at once"));
        for (before, message) in [
            (RowCount(ROWS_MAX, 0), "an output has at most 10000000 rows"),
            (RowCount(1, ROW_BYTES_MAX - 2), "the rows of an output have at most 1073741824 bytes"),
        ] {
            let mut task = produced().state().unwrap();
            task.rows.0.insert(1, before);
            let command = AppendOutputRows { output_id: output_id(1), rows: vec![json!(1)] };
            let refused = append_rows(&task, &command, Some(&attempt(1)), at(17));
            assert_eq!(refused, Err(Rejection::invalid("/rows", message)));
        }
    }

    #[test]
    fn an_output_takes_its_final_summary_and_the_same_again_changes_nothing() {
        let produced = || started().and(produce(1, NewOutputStatus::Active));
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
            history.when(produce(1, NewOutputStatus::Active)).then_rejected(lost);
        }
        let after = || started().and(produce(1, NewOutputStatus::Active)).and(finish_ok(1));
        after().when(rows(1, vec![json!(1)])).then_rejected(Rejection::LeaseLost { current_epoch: 1 });
        after().when(finalize(1, "x")).then_rejected(Rejection::LeaseLost { current_epoch: 1 });
    }
}
