use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::Requested;
use crate::id::InputId;
use crate::task::command::{AskedDeadline, AskedItem, AskedKind, SubmitInput};
use crate::task::event::{Approvers, BlockerOpened, OutputStatus, Question};
use crate::task::fixture::{
    approvable, ask, at, blocker_id, cancel, claim, decide, expire_blocker, finish_ok, input_with, kinds,
    open, open_fitting, output_id, question, request, run, say, started, submit, task_id, task_of, waiting,
};
use crate::task::{Command, TaskState};

#[test]
fn a_question_makes_the_task_wait_for_its_answer() {
    started().when(ask(1, " which one? ")).then_with(|events, state| {
        assert_eq!(kinds(events), ["asked"]);
        let task = state.as_ref().unwrap();
        assert_eq!(task.state, TaskState::Waiting);
        let blocker = task.blocker.as_ref().unwrap();
        assert_eq!(
            (blocker.opened.blocker_id, blocker.opened.summary.as_str()),
            (blocker_id(1), "which one?")
        );
    });
}

#[test]
fn the_same_matter_asked_again_is_the_same_question_in_other_words() {
    waiting().when(ask(1, "which one?")).then_nothing();
    waiting().when(ask(1, "how many?")).then_with(|events, state| {
        assert_eq!(kinds(events), ["question updated"]);
        let blocker = state.as_ref().unwrap().blocker.as_ref().unwrap();
        assert_eq!(
            (blocker.opened.blocker_id, blocker.opened.revision, blocker.opened.summary.as_str()),
            (blocker_id(1), 1, "how many?")
        );
    });
    let mut detailed = question("which one?");
    detailed.questions.push(Question { id: "a".into(), text: "this?".into() });
    waiting().when(open(1, detailed)).then_with(|events, _| assert_eq!(kinds(events), ["question updated"]));
}

#[test]
fn a_question_of_another_kind_or_group_supersedes_the_open_one() {
    let of_group = OpenBlocker { wait_group_id: Some("g".into()), ..question("which one?") };
    let of_shape = OpenBlocker { answer_schema: Some(json!({"type": "object"})), ..question("which one?") };
    for other in [request("may I?"), of_group, of_shape] {
        waiting().when(open(1, other)).then_with(|events, state| {
            let Event::BlockerClosed(closed) = &events[0] else { panic!("closed") };
            assert_eq!((closed.blocker_id, closed.status), (blocker_id(1), BlockerStatus::Superseded));
            assert_eq!(closed.resolution.as_ref().unwrap().superseded_by, Some(blocker_id(2)));
            assert_eq!(state.as_ref().unwrap().blocker.as_ref().unwrap().opened.blocker_id, blocker_id(2));
        });
    }
}

#[test]
fn a_question_repeated_before_its_answer_was_taken_is_not_asked_twice() {
    let answered = || started().and(say(1, "red")).and(ask(1, "which colour?"));
    answered().when(ask(1, "which colour?")).then_nothing();
    waiting().and(say(1, "red")).when(ask(1, "which one?")).then_nothing();
    // The answer decided what the request was about; only another output makes it another request.
    let decided = || started().and(approvable(1, "g")).and(say(1, "not yet")).and(open(1, request("may I?")));
    decided().when(open(1, request("may I?"))).then_nothing();
    decided().and(approvable(2, "g")).when(open(1, request("may I?"))).then_with(|events, _| {
        assert_eq!(kinds(events)[0], "asked");
    });
    // Once the answer is taken, the same words are a new question.
    waiting()
        .and(say(1, "red"))
        .and(claim(1))
        .when(ask(1, "which one?"))
        .then_with(|_, state| assert_eq!(state.as_ref().unwrap().blocker_revision, 2));
}

#[test]
fn a_question_without_words_is_refused() {
    started().when(ask(1, "  ")).then_rejected(Rejection::invalid("/summary", "summary is required"));
}

#[test]
fn a_cancelled_attempt_cannot_ask() {
    started().and(cancel()).when(ask(1, "may I?")).then_rejected(Rejection::LeaseLost { current_epoch: 1 });
}

