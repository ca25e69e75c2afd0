use capstan_decider::spec::Given;
use serde_json::json;

use super::*;
use crate::task::TaskDecider;
use crate::task::command::ReportedOutcome;
use crate::task::event::{Opening, RunCause};
use crate::task::fixture::{
    ack, ask, at, attempt, blocker_id, cancel, claim, defer, done, expire, failure, finish_ok, finishing,
    input, input_id, input_with, kinds, lease, leased, queued, report, run, say, say_as, start, started,
    stopping, submit as submitting, task_of, waiting,
};
use crate::task::{Command, Event};

fn outcome(events: &[Event]) -> InputOutcome {
    match &events[0] {
        Event::InputAccepted(accepted) => accepted.outcome,
        other => panic!("expected an accepted input, input_with, got {other:?}"),
    }
}

#[test]
fn an_input_to_a_running_task_stays_in_the_inbox() {
    started().when(say(1, "more")).then_with(|events, state| {
        assert_eq!((kinds(events), outcome(events)), (vec!["said"], InputOutcome::Queued));
        assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 1);
    });
}

#[test]
fn an_input_to_a_queued_task_waits_for_the_turn_and_then_gets_a_run_of_its_own() {
    let answered = queued().and(say(1, "more"));
    assert_eq!(outcome(&answered.events()[2..]), InputOutcome::Queued);
    answered.and(lease(1, 10)).and_events([start(1)]).when(finish_ok(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "run requested"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.current_prompt()), (TaskState::Queued, "more"));
        assert_eq!(task.input(input_id(1)), None, "the agent has it");
    });
}

#[test]
fn an_answer_to_a_live_attempt_continues_the_task() {
    waiting().when(say(1, "the red one")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "answered", "continued"]);
        assert_eq!(outcome(events), InputOutcome::Delivered);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, &task.blocker), (TaskState::Running, &None));
    });
}

#[test]
fn an_answer_after_the_asking_attempt_ended_resumes_the_session_in_a_new_run() {
    waiting().and(finish_ok(1)).when(say(1, "the red one")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "answered", "run requested"]);
        assert_eq!(outcome(events), InputOutcome::Resumed);
        let task = state.as_ref().unwrap();
        let last = task.current_run().unwrap();
        assert_eq!((last.run_id, last.resumed_from), (run(2), Some(run(1))));
    });
}

#[test]
fn an_input_reopens_a_task_that_is_over() {
    for over in [
        done(),
        started().and(finishing(report(ReportedOutcome::Timeout))),
        started().and(finishing(report(ReportedOutcome::Cancelled))),
        stopping(),
    ] {
        over.when(say(1, "again")).then_with(|events, state| {
            assert_eq!(
                (kinds(events), outcome(events)),
                (vec!["said", "run requested"], InputOutcome::Resumed)
            );
            let task = state.as_ref().unwrap();
            let next = task.current_run().unwrap();
            assert_eq!((task.state, task.current_prompt()), (TaskState::Queued, "again"));
            assert_eq!(next.resumed_from, Some(run(1)));
        });
    }
}

#[test]
fn reopening_delivers_again_what_reached_no_agent() {
    queued().and(cancel()).when(say(1, "do it after all")).then_with(|_, state| {
        let task = state.as_ref().unwrap();
        assert_eq!(
            (task.current_prompt(), task.current_run().unwrap().resumed_from),
            ("do it\n\ndo it after all", None)
        );
    });
    // The same for an input whose run was cancelled in the queue.
    done().and(say(1, "one")).and(cancel()).when(say(2, "two")).then_with(|_, state| {
        let task = state.as_ref().unwrap();
        assert_eq!(
            (task.current_prompt(), task.current_run().unwrap().resumed_from),
            ("one\n\ntwo", Some(run(1)))
        );
    });
}

#[test]
fn older_pending_inputs_come_before_the_one_that_resumes() {
    started().and(say(1, "one")).and(cancel()).when(say(2, "two")).then_with(|events, state| {
        let Event::RunRequested(requested) = &events[1] else { panic!("a run") };
        let task = state.as_ref().unwrap();
        assert_eq!((task.current_prompt(), requested.inputs.iter().count()), ("one\n\ntwo", 2));
        assert_eq!((&requested.note, requested.opening), (&None, Opening::Nothing), "no text stands twice");
        assert_eq!(task.pending_inputs().count(), 0);
    });
}

#[test]
fn the_same_input_again_changes_nothing_while_no_agent_has_it() {
    for history in [started(), waiting(), queued()] {
        history.and(say(1, "more")).when(say(1, "more")).then_nothing();
    }
}

