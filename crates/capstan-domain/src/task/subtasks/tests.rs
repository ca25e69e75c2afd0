use capstan_decider::spec::Given;
use serde_json::json;

use super::*;
use crate::Requested;
use crate::id::TaskId;
use crate::task::command::AcceptAgentCommand;
use crate::task::command::ParentHeard;
use crate::task::command::{Command, FinishAttempt, ReportedOutcome, SubtaskSpec};
use crate::task::event::{BlockerKind, DEPTH_MAX, InputOutcome, Join, Priority, RunCause};
use crate::task::fixture::{
    accept, accepting, agent_command, ask, at, cancel, claim, finish_ok, finishing, kinds, lease, queued,
    report, run, say, start, started, task_of, wake_in,
};
use crate::task::shortened::short_result;
use crate::task::{Rejection, TaskDecider, TaskState};

fn asked(prompt: &str) -> SubtaskSpec {
    SubtaskSpec { prompt: prompt.into(), label: Some(format!("the {prompt}")), ..SubtaskSpec::default() }
}

fn plan(subtasks: Vec<SubtaskSpec>, join: Option<Join>) -> FinishAttempt {
    FinishAttempt { subtasks, join, ..report(ReportedOutcome::Ok) }
}

fn both(join: Option<Join>) -> Requested<Command> {
    finishing(plan(vec![asked("one"), asked("two")], join))
}

fn child(index: u32) -> TaskId {
    TaskId::for_subtask(run(1), index)
}

fn ended(index: u32, state: TaskState, result: Value) -> Requested<Command> {
    Command::ChildEnded(Box::new(ChildEnded {
        task_id: child(index),
        label: Some(format!("the {index}")),
        run_no: 1,
        state,
        result: Some(result),
        error: (state == TaskState::Error).then(|| "boom".to_owned()),
        cost_usd: 0.5,
    }))
    .at(at(60))
}

fn done(index: u32) -> Requested<Command> {
    ended(index, TaskState::Done, json!(format!("result {index}")))
}

fn faults(command: Requested<Command>) -> Vec<String> {
    let mut found = Vec::new();
    started().when(command).then_rejected_with(|rejection| {
        if let Rejection::Invalid(faults) = rejection {
            found.extend(faults.iter().map(|fault| fault.pointer.clone()));
        }
        true
    });
    found
}

#[test]
fn subtasks_have_ids_of_their_run() {
    let specs = vec![asked("one"), asked("two")];
    started().when(finishing(plan(specs, None))).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "spawned", "done"]);
        let task = state.as_ref().unwrap();
        let ids: Vec<_> = task.open_subtasks().map(|subtask| subtask.task_id).collect();
        assert_eq!(task.children.len(), 2);
        assert!(ids.contains(&child(0)) && ids.contains(&child(1)));
        assert!(!task.is_at_rest(), "its children are to be made");
    });
}

/// a wake and subtasks both hold.
#[test]
fn a_wake_holds_beside_subtasks_and_a_join_beside_the_wake() {
    let with_wake = |join| FinishAttempt { wake: Some(wake_in(30)), ..plan(vec![asked("one")], join) };
    started().when(finishing(with_wake(None))).then_with(|events, _| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "spawned", "slept"]);
    });
    let asleep = started().and(finishing(with_wake(Some(Join::All))));
    assert_eq!(task_of(&asleep).state, TaskState::Sleeping);
    asleep.when(done(0)).then_with(|events, state| {
        assert_eq!(kinds(events), ["child ended", "said", "run requested"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Queued);
    });
}

#[test]
fn a_join_of_all_waits_for_the_last_child_and_reports_every_outcome() {
    let waiting = started().and(both(Some(Join::All)));
    assert_eq!(task_of(&waiting).progress.blocker.unwrap().opened.kind, BlockerKind::Subtasks);
    let one = waiting.and(ended(1, TaskState::Error, json!({"a": 1})));
    assert_eq!(task_of(&one).state, TaskState::Waiting);
    one.when(done(0)).then_with(|events, state| {
        assert_eq!(kinds(events), ["child ended", "said", "answered", "run requested"]);
        let task = state.as_ref().unwrap();
        let run = task.current_run().unwrap();
        assert_eq!((run.cause, task.pending_inputs().count()), (RunCause::Subtasks, 0));
        let told =
            "2 of 2 subtasks are over.\n\n1. the 0: done\nresult 0\n\n2. the 1: error (boom)\n{\"a\":1}";
        assert_eq!(task.current_prompt(), told);
        assert!((task.spent_usd() - 1.0).abs() < 1e-9);
    });
}

