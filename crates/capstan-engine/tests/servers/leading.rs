//! A leader that begins with very much.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use capstan_contract::command::Renewal;
use capstan_contract::lease::RenewStatus;
use capstan_decider::{Decider as _, fold};
use capstan_dispatch::{OpenStream, OpenStreams, OpenTasks, SnapshotError, Spent};
use capstan_domain::id::{InputId, TaskId};
use capstan_domain::task::command::{Accept, AcceptAgentCommand, RetryTask};
use capstan_domain::task::{Command, TaskDecider, TaskState};
use capstan_engine::EngineConfig;
use capstan_envelope::Position;
use capstan_testkit::eventually::eventually;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::office::{Office, demo, now};

/// Open tasks that no log has: to begin with them takes longer than leadership lasts without a renewal.
struct Many {
    tasks: usize,
    asked: AtomicUsize,
}

#[async_trait]
impl OpenTasks for Many {
    async fn spending(&self) -> Result<(Position, Vec<Spent>), SnapshotError> {
        Ok((Position::START, Vec::new()))
    }

    async fn open_tasks(&self) -> Result<OpenStreams, SnapshotError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let chunk = |first: usize| Ok((first..first + 500).map(open).collect());
        let chunks = futures_util::stream::iter((0..self.tasks).step_by(500).map(chunk)).boxed();
        Ok(OpenStreams { position: Position::START, chunks })
    }
}

fn open(number: usize) -> OpenStream {
    let task_id = TaskId(Uuid::from_u128(number as u128 + 1));
    let command = AcceptAgentCommand { message: "do it".into(), ..AcceptAgentCommand::default() };
    let accept = Command::Accept(Box::new(Accept::new(task_id, demo(now()), command))).at(now());
    let state = fold::<TaskDecider>(None, &TaskDecider::decide(&None, &accept).unwrap());
    let stream = format!("dev/task/{task_id}").parse().unwrap();
    OpenStream { stream, version: 1, state: serde_json::value::to_raw_value(&state).unwrap() }
}

/// Read models that cannot be reached.
struct Away;

#[async_trait]
impl OpenTasks for Away {
    async fn spending(&self) -> Result<(Position, Vec<Spent>), SnapshotError> {
        Err(SnapshotError::Unavailable { source: "no Postgres".into() })
    }