#[test]
fn an_empty_input_is_refused_and_answers_alone_are_not() {
    started().when(say(1, " \n")).then_rejected(Rejection::MessageRequired);
    let mut answers = input(1, "");
    answers.input.answers.insert("colour".into(), json!("red"));
    answers.input.answers.insert("size".into(), json!(3));
    waiting().when(submitting(answers)).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().inbox[0].message, "colour: red\nsize: 3");
    });
}

#[test]
fn an_input_over_the_limit_is_too_large() {
    let long = SubmitInput { message_bytes_max: 3, ..input(1, "long") };
    started().when(submitting(long)).then_rejected(Rejection::TooLarge { field: "message", limit_bytes: 3 });
}

#[test]
fn an_input_for_a_run_of_another_task_is_refused() {
    let other = SubmitInput { run_id: Some(run(9)), ..input(1, "hi") };
    started().when(submitting(other)).then_rejected(Rejection::PartNotFound("run"));
    let own = SubmitInput { run_id: Some(run(1)), ..input(1, "hi") };
    started().when(submitting(own)).then_with(|events, _| assert_eq!(kinds(events), ["said"]));
}

#[test]
fn a_second_answer_to_a_closed_question_is_refused() {
    let answer = |number| submitting(input_with(number, "x", |input| input.blocker_id = Some(blocker_id(1))));
    waiting().and(answer(1)).when(answer(2)).then_rejected(Rejection::BlockerClosed);
    waiting().and(answer(1)).when(answer(1)).then_nothing();
    started().when(answer(1)).then_rejected(Rejection::BlockerClosed);
}

#[test]
fn inputs_are_claimed_one_at_a_time_in_order() {
    let two = || started().and(say(1, "one")).and(say(2, "two"));
    two().when(claim(1)).then_with(|_, state| {
        let task = state.as_ref().unwrap();
        assert_eq!(task.claimed_input(&attempt(1)).unwrap().input_id, input_id(1));
    });
    // A repeated claim has the same answer: the state names the input it holds.
    two().and(claim(1)).when(claim(1)).then_nothing();
    two().and(claim(1)).and(ack(1, 1)).when(claim(1)).then_with(|events, _| {
        assert!(matches!(&events[0], Event::InputClaimed(claimed) if claimed.seq == 2));
    });
    started().when(claim(1)).then_nothing();
}

#[test]
fn an_acknowledged_input_is_consumed_once() {
    let claimed = || started().and(say(1, "one")).and(claim(1));
    claimed().when(ack(1, 1)).then_with(|events, _| assert_eq!(kinds(events), ["consumed"]));
    claimed().and(ack(1, 1)).when(ack(1, 1)).then_nothing();
    claimed().when(ack(1, 5)).then_rejected(Rejection::PartNotFound("input"));
    started()
        .and(say(1, "one"))
        .when(ack(1, 1))
        .then_rejected(Rejection::invalid("/input_id", "the input is not claimed by this attempt"));
}

#[test]
fn only_the_live_attempt_claims_and_acknowledges() {
    let lost = Rejection::LeaseLost { current_epoch: 1 };
    leased().and(say(1, "one")).when(claim(2)).then_rejected(lost.clone());
    stopping().when(claim(1)).then_rejected(lost.clone());
    let cancelled = started().and(say(1, "one")).and(claim(1)).and(cancel());
    cancelled.when(ack(1, 1)).then_rejected(lost);
    let elsewhere = AttemptId { workspace: "other".into(), ..attempt(1) };
    started()
        .when(Command::ClaimInput { attempt_id: elsewhere }.at(crate::task::fixture::at(21)))
        .then_rejected(Rejection::LeaseLost { current_epoch: 1 });
}

#[test]
fn an_input_claimed_by_a_lost_attempt_is_pending_again() {
    let lost = started().and(say(1, "one")).and(claim(1)).and(expire(1));
    assert_eq!(task_of(&lost).pending_inputs().count(), 1);
    lost.and(lease(1, 60))
        .when(claim(2))
        .then_with(|events, _| assert_eq!(kinds(events), ["started", "claimed"]));
}

#[test]
fn a_failed_run_leaves_its_unread_inputs_visibly_pending_for_the_next() {
    let failed =
        started().and(say(1, "one")).and(finishing(failure(crate::outcome_text::ErrorClass::Terminal)));
    let task = task_of(&failed);
    assert_eq!((task.state, task.pending_inputs().count()), (TaskState::Error, 1));
    failed.when(say(2, "two")).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().current_prompt(), "one\n\ntwo");
    });
}

#[test]
fn an_answer_that_came_before_its_question_answers_it() {
    started().and(say(1, "red")).when(ask(1, "which colour?")).then_with(|events, state| {
        assert_eq!(kinds(events), ["asked", "answered", "continued"]);
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.pending_inputs().count()), (TaskState::Running, 1));
    });
}

