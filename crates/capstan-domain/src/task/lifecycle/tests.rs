use capstan_decider::spec::Given;
use serde_json::{Map, json};

use super::*;
use crate::Change;
use crate::Requested;
use crate::outcome_text::ErrorClass;
use crate::task::TaskDecider;
use crate::task::command::{AcceptAgentCommand, NewOutputStatus};
use crate::task::command::{ArchiveTask, UnarchiveTask};
use crate::task::command::{Command, ReleaseAttempt, ReleaseCause, TaskPayload};
use crate::task::event::{BlockerStatus, Priority, RunStatus};
use crate::task::fixture::{
    GRACE_MS, accepting, agent_command, at, attempt, cancel, claim, done, expire, failure, finish_ok,
    finishing, finishing_by, input_id, kinds, lease, produce, queued, run, say, say_as, start, started,
    stopping, task_id, task_of, waiting,
};
use crate::task::state::State;

fn retry(message: &str) -> Requested<Command> {
    let command = RetryTask { task_id: task_id(), message: Some(message.to_owned()) };
    Command::Retry { command, input_id: input_id(50), message_bytes_max: 20 }.at(at(60))
}

fn archive() -> Requested<Command> {
    Command::Archive { command: ArchiveTask { task_id: task_id() }, grace_ms: GRACE_MS }.at(at(60))
}

fn unarchive() -> Requested<Command> {
    Command::Unarchive(UnarchiveTask { task_id: task_id() }).at(at(61))
}

fn nothing() -> UpdateTask {
    UpdateTask {
        task_id: task_id(),
        priority: None,
        budget_usd: Change::Keep,
        payload_json: None,
        routing_json: None,
        label: Change::Keep,
        labels: None,
        deadline: Change::Keep,
    }
}

fn update(command: UpdateTask) -> Requested<Command> {
    Command::Update { command: Box::new(command), message_bytes_max: 20 }.at(at(60))
}

fn failed() -> Given<TaskDecider> {
    started().and(finishing(failure(ErrorClass::Terminal)))
}

fn prompt<'a>(events: &[Event], state: &'a State) -> (&'a str, Option<crate::id::RunId>) {
    match events.last() {
        Some(Event::RunRequested(run)) => (state.as_ref().unwrap().current_prompt(), run.resumed_from_run_id),
        other => panic!("a run is asked for, not {other:?}"),
    }
}

#[test]
fn a_retry_resumes_the_session_with_the_last_prompt() {
    failed().when(retry(" ")).then_with(|events, state| {
        assert_eq!(kinds(events), ["run requested"]);
        assert_eq!(prompt(events, state), ("do it", Some(run(1))));
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.runs.last().unwrap().cause), (TaskState::Queued, RunCause::Retry));
        assert_eq!((task.runs.count(), task.runs.kept.len()), (2, 1), "the run that is over has left");
    });
    let second = failed().and(retry("again")).and(lease(2, 61)).and_events([start(2)]);
    second.and(finishing_by(2, failure(ErrorClass::Terminal))).when(retry("")).then_with(|events, state| {
        assert_eq!(prompt(events, state), ("again", Some(run(2))));
    });
}

#[test]
fn a_retry_with_a_message_delivers_the_message() {
    failed().when(retry(" try harder ")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "run requested"]);
        assert_eq!(prompt(events, state), ("try harder", Some(run(1))));
        assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 0);
    });
}

#[test]
fn a_retry_of_a_command_that_reached_no_agent_delivers_it_and_resumes_nothing() {
    queued().and(cancel()).when(retry("now")).then_with(|events, state| {
        assert_eq!(prompt(events, state), ("do it\n\nnow", None));
    });
    let lost = (1..=9).fold(queued(), |given, epoch| given.and(lease(1, 2000)).and(expire(epoch)));
    assert_eq!(task_of(&lost).state, TaskState::Dropped);
    lost.when(retry("")).then_with(|events, state| assert_eq!(prompt(events, state), ("do it", None)));
}

