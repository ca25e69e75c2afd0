//! The worker's loop: leases work, executes it, renews the leases, and stops gracefully.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use capstan_client::{
    Client, DrainWorker, Error, LeaseAttempts, LeasedAttempt, RegisterWorker, RenewLeases, Renewal, WorkerId,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::ends::Ends;
use crate::execution::execute;
use crate::leases::Leases;
use crate::{Hints, LeaseState, Runner, WorkerConfig};

mod tool_calls;

/// Pause before new leases join the pending renewal, so that several join together.
const JOIN_PAUSE: Duration = Duration::from_millis(250);
/// Minimum time between two renewals.
const RENEW_PAUSE: Duration = Duration::from_millis(50);
/// Minimum time between two renewals with the same response, so that a pending hint causes no busy loop.
const SAME_ANSWER_PAUSE: Duration = Duration::from_secs(1);
/// Time limit for the end of abandoned attempts.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(20);
/// Time limit for deregistering.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// A worker could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The client cannot be set up.
    #[error("set up the client")]
    Client(#[source] Error),
    /// The server refuses this worker.
    #[error("register the worker")]
    Register(#[source] Error),
}

/// An attempt that was leased and is not executed before its lease was renewed.
struct Unconfirmed {
    leased: LeasedAttempt,
    hints: watch::Receiver<Hints>,
    /// The slot it takes.
    slot: Option<OwnedSemaphorePermit>,
}

/// The reference worker.
pub struct Worker {
    config: WorkerConfig,
    client: Client,
    /// Without one the worker executes tool calls only.
    runner: Option<Arc<dyn Runner>>,
    leases: Leases,
    /// The worker id; changes when a restarted server does not know this worker.
    identity: watch::Sender<WorkerId>,
    /// Held while registering, so that concurrent requests register once.
    registering: tokio::sync::Mutex<()>,
    unheard: tool_calls::Unheard,
    ends: Ends,
}

impl Worker {
    /// Prepares a worker; nothing is sent yet.
    pub fn new(config: WorkerConfig, runner: Arc<dyn Runner>) -> Result<Self, WorkerError> {
        Ok(Self { runner: Some(runner), ..Self::for_tools(config)? })
    }

    /// Prepares a worker that takes no attempts and executes approved tool calls only.
    pub fn for_tools(config: WorkerConfig) -> Result<Self, WorkerError> {
        let client = Client::new(&config.client).map_err(WorkerError::Client)?;
        let identity = watch::Sender::new(WorkerId(Uuid::nil()));
        Ok(Self {
            ends: Ends::new(client.clone(), identity.subscribe()),
            config,
            client,
            runner: None,
            leases: Leases::default(),
            identity,
            registering: tokio::sync::Mutex::default(),
            unheard: tool_calls::Unheard::default(),
        })
    }

    /// Works until `shutdown`, then takes no new work, waits for running attempts up to the drain time, and abandons the rest.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            registered = self.register() => registered?,
        }
        let worker = Arc::new(self);
        let giving_up = CancellationToken::new();
        let attempts = TaskTracker::new();
        let renewing = tokio::spawn(Arc::clone(&worker).keep_leases());

        // An error of one ends the other.
        let outcome = tokio::try_join!(
            worker.take_work(&shutdown, &attempts, &giving_up),
            worker.take_tool_calls(&shutdown, &attempts, &giving_up),
        );
        attempts.close();
        worker.drain(&attempts, &giving_up).await;
        renewing.abort();
        outcome.map(|((), ())| ())
    }

    async fn register(&self) -> Result<(), WorkerError> {
        let mut capabilities = self.config.capabilities.clone();
        let declared = |tool: &&String| !self.config.capabilities.tools.contains(tool);
        capabilities.tools.extend(self.config.tools.commands.keys().filter(declared).cloned());
        let registration = RegisterWorker {
            name: self.config.name.clone(),
            pools: self.config.pools.clone(),
            slots: u32::try_from(self.config.slots).unwrap_or(u32::MAX),
            labels: self.config.labels.clone(),
            capabilities,
        };
        let mut backoff = Backoff::default();
        loop {
            match self.client.send(&registration).await {
                Ok(registered) => {
                    tracing::info!(worker = %registered.worker_id, name = self.config.name, "registered");
                    self.identity.send_replace(registered.worker_id);
                    return Ok(());
                }
                Err(error) if error.is_retryable() => {
                    let pause = backoff.next(error.retry_after());
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        ?pause,
                        "the server does not respond yet"
                    );
                    tokio::time::sleep(pause).await;
                }
                Err(error) => return Err(WorkerError::Register(error)),
            }
        }
    }

    /// Registers again when the server does not know this id, as after a restart.
    async fn register_again(&self, forgotten: WorkerId) -> Result<(), WorkerError> {
        let _registering = self.registering.lock().await;
        if self.id() == forgotten { self.register().await } else { Ok(()) }
    }

    fn id(&self) -> WorkerId {
        *self.identity.borrow()
    }

    /// Keeps the slots busy until asked to stop.
    async fn take_work(
        self: &Arc<Self>,
        shutdown: &CancellationToken,
        attempts: &TaskTracker,
        giving_up: &CancellationToken,
    ) -> Result<(), WorkerError> {
        let Some(runner) = &self.runner else {
            shutdown.cancelled().await;
            return Ok(());
        };
        let slots = Arc::new(Semaphore::new(self.config.slots.max(1)));
        let mut backoff = Backoff::default();
        loop {
            let id = self.id();
            let asked = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                asked = self.ask(&slots) => asked,
            };
            match asked {
                Ok((leased, mut free, asked_at)) => {
                    backoff.reset();
                    let leased = leased.into_iter().map(|leased| Unconfirmed {
                        hints: self.leases.add(&leased, asked_at),
                        slot: free.split(1),
                        leased,
                    });
                    self.begin(runner, leased.collect(), attempts, giving_up);
                }
                Err(error) => {
                    if self.recover(&error, id, &mut backoff, shutdown).await?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Pauses after a failed request, and registers again when the server does not know this worker. Breaks when the worker
    /// stops.
    async fn recover(
        &self,
        error: &Error,
        id: WorkerId,
        backoff: &mut Backoff,
        shutdown: &CancellationToken,
    ) -> Result<ControlFlow<()>, WorkerError> {
        let pause = backoff.next(error.retry_after());
        tracing::debug!(error = error as &dyn std::error::Error, ?pause, "the request for work failed");
        let recovered = async {
            tokio::time::sleep(pause).await;
            if is_unknown_worker(error) { self.register_again(id).await } else { Ok(()) }
        };
        tokio::select! {
            () = shutdown.cancelled() => Ok(ControlFlow::Break(())),
            recovered = recovered => recovered.map(ControlFlow::Continue),
        }
    }

    /// Waits for a free slot and asks for as many attempts as there are slots free.
    async fn ask(
        &self,
        slots: &Arc<Semaphore>,
    ) -> Result<(Vec<LeasedAttempt>, OwnedSemaphorePermit, Instant), Error> {
        let mut free = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
        while let Ok(another) = Arc::clone(slots).try_acquire_owned() {
            free.merge(another);
        }
        let asked_at = Instant::now();
        let max = u32::try_from(free.num_permits()).unwrap_or(u32::MAX);
        let ask = LeaseAttempts { worker_id: self.id(), max, wait_ms: millis(self.config.lease_wait) };
        let leased = self.client.send(&ask).await?;
        // A long poll may be answered long after it was sent; the lease began at some time in between. Taking the
        // earlier end could declare a fresh lease dead, so the answer's time counts, and the first renewal corrects it.
        let asked_at = if leased.is_empty() { asked_at } else { Instant::now() };
        Ok((leased, free, asked_at))
    }

    /// Executes the attempts of one answer, once the server has renewed their leases.
    fn begin(
        self: &Arc<Self>,
        runner: &Arc<dyn Runner>,
        leased: Vec<Unconfirmed>,
        attempts: &TaskTracker,
        giving_up: &CancellationToken,
    ) {
        if leased.is_empty() {
            return;
        }
        let (worker, runner, giving_up) = (Arc::clone(self), Arc::clone(runner), giving_up.clone());
        let tracker = attempts.clone();
        attempts.spawn(async move {
            worker.confirm(&leased).await;
            for Unconfirmed { leased, hints, slot } in leased {
                let (worker, runner, giving_up) =
                    (Arc::clone(&worker), Arc::clone(&runner), giving_up.clone());
                tracker.spawn(async move {
                    let id = leased.attempt_id.clone();
                    let state = hints.borrow().lease.clone();
                    if state == LeaseState::Held {
                        let clients = (&worker.client, &worker.ends);
                        execute(clients, &*runner, leased, hints, giving_up).await;
                    } else {
                        tracing::info!(attempt = %id, ?state, "the attempt is not executed");
                    }
                    worker.leases.remove(&id);
                    drop(slot);
                });
            }
        });
    }

    /// Renews leases for the first time. Without this an answer that arrived late or twice would be executed beside the
    /// attempt that has replaced it.
    async fn confirm(&self, leased: &[Unconfirmed]) {
        let of = |one: &Unconfirmed| Renewal {
            attempt_id: one.leased.attempt_id.clone(),
            epoch: one.leased.epoch,
        };
        let mut backoff = Backoff::default();
        let is_held = |one: &Unconfirmed| one.hints.borrow().lease == LeaseState::Held;
        while leased.iter().any(is_held) {
            let (worker_id, sent_at) = (self.id(), Instant::now());
            let renew = RenewLeases { worker_id, renewals: leased.iter().map(of).collect(), wait_ms: 0 };
            let error = match self.client.send(&renew).await {
                Ok(answers) => {
                    self.leases.renewed(&answers, sent_at);
                    // An answer that took as long as the lease holds nothing any more.
                    return self.leases.expire(Instant::now());
                }
                Err(error) => error,
            };
            // The loop that renews registers again where the server has forgotten the worker.
            let pause = backoff.next(error.retry_after());
            tracing::debug!(error = &error as &dyn std::error::Error, ?pause, "new leases were not renewed");
            tokio::time::sleep(pause).await;
            self.leases.expire(Instant::now());
        }
    }

    /// Renews all leases with one long poll, so that hints arrive at once.
    async fn keep_leases(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        let mut last_answers = Vec::new();
        loop {
            if self.leases.is_empty() {
                self.leases.added.notified().await;
                tokio::time::sleep(JOIN_PAUSE).await;
            }
            let (renewals, wait) = self.leases.renewals();
            if renewals.is_empty() {
                continue;
            }
            let (worker_id, sent_at) = (self.id(), Instant::now());
            let renew = RenewLeases { worker_id, renewals, wait_ms: millis(wait) };
            let answers = tokio::select! {
                answers = self.client.send(&renew) => answers,
                () = async {
                    self.leases.added.notified().await;
                    tokio::time::sleep(JOIN_PAUSE).await;
                } => continue,
                // The server renews when it receives the request; no response after the wait counts as a failure.
                () = tokio::time::sleep(wait * 2) => {
                    self.leases.expire(Instant::now());
                    continue;
                }
            };
            let pause = match answers {
                Ok(answers) => {
                    backoff.reset();
                    self.leases.renewed(&answers, sent_at);
                    let is_same = answers == last_answers && sent_at.elapsed() < wait / 2;
                    last_answers = answers;
                    if is_same { SAME_ANSWER_PAUSE.min(wait) } else { RENEW_PAUSE }
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "leases could not be renewed");
                    if is_unknown_worker(&error)
                        && let Err(error) = self.register_again(worker_id).await
                    {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "the worker cannot register again"
                        );
                    }
                    backoff.next(error.retry_after()).min(wait)
                }
            };
            self.leases.expire(Instant::now());
            tokio::time::sleep(pause).await;
        }
    }

    async fn drain(&self, attempts: &TaskTracker, giving_up: &CancellationToken) {
        // The worker also stops without a server.
        let _ = tokio::time::timeout(FAREWELL_LIMIT, self.client.send(&DrainWorker { worker_id: self.id() }))
            .await;
        if tokio::time::timeout(self.config.drain, attempts.wait()).await.is_ok() {
            return;
        }
        tracing::info!(left = attempts.len(), "the drain time is over, abandoning the running attempts");
        giving_up.cancel();
        if tokio::time::timeout(GIVE_UP_LIMIT, attempts.wait()).await.is_err() {
            tracing::warn!(left = attempts.len(), "some attempts did not end in time");
        }
    }
}

/// On the calls under `/v1/workers`, not found always means an unknown worker.
fn is_unknown_worker(error: &Error) -> bool {
    error.code() == Some("not_found")
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A wait in milliseconds, as requests state it.
fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}
