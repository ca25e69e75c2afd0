use serde_json::json;

use super::*;
use crate::Requested;
use crate::task::command::{AskedItem, NewOutputStatus, OpenBlocker};
use crate::task::event::{Approvers, BlockerStatus, Event, InputAccepted, InputOutcome};
use crate::task::fixture::{
    approvable, decide, done, finish_ok, input, input_with, kinds, open, output, output_id, producing,
    request, say, started, submit, task_of, waiting,
};
use crate::task::{Command, TaskDecider, TaskState};

type Given = capstan_decider::spec::Given<TaskDecider>;

fn said(events: &[Event]) -> &InputAccepted {
    match &events[0] {
        Event::InputAccepted(accepted) => accepted,
        other => panic!("expected an accepted input, got {other:?}"),
    }
}

fn statuses(task: &Task) -> Vec<OutputStatus> {
    task.outputs.named().map(|(_, output)| output.record.status).collect()
}

/// A live attempt that asks to approve outputs 1 and 2; output 3 waits for something else.
fn asking() -> Given {
    asking_of(None)
}

fn asking_of(approvers: Option<Approvers>) -> Given {
    let named = |number| AskedItem { output_id: output_id(number), item_key: None };
    started().and(approvable(1, "g")).and(approvable(2, "g")).and(approvable(3, "h")).and(open(
        1,
        OpenBlocker { items: vec![named(1), named(2)], approvers, ..request("may I send these?") },
    ))
}

fn item(number: u128, action: &str, reason: Option<&str>) -> DecidedItem {
    DecidedItem {
        output_id: output_id(number).to_string(),
        action: action.into(),
        reason: reason.map(str::to_owned),
    }
}

fn items(number: u128, message: &str, items: Vec<DecidedItem>) -> SubmitInput {
    input_with(number, message, |input| input.items = items)
}

use OutputStatus::{Approved, Pending, Rejected};

#[test]
fn an_approval_decides_the_outputs_of_the_open_question_and_no_other() {
    asking().when(submit(decide(1, " Approve ", ""))).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "output changed", "output changed", "answered", "continued"]);
        let task = state.as_ref().unwrap();
        assert_eq!(statuses(task), [Approved, Approved, Pending]);
        let said = said(events);
        assert_eq!((said.kind, said.action), (InputKind::ApproveReject, Some(Verdict::Approve)));
        assert_eq!(
            said.message,
            "Approved:\n1. Output 1\n2. Output 2\n\nGo ahead now with what was approved."
        );
        let Event::BlockerClosed(closed) = &events[3] else { panic!("closed") };
        let resolution = closed.resolution.as_ref().unwrap();
        assert_eq!((closed.status, resolution.items.len()), (BlockerStatus::Resolved, 2));
        assert_eq!((resolution.action, resolution.by.as_deref()), (Some(Verdict::Approve), Some("bob")));
    });
}

#[test]
fn without_a_question_only_the_newest_wait_group_is_decided() {
    let produced = || started().and(approvable(1, "g")).and(approvable(2, "h")).and(approvable(3, "h"));
    produced().when(submit(decide(1, "approve", ""))).then_with(|_, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Pending, Approved, Approved]);
    });
    let alone =
        started().and(approvable(1, "g")).and(crate::task::fixture::produce(2, NewOutputStatus::Pending));
    alone.when(submit(decide(1, "reject", "no"))).then_with(|_, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Pending, Rejected]);
    });
}

#[test]
fn single_decisions_are_listed_by_title_and_a_rejection_stops_the_go_ahead() {
    let mixed = items(1, "Thanks", vec![item(1, "approve", None), item(2, "REJECT", Some("too long"))]);
    asking().when(submit(mixed)).then_with(|events, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Approved, Rejected, Pending]);
        let said = said(events);
        assert_eq!(said.action, Some(Verdict::Mixed));
        assert_eq!(said.said.as_deref(), Some("Thanks"));
        assert_eq!(
            said.message,
            "Approved:\n1. Output 1\n\nRejected:\n1. Output 2 (reason: too long)\n\nThanks"
        );
        let Event::OutputStatusChanged(changed) = &events[2] else { panic!("changed") };
        assert_eq!(changed.reason.as_deref(), Some("too long"));
    });
}

