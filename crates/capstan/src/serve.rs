//! `capstan serve`: Capstan against a given NATS and Postgres.

use std::net::SocketAddr;

use anyhow::ensure;
use capstan_api::{Access, AdminToken};
use clap::{Args, ValueEnum};

use crate::composition::{Node, NodeConfig, Roles};
use crate::{output, shutdown};

/// Run Capstan against a given NATS and Postgres.
#[derive(Args)]
pub(crate) struct Serve {
    /// What this process does.
    #[arg(long, value_enum, default_value_t)]
    role: Role,
    /// Where the API listens.
    #[arg(long, env = "CAPSTAN_HTTP", default_value = "127.0.0.1:7070")]
    http: SocketAddr,
    /// Where NATS is.
    #[arg(long, env = "NATS_URL")]
    nats_url: String,
    /// NATS' monitoring address: from there the durability it really has is learned.
    #[arg(long, env = "CAPSTAN_NATS_MONITOR_URL")]
    nats_monitor_url: Option<String>,
    /// Where Postgres is.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The bearer token every /v1 call must carry; required beyond loopback.
    #[arg(long, env = "CAPSTAN_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Copies of each stream, when this process creates them: 1, 3 or 5.
    #[arg(long, env = "CAPSTAN_REPLICAS", default_value_t = 1)]
    replicas: usize,
    /// How long a lease lasts without renewal, in milliseconds.
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(i64).range(500..=3_600_000))]
    lease_ms: i64,
    /// Tasks of one execution class (agent, lane, policy) that run at the same time.
    #[arg(long, default_value_t = 1)]
    class_concurrency: u32,
    /// Create this workspace if it does not exist.
    #[arg(long)]
    workspace: Option<String>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Everything.
    #[default]
    All,
    /// HTTP and NATS.
    Api,
    /// Matching, leases and timers; one of all engines leads.
    Engine,
    /// The read models; one of all projectors writes.
    Projector,
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self {
            api: matches!(role, Role::All | Role::Api),
            engine: matches!(role, Role::All | Role::Engine),
            projector: matches!(role, Role::All | Role::Projector),
        }
    }
}

impl Serve {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stopping = shutdown::token()?;
        let token = self.admin_token.filter(|token| !token.trim().is_empty());
        ensure!(
            token.is_some() || self.http.ip().is_loopback(),
            "listen on {}: beyond loopback CAPSTAN_ADMIN_TOKEN is required",
            self.http
        );
        let mut config = NodeConfig::new(self.nats_url, self.database_url);
        config.roles = self.role.into();
        config.http = self.http;
        config.nats_monitor_url = self.nats_monitor_url;
        config.replicas = self.replicas;
        config.lease_ms = self.lease_ms;
        config.class_concurrency = self.class_concurrency;
        config.access = match token {
            Some(token) => Access::Token(AdminToken::new(&token)?),
            None => Access::Loopback,
        };
        let node = Node::start(config, stopping.clone()).await?;
        if let Some(workspace) = self.workspace {
            node.ensure_workspace(&workspace).await?;
        }
        output::line(&format!("ready http://{}", node.address()))?;
        node.stopped().await
    }
}