    async fn open_tasks(&self) -> Result<OpenStreams, SnapshotError> {
        Err(SnapshotError::Unavailable { source: "no Postgres".into() })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_stays_one_while_every_thread_is_busy_for_longer_than_its_time_to_live() {
    let leader_ttl = Duration::from_secs(1);
    let office = Office::open(EngineConfig { leader_ttl, ..EngineConfig::default() }).await;
    let engine = office.engine().await;
    let mut leading = engine.leading();
    assert!(*leading.borrow_and_update());
    let busy = move || {
        let begun = Instant::now();
        // Nothing else runs on this thread meanwhile, as with a computation that does not await.
        while begun.elapsed() < leader_ttl * 3 {
            std::thread::park_timeout(leader_ttl / 10);
        }
    };
    let other = tokio::spawn(async move { busy() });
    let another = tokio::spawn(async move { busy() });
    busy();
    other.await.unwrap();
    another.await.unwrap();
    let worker = office.register().await.worker_id;
    let _ = office.accept("demo").await;
    assert_eq!(office.client.lease(worker, 1, Duration::from_secs(20)).await.unwrap().len(), 1);
    assert!(!leading.has_changed().unwrap(), "it was deposed, and leads again");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_read_models_a_leader_begins_from_the_log_alone() {
    const LONG: Duration = Duration::from_secs(20);
    let office = Office::open(EngineConfig::default()).await;
    let first = office.engine().await;
    let worker = office.register().await.worker_id;
    let over = office.accept("over").await;
    let attempt = office.client.lease(worker, 1, LONG).await.unwrap().remove(0);
    office.begin(&attempt.attempt_id).await;
    office.finish(&attempt.attempt_id).await;
    let running = office.accept("running").await;
    let attempt = office.client.lease(worker, 1, LONG).await.unwrap().remove(0);
    office.begin(&attempt.attempt_id).await;
    let behind = office.accept("running").await;
    let queued = office.accept("queued").await;
    // At rest when the fold meets it, and in motion again after that.
    let cancelled = office.accept("again").await;
    office.cancel(&cancelled).await;
    let retry = RetryTask { task_id: cancelled.task_id, message: None };
    let retry =
        Command::Retry { command: retry, input_id: InputId(Uuid::from_u128(99)), message_bytes_max: 1_000 };
    office.send(&cancelled, retry).await;
    first.stop().await;

    let second = office.candidate_with(office.config.clone(), Arc::new(Away)).await;
    second.leads().await;
    let renewal = Renewal { attempt_id: attempt.attempt_id.clone(), epoch: attempt.epoch };
    let told = office.client.renew(worker, vec![renewal], Duration::ZERO).await.unwrap();
    assert_eq!(told[0].status, RenewStatus::Ok, "the lease is known");
    let worker = office.register().await.worker_id;
    let leased = office.client.lease(worker, 9, LONG).await.unwrap();
    let leased: BTreeSet<_> = leased.iter().map(|attempt| attempt.task_id).collect();
    assert_eq!(leased, BTreeSet::from([queued.task_id, cancelled.task_id]));
    assert_eq!(office.state(&running).await, TaskState::Running);
    assert_eq!(
        (office.state(&behind).await, office.state(&over).await),
        (TaskState::Queued, TaskState::Done)
    );
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_commit_of_a_newer_build_nobody_leads_and_the_obstacle_names_it() {
    let named = "read event task-mended version 1 of category task: unknown to this build";
    nobody_leads_at("task-mended", &json!({}), named).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_state_that_refers_to_a_default_of_a_newer_build_nobody_leads() {
    let whole = include_str!("../../../../schemas/commits/carried-task-continued.json");
    let stored: Value = serde_json::from_str(whole).unwrap();
    let mut carried = stored["message"]["events"][0]["carried-forward"].clone();
    carried["state"]["acceptance"]["accepted"]["policy"] = json!({ "base": 2 });
    let unknown = "version 2 of the default of policies is unknown to this build";
    nobody_leads_at("carried-forward", &carried, unknown).await;
}

/// A commit with this event, in which `named` is unknown, stops the leader, and the next one at its beginning.
async fn nobody_leads_at(event: &str, data: &Value, named: &str) {
    let office = Office::open(EngineConfig::default()).await;
    let first = office.candidate_with(office.config.clone(), Arc::new(Away)).await;
    first.leads().await;
    office.tell_named(&format!("dev/task/{}", Uuid::from_u128(7)), event, data).await;
    let told = first.obstacle().await;
    assert!(told.contains(named) && told.contains("which a newer build wrote"), "{told}");
    assert!(!first.is_leading());
    first.stop().await;
    // Nor does one that meets it at its beginning.
    let second = office.candidate_with(office.config.clone(), Arc::new(Away)).await;
    assert_eq!(second.obstacle().await, told);
    assert!(!second.is_leading());
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_begins_for_longer_than_its_time_keeps_its_place() {
    let ttl = Duration::from_millis(500);
    let office = Office::open(EngineConfig { leader_ttl: ttl, ..EngineConfig::default() }).await;
    let many = Arc::new(Many { tasks: 20_000, asked: AtomicUsize::new(0) });
    let begun = Instant::now();
    let engine = office.candidate_with(office.config.clone(), many.clone()).await;
    let asked = async || (many.asked.load(Ordering::Relaxed) > 0).then_some(());
    eventually("it has won and begins", Duration::from_mins(1), asked).await;
    // Another one waits for it to fail.
    let other = office.candidate().await;
    engine.leads().await;
    assert!(begun.elapsed() > 2 * ttl, "it began in {:?}: too soon to tell anything", begun.elapsed());
    assert!(!other.is_leading());
    assert_eq!(many.asked.load(Ordering::Relaxed), 1, "it began once");
    engine.stop().await;
    other.stop().await;
}