#[test]
fn a_join_of_any_is_over_with_the_first_child() {
    let waiting = started().and(both(Some(Join::Any))).and(done(1));
    let task = task_of(&waiting);
    assert_eq!(task.state, TaskState::Queued);
    assert!(task.current_prompt().contains("1. the one: not over yet"), "{task:?}");
    waiting.when(done(0)).then_with(|events, _| assert_eq!(kinds(events), ["child ended"]));
}

#[test]
fn a_repeated_report_of_a_child_changes_nothing_and_a_new_end_is_recorded() {
    let given = || started().and(both(None)).and(done(0));
    given().when(done(0)).then([]);
    given().when(ended(0, TaskState::Error, json!(null))).then_with(|events, state| {
        assert_eq!(kinds(events), ["child ended"]);
        let cost = state.as_ref().unwrap().spent_usd();
        assert!((cost - 0.5).abs() < 1e-9, "costs of one child do not add up: {cost}");
    });
    // It was opened again and ended as before, or had a subtask that cost more.
    let changed = |change: fn(&mut ChildEnded)| {
        let Command::ChildEnded(mut ended) = done(0).command else { unreachable!() };
        change(&mut ended);
        given().when(Command::ChildEnded(ended).at(at(70))).then_with(|events, _| {
            assert_eq!(kinds(events), ["child ended"]);
        });
    };
    changed(|ended| ended.run_no = 2);
    changed(|ended| ended.cost_usd = 0.6);
}

#[test]
fn an_input_to_a_waiting_parent_does_not_lose_its_children() {
    let resumed =
        || started().and(both(Some(Join::All))).and(say(1, "hurry")).and(lease(2, 61)).and_events([start(2)]);
    assert_eq!(task_of(&resumed()).state, TaskState::Running);
    resumed().when(finish_ok(2)).then_with(|events, state| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "asked"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Waiting);
    });
    resumed().and(done(0)).and(done(1)).when(finish_ok(2)).then_with(|events, _| {
        assert_eq!(kinds(events), ["attempt ended", "run ended", "run requested"]);
    });
}

#[test]
fn children_answer_no_question() {
    let busy =
        || started().and(both(Some(Join::All))).and(say(1, "hurry")).and(lease(2, 61)).and_events([start(2)]);
    busy().and(ask(2, "which one?")).and(done(0)).when(done(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["child ended", "said"]);
        let Event::InputAccepted(said) = &events[1] else { panic!("said") };
        assert_eq!(said.outcome, InputOutcome::Queued);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Waiting);
    });
    // Nor when the turn ends while the question is open; the answer brings them along.
    let left = busy().and(ask(2, "which one?")).and(done(0)).and(done(1)).and(finish_ok(2));
    assert_eq!(task_of(&left).state, TaskState::Waiting);
    left.when(say(2, "this one")).then_with(|_, state| {
        let prompt = state.as_ref().unwrap().current_prompt();
        assert!(prompt.contains("2 of 2 subtasks") && prompt.ends_with("this one"), "{prompt}");
    });
}

#[test]
fn only_a_good_end_makes_children() {
    for outcome in [ReportedOutcome::Error, ReportedOutcome::Timeout, ReportedOutcome::Cancelled] {
        let finish = FinishAttempt { outcome, ..plan(vec![asked("one")], Some(Join::All)) };
        started().when(finishing(finish)).then_with(|events, state| {
            assert!(!kinds(events).contains(&"spawned"));
            assert!(state.as_ref().unwrap().children.is_empty());
        });
    }
}

#[test]
fn inputs_left_over_do_not_lose_the_children() {
    started().and(say(1, "more")).and(claim(1)).when(both(Some(Join::All))).then_with(|events, state| {
        let expected = ["returned", "attempt ended", "run ended", "spawned", "run requested"];
        assert_eq!(kinds(events), expected);
        assert_eq!(state.as_ref().unwrap().children.joins.len(), 1);
    });
}

#[test]
fn a_cancelled_parent_records_the_ends_of_its_children_and_stays_cancelled() {
    let given = started().and(both(Some(Join::All))).and(cancel()).and(done(0));
    given.when(done(1)).then_with(|events, state| {
        assert_eq!(kinds(events), ["child ended"]);
        assert_eq!(state.as_ref().unwrap().state, TaskState::Cancelled);
        assert!(state.as_ref().unwrap().is_at_rest());
    });
}

