//! Parents and children, one rule at a time.

use capstan_contract::TaskCodec;
use capstan_domain::id::TaskId;
use capstan_domain::matching::StreamKey;
use capstan_domain::task::command::ReportedOutcome;
use capstan_domain::task::event::{Join, ParentClose};
use capstan_domain::task::{Event, TaskState};
use capstan_engine::process::task_key;
use capstan_envelope::Codec as _;

use crate::bench::Bench;
use crate::commands::{Birth, begin, cancel, finish, finish_with_children, input};

/// Everything that happened to a task, oldest first.
fn events_of(bench: &Bench, key: &StreamKey) -> impl Iterator<Item = Event> {
    let of_task =
        bench.world.log.iter().filter(|recorded| task_key(&recorded.commit.stream).as_ref() == Some(key));
    of_task.flat_map(|recorded| TaskCodec::decode(&recorded.commit).unwrap())
}

/// A parent whose run asked for children, and their keys.
fn family(bench: &mut Bench, children: usize, join: Join) -> (StreamKey, Vec<StreamKey>) {
    let worker = bench.worker();
    let parent = bench.accept(&Birth::default());
    let leased = bench.lease_now(worker, 1);
    let now = bench.now;
    bench.send(&parent, &begin(&leased[0].attempt_id, now));
    bench.send(&parent, &finish_with_children(&leased[0].attempt_id, children, join, now));
    let run_id = bench.world.task(&parent).current_run().unwrap().run_id;
    let child = |index| StreamKey::new("dev", TaskId::for_subtask(run_id, index));
    (parent, (0..children as u32).map(child).collect())
}

/// Leases every queued task to a worker and finishes it.
fn work_off(bench: &mut Bench) {
    let worker = bench.worker();
    for attempt in bench.lease_now(worker, 100) {
        let key = StreamKey::new("dev", attempt.task_id);
        let now = bench.now;
        bench.send(&key, &begin(&attempt.attempt_id, now));
        bench.send(&key, &finish(&attempt.attempt_id, ReportedOutcome::Ok).at(now));
    }
}

fn states(bench: &Bench, keys: &[StreamKey]) -> Vec<TaskState> {
    keys.iter().map(|key| bench.world.state(key)).collect()
}

#[test]
fn children_are_created_under_ids_of_the_run_and_run_side_by_side() {
    let mut bench = Bench::new();
    let (parent, children) = family(&mut bench, 2, Join::None);
    assert_eq!(bench.world.state(&parent), TaskState::Done);
    assert_eq!(states(&bench, &children), [TaskState::Queued, TaskState::Queued]);
    let worker = bench.worker();
    assert_eq!(bench.lease_now(worker, 5).len(), 2);
}

#[test]
fn a_parent_that_joins_waits_for_all_its_children_and_gets_their_results() {
    let mut bench = Bench::new();
    let (parent, children) = family(&mut bench, 2, Join::All);
    assert_eq!(bench.world.state(&parent), TaskState::Waiting);
    work_off(&mut bench);
    assert_eq!(states(&bench, &children), [TaskState::Done, TaskState::Done]);
    let task = bench.world.task(&parent);
    assert_eq!((task.state, task.runs.count()), (TaskState::Queued, 2));
    assert!(task.current_prompt().starts_with("2 of 2 subtasks are over."), "{}", task.current_prompt());
    work_off(&mut bench);
    assert_eq!(bench.world.state(&parent), TaskState::Done);
    assert_eq!(bench.process.tracked(), 0, "nothing is left to do");
}

#[test]
fn the_first_child_is_enough_for_a_parent_that_joins_any() {
    let mut bench = Bench::new();
    let (parent, _) = family(&mut bench, 2, Join::Any);
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 1).remove(0);
    let key = StreamKey::new("dev", attempt.task_id);
    let now = bench.now;
    bench.send(&key, &finish(&attempt.attempt_id, ReportedOutcome::Ok).at(now));
    assert_eq!(bench.world.state(&parent), TaskState::Queued);
    work_off(&mut bench);
    work_off(&mut bench);
    assert_eq!((bench.world.state(&parent), bench.world.task(&parent).runs.count()), (TaskState::Done, 2));
    assert_eq!(bench.process.tracked(), 0);
}