fn accepted(events: &[Event]) -> &InputAccepted {
    match &events[0] {
        Event::InputAccepted(accepted) => accepted,
        other => panic!("expected an accepted input, input_with, got {other:?}"),
    }
}

#[test]
fn an_input_with_neither_text_nor_action_is_refused() {
    started().when(say(1, "  ")).then_rejected(Rejection::MessageRequired);
    let also = input_with(1, "", |input| {
        input.queue_mode = Some("later".into());
        input.kind = Some("x".into());
    });
    started().when(submitting(also)).then_rejected_with(|no| match no {
        Rejection::Invalid(faults) => {
            let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            assert_eq!(found, ["/queue_mode", "/kind", "/message"]);
            let text = "queue_mode \"later\" is not supported (supported: queue, followup, steer, steer-backlog, interrupt)";
            assert_eq!(faults[0].message, text);
            true
        }
        _ => false,
    });
}

#[test]
fn steering_reaches_the_live_turn_and_needs_no_restart() {
    for mode in ["steer", " Steer-Backlog "] {
        started().when(say_as(1, "left!", mode)).then_with(|events, state| {
            assert_eq!(kinds(events), ["said"]);
            assert_eq!(
                (outcome(events), accepted(events).queue_mode),
                (InputOutcome::Delivered, QueueMode::Steer)
            );
            assert_eq!(state.as_ref().unwrap().state, TaskState::Running);
        });
    }
    // Nobody works yet: it waits for the end of the turn like any other.
    assert_eq!(outcome(&queued().and(say_as(1, "left!", "steer")).events()[2..]), InputOutcome::Queued);
}

#[test]
fn a_steering_input_is_claimed_before_what_waits_for_the_end_of_the_turn() {
    started().and(say(1, "later")).and(say_as(2, "now", "steer")).when(claim(1)).then_with(|events, _| {
        let Event::InputClaimed(claimed) = &events[0] else { panic!("claimed") };
        assert_eq!(claimed.seq, 2);
    });
}

#[test]
fn a_steering_input_that_cannot_be_injected_becomes_a_recorded_followup() {
    let steered = || started().and(say_as(1, "left!", "steer"));
    for taken in [steered(), steered().and(claim(1))] {
        taken.when(defer(1, 1)).then_with(|events, state| {
            assert_eq!(kinds(events), ["deferred"]);
            let task = state.as_ref().unwrap();
            let input = task.input(input_id(1)).unwrap();
            assert_eq!(
                (&input.state, input.outcome, input.queue_mode),
                (&InputState::Pending, InputOutcome::Queued, QueueMode::Followup)
            );
        });
    }
    steered().and(defer(1, 1)).when(defer(1, 1)).then_nothing();
    steered().and(defer(1, 1)).when(finish_ok(1)).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().current_prompt(), "left!");
    });
    steered().and(claim(1)).and(ack(1, 1)).when(defer(1, 1)).then_rejected(Rejection::invalid(
        "/input_id",
        "the input was acknowledged, or is claimed by another attempt",
    ));
    steered().when(defer(7, 1)).then_rejected(Rejection::LeaseLost { current_epoch: 1 });
}

#[test]
fn an_interrupt_stops_the_live_attempt_and_resumes_the_session_with_its_message() {
    started().and(say(1, "later")).and(claim(1)).when(say_as(2, "stop that", "interrupt")).then_with(
        |events, state| {
            assert_eq!(kinds(events), ["said", "stop requested", "returned", "run ended", "run requested"]);
            assert_eq!(outcome(events), InputOutcome::Interrupted);
            let task = state.as_ref().unwrap();
            let last = task.current_run().unwrap();
            assert_eq!((last.cause, last.resumed_from), (RunCause::Interrupt, Some(run(1))));
            assert_eq!(task.current_prompt(), "later\n\nstop that");
            assert_eq!(task.state, TaskState::Queued);
            assert!(task.live.as_ref().unwrap().cancel_grace_until.is_some(), "the session stays taken");
        },
    );
    let interrupted = || started().and(say_as(1, "stop that", "interrupt"));
    interrupted().when(lease(2, 31)).then_rejected(Rejection::illegal("leasing", TaskState::Queued));
    interrupted()
        .and(finishing(report(ReportedOutcome::Cancelled)))
        .when(lease(2, 51))
        .then_with(|events, _| assert_eq!(kinds(events), ["leased"]));
}