#[test]
fn wrong_subtasks_are_refused_by_their_places() {
    let wrong = SubtaskSpec {
        priority: Some("soon".into()),
        budget_usd: Some(-1.0),
        policy: Some(crate::policy::RunPolicy { host: "vm".into(), ..crate::policy::RunPolicy::default() }),
        ..asked("two")
    };
    let pointers = ["/subtasks/1/budget_usd", "/subtasks/1/priority", "/subtasks/1/policy/host"];
    assert_eq!(faults(finishing(plan(vec![asked("one"), wrong], None))), pointers);
    assert_eq!(faults(finishing(plan(vec![asked("one"); 101], None))), ["/subtasks"]);
}

#[test]
fn a_tree_is_at_most_so_deep() {
    let parent = |depth| Some(Parent { task_id: child(9), root_task_id: child(9), depth, is_open: true });
    let deepest = Accept { parent: parent(DEPTH_MAX - 1), ..accept() };
    let given = capstan_decider::spec::given::<TaskDecider>([]).and(accepting(deepest));
    given
        .and(lease(1, 10))
        .when(both(None))
        .then_rejected_with(|rejection| matches!(rejection, Rejection::Invalid(_)));
    let deeper = Accept { parent: parent(DEPTH_MAX), ..accept() };
    capstan_decider::spec::given::<TaskDecider>([])
        .when(accepting(deeper))
        .then_rejected_with(|rejection| matches!(rejection, Rejection::Invalid(_)));
}

#[test]
fn a_child_inherits_what_it_was_not_given() {
    let parent = AcceptAgentCommand {
        budget_usd: Some(2.0),
        priority: Some("high".into()),
        source_view_id: Some("v".into()),
        ..agent_command()
    };
    let given = capstan_decider::spec::given::<TaskDecider>([]).and(accepting(parent)).and(lease(1, 10));
    let dear = SubtaskSpec { budget_usd: Some(5.0), priority: Some("low".into()), ..asked("two") };
    let parent = task_of(&given.and(finishing(plan(vec![asked("one"), dear], None))));
    let made: Vec<_> = [child(0), child(1)]
        .map(|id| acceptance(&parent, parent.children[&id].subtask.as_ref().unwrap()))
        .into();
    assert_eq!((made[0].command.budget_usd, made[0].command.priority.as_deref()), (Some(2.0), Some("high")));
    assert_eq!(
        (made[1].command.budget_usd, made[1].command.priority.as_deref()),
        (Some(2.0), Some("low")),
        "never more than is left"
    );
    assert_eq!(made[0].command.source_view_id.as_deref(), Some("v"));
    assert_ne!(made[0].command.lane, made[1].command.lane);
    let born = capstan_decider::spec::given::<TaskDecider>([]).and(accepting(made[1].clone()));
    let child = task_of(&born);
    assert_eq!(
        (child.priority, child.accepted.depth, child.accepted.parent_task_id),
        (Priority::Low, 1, Some(parent.id()))
    );
    assert_eq!(child.accepted.label.as_deref(), Some("the two"));
}

#[test]
fn a_child_reports_each_of_its_ends_to_its_parent_once() {
    let parent = Some(Parent { task_id: run_parent(), root_task_id: run_parent(), depth: 0, is_open: true });
    let born = || {
        let accept = Accept { parent: parent.clone(), ..accept() };
        capstan_decider::spec::given::<TaskDecider>([])
            .and(accepting(accept))
            .and(lease(1, 10))
            .and_events([start(1)])
    };
    let heard = || Command::ParentHeard(ParentHeard).at(at(70));
    born().when(heard()).then([]);
    let over = || -> Given<TaskDecider> {
        born().and(finishing(FinishAttempt { result: Some(json!("well")), ..report(ReportedOutcome::Ok) }))
    };
    assert!(task_of(&over()).must_tell_parent());
    let report = super::report(&task_of(&over()));
    assert_eq!((report.state, report.result), (TaskState::Done, Some(json!("well"))));
    over().when(heard()).then_with(|events, state| {
        assert_eq!(kinds(events), ["parent informed"]);
        assert!(state.as_ref().unwrap().is_at_rest());
    });
    over().and(heard()).when(heard()).then([]);
    let again = over().and(heard()).and(say(1, "more")).and(lease(2, 80)).and(finish_ok(2));
    assert!(task_of(&again).must_tell_parent());
    queued().and(cancel()).when(heard()).then([]);
}

fn run_parent() -> TaskId {
    child(7)
}

#[test]
fn a_long_result_of_a_child_is_cut_with_a_note() {
    let long = "ä".repeat(40_000);
    let Value::String(kept) = short_result(&json!(long)) else { panic!("a text") };
    assert!(kept.len() < 33_000 && kept.ends_with("(cut, 80000 bytes in all)"));
    assert_eq!(short_result(&json!({"a": 1})), json!({"a": 1}));
}