#[test]
fn a_request_is_about_the_outputs_it_names_or_those_that_wait() {
    let asked = |spec: OpenBlocker| {
        let history = started().and(approvable(1, "g")).and(approvable(2, "g")).and(approvable(3, "h"));
        task_of(&history.and(open(1, spec))).progress.blocker.unwrap().opened
    };
    let ids = |opened: &BlockerOpened| opened.items.iter().map(|item| item.output_id).collect::<Vec<_>>();
    let named = |number| AskedItem { output_id: output_id(number), item_key: Some("k".into()) };
    let (items, output_ids) = (vec![named(3), named(1), named(3)], vec![output_id(1)]);
    let opened = asked(OpenBlocker { output_ids, items, ..request("may I?") });
    assert_eq!((ids(&opened), opened.revision), (vec![output_id(1), output_id(3)], 1));
    assert_eq!(
        (opened.items[0].title.as_str(), opened.items[0].item_key.as_deref()),
        ("Output 1", Some("k"))
    );
    let plain = OpenBlocker { output_ids: vec![output_id(1)], ..request("may I?") };
    assert_eq!(ids(&asked(plain)), [output_id(1)]);
    let of_group = OpenBlocker { wait_group_id: Some(" g ".into()), ..request("may I?") };
    assert_eq!(ids(&asked(of_group)), [output_id(1), output_id(2)]);
    assert_eq!(ids(&asked(request("may I?"))), [output_id(3)], "the newest group");
    assert!(ids(&asked(question("which one?"))).is_empty());
}

#[test]
fn details_default_to_the_summary_and_a_request_may_hold_both_in_one() {
    let opened = |spec| task_of(&started().and(open(1, spec))).progress.blocker.unwrap().opened;
    assert_eq!(opened(question("which one?")).details.as_deref(), Some("which one?"));
    let packed = opened(request("{\"summary\": \"Send it?\", \"details\": \"To all.\"}"));
    assert_eq!((packed.summary.as_str(), packed.details.as_deref()), ("Send it?", Some("To all.")));
    assert_eq!(opened(question("{\"summary\": 1}")).summary, "{\"summary\": 1}");
}

#[test]
fn all_faults_of_a_question_are_reported_together() {
    let wrong = OpenBlocker {
        items: vec![AskedItem { output_id: output_id(9), item_key: None }],
        output_ids: vec![output_id(8)],
        deadline: Some(AskedDeadline { at: None, after_ms: None, default: DeadlineDefault::Fail }),
        approvers: Some(Approvers { required: 0, among: Vec::new() }),
        ..question(" ")
    };
    started().when(open(1, wrong)).then_rejected_with(|no| match no {
        Rejection::Invalid(faults) => {
            let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
            let expected = [
                "/summary",
                "/items/0/output_id",
                "/output_ids/0",
                "/deadline",
                "/approvers",
                "/approvers/required",
            ];
            assert_eq!(found, expected);
            true
        }
        _ => false,
    });
    for (at_s, after_ms) in [(Some(15), None), (None, Some(0)), (Some(99), Some(1)), (None, Some(i64::MAX))] {
        let deadline = AskedDeadline { at: at_s.map(at), after_ms, default: DeadlineDefault::None };
        let wrong = OpenBlocker { deadline: Some(deadline), ..question("which one?") };
        started().when(open(1, wrong)).then_rejected_with(|no| matches!(no, Rejection::Invalid(_)));
    }
    let few = Approvers { required: 2, among: vec!["ann".into(), "bob".into(), "bob".into()] };
    let few = OpenBlocker { approvers: Some(few), ..request("may I?") };
    started()
        .when(open(1, few))
        .then_rejected_with(|no| matches!(no, Rejection::Invalid(faults) if faults.len() == 1));
}

fn until(seconds: i64, default: DeadlineDefault, spec: OpenBlocker) -> Requested<Command> {
    let deadline = AskedDeadline { at: None, after_ms: Some((seconds - 15) * 1000), default };
    open(1, OpenBlocker { deadline: Some(deadline), ..spec })
}

