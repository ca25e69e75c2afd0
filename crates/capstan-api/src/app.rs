//! The parts the api is made of.

pub(crate) mod dispatchers;
mod known_workspaces;
pub(crate) mod past_configs;

use std::sync::Arc;
use std::time::Duration;

use capstan_contract::lease::WAIT_MS_MAX;
use capstan_engine::EngineClient;
use capstan_envelope::MemoryShare;
use capstan_eventlog::{EventLog, Telemetry};
use capstan_live::LiveHub;
use capstan_projections::{ProjectorStatus, ReplayConfig};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::access::Access;
use crate::auth::holders::Holders;
use crate::auth::rates::{RateLimit, Rates};
use crate::use_case::dead_letters::store::DeadLetters;
use crate::use_case::read::Reads;
use crate::use_case::readiness::Check;
use dispatchers::Dispatchers;
use known_workspaces::KnownWorkspaces;
use past_configs::PastConfigs;

/// Limits and settings of the api.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Access without a token of a workspace.
    pub access: Access,
    /// Request rate of one token.
    pub rate: RateLimit,
    /// Longest command body, in bytes.
    pub command_bytes_max: usize,
    /// Longest message of a command or input, in bytes.
    pub message_bytes_max: usize,
    /// Longest batch of log lines, in bytes.
    pub log_batch_bytes_max: usize,
    /// Default wait of a read for its `min_position`, in milliseconds.
    pub wait_ms_default: u64,
    /// Longest wait of a read, in milliseconds.
    pub wait_ms_max: u64,
    /// Longest wait of a reply for the read models to show the changed entity, in milliseconds.
    pub show_wait_ms: u64,
    /// Time a cancelled worker has to stop, in milliseconds.
    pub cancel_grace_ms: i64,
    /// Interval of pings on an idle live stream.
    pub ping_every: Duration,
    /// Memory, processors and disk of a rebuild or a verification of the read models.
    pub replay: ReplayConfig,
    /// Memory of the configurations that agents had before their present ones.
    pub past_configs: MemoryShare,
    /// Limits of the NATS surface.
    pub nats: NatsConfig,
}

/// Limits of the NATS surface.
#[derive(Clone, Debug)]
pub struct NatsConfig {
    /// Commands executed at once, for durable commands and for requests each.
    pub concurrency: usize,
    /// Time after which another replica retries a command.
    pub ack_wait: Duration,
    /// Deliveries after which a failing command becomes a dead letter.
    pub deliveries_max: i64,
    /// Memory of the durable commands that are held or on their way from the server.
    pub intake: MemoryShare,
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
            wait_ms_max: WAIT_MS_MAX,
            show_wait_ms: 1_000,
            cancel_grace_ms: 10_000,
            ping_every: Duration::from_secs(10),
            replay: ReplayConfig::default(),
            past_configs: MemoryShare::unlimited(),
            nats: NatsConfig {
                concurrency: 64,
                ack_wait: Duration::from_mins(1),
                deliveries_max: 20,
                intake: MemoryShare::unlimited(),
            },
        }
    }
}

/// The parts the composition root provides.
pub struct Parts {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The dispatchers of all kinds of streams.
    pub dispatchers: Dispatchers,
    /// The read models.
    pub reads: Reads,
    /// The projector's status, when one runs in this process.
    pub projector: Option<watch::Receiver<ProjectorStatus>>,
    /// The client of the engine.
    pub engine: EngineClient,
    /// The live tail.
    pub live: LiveHub,
    /// The log lines of running agents.
    pub telemetry: Telemetry,
    /// Commands that could not be processed.
    pub dead_letters: DeadLetters,
    /// The readiness checks.
    pub checks: Vec<Arc<dyn Check>>,
    /// The recorder of `/metrics`.
    pub metrics: PrometheusHandle,
    /// Cancelled when the process stops: open streams and long polls end.
    pub stopping: CancellationToken,
    /// Limits and settings.
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
    pub(crate) past_configs: PastConfigs,
}

impl App {
    /// An app of these parts.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            log: parts.log,
            holders: Holders::new(parts.dispatchers.tokens.clone()),
            dispatch: parts.dispatchers,
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
            past_configs: PastConfigs::new(&parts.config.past_configs),
            config: parts.config,
            known: KnownWorkspaces::default(),
        })
    }
}

impl App {
    /// The fingerprint of a text, under the key of the log.
    pub(crate) fn fingerprint(&self, identity: &str) -> String {
        self.log.fingerprint_key().fingerprint(identity)
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}
