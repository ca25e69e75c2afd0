//! One rule, one test.

use capstan_contract::command::Renewal;
use capstan_contract::lease::RenewStatus;
use capstan_domain::id::WorkerId;
use capstan_domain::matching::{Reach, StreamKey, WaitingReason};
use capstan_domain::task::TaskState;
use capstan_domain::task::command::FinishAttempt;
use capstan_domain::task::command::ReportedOutcome::{Error, Ok};
use capstan_engine::WorkerStatus;
use capstan_engine::process::{CallId, Effect};
use capstan_engine::protocol::{Answer, Request};
use chrono::Duration;
use uuid::Uuid;

use crate::bench::Bench;
use crate::commands::{Birth, begin, cancel, finish, finish_with, finish_with_wake, input, question};
use crate::world::{GRACE_MS, LEASE_MS, execute};

#[test]
fn a_waiting_worker_is_given_work_as_soon_as_there_is_some() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let call = bench.lease(worker, 3, 20_000);
    assert!(!bench.is_answered(call));
    let key = bench.accept(&Birth::default());
    let leased = bench.leased(call);
    assert_eq!(leased.len(), 1);
    assert_eq!((leased[0].task_id, leased[0].prompt.as_str(), leased[0].run_no), (key.task_id, "do it", 1));
    assert_eq!((leased[0].epoch, leased[0].attempt_no, leased[0].lease_ms), (1, 1, LEASE_MS));
    assert_eq!(bench.world.state(&key), TaskState::Running);
}

#[test]
fn a_poll_without_work_ends_empty_when_its_time_is_over() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let call = bench.lease(worker, 1, 2_000);
    bench.pass_ms(1_999);
    assert!(!bench.is_answered(call));
    bench.pass_ms(1);
    assert!(bench.leased(call).is_empty());
    assert!(bench.lease_now(worker, 1).is_empty());
}

#[test]
fn one_answer_carries_as_many_attempts_as_asked_for_and_there_are() {
    let mut bench = Bench::new();
    for n in 0..5 {
        bench.accept(&Birth { session: n.to_string(), ..Birth::default() });
    }
    let worker = bench.worker();
    assert_eq!(bench.lease_now(worker, 3).len(), 3);
    assert_eq!(bench.lease_now(worker, 3).len(), 2);
}

#[test]
fn an_unknown_worker_must_register() {
    let mut bench = Bench::new();
    let call = bench.lease(WorkerId(Uuid::from_u128(9)), 1, 0);
    assert!(matches!(bench.answers.remove(&call), Some(Answer::UnknownWorker)));
}

#[test]
fn a_lease_that_is_not_renewed_expires_and_the_run_is_tried_again_at_once() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let worker = bench.worker();
    let first = bench.lease_now(worker, 1);
    bench.pass_ms(LEASE_MS - 1);
    assert_eq!(bench.world.state(&key), TaskState::Running);
    bench.pass_ms(1);
    assert_eq!(bench.world.state(&key), TaskState::Queued);
    let second = bench.lease_now(worker, 1);
    assert_eq!((second[0].epoch, second[0].attempt_no, second[0].run_id), (2, 2, first[0].run_id));
}

#[test]
fn a_renewed_lease_lives() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    for _ in 0..10 {
        bench.pass_ms(LEASE_MS - 1);
        let call = bench.renew(worker, &[&attempt], 0);
        assert_eq!(bench.renewed(call)[0].status, RenewStatus::Ok);
    }
    assert_eq!(bench.world.state(&key), TaskState::Running);
}

#[test]
fn the_start_of_an_attempt_is_recorded_with_its_first_report_or_a_second_after_its_first_renewal() {
    let mut bench = Bench::new();
    let (silent, talking, dead) =
        (bench.accept(&named("silent")), bench.accept(&named("talking")), bench.accept(&named("dead")));
    let worker = bench.worker();
    let leased = bench.lease_now(worker, 3);
    let id =
        |key: &StreamKey| leased.iter().find(|one| one.task_id == key.task_id).unwrap().attempt_id.clone();
    bench.pass_ms(500);
    let call = bench.renew(worker, &[&id(&silent), &id(&talking)], 0);
    assert_eq!(bench.renewed(call).len(), 2);
    let now = bench.now;
    bench.send(&talking, &begin(&id(&talking), now));
    let is_started = |bench: &Bench, key| bench.world.task(key).live.as_ref().unwrap().is_started;
    bench.pass_ms(999);
    assert!(!is_started(&bench, &silent) && is_started(&bench, &talking));
    let said = bench.world.version(&talking);
    bench.pass_ms(1);
    assert!(is_started(&bench, &silent));
    bench.pass_ms(10_000);
    assert!(!is_started(&bench, &dead), "nobody has renewed it, so nobody executes it");
    assert_eq!(bench.world.version(&talking), said, "a start is recorded once");
    assert_eq!(bench.world.version(&silent), 3, "accepted, leased, started");
}