#[test]
fn a_question_without_an_answer_in_time_ends_with_its_default() {
    for (default, action, status) in [
        (DeadlineDefault::Approve, Some(Verdict::Approve), OutputStatus::Approved),
        (DeadlineDefault::Reject, Some(Verdict::Reject), OutputStatus::Rejected),
        (DeadlineDefault::None, None, OutputStatus::Pending),
    ] {
        let asked = || started().and(approvable(1, "g")).and(until(60, default, request("may I?")));
        asked().when(expire_blocker(1, 60)).then_with(|events, state| {
            let changed: &[&str] = if action.is_some() { &["output changed"] } else { &[] };
            assert_eq!(kinds(events), [&["said"], changed, &["answered", "continued"]].concat());
            let Event::InputAccepted(said) = &events[0] else { panic!("said") };
            assert_eq!((said.source, said.action), (InputSource::Deadline, action));
            assert!(said.message.contains("Nobody answered in time"), "{}", said.message);
            let task = state.as_ref().unwrap();
            assert_eq!(
                (task.state, task.outputs.get(output_id(1)).unwrap().record.status),
                (TaskState::Running, status)
            );
        });
        asked().and(finish_ok(1)).when(expire_blocker(1, 60)).then_with(|events, state| {
            assert_eq!(kinds(events).last(), Some(&"run requested"));
            assert_eq!(state.as_ref().unwrap().current_run().unwrap().resumed_from, Some(run(1)));
        });
        asked().when(expire_blocker(1, 59)).then_nothing();
        asked().when(expire_blocker(2, 60)).then_nothing();
        asked().and(expire_blocker(1, 60)).when(expire_blocker(1, 60)).then_nothing();
    }
    waiting().when(expire_blocker(1, 1000)).then_nothing();
}

#[test]
fn a_key_of_a_caller_takes_no_id_of_what_the_system_tells() {
    let asked = || started().and(until(60, DeadlineDefault::None, question("which one?")));
    let keyed = |seq: u32| {
        let input_id = InputId::from_key(task_id(), "submit-task-input", &format!("report:{seq}"));
        let queued = input_with(1, "and the costs?", |input| input.queue_mode = Some("queue".into()));
        submit(SubmitInput { input_id, ..queued })
    };
    let told_as = task_of(&asked()).inbox.next_seq();
    for story in [
        // The report is told under the number that the key names, before the input and after it.
        asked().and(expire_blocker(1, 60)).and(keyed(told_as)),
        asked().and(keyed(told_as + 1)).and(expire_blocker(1, 60)),
    ] {
        let inputs = story.events().iter().filter_map(|event| match event {
            Event::InputAccepted(input) => Some((input.source, input.input_id)),
            _ => None,
        });
        let (sources, ids): (Vec<_>, BTreeSet<_>) = inputs.unzip();
        assert!(sources.contains(&InputSource::Deadline), "{sources:?}");
        assert_eq!(ids.len(), sources.len(), "{ids:?}");
        assert!(task_of(&story).inbox.next_seq() == told_as + 2);
    }
}

#[test]
fn a_question_that_must_be_answered_fails_its_task() {
    let asked = || started().and(until(60, DeadlineDefault::Fail, question("which one?")));
    asked().when(expire_blocker(1, 60)).then_with(|events, state| {
        assert_eq!(kinds(events), ["stop requested", "run ended", "answered", "failed"]);
        let Event::BlockerClosed(closed) = &events[2] else { panic!("closed") };
        assert_eq!(closed.status, BlockerStatus::Expired);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Error);
    });
    asked()
        .and(finish_ok(1))
        .when(expire_blocker(1, 60))
        .then_with(|events, _| assert_eq!(kinds(events), ["answered", "failed"]));
}

#[test]
fn an_updated_question_keeps_its_deadline() {
    let again = started().and(until(60, DeadlineDefault::Fail, question("which one?"))).and(until(
        90,
        DeadlineDefault::Fail,
        question("which colour?"),
    ));
    let opened = task_of(&again).progress.blocker.unwrap().opened;
    assert_eq!((opened.revision, opened.deadline.unwrap().at), (1, at(60)));
}

