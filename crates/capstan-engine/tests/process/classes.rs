//! Execution classes: limits, pauses after failures, and the way back.

use capstan_domain::Requested;
use capstan_domain::class::{self, ConfigureClass, Health};
use capstan_domain::id::AttemptId;
use capstan_domain::matching::{StreamKey, WaitingReason};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::command::{FinishAttempt, ReportedOutcome};
use capstan_engine::protocol::{Answer, Request};
use chrono::Duration;

use crate::bench::Bench;
use crate::commands::{Birth, finish_with};

/// A task with a session for itself, tried once.
fn alone(bench: &mut Bench, n: usize) -> StreamKey {
    bench.accept(&Birth { session: format!("s{n}"), max_attempts: 1, ..Birth::default() })
}

fn class_of(bench: &Bench, key: &StreamKey) -> (String, String) {
    ("dev".to_owned(), bench.world.task(key).accepted.instance_key.clone())
}

fn health(bench: &Bench, class: &(String, String)) -> Health {
    bench.world.classes.get(class).map(|(_, state)| state.health).unwrap_or_default()
}

fn configure(bench: &mut Bench, class: &(String, String), mut configure: ConfigureClass) {
    let id = bench.fresh();
    configure.instance_key.clone_from(&class.1);
    let command = Requested::new(class::Command::Configure(configure), bench.now);
    bench.world.change_class(class, id, &command);
    bench.settle();
}

fn why(bench: &mut Bench, key: &StreamKey) -> Vec<WaitingReason> {
    let call = bench.ask(Request::Why { workspace: key.workspace.to_string(), task_id: key.task_id });
    match bench.answers.remove(&call) {
        Some(Answer::Why(reasons)) => reasons,
        other => panic!("not told but {other:?}"),
    }
}

fn end(bench: &mut Bench, attempt: &AttemptId, outcome: ReportedOutcome) {
    let key = StreamKey::new(&attempt.workspace, attempt.task);
    let error_class = (outcome == ReportedOutcome::Error).then_some(ErrorClass::Terminal);
    let report = FinishAttempt { error_class, ..FinishAttempt::new(outcome) };
    bench.send(&key, &finish_with(attempt, report).at(bench.now));
}

/// A class in its first pause, with queued tasks.
fn degraded() -> (Bench, capstan_domain::id::WorkerId, (String, String), Vec<StreamKey>) {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let keys: Vec<_> = (0..8).map(|n| alone(&mut bench, n)).collect();
    let class = class_of(&bench, &keys[0]);
    for _ in 0..5 {
        let attempt = bench.lease_now(worker, 1).remove(0);
        end(&mut bench, &attempt.attempt_id, ReportedOutcome::Error);
    }
    (bench, worker, class, keys)
}

#[test]
fn five_failures_in_a_row_degrade_the_class_and_its_tasks_report_that() {
    let (mut bench, worker, class, keys) = degraded();
    let Health::Degraded { failures: 5, until } = health(&bench, &class) else { panic!("degraded") };
    assert_eq!(until, bench.now + Duration::seconds(30));
    assert!(bench.lease_now(worker, 1).is_empty(), "nothing is given out");
    assert_eq!(why(&mut bench, &keys[6]), [WaitingReason::ClassDegraded { until }]);
}

#[test]
fn a_success_resets_the_count_and_lost_attempts_do_not_count() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let keys: Vec<_> = (0..20).map(|n| alone(&mut bench, n)).collect();
    let class = class_of(&bench, &keys[0]);
    let mut outcomes = vec![ReportedOutcome::Error; 4];
    outcomes.push(ReportedOutcome::Ok);
    outcomes.extend([ReportedOutcome::Error; 4]);
    outcomes.extend([ReportedOutcome::Cancelled; 5]);
    for outcome in outcomes {
        let attempt = bench.lease_now(worker, 1).remove(0);
        end(&mut bench, &attempt.attempt_id, outcome);
    }
    assert_eq!(health(&bench, &class), Health::Healthy);
    let attempt = bench.lease_now(worker, 1).remove(0);
    end(&mut bench, &attempt.attempt_id, ReportedOutcome::Timeout);
    assert!(matches!(health(&bench, &class), Health::Degraded { failures: 5, .. }), "the fifth since");
}

#[test]
fn after_the_pause_one_try_decides() {
    let (mut bench, worker, class, _) = degraded();
    bench.pass_ms(30_000);
    assert_eq!(health(&bench, &class), Health::HalfOpen);
    let probe = bench.lease_now(worker, 4);
    assert_eq!(probe.len(), 1, "one try");
    assert!(bench.lease_now(worker, 4).is_empty(), "and no other beside it");
    end(&mut bench, &probe[0].attempt_id, ReportedOutcome::Error);
    let Health::Degraded { failures: 6, until } = health(&bench, &class) else { panic!("degraded again") };
    assert_eq!(until, bench.now + Duration::seconds(60), "the pause doubles");
    assert!(bench.lease_now(worker, 1).is_empty());
    bench.pass_ms(60_000);
    let probe = bench.lease_now(worker, 4);
    end(&mut bench, &probe[0].attempt_id, ReportedOutcome::Ok);
    assert_eq!(health(&bench, &class), Health::Healthy);
    assert_eq!(bench.lease_now(worker, 4).len(), 1, "what is left goes on");
}

#[test]
fn a_new_leader_keeps_the_pause_and_ends_it() {
    let (mut bench, _, class, _) = degraded();
    bench.fail_over(3);
    let worker = bench.worker();
    assert!(bench.lease_now(worker, 1).is_empty(), "the pause outlives the engine that began it");
    bench.pass_ms(30_000);
    assert_eq!(health(&bench, &class), Health::HalfOpen);
    assert_eq!(bench.lease_now(worker, 4).len(), 1);
}

#[test]
fn a_reset_recovers_the_class_at_once() {
    let (mut bench, worker, class, _) = degraded();
    configure(&mut bench, &class, ConfigureClass { reset: true, ..ConfigureClass::default() });
    assert_eq!(bench.lease_now(worker, 8).len(), 3);
}

#[test]
fn a_limit_is_kept_and_a_class_that_is_switched_off_waits() {
    let mut bench = Bench::new();
    let worker = bench.worker();
    let keys: Vec<_> = (0..6).map(|n| alone(&mut bench, n)).collect();
    let class = class_of(&bench, &keys[0]);
    let limit = |n| ConfigureClass { desired_dispatch_concurrency: Some(n), ..ConfigureClass::default() };
    configure(&mut bench, &class, limit(2));
    assert_eq!(bench.lease_now(worker, 8).len(), 2);
    configure(&mut bench, &class, limit(3));
    assert_eq!(bench.lease_now(worker, 8).len(), 1);
    configure(&mut bench, &class, ConfigureClass { active: Some(false), ..limit(8) });
    assert!(bench.lease_now(worker, 8).is_empty());
    assert_eq!(why(&mut bench, &keys[5]), [WaitingReason::ClassInactive]);
    configure(&mut bench, &class, ConfigureClass { active: Some(true), ..ConfigureClass::default() });
    assert_eq!(bench.lease_now(worker, 8).len(), 3);
}