fn named(session: &str) -> Birth {
    Birth { session: session.to_owned(), ..Birth::default() }
}

#[test]
fn a_run_lost_too_often_is_dropped() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let worker = bench.worker();
    let mut leases = 0;
    while bench.world.state(&key) != TaskState::Dropped {
        let call = bench.lease(worker, 1, 30_000);
        bench.pass_ms(30_000);
        leases += bench.leased(call).len();
        bench.pass_ms(LEASE_MS);
        assert!(leases < 20, "it is tried for ever");
    }
    assert_eq!(leases, 9, "the first try, and eight more");
}

#[test]
fn a_run_that_takes_too_long_is_timed_out_and_its_session_is_freed_after_the_grace() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth { timeout_ms: Some(5_000), ..Birth::default() });
    let next = bench.accept(&Birth::default());
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 4).remove(0).attempt_id;
    bench.pass_ms(1_000);
    let now = bench.now;
    bench.send(&key, &begin(&attempt, now));
    let call = bench.renew(worker, &[&attempt], 30_000);
    bench.pass_ms(3_999);
    assert_eq!(bench.world.state(&key), TaskState::Running);
    bench.pass_ms(1);
    assert_eq!(bench.world.state(&key), TaskState::Error, "five seconds after its lease");
    let told = bench.renewed(call);
    assert_eq!(told[0].status, RenewStatus::Cancel);
    assert!(told[0].reason.as_deref().unwrap().contains("timed out"), "{told:?}");
    assert!(bench.lease_now(worker, 1).is_empty(), "the session is still taken");
    bench.pass_ms(GRACE_MS);
    assert_eq!(bench.lease_now(worker, 1)[0].task_id, next.task_id);
}

#[test]
fn a_cancellation_reaches_the_worker_at_once_and_its_report_releases_the_attempt() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let next = bench.accept(&Birth::default());
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    let call = bench.renew(worker, &[&attempt], 30_000);
    let now = bench.now;
    bench.send(&key, &cancel(&key, now));
    let told = bench.renewed(call);
    assert_eq!((told[0].status, told[0].reason.as_deref()), (RenewStatus::Cancel, Some("no longer needed")));
    assert_eq!(bench.world.state(&key), TaskState::Cancelled);
    assert!(bench.lease_now(worker, 1).is_empty());
    bench.send(&key, &finish(&attempt, Ok).at(now));
    assert_eq!(bench.lease_now(worker, 1)[0].task_id, next.task_id);
    let call = bench.renew(worker, &[&attempt], 30_000);
    assert_eq!(bench.renewed(call)[0].status, RenewStatus::Lost);
}

#[test]
fn an_answer_to_a_question_reaches_the_worker_that_waits_for_news() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    let now = bench.now;
    bench.send(&key, &question(&attempt, now));
    let call = bench.renew(worker, &[&attempt], 30_000);
    bench.pass_ms(1_000);
    assert!(!bench.is_answered(call));
    bench.send(&key, &input(&key, 7_000, now));
    let told = bench.renewed(call);
    assert_eq!((told[0].status, told[0].inputs_pending, told[0].waiting), (RenewStatus::Ok, 1, false));
    // A worker that leaves the input where it is does not make the engine answer in a circle.
    let again = bench.renew(worker, &[&attempt], 5_000);
    assert!(!bench.is_answered(again));
    bench.pass_ms(5_000);
    assert_eq!(bench.renewed(again)[0].inputs_pending, 1);
}

#[test]
fn an_input_during_a_turn_waits_for_its_end() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    let call = bench.renew(worker, &[&attempt], 5_000);
    let now = bench.now;
    bench.send(&key, &input(&key, 7_000, now));
    assert!(!bench.is_answered(call));
    bench.send(&key, &finish(&attempt, Ok).at(now));
    assert!(bench.lease_now(worker, 1)[0].prompt.ends_with("the first"));
}