#[test]
fn all_wrong_items_are_named_together_and_nothing_is_written() {
    let blank = DecidedItem { output_id: " ".into(), ..item(1, "maybe", None) };
    let mut wrong = items(1, "", vec![blank, item(9, "approve", None), item(8, "approve", None)]);
    wrong.input.action = Some("perhaps".into());
    wrong.foreign.push(output_id(8));
    asking().when(submit(wrong)).then_rejected_with(|no| {
        let Rejection::Invalid(faults) = no else { return false };
        let found: Vec<_> =
            faults.iter().map(|fault| (fault.pointer.as_str(), fault.message.as_str())).collect();
        let (nine, eight) = (output_id(9), output_id(8));
        let expected = [
            ("/action", "invalid action \"perhaps\" (approve or reject)".to_owned()),
            ("/items/0/action", "invalid action \"maybe\" (approve or reject)".to_owned()),
            ("/items/0/output_id", "item output_id is required".to_owned()),
            ("/items/1/output_id", format!("item output {nine} not found")),
            (
                "/items/2/output_id",
                format!("item output {eight} does not belong to task {}", crate::task::fixture::task_id()),
            ),
        ];
        assert_eq!(found, expected.iter().map(|(p, m)| (*p, m.as_str())).collect::<Vec<_>>());
        true
    });
}

#[test]
fn a_text_on_a_request_rejects_its_outputs_and_asks_for_a_revision() {
    asking().when(say(1, "shorter, please")).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "output changed", "output changed", "answered", "continued"]);
        assert_eq!(statuses(state.as_ref().unwrap()), [Rejected, Rejected, Pending]);
        let Event::OutputStatusChanged(changed) = &events[1] else { panic!("changed") };
        assert_eq!(changed.reason.as_deref(), Some("shorter, please"));
        let Event::BlockerClosed(closed) = &events[3] else { panic!("closed") };
        assert_eq!(closed.status, BlockerStatus::Superseded);
        let said = said(events);
        assert_eq!((said.kind, said.said.as_deref()), (InputKind::FreeText, Some("shorter, please")));
        for part in ["Revise", "ask for approval again", "1. Output 1", "2. Output 2", "shorter, please"] {
            assert!(said.message.contains(part), "{part} is missing in {}", said.message);
        }
    });
    // Without an open question or a live attempt, everything that waits is meant.
    let over = started().and(approvable(1, "g")).and(approvable(2, "h")).and(finish_ok(1));
    over.when(say(1, "shorter, please")).then_with(|_, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Rejected, Rejected]);
    });
    // While the agent works, a text is only a text.
    started().and(approvable(1, "g")).when(say(1, "faster")).then_with(|events, state| {
        assert_eq!(said(events).message, "faster");
        assert_eq!(statuses(state.as_ref().unwrap()), [Pending]);
    });
}

#[test]
fn the_action_is_that_of_the_items() {
    let all = |action| items(1, "", vec![item(1, action, None), item(2, action, None)]);
    for (action, verdict) in [("approve", Verdict::Approve), ("reject", Verdict::Reject)] {
        let mut named = all(action);
        named.input.action = Some(action.into());
        asking().when(submit(named)).then_with(|events, _| assert_eq!(said(events).action, Some(verdict)));
        asking()
            .when(submit(all(action)))
            .then_with(|events, _| assert_eq!(said(events).action, Some(verdict)));
    }
}

fn refused(input: SubmitInput, pointer: &str, message: &str) {
    asking().when(submit(input)).then_rejected(Rejection::invalid(pointer, message));
}

#[test]
fn an_action_that_contradicts_its_items_is_refused() {
    for (action, second, meant) in
        [("reject", "approve", "approve"), ("approve", "reject", "mixed"), ("reject", "reject", "mixed")]
    {
        let mut input = items(1, "", vec![item(1, "approve", None), item(2, second, None)]);
        input.input.action = Some(action.into());
        let message =
            format!("contradicts the items, which together mean {meant}: omit it, or decide all of them so");
        refused(input, "/action", &message);
    }
}