#[test]
fn an_interrupt_takes_the_place_of_a_queued_run_and_of_a_question() {
    queued().when(say_as(1, "rather this", "interrupt")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "run ended", "run requested"]);
        assert_eq!(state.as_ref().unwrap().current_prompt(), "do it\n\nrather this");
    });
    waiting().when(say_as(1, "never mind", "interrupt")).then_with(|events, state| {
        let expected = ["said", "stop requested", "run ended", "answered", "run requested"];
        assert_eq!(kinds(events), expected);
        let Event::BlockerClosed(closed) = &events[3] else { panic!("closed") };
        assert_eq!(closed.status, BlockerStatus::Superseded);
        assert_eq!(state.as_ref().unwrap().blocker, None);
    });
    waiting().and(finish_ok(1)).when(say_as(1, "never mind", "interrupt")).then_with(|events, _| {
        assert_eq!(
            (kinds(events), outcome(events)),
            (vec!["said", "answered", "run requested"], InputOutcome::Resumed)
        );
    });
}

#[test]
fn a_queued_input_never_shares_a_run() {
    let said = || started().and(say(1, "one")).and(say_as(2, "alone", "queue")).and(say(3, "three"));
    let finish = |history: capstan_decider::spec::Given<crate::task::TaskDecider>, epoch| {
        history.and(finish_ok(epoch))
    };
    let prompt = |history: &capstan_decider::spec::Given<crate::task::TaskDecider>| {
        task_of(history).current_prompt().to_owned()
    };
    let first = finish(said(), 1);
    assert_eq!(prompt(&first), "one");
    let second = finish(first.and(lease(2, 60)).and_events([start(2)]), 2);
    assert_eq!(prompt(&second), "alone");
    let third = finish(second.and(lease(3, 70)).and_events([start(3)]), 3);
    assert_eq!(prompt(&third), "three");
    // It is not put into a live turn either, nor does it answer a question.
    started().and(say_as(1, "alone", "queue")).when(claim(1)).then_nothing();
    waiting().when(say_as(1, "alone", "queue")).then_with(|events, state| {
        assert_eq!((kinds(events), outcome(events)), (vec!["said"], InputOutcome::Queued));
        assert!(state.as_ref().unwrap().blocker.is_some());
    });
    let waits = || waiting().and(say_as(1, "alone", "queue")).and(finish_ok(1));
    assert_eq!(task_of(&waits()).state, TaskState::Waiting);
    waits().when(say(2, "the red one")).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 1);
    });
}

#[test]
fn a_queued_input_is_not_delivered_beside_an_undelivered_command() {
    queued().and(cancel()).when(say_as(1, "alone", "queue")).then_with(|_, state| {
        let task = state.as_ref().unwrap();
        assert_eq!(task.current_prompt(), "do it");
        assert_eq!(task.pending_inputs().count(), 1);
    });
}

#[test]
fn equal_texts_under_different_keys_are_two_inputs() {
    started().and(say(1, "more")).when(say(2, "more")).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().pending_inputs().count(), 2);
    });
}

#[test]
fn an_archived_task_refuses_requests_of_callers() {
    let put_away = Event::TaskArchived(crate::task::event::TaskArchived { at: at(60) });
    let archived = || {
        let events = done().events().iter().cloned().chain([put_away.clone()]).collect::<Vec<_>>();
        capstan_decider::spec::given::<crate::task::TaskDecider>(events)
    };
    archived().when(say(1, "hello?")).then_rejected(Rejection::Archived);
    archived().when(cancel()).then_rejected(Rejection::Archived);
}

#[test]
fn a_run_delivers_no_more_at_once_than_one_message_may_have() {
    let long = |number| {
        let text = "x".repeat(150 << 10);
        submitting(SubmitInput { message_bytes_max: 1 << 20, ..input(number, &text) })
    };
    let told = |history: &Given<TaskDecider>| {
        let task = task_of(history);
        (task.current_prompt().len() >> 10, task.pending_inputs().count())
    };
    let full = started().and(long(1)).and(long(2)).and(say(3, "short")).and(finish_ok(1));
    assert_eq!(told(&full), (150, 2), "the first alone");
    let next = full.and(lease(2, 30)).and_events([start(2)]).and(finish_ok(2));
    assert_eq!(told(&next), (150, 0), "the others together");
    // A prompt that reached no agent comes first, and what does not fit beside it waits.
    let cancelled = queued().and(long(1)).and(long(2)).and(cancel()).and(say(3, "go on"));
    assert_eq!(told(&cancelled), (150, 2));
    let interrupt =
        submitting(input_with(4, "stop that", |input| input.queue_mode = Some("interrupt".into())));
    let stopped = started().and(long(1)).and(long(2)).and(interrupt);
    assert_eq!(told(&stopped), (150, 1), "an interrupting text is always delivered");
    assert!(task_of(&stopped).current_prompt().ends_with("stop that"));
}