#[test]
fn a_sleeping_task_wakes_at_its_time() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth { delay_ms: Some(7_000), ..Birth::default() });
    let worker = bench.worker();
    let call = bench.lease(worker, 1, 30_000);
    bench.pass_ms(6_999);
    assert!(!bench.is_answered(call));
    bench.pass_ms(1);
    let attempt = bench.leased(call).remove(0).attempt_id;
    let now = bench.now;
    bench.send(&key, &finish_with_wake(&attempt).at(now));
    assert_eq!(bench.world.state(&key), TaskState::Sleeping);
    bench.pass_ms(180_000);
    assert_eq!(bench.world.state(&key), TaskState::Queued);
}

#[test]
fn a_task_that_waits_longer_than_its_queue_ttl_is_dropped() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth { queue_ttl_ms: Some(5_000), ..Birth::default() });
    bench.pass_ms(4_999);
    assert_eq!(bench.world.state(&key), TaskState::Queued);
    bench.pass_ms(1);
    assert_eq!(bench.world.state(&key), TaskState::Dropped);
    assert_eq!(bench.process.tracked(), 0, "a task that is over is forgotten");
}

#[test]
fn a_deadline_cancels_the_task_again_when_it_is_reopened() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth { deadline_ms: Some(5_000), ..Birth::default() });
    bench.pass_ms(5_000);
    assert_eq!(bench.world.state(&key), TaskState::Cancelled);
    let now = bench.now;
    bench.send(&key, &input(&key, 7_000, now));
    bench.pass_ms(1);
    assert_eq!(bench.world.state(&key), TaskState::Cancelled);
}

#[test]
fn a_retry_waits_for_its_time() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth { max_attempts: 2, ..Birth::default() });
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    let now = bench.now;
    let failed = FinishAttempt {
        error: Some("connection reset".into()),
        error_class: Some(capstan_domain::outcome_text::ErrorClass::Retryable),
        retry_after_ms: Some(4_000),
        ..FinishAttempt::new(Error)
    };
    bench.send(&key, &finish_with(&attempt, failed).at(now));
    let call = bench.lease(worker, 1, 30_000);
    bench.pass_ms(3_999);
    assert!(!bench.is_answered(call));
    let why = bench.ask(Request::Why { workspace: "dev".into(), task_id: key.task_id });
    let Some(Answer::Why(reasons)) = bench.answers.remove(&why) else { panic!("no reasons") };
    assert!(matches!(reasons[0], WaitingReason::RetryDelay { .. }), "{reasons:?}");
    bench.pass_ms(1);
    assert_eq!(bench.leased(call)[0].attempt_no, 2);
}

#[test]
fn after_a_fail_over_every_live_lease_gets_one_fresh_period() {
    for lag in [0, 1, 2, 9] {
        let mut bench = Bench::new();
        let key = bench.accept(&Birth::default());
        let worker = bench.worker();
        let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
        bench.pass_ms(LEASE_MS - 1);
        bench.fail_over(lag);
        bench.pass_ms(LEASE_MS - 1);
        assert_eq!(bench.world.state(&key), TaskState::Running);
        // The new engine does not know the worker, but its renewals count.
        let call = bench.renew(worker, &[&attempt], 0);
        assert_eq!(bench.renewed(call)[0].status, RenewStatus::Ok);
        let unknown = bench.lease(worker, 1, 0);
        assert!(matches!(bench.answers.remove(&unknown), Some(Answer::UnknownWorker)));
        bench.pass_ms(LEASE_MS);
        assert_eq!(bench.world.state(&key), TaskState::Queued);
    }
}

#[test]
fn a_worker_of_one_workspace_is_unknown_in_another() {
    let mut bench = Bench::new();
    bench.accept(&Birth::default());
    let reach = |name: &str| Reach::Only([name.to_owned()].into());
    let (here, elsewhere) = (reach("dev"), reach("elsewhere"));
    let of_elsewhere = bench.worker_within(elsewhere.clone());
    assert!(bench.lease_now(of_elsewhere, 1).is_empty(), "a run of another workspace was given away");

    let worker = bench.worker_within(here);
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    let renewals = vec![Renewal { attempt_id: attempt.clone(), epoch: attempt.epoch }];
    bench.pass_ms(LEASE_MS - 1);
    let call =
        bench.ask(Request::Renew { worker_id: worker, renewals, wait_ms: 0, reach: elsewhere.clone() });
    assert_eq!(bench.renewed(call)[0].status, RenewStatus::Lost);
    for request in [
        Request::Lease { worker_id: worker, max: 1, wait_ms: 0, reach: elsewhere.clone() },
        Request::Drain { worker_id: worker, reach: elsewhere.clone() },
    ] {
        let call = bench.ask(request);
        assert!(matches!(bench.answers.remove(&call), Some(Answer::UnknownWorker)));
    }
    bench.pass_ms(2);
    let call = bench.renew(worker, &[&attempt], 0);
    assert_eq!(bench.renewed(call)[0].status, RenewStatus::Lost, "a stranger prolonged the lease");
}

