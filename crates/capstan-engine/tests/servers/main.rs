//! The engine on a real nats-server: leases, expiry, change of leader.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise breaks")]

mod endpoint;
mod leading;
mod office;
mod schedules;
mod tool_calls;

use std::time::{Duration, Instant};

use capstan_contract::command::Renewal;
use capstan_contract::lease::RenewStatus;
use capstan_domain::task::TaskState;
use capstan_engine::{EngineConfig, EngineError, WorkerStatus};
use capstan_testkit::eventually::eventually;

use office::Office;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_task_is_leased_started_and_finished() {
    let office = Office::open(EngineConfig::default()).await;
    // Asked before any engine leads: the client looks for one.
    let (registered, engine) = tokio::join!(office.register(), office.engine());
    let worker = registered.worker_id;
    let waiting = tokio::spawn({
        let client = office.client.clone();
        async move { client.lease(worker, 4, LONG).await }
    });
    let key = office.accept("s1").await;
    let leased = waiting.await.unwrap().unwrap();
    assert_eq!((leased.len(), leased[0].task_id), (1, key.task_id));
    assert_eq!(leased[0].prompt, "do it");
    office.begin(&leased[0].attempt_id).await;
    let renewal = Renewal { attempt_id: leased[0].attempt_id.clone(), epoch: leased[0].epoch };
    let told = office.client.renew(worker, vec![renewal.clone()], Duration::ZERO).await.unwrap();
    assert_eq!(told[0].status, RenewStatus::Ok);
    office.finish(&leased[0].attempt_id).await;
    assert_eq!(office.state(&key).await, TaskState::Done);
    eventually("the engine has seen the end", LONG, async || {
        let told = office.client.renew(worker, vec![renewal.clone()], Duration::ZERO).await.unwrap();
        (told[0].status == RenewStatus::Lost).then_some(())
    })
    .await;
    let workers = office.client.workers().await.unwrap();
    assert_eq!((workers.len(), workers[0].status), (1, WorkerStatus::Active));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancellation_reaches_the_worker_that_waits_for_news() {
    let office = Office::open(EngineConfig::default()).await;
    let engine = office.engine().await;
    let worker = office.register().await.worker_id;
    let key = office.accept("s1").await;
    let attempt = office.client.lease(worker, 1, LONG).await.unwrap().remove(0);
    let renewals = vec![Renewal { attempt_id: attempt.attempt_id.clone(), epoch: attempt.epoch }];
    let waiting = tokio::spawn({
        let client = office.client.clone();
        async move { client.renew(worker, renewals, LONG).await }
    });
    let asked = Instant::now();
    office.cancel(&key).await;
    let told = waiting.await.unwrap().unwrap();
    assert_eq!(told[0].status, RenewStatus::Cancel);
    assert!(asked.elapsed() < Duration::from_secs(3), "the worker was told after {:?}", asked.elapsed());
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_not_renewed_goes_to_the_next_worker() {
    let office = Office::open(EngineConfig { lease_ms: 600, ..EngineConfig::default() }).await;
    let engine = office.engine().await;
    let worker = office.register().await.worker_id;
    office.accept("s1").await;
    let first = office.client.lease(worker, 1, LONG).await.unwrap().remove(0);
    // The poll of a worker that let a lease pass ends with nothing: only one that asks again lives.
    let mut polls = 0;
    let second = loop {
        polls += 1;
        assert!(polls < 10, "the attempt does not come back");
        if let Some(attempt) = office.client.lease(worker, 1, LONG).await.unwrap().pop() {
            break attempt;
        }
    };
    assert!(polls > 1, "what a silent worker lost went straight back to it");
    assert_eq!((second.task_id, second.epoch), (first.task_id, first.epoch + 1));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_leader_dies_another_engine_continues() {
    let config = EngineConfig { leader_ttl: Duration::from_secs(2), ..EngineConfig::default() };
    let office = Office::open(config).await;
    let first = office.engine().await;
    let second = office.candidate().await;
    let worker = office.register().await.worker_id;
    office.accept("s1").await;
    office.accept("s2").await;
    let attempt = office.client.lease(worker, 1, LONG).await.unwrap().remove(0);
    // Without a farewell.
    drop(first);
    second.leads().await;
    let renewal = Renewal { attempt_id: attempt.attempt_id.clone(), epoch: attempt.epoch };
    let told = office.client.renew(worker, vec![renewal], Duration::ZERO).await.unwrap();
    assert_eq!(told[0].status, RenewStatus::Ok, "the lease outlives the engine that gave it");
    let unknown = office.client.lease(worker, 1, LONG).await.unwrap_err();
    assert!(matches!(unknown, EngineError::UnknownWorker), "{unknown:?}");
    let again = office.register().await.worker_id;
    let other = office.client.lease(again, 4, LONG).await.unwrap();
    assert_eq!(other.len(), 1, "the live session stays taken");
    assert_ne!(other[0].task_id, attempt.task_id);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_hands_over_at_once() {
    let config = EngineConfig { leader_ttl: Duration::from_mins(1), ..EngineConfig::default() };
    let office = Office::open(config).await;
    let first = office.engine().await;
    let second = office.candidate().await;
    let stopped = Instant::now();
    first.stop().await;
    second.leads().await;
    assert!(stopped.elapsed() < Duration::from_secs(10), "it took {:?}", stopped.elapsed());
    second.stop().await;
}
