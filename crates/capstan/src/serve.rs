//! `capstan serve`: Capstan against a given NATS and Postgres.

use std::path::PathBuf;
use std::time::Duration;

use capstan_api::{Access, AdminToken, ApiConfig, NatsConfig, RateLimit};
use clap::Args;

use crate::composition::{Node, NodeConfig};
use crate::memory::MemoryBudget;
use crate::settings::{Settings, SettingsFaults};
use crate::{output, shutdown};

/// Run Capstan against a given NATS and Postgres.
///
/// Settings come from a file, the environment (CAPSTAN_ and the name, with __ between section and name) and these
/// flags; the last one wins. `capstan config defaults` prints all settings with their descriptions.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    settings: SettingsSource,
}

/// The sources of settings besides the environment.
#[derive(Args)]
pub(crate) struct SettingsSource {
    /// Settings file, TOML.
    #[arg(long, env = "CAPSTAN_CONFIG")]
    config: Option<PathBuf>,
    /// Role of this process: all, api, engine or projector.
    #[arg(long)]
    role: Option<String>,
    /// Listen address of the API.
    #[arg(long)]
    http: Option<String>,
    /// URL of NATS; several are separated by commas.
    #[arg(long)]
    pub(crate) nats_url: Option<String>,
    /// Monitoring URL of NATS, to read its actual durability.
    #[arg(long)]
    pub(crate) nats_monitor_url: Option<String>,
    /// URL of Postgres.
    #[arg(long)]
    pub(crate) database_url: Option<String>,
    /// Admin token, at least 32 characters; required beyond loopback. Prefer the environment for it.
    #[arg(long)]
    admin_token: Option<String>,
    /// Copies of each stream that this process creates: 1, 3 or 5.
    #[arg(long)]
    replicas: Option<String>,
    /// Memory for caches, recent events and queues, in MB, 64 at least; the process takes about 60 MB more, and an engine 200 to
    /// 500 bytes for each open task.
    #[arg(long)]
    memory_mb: Option<String>,
    /// Duration of a lease without renewal, in milliseconds.
    #[arg(long)]
    lease_ms: Option<String>,
    /// Tasks of one execution class (agent, lane, policy) that run at the same time.
    #[arg(long)]
    class_concurrency: Option<String>,
    /// Create this workspace if it does not exist.
    #[arg(long)]
    workspace: Option<String>,
}

impl SettingsSource {
    /// True when neither a file nor the environment nor flags can name the servers.
    pub(crate) fn names_no_servers(&self) -> bool {
        let is_unset = |name: &&str| std::env::var_os(name).is_none();
        let variables = ["NATS_URL", "DATABASE_URL", "CAPSTAN_NATS_URL", "CAPSTAN_DATABASE_URL"];
        self.config.is_none()
            && self.nats_url.is_none()
            && self.database_url.is_none()
            && variables.iter().all(is_unset)
    }

    /// Reads all settings, or reports every fault.
    pub(crate) fn read(self) -> Result<Settings, SettingsFaults> {
        let flags = [
            ("role", self.role),
            ("http", self.http),
            ("nats_url", self.nats_url),
            ("nats_monitor_url", self.nats_monitor_url),
            ("database_url", self.database_url),
            ("admin_token", self.admin_token),
            ("replicas", self.replicas),
            ("memory_mb", self.memory_mb),
            ("engine.lease_ms", self.lease_ms),
            ("engine.class_concurrency", self.class_concurrency),
            ("create_workspace", self.workspace),
        ];
        let environment = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)));
        Settings::read(self.config.as_deref(), environment, &flags)
    }
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stopping = shutdown::token()?;
        let settings = self.settings.read()?;
        let workspace = settings.create_workspace.clone();
        let node = Node::start(node_config(settings)?, stopping.clone()).await?;
        if !workspace.is_empty() {
            node.ensure_workspace(&workspace).await?;
        }
        output::line(&format!("ready http://{}", node.address()))?;
        node.stopped().await
    }
}

/// Translates the settings into the configuration of a node.
fn node_config(settings: Settings) -> anyhow::Result<NodeConfig> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let (engine, rebuild, limits) = (settings.engine, settings.rebuild, settings.limits);
    let mut config = NodeConfig::new(settings.nats_url, settings.database_url);
    config.roles = settings.role.into();
    config.http = settings.http;
    config.nats_monitor_url = some(settings.nats_monitor_url);
    config.durability = settings.durability;
    config.replicas = settings.replicas;
    config.memory = MemoryBudget::of_mb(settings.memory_mb);
    config.lease_ms = engine.lease_ms;
    config.class_concurrency = engine.class_concurrency;
    let replay = &mut config.api.replay;
    replay.memory_bytes = rebuild.memory_mb * 1_000_000;
    replay.workers = rebuild.workers;
    if let Some(directory) = some(rebuild.directory) {
        replay.directory = directory.into();
    }
    config.api = ApiConfig {
        access: match some(settings.admin_token) {
            Some(token) => Access::Token(AdminToken::new(&token)?),
            None => Access::Loopback,
        },
        rate: RateLimit { per_second: limits.requests_per_second, burst: limits.requests_burst },
        command_bytes_max: limits.command_bytes,
        message_bytes_max: limits.message_bytes,
        log_batch_bytes_max: limits.log_batch_bytes,
        wait_ms_default: limits.wait_ms_default,
        wait_ms_max: limits.wait_ms,
        cancel_grace_ms: engine.cancel_grace_ms,
        nats: NatsConfig {
            concurrency: limits.bus_concurrency,
            ack_wait: Duration::from_millis(limits.bus_ack_wait_ms),
            deliveries_max: limits.bus_deliveries,
            ..config.api.nats
        },
        ..config.api
    };
    Ok(config)
}
