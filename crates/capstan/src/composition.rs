//! The composition root: the only module that knows all parts of a serving process.
//!
//! [`Node::start`] connects to the servers, starts the parts of the roles and listens. [`Node::stopped`] waits for the end
//! and stops the parts in order: no more requests, then the engine resigns, then the projector releases its lease.

mod engine_check;
mod metrics;
mod progress;
mod read_models;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use capstan_api::{
    ApiConfig, App, CallContext, Check, DeadLetters, Dispatchers, Parts, ReadModelsCheck, Reads,
};
use capstan_contract::subject::Subjects;
use capstan_dispatch::Snapshots;
use capstan_engine::{Connect, Engine, EngineClient, EngineConfig, EngineHandle};
use capstan_eventlog::{DurabilityHint, EventLog, JetStreamConfig, JetStreamLog, SharedTail};
use capstan_live::{LiveConfig, LiveHub};
use capstan_projections::{Projector, ProjectorConfig, ProjectorHandle, ReadModels};
use futures_util::FutureExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::memory::{MemoryBudget, Part};

/// Lag of the read models above which this process is not ready.
const LAG_MAX: Duration = Duration::from_secs(30);

/// The roles of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Roles {
    /// HTTP and NATS.
    pub(crate) api: bool,
    /// Matching, leases and timers.
    pub(crate) engine: bool,
    /// The read models.
    pub(crate) projector: bool,
}

/// The configuration of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    pub(crate) roles: Roles,
    pub(crate) http: SocketAddr,
    pub(crate) nats_url: String,
    pub(crate) nats_monitor_url: Option<String>,
    pub(crate) durability: DurabilityHint,
    pub(crate) database_url: String,
    pub(crate) api: ApiConfig,
    pub(crate) memory: MemoryBudget,
    pub(crate) replicas: usize,
    pub(crate) lease_ms: i64,
    pub(crate) class_concurrency: u32,
    /// Name of this process among projectors. A process that is certainly the only one may keep its name, so that it does
    /// not wait for the lease of its crashed predecessor.
    pub(crate) projector_owner: Option<String>,
}

impl NodeConfig {
    /// All roles on a free loopback port.
    pub(crate) fn new(nats_url: String, database_url: String) -> Self {
        Self {
            roles: Roles { api: true, engine: true, projector: true },
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            nats_url,
            nats_monitor_url: None,
            durability: DurabilityHint::Auto,
            database_url,
            api: ApiConfig::default(),
            memory: MemoryBudget::default(),
            replicas: 1,
            lease_ms: 30_000,
            class_concurrency: 1,
            projector_owner: None,
        }
    }
}

/// The connection over which the engine keeps its leadership.
fn connect_leader(jetstream: JetStreamConfig) -> Connect {
    Arc::new(move || {
        let jetstream = jetstream.clone();
        let connecting = async move {
            let options = async_nats::ConnectOptions::new().name("capstan leader");
            let servers: Vec<_> = jetstream.url.split(',').map(str::to_owned).collect();
            jetstream.log_in(options).await?.connect(servers).await
        };
        connecting.boxed()
    })
}

/// A serving process.
pub(crate) struct Node {
    address: SocketAddr,
    log: Arc<JetStreamLog>,
    app: Arc<App>,
    stopping: CancellationToken,
    http: JoinHandle<std::io::Result<()>>,
    bus: Option<capstan_api::nats::NatsHandle>,
    engine: Option<EngineHandle>,
    stop_engine: CancellationToken,
    projector: Option<ProjectorHandle>,
    progress: JoinHandle<()>,
}