#[test]
fn a_retry_delivers_undelivered_inputs() {
    started().and(say(1, "more")).and(cancel()).when(retry("")).then_with(|events, state| {
        assert_eq!(prompt(events, state), ("do it\n\nmore", Some(run(1))));
        assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 0);
    });
}

#[test]
fn a_retry_repeats_the_turn_that_failed_before_the_next_one() {
    let said = started().and(say_as(1, "turn a", "queue")).and(say_as(2, "turn b", "queue"));
    let queued = said.and(finish_ok(1));
    let failed =
        queued.and(lease(2, 61)).and_events([start(2)]).and(finishing_by(2, failure(ErrorClass::Terminal)));
    failed.when(retry("")).then_with(|events, state| {
        assert_eq!(prompt(events, state), ("turn a", Some(run(2))));
        assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 1, "the other one has a turn to itself");
    });
}

#[test]
fn only_what_ended_badly_can_be_retried() {
    started().when(retry("")).then_rejected(Rejection::illegal("retrying", TaskState::Running));
    waiting().when(retry("")).then_rejected(Rejection::illegal("retrying", TaskState::Waiting));
    done().when(retry("")).then_rejected(Rejection::illegal("retrying", TaskState::Done));
}

#[test]
fn a_retry_while_the_old_attempt_still_stops_waits_for_it() {
    stopping()
        .and(retry(""))
        .when(lease(2, 61))
        .then_rejected(Rejection::illegal("leasing", TaskState::Queued));
}

#[test]
fn too_long_a_message_is_refused() {
    let refused = Rejection::TooLarge { field: "message", limit_bytes: 20 };
    failed().when(retry(&"x".repeat(21))).then_rejected(refused.clone());
    let payload_json = Some(TaskPayload { message: Some("x".repeat(21)), ..TaskPayload::default() });
    queued().when(update(UpdateTask { payload_json, ..nothing() })).then_rejected(refused);
}

#[test]
fn archiving_a_live_task_cancels_it_in_the_same_decision() {
    started().when(archive()).then_with(|events, state| {
        assert_eq!(kinds(events), ["stop requested", "run ended", "cancelled", "archived"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.archived_at), (TaskState::Cancelled, Some(at(60))));
    });
    // Its worker still stops in its own time.
    started().and(archive()).when(finish_ok(1)).then_with(|events, _| {
        assert_eq!(kinds(events), ["attempt ended"]);
    });
}

#[test]
fn archiving_an_archived_task_changes_nothing() {
    done().when(archive()).then_with(|events, _| assert_eq!(kinds(events), ["archived"]));
    done().and(archive()).when(archive()).then([]);
}

#[test]
fn an_archived_task_refuses_everything_but_its_return() {
    for command in [say(1, "hi"), cancel(), retry(""), update(nothing())] {
        failed().and(archive()).when(command).then_rejected(Rejection::Archived);
    }
    failed().and(archive()).when(unarchive()).then_with(|events, state| {
        assert_eq!(kinds(events), ["unarchived"]);
        assert!(!state.as_ref().unwrap().is_archived());
    });
    failed().when(unarchive()).then([]);
    failed().and(archive()).and(unarchive()).when(retry("")).then_with(|events, _| {
        assert_eq!(kinds(events), ["run requested"]);
    });
}

#[test]
fn an_update_records_exactly_what_changes() {
    let all = UpdateTask {
        priority: Some(" High".into()),
        budget_usd: Change::Set(2.5),
        payload_json: Some(TaskPayload {
            message: Some("do that".into()),
            extra_system_prompt: Some("be brief".into()),
            attachments: Some(vec![Map::new()]),
            timeout_ms: Some(5),
            deliver: Some(true),
        }),
        routing_json: json!({"to": "ann"}).as_object().cloned(),
        label: Change::Set(" Ann ".into()),
        labels: Some([("team".to_owned(), "a".to_owned())].into()),
        deadline: Change::Set(at(100)),
        ..nothing()
    };
    let changes = ["reprioritised", "budget set", "labelled", "deadline set", "routing set", "payload set"];
    queued().when(update(all.clone())).then_with(|events, state| {
        assert_eq!(kinds(events), changes);
        let task = state.as_ref().unwrap();
        assert_eq!((task.priority, task.accepted.budget_usd), (Priority::High, Some(2.5)));
        assert_eq!(task.accepted.label.as_deref(), Some("Ann"));
        // No worker has begun yet, so it will receive the new text.
        assert_eq!(task.current_prompt(), "do that");
    });
    queued().and(update(all.clone())).when(update(all)).then([]);
    queued().when(update(nothing())).then([]);
}