#[test]
fn an_output_is_decided_on_once() {
    for second in ["approve", "reject"] {
        let twice = vec![item(1, "approve", None), item(2, "approve", None), item(1, second, None)];
        let message = format!("output {} is named twice", output_id(1));
        refused(items(1, "", twice), "/items/2/output_id", &message);
    }
}

#[test]
fn a_question_does_not_end_while_an_output_it_is_about_is_undecided() {
    let part = items(1, "", vec![item(2, "reject", None)]);
    let message = format!("must decide every output the question is about; missing: {}", output_id(1));
    refused(part, "/items", &message);
    // Others may be decided along with them, and without a question each by itself.
    let more = vec![item(1, "approve", None), item(2, "approve", None), item(3, "approve", None)];
    asking().when(submit(items(1, "", more))).then_with(|_, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Approved, Approved, Approved]);
    });
    let free = started().and(approvable(1, "g")).and(approvable(2, "g"));
    free.when(submit(items(1, "", vec![item(1, "approve", None)]))).then_with(|_, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Approved, Pending]);
    });
    // One rejection ends a question to several, and decides all the same.
    let part = items(1, "", vec![item(2, "reject", None)]);
    asking_of(Some(two_of(&[])))
        .when(by("bob", part))
        .then_rejected(Rejection::invalid("/items", message.as_str()));
}

#[test]
fn an_early_decision_on_outputs_decides_no_others() {
    let named = |number| AskedItem { output_id: output_id(number), item_key: None };
    let early = |input| started().and(approvable(1, "g")).and(submit(input)).and(approvable(2, "h"));
    let asked = |numbers: &[u128]| {
        open(1, OpenBlocker { items: numbers.iter().map(|n| named(*n)).collect(), ..request("may I?") })
    };
    for input in [items(1, "", vec![item(1, "approve", None)]), decide(1, "approve", "")] {
        early(input.clone()).when(asked(&[1, 2])).then_with(|events, state| {
            assert_eq!(kinds(events), ["asked"]);
            assert_eq!(statuses(state.as_ref().unwrap()), [Approved, Pending]);
        });
        // The question whose outputs it has decided is answered.
        early(input).when(asked(&[1])).then_with(|events, _| {
            assert_eq!(kinds(events), ["asked", "answered", "continued"]);
        });
    }
}

#[test]
fn decisions_without_a_text_state_the_decision() {
    waiting().when(submit(decide(1, "approve", ""))).then_with(|events, _| {
        assert_eq!((said(events).message.as_str(), &said(events).said), ("Approved. Go ahead now.", &None));
    });
    waiting().when(submit(decide(1, "approve", "yes, do"))).then_with(|events, _| {
        assert_eq!(said(events).message, "yes, do");
    });
    asking().when(submit(decide(1, "reject", ""))).then_with(|events, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Rejected, Rejected, Pending]);
        assert!(said(events).message.contains("ask for approval again"));
        let Event::BlockerClosed(closed) = &events[3] else { panic!("closed") };
        assert_eq!(closed.status, BlockerStatus::Resolved);
    });
}

#[test]
fn an_approved_draft_is_to_be_sent_unchanged() {
    let mut draft = output(1, NewOutputStatus::Pending);
    draft.output_type = "email".into();
    draft.data =
        json!({"draft_id": "d-7", "to": "eve@example.org", "subject": "Hi"}).as_object().unwrap().clone();
    let drafted = || started().and(producing(1, draft.clone()));
    drafted().when(submit(decide(1, "approve", ""))).then_with(|events, _| {
        let message = &said(events).message;
        assert!(message.contains("draft d-7") && message.contains("to: eve@example.org"), "{message}");
    });
    drafted().when(submit(decide(1, "approve", "send d-7 tomorrow"))).then_with(|events, _| {
        assert_eq!(said(events).message.matches("d-7").count(), 1);
    });
}