impl Node {
    /// Connects to NATS and starts the parts of the roles. When this returns, commands are taken and, unless Postgres is
    /// away, reads are answered.
    pub(crate) async fn start(config: NodeConfig, stopping: CancellationToken) -> anyhow::Result<Self> {
        let jetstream = JetStreamConfig {
            replicas: config.replicas,
            monitor_url: config.nats_monitor_url.clone(),
            durability: config.durability,
            ..JetStreamConfig::new(&config.nats_url)
        };
        let log = JetStreamLog::connect(jetstream.clone()).await.context("open the event log")?;
        let log = Arc::new(log);
        let memory = &config.memory;
        let any_log: Arc<dyn EventLog> = Arc::new(SharedTail::new(log.clone(), &memory.share(Part::Tail)));
        let read_models = ReadModels::connect(&config.database_url)?;
        read_models::prepare(&read_models, &stopping).await?;
        // Engine requests and bus commands have a separate connection: large reads must not delay them.
        let bus_client = jetstream
            .log_in(async_nats::ConnectOptions::new().name("capstan bus"))
            .await
            .context("read the credentials for NATS")?
            .connect(jetstream.url.split(',').collect::<Vec<_>>())
            .await
            .context("connect to NATS")?;
        let subjects = Subjects::default();

        let snapshots: Arc<dyn Snapshots> = Arc::new(read_models.clone());
        let dispatchers = Dispatchers::new(&any_log, &snapshots, &memory.streams());
        let live = LiveConfig { recent: memory.share(Part::Recent), ..LiveConfig::default() };
        let live = LiveHub::start(any_log.clone(), log.telemetry().clone(), live).await?;
        live.observe({
            let dispatchers = dispatchers.clone();
            move |recorded| dispatchers.observe(recorded)
        });

        let projector = config.roles.projector.then(|| {
            let announce = progress::announcer(bus_client.clone(), subjects.clone());
            let mut projector = ProjectorConfig {
                on_progress: Some(announce),
                memory: memory.projector(),
                replay: config.api.replay.clone(),
                ..ProjectorConfig::default()
            };
            if let Some(owner) = config.projector_owner.clone() {
                projector.owner = owner;
            }
            Projector::start(any_log.clone(), read_models.clone(), projector)
        });
        let progress = progress::listen(bus_client.clone(), &subjects, read_models.clone());

        let engine_config = EngineConfig {
            subjects: subjects.clone(),
            replicas: config.replicas,
            lease_ms: config.lease_ms,
            renew_every_ms: config.lease_ms / 3,
            matching: capstan_domain::matching::Config {
                class_limit: config.class_concurrency,
                ..capstan_domain::matching::Config::default()
            },
            start: memory.share(Part::Start),
            ..EngineConfig::default()
        };
        let stop_engine = CancellationToken::new();
        let engine = if config.roles.engine {
            let open_tasks = Arc::new(read_models.clone());
            let engine = Engine::start(
                engine_config,
                any_log.clone(),
                dispatchers.deciders(),
                open_tasks,
                bus_client.clone(),
                connect_leader(jetstream.clone()),
                stop_engine.clone(),
            );
            Some(engine)
        } else {
            None
        };

        let mut api = config.api;
        api.past_configs = memory.share(Part::PastConfigs);
        api.nats.intake = memory.share(Part::Intake);
        let publishing = memory.clone().publish();
        tokio::spawn({
            let stopping = stopping.clone();
            async move { stopping.run_until_cancelled(publishing).await }
        });

        let engine_client = EngineClient::new(bus_client.clone(), subjects);
        let projector_status = projector.as_ref().map(ProjectorHandle::status);
        let checks: Vec<Arc<dyn Check>> = vec![
            log.clone(),
            Arc::new(ReadModelsCheck::new(
                read_models.clone(),
                any_log.clone(),
                projector_status.clone(),
                LAG_MAX,
            )),
            Arc::new(engine_check::EngineCheck {
                client: engine_client.clone(),
                obstacle: engine.as_ref().map(EngineHandle::obstacle),
            }),
        ];
        let app = App::new(Parts {
            log: any_log,
            dispatchers,
            reads: Reads::new(read_models.clone()),
            projector: projector_status,
            engine: engine_client,
            live,
            telemetry: log.telemetry().clone(),
            dead_letters: DeadLetters::new(bus_client.clone(), log.topology().clone()),
            checks,
            metrics: metrics::recorder()?,
            stopping: stopping.clone(),
            config: api,
        });
        let listener =
            TcpListener::bind(config.http).await.with_context(|| format!("listen on {}", config.http))?;
        let address = listener.local_addr()?;
        let http = tokio::spawn(capstan_api::serve(app.clone(), listener));
        let bus = config.roles.api.then(|| capstan_api::nats::serve(&app, &bus_client, log.topology()));
        tracing::info!(%address, durability = %log.durability(), "serving");
        Ok(Self { address, log, app, stopping, http, bus, engine, stop_engine, projector, progress })
    }

    /// The listen address of the API.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The event log.
    pub(crate) fn log(&self) -> &JetStreamLog {
        &self.log
    }

    /// Creates a workspace unless it exists.
    pub(crate) async fn ensure_workspace(&self, workspace: &str) -> anyhow::Result<()> {
        self.ensure(
            "create-workspace",
            workspace,
            serde_json::json!({ "workspace": workspace }),
            "workspace_exists",
        )
        .await
    }

    /// Creates the workspace `dev` with the agent `demo` unless they exist.
    pub(crate) async fn ensure_development_workspace(&self) -> anyhow::Result<()> {
        self.ensure_workspace("dev").await?;
        let demo =
            serde_json::json!({ "agent_key": "demo", "name": "Demo", "config": { "runner": "process" } });
        self.ensure("create-agent", "dev", demo, "agent_exists").await
    }

    async fn ensure(
        &self,
        command: &str,
        workspace: &str,
        body: serde_json::Value,
        exists: &str,
    ) -> anyhow::Result<()> {
        match capstan_api::execute(
            &self.app,
            workspace,
            command,
            body.to_string().as_bytes(),
            &CallContext::new(capstan_envelope::Actor::System, chrono::Utc::now()),
        )
        .await
        {
            Ok(_) => Ok(()),
            Err(problem) if problem.code.as_str() == exists => Ok(()),
            Err(problem) => {
                anyhow::bail!("execute {command}: {} ({})", problem.detail, problem.code.as_str())
            }
        }
    }

    /// Waits until the process is asked to stop or a part fails, then stops all parts in order.
    pub(crate) async fn stopped(mut self) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = self.stopping.cancelled() => Ok(()),
            ended = &mut self.http => ended.context("join the HTTP server")?.context("serve HTTP"),
        };
        self.stopping.cancel();
        if let Some(bus) = self.bus.take() {
            bus.stop().await;
        }
        if !self.http.is_finished() {
            // Long polls and streams end once stopping is set.
            let _ = tokio::time::timeout(Duration::from_secs(10), &mut self.http).await;
        }
        if let Some(engine) = self.engine.take() {
            self.stop_engine.cancel();
            engine.join().await?;
        }
        if let Some(projector) = self.projector.take() {
            projector.stop().await;
        }
        self.progress.abort();
        outcome
    }
}
