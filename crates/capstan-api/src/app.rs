//! Everything the routes need, in one place.

pub(crate) mod dispatchers;

use std::sync::Arc;
use std::time::Duration;

use capstan_engine::EngineClient;
use capstan_eventlog::{EventLog, Telemetry};
use capstan_live::LiveHub;
use capstan_projections::ProjectorStatus;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::rates::{RateLimit, Rates};
use crate::auth::{Access, Holders};
use crate::use_case::dead_letters::DeadLetters;
use crate::use_case::read::Reads;
use crate::use_case::readiness::Check;
use crate::use_case::resolve::KnownWorkspaces;
use dispatchers::Dispatchers;

/// Bounds and habits of the api.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Who may call.
    pub access: Access,
    /// How many requests one token may make.
    pub rate: RateLimit,
    /// Longest command body, in bytes.
    pub command_bytes_max: usize,
    /// Longest message of a command or input, in bytes.
    pub message_bytes_max: usize,
    /// Longest batch of log lines, in bytes.
    pub log_batch_bytes_max: usize,
    /// How long a read waits for its `min_position` when it does not say, in milliseconds.
    pub wait_ms_default: u64,
    /// How long a read may wait, in milliseconds.
    pub wait_ms_max: u64,
    /// How long a command waits for the read models to show the changed task in its answer, in milliseconds.
    pub show_wait_ms: u64,
    /// How long a cancelled worker has to stop, in milliseconds.
    pub cancel_grace_ms: i64,
    /// Longest silence on a live stream.
    pub ping_every: Duration,
    /// Bounds of the NATS surface.
    pub nats: NatsConfig,
}

/// Bounds of the NATS surface.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// Commands executed at once, for each of the two ways.
    pub concurrency: usize,
    /// How long one command may take before another replica tries it.
    pub ack_wait: Duration,
    /// Tries after which a command that meets failures is set aside.
    pub deliveries_max: i64,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            access: Access::Loopback,
            rate: RateLimit::default(),
            command_bytes_max: 1 << 20,
            message_bytes_max: 256 << 10,
            log_batch_bytes_max: 4 << 20,
            wait_ms_default: 2_000,
            wait_ms_max: 30_000,
            show_wait_ms: 1_000,
            cancel_grace_ms: 10_000,
            ping_every: Duration::from_secs(10),
            nats: NatsConfig { concurrency: 64, ack_wait: Duration::from_mins(1), deliveries_max: 20 },
        }
    }
}

/// What the composition root hands over.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Everybody who executes commands.
    pub dispatchers: Dispatchers,
    /// The read models.
    pub reads: Reads,
    /// The projector's status, when one runs in this process.
    pub projector: Option<watch::Receiver<ProjectorStatus>>,
    /// The way to the engine.
    pub engine: EngineClient,
    /// The live tail.
    pub live: LiveHub,
    /// Output of running agents.
    pub telemetry: Telemetry,
    /// Commands set aside.
    pub dead_letters: DeadLetters,
    /// What readiness depends on.
    pub checks: Vec<Arc<dyn Check>>,
    /// The recorder behind `/metrics`.
    pub metrics: PrometheusHandle,
    /// Cancelled when the process stops: open streams and long polls end.
    pub stopping: CancellationToken,
    /// Bounds and habits.
    pub config: ApiConfig,
}

/// The state all routes share.
pub struct App {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) dispatch: Dispatchers,
    pub(crate) holders: Holders,
    pub(crate) rates: Rates,
    pub(crate) reads: Reads,
    pub(crate) projector: Option<watch::Receiver<ProjectorStatus>>,
    pub(crate) engine: EngineClient,
    pub(crate) live: LiveHub,
    pub(crate) telemetry: Telemetry,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) checks: Vec<Arc<dyn Check>>,
    pub(crate) metrics: PrometheusHandle,
    pub(crate) stopping: CancellationToken,
    pub(crate) config: ApiConfig,
    pub(crate) known: KnownWorkspaces,
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            log: parts.log,
            dispatch: parts.dispatchers,
            holders: Holders::default(),
            rates: Rates::new(parts.config.rate),
            reads: parts.reads,
            projector: parts.projector,
            engine: parts.engine,
            live: parts.live,
            telemetry: parts.telemetry,
            dead_letters: parts.dead_letters,
            checks: parts.checks,
            metrics: parts.metrics,
            stopping: parts.stopping,
            config: parts.config,
            known: KnownWorkspaces::default(),
        })
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}