#[test]
fn an_update_can_clear_what_need_not_be_there() {
    let given = AcceptAgentCommand {
        budget_usd: Some(1.0),
        label: Some("Ann".into()),
        deadline: Some(at(100)),
        extra_system_prompt: Some("be brief".into()),
        ..agent_command()
    };
    let cleared = UpdateTask {
        budget_usd: Change::Clear,
        label: Change::Clear,
        deadline: Change::Clear,
        payload_json: Some(TaskPayload {
            extra_system_prompt: Some(String::new()),
            ..TaskPayload::default()
        }),
        ..nothing()
    };
    let given = capstan_decider::spec::given::<TaskDecider>([]).and(accepting(given));
    given.when(update(cleared)).then_with(|events, state| {
        assert_eq!(kinds(events), ["budget set", "labelled", "deadline set", "payload set"]);
        let accepted = &state.as_ref().unwrap().accepted;
        assert_eq!((accepted.budget_usd, &accepted.label, accepted.deadline), (None, &None, None));
        assert_eq!(accepted.extra_system_prompt, None);
    });
}

#[test]
fn all_faults_of_an_update_are_reported_together() {
    let wrong = UpdateTask {
        priority: Some("soon".into()),
        budget_usd: Change::Set(-1.0),
        payload_json: Some(TaskPayload {
            message: Some(" ".into()),
            timeout_ms: Some(-1),
            ..TaskPayload::default()
        }),
        deadline: Change::Set(at(60)),
        ..nothing()
    };
    let pointers =
        ["/priority", "/budget_usd", "/deadline", "/payload_json/message", "/payload_json/timeout_ms"];
    queued().when(update(wrong)).then_rejected_with(|rejection| {
        let Rejection::Invalid(faults) = rejection else { return false };
        faults.iter().map(|fault| fault.pointer.as_str()).eq(pointers)
    });
}

#[test]
fn the_placeholder_of_a_hidden_value_is_not_stored() {
    let map = || json!({ "token": "[redacted]" }).as_object().cloned();
    let shown = UpdateTask {
        labels: Some([("api_key".to_owned(), " [redacted] ".to_owned())].into()),
        routing_json: map(),
        payload_json: Some(TaskPayload { attachments: map().map(|map| vec![map]), ..TaskPayload::default() }),
        ..nothing()
    };
    queued().when(update(shown)).then_rejected_with(|rejection| {
        let Rejection::Invalid(faults) = rejection else { return false };
        let pointers = ["/labels/api_key", "/routing_json/token", "/payload_json/attachments/0/token"];
        faults.iter().map(|fault| fault.pointer.as_str()).eq(pointers)
    });
}

#[test]
fn a_later_update_does_not_change_the_prompt_of_a_started_run() {
    let payload_json = Some(TaskPayload { message: Some("do that".into()), ..TaskPayload::default() });
    let given = failed().and(update(UpdateTask { payload_json, ..nothing() }));
    assert_eq!(task_of(&given).current_prompt(), "do it");
    given.when(retry("")).then_with(|events, state| assert_eq!(prompt(events, state).0, "do that"));
}

fn cancel_run(number: u32) -> Requested<Command> {
    Command::CancelRun { command: CancelRun { run_id: run(number), reason: None }, grace_ms: GRACE_MS }
        .at(at(30))
}