#[test]
fn kind_and_content_of_an_input_must_agree() {
    let kind = |kind: &str, mut input: SubmitInput| {
        input.input.kind = Some(kind.into());
        submit(input)
    };
    waiting().when(kind("approve_reject", input(1, "hm"))).then_rejected(Rejection::invalid(
        "/action",
        "an input of kind approve_reject takes an action or items",
    ));
    let both = vec![item(1, "approve", None), item(2, "approve", None)];
    for decision in [decide(1, "approve", "fine"), items(1, "fine", both)] {
        asking().when(kind("free_text", decision)).then_rejected(Rejection::invalid(
            "/kind",
            "an input of kind free_text takes neither action nor items",
        ));
    }
}

fn by(name: &str, input: SubmitInput) -> Requested<Command> {
    submit(SubmitInput { by: Some(name.into()), ..input })
}

fn two_of(among: &[&str]) -> Approvers {
    Approvers { required: 2, among: among.iter().map(|name| (*name).to_owned()).collect() }
}

#[test]
fn several_approvals_are_collected_until_there_are_enough() {
    let asking = || asking_of(Some(two_of(&[])));
    asking().when(by("bob", decide(1, "approve", "fine"))).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "voted"]);
        let said = said(events);
        assert_eq!(
            (said.outcome, said.message.as_str(), said.said.as_deref()),
            (InputOutcome::Recorded, "", Some("fine"))
        );
        let task = state.as_ref().unwrap();
        assert_eq!((task.state, task.blocker.as_ref().unwrap().votes.len()), (TaskState::Waiting, 1));
        assert_eq!(task.pending_inputs().count(), 0);
    });
    let voted = || asking().and(by("bob", decide(1, "approve", "")));
    voted().when(by("eve", decide(2, "approve", ""))).then_with(|events, state| {
        assert_eq!(kinds(events), ["said", "output changed", "output changed", "answered", "continued"]);
        assert_eq!(statuses(state.as_ref().unwrap()), [Approved, Approved, Pending]);
    });
    voted().when(by("bob", decide(2, "approve", ""))).then_rejected_with(|no| no.code() == "forbidden");
    voted().when(by("eve", decide(2, "reject", ""))).then_with(|_, state| {
        assert_eq!(statuses(state.as_ref().unwrap()), [Rejected, Rejected, Pending]);
    });
}

#[test]
fn only_those_who_are_asked_approve_and_never_the_requester() {
    let asking = || asking_of(Some(two_of(&["bob", "eve"])));
    for name in ["ann", "mallory"] {
        asking().when(by(name, decide(1, "approve", ""))).then_rejected_with(|no| no.code() == "forbidden");
    }
    asking().when(by("mallory", decide(1, "reject", ""))).then_rejected_with(|no| no.code() == "forbidden");
    let nobody = SubmitInput { by: None, ..decide(1, "approve", "") };
    asking().when(submit(nobody)).then_rejected_with(|no| no.code() == "forbidden");
    // Who asked may take it back.
    asking().when(by("ann", input(1, "forget it"))).then_with(|_, state| {
        assert_eq!(state.as_ref().unwrap().blocker, None);
    });
    let part = items(1, "", vec![item(1, "approve", None)]);
    asking().when(by("bob", part)).then_rejected_with(|no| matches!(no, Rejection::Invalid(_)));
}

#[test]
fn a_request_asked_in_other_words_after_a_vote_is_another_request() {
    let named = |number| AskedItem { output_id: output_id(number), item_key: None };
    let other = OpenBlocker { items: vec![named(3)], approvers: Some(two_of(&[])), ..request("and this?") };
    let voted = asking_of(Some(two_of(&[]))).and(by("bob", decide(1, "approve", "")));
    let after = task_of(&voted.and(open(1, other)));
    assert_eq!((after.blocker_revision, after.progress.blocker.unwrap().votes.len()), (2, 0));
}

#[test]
fn a_second_answer_to_a_request_is_refused() {
    let answer = |number| {
        let mut answer = decide(number, "approve", "");
        answer.input.blocker_id = Some(crate::task::fixture::blocker_id(1));
        answer
    };
    asking().and(submit(answer(1))).when(submit(answer(2))).then_rejected(Rejection::BlockerClosed);
    asking().and(submit(answer(1))).when(submit(answer(1))).then_nothing();
    done().when(submit(answer(1))).then_rejected(Rejection::BlockerClosed);
}