#[test]
fn a_decision_that_came_before_its_request_decides_it() {
    let early = || started().and(submit(decide(1, "approve", ""))).and(approvable(1, "g"));
    early().when(open(1, request("may I?"))).then_with(|events, state| {
        assert_eq!(kinds(events), ["asked", "output changed", "answered", "continued"]);
        assert_eq!(
            state.as_ref().unwrap().outputs.get(output_id(1)).unwrap().record.status,
            OutputStatus::Approved
        );
    });
    let text = || started().and(say(1, "not yet")).and(approvable(1, "g"));
    text().when(open(1, request("may I?"))).then_with(|events, state| {
        let Event::BlockerClosed(closed) = &events[2] else { panic!("closed") };
        assert_eq!(closed.status, BlockerStatus::Superseded);
        assert_eq!(
            state.as_ref().unwrap().outputs.get(output_id(1)).unwrap().record.status,
            OutputStatus::Rejected
        );
    });
    let several = Approvers { required: 1, among: Vec::new() };
    let several = OpenBlocker { approvers: Some(several), ..request("may I?") };
    early().when(open(1, several)).then_with(|events, _| assert_eq!(kinds(events), ["asked"]));
}

#[test]
fn an_answer_of_another_shape_does_not_answer_early() {
    let asked = |fitting: &[u128]| {
        let answer_schema = Some(json!({"type": "string"}));
        open_fitting(1, OpenBlocker { answer_schema, ..question("which one?") }, fitting)
    };
    let said = || started().and(say(1, "red"));
    said().when(asked(&[])).then_with(|events, _| assert_eq!(kinds(events), ["asked"]));
    said().when(asked(&[1])).then_with(|events, _| assert_eq!(events.len(), 3));
}

#[test]
fn an_answer_is_taken_only_when_it_was_checked_against_the_schema_of_the_open_question() {
    let asked = || {
        let schema = Some(json!({"type": "string"}));
        started().and(open(1, OpenBlocker { answer_schema: schema, ..question("which one?") }))
    };
    asked().when(say(1, "red")).then_rejected(Rejection::Unchecked(blocker_id(1)));
    asked()
        .when(submit(checked(crate::task::fixture::input(1, "red"))))
        .then_with(|_, state| assert_eq!(state.as_ref().unwrap().blocker, None));
}

/// A question of this kind whose answers have a shape.
fn of_shape(kind: AskedKind) -> OpenBlocker {
    OpenBlocker { kind: Some(kind), answer_schema: Some(json!({"type": "object"})), ..question("which one?") }
}

fn with_answers(mut input: SubmitInput) -> SubmitInput {
    input.input.answers.insert("colour".into(), json!("red"));
    input
}

fn checked(input: SubmitInput) -> SubmitInput {
    SubmitInput { checked_for: Some(blocker_id(1)), ..input }
}

#[test]
fn an_approval_of_a_question_with_a_schema_needs_answers_that_were_checked() {
    let missing = Rejection::invalid("/answers", "answers are required: the question has an answer_schema");
    for kind in [AskedKind::Input, AskedKind::Approval] {
        let asked = || started().and(open(1, of_shape(kind)));
        asked().when(submit(decide(1, "approve", ""))).then_rejected(missing.clone());
        asked().when(submit(checked(decide(1, "approve", "")))).then_rejected(missing.clone());
        for said in [decide(1, "approve", "fine"), with_answers(decide(1, "approve", ""))] {
            asked().when(submit(said.clone())).then_rejected(Rejection::Unchecked(blocker_id(1)));
            asked().when(submit(checked(said))).then_with(|events, state| {
                assert_eq!(kinds(events), ["said", "answered", "continued"]);
                assert_eq!(state.as_ref().unwrap().blocker, None);
            });
        }
    }
}