fn release(epoch: u64) -> Requested<Command> {
    let cause = ReleaseCause::GraceOver;
    Command::ReleaseAttempt(ReleaseAttempt { attempt_id: attempt(epoch), cause }).at(at(41))
}

#[test]
fn cancelling_a_queued_task_ends_its_run_and_the_task() {
    queued().when(cancel()).then_with(|events, state| {
        assert_eq!(kinds(events), ["run ended", "cancelled"]);
        let task = state.as_ref().unwrap();
        assert_eq!(
            (task.state, task.runs.last().unwrap().status),
            (TaskState::Cancelled, RunStatus::Cancelled)
        );
    });
}

#[test]
fn cancelling_a_live_task_settles_it_at_once_and_gives_the_worker_a_grace() {
    started().when(cancel()).then_with(|events, state| {
        assert_eq!(kinds(events), ["stop requested", "run ended", "cancelled"]);
        let task = state.as_ref().unwrap();
        assert_eq!(task.state, TaskState::Cancelled);
        assert_eq!(task.live.as_ref().unwrap().cancel_grace_until, Some(at(40)));
    });
}

#[test]
fn cancelling_a_waiting_task_stops_its_live_attempt_too_and_closes_the_question() {
    waiting().when(cancel()).then_with(|events, state| {
        assert_eq!(kinds(events), ["stop requested", "run ended", "answered", "cancelled"]);
        let Event::BlockerClosed(closed) = &events[2] else { panic!("closed") };
        assert_eq!(closed.status, BlockerStatus::Cancelled);
        assert_eq!(state.as_ref().unwrap().blocker, None);
    });
}

#[test]
fn cancelling_gives_claimed_inputs_back_and_cancels_undecided_outputs() {
    started()
        .and(say(1, "more"))
        .and(claim(1))
        .and(produce(1, NewOutputStatus::Pending))
        .and(produce(2, NewOutputStatus::Active))
        .when(cancel())
        .then_with(|events, state| {
            let expected = ["stop requested", "returned", "run ended", "output changed", "cancelled"];
            assert_eq!(kinds(events), expected);
            assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 1);
        });
}

#[test]
fn a_task_that_is_over_cannot_be_cancelled() {
    done().when(cancel()).then_rejected(Rejection::illegal("cancelling", TaskState::Done));
    stopping().when(cancel()).then_rejected(Rejection::illegal("cancelling", TaskState::Cancelled));
}

#[test]
fn a_reopened_task_whose_old_attempt_still_stops_waits_for_it_and_can_be_cancelled_again() {
    let reopened = stopping().and(say(1, "go on"));
    assert_eq!(task_of(&reopened).state, TaskState::Queued);
    reopened.when(lease(2, 31)).then_rejected(Rejection::illegal("leasing", TaskState::Queued));
    let freed = stopping().and(say(1, "go on")).and(release(1));
    freed.when(lease(2, 42)).then_with(|events, _| assert_eq!(kinds(events), ["leased"]));
    stopping()
        .and(say(1, "go on"))
        .when(cancel())
        .then_with(|events, _| assert_eq!(kinds(events), ["run ended", "cancelled"]));
}

#[test]
fn the_end_of_the_grace_frees_the_session_without_touching_the_task() {
    stopping().when(release(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, &task.live), (TaskState::Cancelled, &None));
    });
    started().when(release(1)).then_nothing();
    stopping().when(release(2)).then_nothing();
}

#[test]
fn cancelling_the_live_run_settles_the_task_at_once() {
    started()
        .when(cancel_run(1))
        .then_with(|events, _| assert_eq!(kinds(events), ["stop requested", "run ended", "cancelled"]));
}

#[test]
fn a_run_that_is_over_or_unknown_cannot_be_cancelled() {
    done().when(cancel_run(1)).then_rejected(Rejection::IllegalTransition {
        what: "cancelling",
        subject: "run",
        state: "ok".into(),
    });
    done().when(cancel_run(7)).then_rejected(Rejection::PartNotFound("run"));
}