#[test]
fn cancelling_a_parent_cancels_its_children_and_theirs_but_not_those_that_are_detached() {
    let mut bench = Bench::new();
    let (parent, children) = family(&mut bench, 2, Join::All);
    let of = |task: &StreamKey, parent_close, session: &str| Birth {
        session: session.into(),
        parent: Some(task.task_id),
        parent_close,
        ..Birth::default()
    };
    let grandchild = bench.accept(&of(&children[0], ParentClose::Cancel, "g"));
    let detached = bench.accept(&of(&parent, ParentClose::Detach, "d"));
    let command = cancel(&parent, bench.now);
    bench.send(&parent, &command);
    let cancelled = [children[0].clone(), children[1].clone(), grandchild];
    assert_eq!(states(&bench, &cancelled), [TaskState::Cancelled; 3]);
    assert_eq!(bench.world.state(&detached), TaskState::Queued);
    let reasons = events_of(&bench, &children[0]).filter_map(|event| match event {
        Event::TaskCancelled(cancelled) => cancelled.reason,
        _ => None,
    });
    assert!(reasons.last().unwrap().contains(&parent.task_id.to_string()));
}

#[test]
fn a_child_that_is_opened_again_continues_without_its_cancelled_parent() {
    let mut bench = Bench::new();
    let (parent, children) = family(&mut bench, 1, Join::All);
    let command = cancel(&parent, bench.now);
    bench.send(&parent, &command);
    let say = input(&children[0], 77, bench.now);
    bench.send(&children[0], &say);
    bench.fail_over(0);
    assert_eq!(bench.world.state(&children[0]), TaskState::Queued);
    work_off(&mut bench);
    let ends = events_of(&bench, &parent).filter_map(|event| match event {
        Event::SubtaskEnded(ended) => Some(ended.state),
        _ => None,
    });
    assert_eq!(ends.collect::<Vec<_>>(), [TaskState::Cancelled, TaskState::Done]);
}

#[test]
fn a_child_accepted_after_its_parent_was_cancelled_is_cancelled_too() {
    let mut bench = Bench::new();
    let parent = bench.accept(&Birth::default());
    let command = cancel(&parent, bench.now);
    bench.send(&parent, &command);
    assert_eq!(bench.process.tracked(), 0);
    let late = Birth { session: "late".into(), parent: Some(parent.task_id), ..Birth::default() };
    let child = bench.accept(&late);
    assert_eq!(bench.world.state(&child), TaskState::Cancelled);
}

#[test]
fn a_new_leader_creates_reports_and_cancels_what_the_old_one_left_undone() {
    let mut bench = Bench::new();
    bench.failing = true;
    let worker = bench.worker();
    bench.failing = false;
    let parent = bench.accept(&Birth::default());
    let attempt = bench.lease_now(worker, 1).remove(0);
    bench.failing = true;
    let now = bench.now;
    bench.send(&parent, &finish_with_children(&attempt.attempt_id, 1, Join::All, now));
    let child = StreamKey::new(
        "dev",
        TaskId::for_subtask(bench.world.task(&parent).current_run().unwrap().run_id, 0),
    );
    assert!(!bench.world.tasks.contains_key(&child));
    bench.failing = false;
    bench.take_over();
    assert_eq!(bench.world.state(&child), TaskState::Queued);
    bench.failing = true;
    let command = cancel(&child, bench.now);
    bench.send(&child, &command);
    assert_eq!(bench.world.state(&parent), TaskState::Waiting);
    bench.failing = false;
    bench.take_over();
    assert_eq!(bench.world.state(&parent), TaskState::Queued);
    assert!(bench.world.task(&child).report.is_sent);
}

#[test]
fn a_child_that_cannot_be_created_is_reported_and_not_loaded_again() {
    let mut bench = Bench::new();
    bench.failing = true;
    let worker = bench.worker();
    let parent = bench.accept(&Birth::default());
    bench.failing = false;
    let attempt = bench.lease_now(worker, 1).remove(0);
    bench.refusing_creation = true;
    let now = bench.now;
    bench.send(&parent, &finish_with_children(&attempt.attempt_id, 1, Join::All, now));
    assert_eq!(bench.world.state(&parent), TaskState::Queued);
    assert_eq!(bench.process.tracked(), 1, "the missing child is not kept");
}