#[test]
fn a_rejection_needs_no_answers_and_those_it_has_are_checked() {
    for kind in [AskedKind::Input, AskedKind::Approval] {
        let asked = || started().and(open(1, of_shape(kind)));
        asked().when(submit(decide(1, "reject", "not now"))).then_with(|events, _| {
            assert_eq!(kinds(events), ["said", "answered", "continued"]);
        });
        let answered = with_answers(decide(1, "reject", ""));
        asked().when(submit(answered.clone())).then_rejected(Rejection::Unchecked(blocker_id(1)));
        asked().when(submit(checked(answered))).then_with(|_, state| {
            assert_eq!(state.as_ref().unwrap().blocker, None);
        });
    }
}

#[test]
fn every_vote_on_a_question_with_a_schema_brings_answers() {
    let approvers = Some(Approvers { required: 2, among: Vec::new() });
    let asked = OpenBlocker { approvers, ..of_shape(AskedKind::Approval) };
    let asked = || started().and(open(1, asked.clone()));
    let by = |name: &str, said: SubmitInput| submit(SubmitInput { by: Some(name.into()), ..said });
    let bare = decide(1, "approve", "");
    asked().when(by("bob", bare)).then_rejected_with(|no| matches!(no, Rejection::Invalid(_)));
    let whole = |number| checked(with_answers(decide(number, "approve", "")));
    let voted = asked().and(by("bob", whole(1)));
    assert_eq!(task_of(&voted).progress.blocker.unwrap().votes, ["bob"]);
    voted.when(by("eve", whole(2))).then_with(|_, state| assert_eq!(state.as_ref().unwrap().blocker, None));
}

#[test]
fn an_early_approval_without_answers_does_not_answer_a_question_with_a_schema() {
    let asked = || open_fitting(1, of_shape(AskedKind::Approval), &[1]);
    let early = |said| started().and(submit(said));
    early(decide(1, "approve", "")).when(asked()).then_with(|events, _| assert_eq!(kinds(events), ["asked"]));
    for said in [with_answers(decide(1, "approve", "")), decide(1, "reject", "")] {
        early(said).when(asked()).then_with(|events, _| {
            assert_eq!(kinds(events), ["asked", "answered", "continued"]);
        });
    }
}

#[test]
fn no_deadline_approves_a_question_with_a_schema() {
    let deadline = AskedDeadline { at: None, after_ms: Some(1000), default: DeadlineDefault::Approve };
    let asked = OpenBlocker { deadline: Some(deadline), ..of_shape(AskedKind::Approval) };
    started().when(open(1, asked)).then_rejected_with(|no| match no {
        Rejection::Invalid(faults) => faults[0].pointer == "/deadline/default",
        _ => false,
    });
}

#[test]
fn inputs_from_before_the_question_close_neither_one_with_a_schema_nor_one_with_several_approvers() {
    let approvers = Some(Approvers { required: 2, among: Vec::new() });
    for asked in [of_shape(AskedKind::Input), OpenBlocker { approvers, ..request("may I?") }] {
        let waiting = || started().and(say(1, "and this")).and(claim(1)).and(open(1, asked.clone()));
        for end in [crate::task::fixture::expire(1), finish_ok(1)] {
            waiting().when(end).then_with(|events, state| {
                assert_eq!(kinds(events).last(), Some(&"run ended"));
                let task = state.as_ref().unwrap();
                assert_eq!((task.state, task.blocker.is_some()), (TaskState::Waiting, true));
                assert_eq!(task.pending_inputs().count(), 1, "it waits for the next run");
            });
        }
    }
}

#[test]
fn every_fault_of_a_question_is_told_at_once() {
    let asked = |id: &str, text: &str| Question { id: id.into(), text: text.into() };
    let wrong = OpenBlocker {
        questions: vec![asked("a", "this?"), asked(" ", " "), asked(" a ", "that?")],
        approvers: Some(Approvers { required: 0, among: Vec::new() }),
        ..question(" ")
    };
    started().when(open(1, wrong)).then_rejected_with(|no| {
        let Rejection::Invalid(faults) = no else { return false };
        let found: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        let expected = [
            "/summary",
            "/questions/1/id",
            "/questions/1/text",
            "/questions/2/id",
            "/approvers",
            "/approvers/required",
        ];
        assert_eq!(found, expected);
        true
    });
}