#[test]
fn a_draining_worker_gets_nothing_new_and_keeps_what_it_has() {
    let mut bench = Bench::new();
    bench.accept(&Birth::default());
    let worker = bench.worker();
    let attempt = bench.lease_now(worker, 1).remove(0).attempt_id;
    let poll = bench.lease(worker, 1, 30_000);
    bench.ask(Request::Drain { worker_id: worker, reach: Reach::All });
    assert!(bench.leased(poll).is_empty(), "its poll ends at once");
    bench.accept(&Birth { session: "t".into(), ..Birth::default() });
    assert!(bench.lease_now(worker, 1).is_empty());
    let call = bench.renew(worker, &[&attempt], 0);
    assert_eq!(bench.renewed(call)[0].status, RenewStatus::Ok);
}

#[test]
fn a_silent_worker_is_listed_as_deaf_and_forgotten_later() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let status = |bench: &mut Bench| {
        let call = bench.ask(Request::Workers);
        match bench.answers.remove(&call) {
            Some(Answer::Workers(views)) => views.first().map(|view| view.status),
            other => panic!("no workers but {other:?}"),
        }
    };
    assert_eq!(status(&mut bench), Some(WorkerStatus::Active));
    bench.pass_ms(LEASE_MS + 1);
    assert_eq!(status(&mut bench), Some(WorkerStatus::Deaf));
    bench.lease(worker, 1, 0);
    assert_eq!(status(&mut bench), Some(WorkerStatus::Active));
    bench.pass_ms(LEASE_MS * 30);
    assert_eq!(status(&mut bench), None);
}

#[test]
fn a_lease_that_was_not_recorded_is_repeated_and_never_given_to_another_worker() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    bench.accept(&Birth::default());
    let worker = bench.worker();
    bench.failing = true;
    let call = bench.lease(worker, 2, 3_000);
    bench.pass_ms(3_000);
    assert!(bench.leased(call).is_empty());
    bench.failing = false;
    let call = bench.lease(worker, 2, 20_000);
    bench.pass_ms(11_000);
    let leased = bench.leased(call);
    assert_eq!(leased.len(), 1, "one session, one attempt");
    assert_eq!(leased[0].task_id, key.task_id);
}

#[test]
fn attempts_too_large_for_one_answer_come_with_the_next() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    for n in 0..10 {
        let message = "x".repeat(100_000);
        bench.accept(&Birth { session: n.to_string(), message, ..Birth::default() });
    }
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(bench.lease_now(worker, 10).len());
    }
    assert_eq!(answers, [3, 3, 3, 1]);
}

#[test]
fn missed_commits_are_loaded() {
    let mut bench = Bench::new();
    let key = bench.accept(&Birth::default());
    let now = bench.now;
    let id = bench.fresh();
    bench.world.send(&key, id, &cancel(&key, now)).unwrap();
    bench.world.log.pop();
    let id = bench.fresh();
    bench.world.send(&key, id, &input(&key, 7_000, now)).unwrap();
    bench.settle();
    let worker = bench.worker();
    assert!(bench.lease_now(worker, 1)[0].prompt.ends_with("the first"));
}

#[test]
fn timers_that_are_due_at_once_fire_in_portions_and_keep_no_request_waiting() {
    let mut bench = Bench::new();
    let sleepers: Vec<_> = (0..100)
        .map(|number| {
            bench.accept(&Birth { session: format!("s{number}"), delay_ms: Some(60_000), ..Birth::default() })
        })
        .collect();
    bench.now += Duration::milliseconds(60_000);
    let call = CallId(u64::MAX);
    bench.process.request(call, Request::Workers, Uuid::nil(), bench.now);
    let effects = bench.process.turn(10, bench.now);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Answer(answered, _) if *answered == call)));
    let orders: Vec<_> = effects
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Execute(order) => Some(order),
            _ => None,
        })
        .collect();
    assert_eq!(orders.len(), 10);
    assert!(bench.process.next_due() <= bench.now, "the others are due");
    assert!(bench.process.next_due_without_timers() > bench.now, "nothing else is");
    for order in orders {
        let settled = execute(&mut bench.world, &order);
        bench.process.settled(&order, &settled, bench.now);
    }
    bench.settle();
    assert!(sleepers.iter().all(|key| bench.world.state(key) == TaskState::Queued), "all have fired");
}
