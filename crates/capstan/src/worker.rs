//! `capstan worker`: lease attempts and execute them as processes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use capstan_client::ClientConfig;
use capstan_worker::{ProcessConfig, ProcessRunner, Runner, StdinMode, Worker, WorkerConfig};
use clap::{Args, ValueEnum};

use crate::remote::Remote;
use crate::shutdown;

/// Lease attempts and execute them as processes.
#[derive(Args)]
pub(crate) struct WorkerCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    execution: Execution,
}

/// How attempts are executed.
#[derive(Args, Clone, Debug)]
pub(crate) struct Execution {
    /// The agent's command line, given to `sh -c`.
    #[arg(long)]
    exec: Option<String>,
    /// Attempts executed at the same time.
    #[arg(long, default_value_t = 4)]
    slots: usize,
    /// A name for people.
    #[arg(long)]
    name: Option<String>,
    /// The pools to serve.
    #[arg(long = "pool", default_value = "default")]
    pools: Vec<String>,
    /// When the agent's standard input is closed.
    #[arg(long, value_enum, default_value_t)]
    stdin: Stdin,
    /// How long an agent that waits for an answer is kept alive, in milliseconds.
    #[arg(long, default_value_t = 60_000)]
    wait_live_ms: u64,
    /// How long an agent that was asked to stop may take, in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    grace_ms: u64,
    /// How long running attempts may go on once the worker is told to stop, in milliseconds; 30000 by default, 2000 in
    /// `capstan dev`.
    #[arg(long)]
    drain_ms: Option<u64>,
    /// Environment variables handed on to the agent besides PATH, HOME, LANG and the like.
    #[arg(long = "env")]
    pass_env: Vec<String>,
}

/// When the agent's standard input is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Stdin {
    /// After the prompt was read, unless the agent said that it is interactive.
    #[default]
    Auto,
    /// Right after the prompt.
    Close,
    /// When the agent ends.
    Open,
}

impl Execution {
    /// What executes attempts, if a command line was given.
    pub(crate) fn runner(&self) -> Option<Arc<dyn Runner>> {
        let command = self.exec.as_ref()?;
        let config = ProcessConfig {
            stdin: match self.stdin {
                Stdin::Auto => StdinMode::Auto,
                Stdin::Close => StdinMode::Close,
                Stdin::Open => StdinMode::Open,
            },
            pass_env: self.pass_env.clone(),
            grace: Duration::from_millis(self.grace_ms),
            wait_live: Duration::from_millis(self.wait_live_ms),
            ..ProcessConfig::new(command.clone())
        };
        Some(Arc::new(ProcessRunner::new(config)))
    }
}

/// A worker for a server.
pub(crate) fn build(
    client: ClientConfig,
    execution: &Execution,
    runner: Arc<dyn Runner>,
    drain_default: Duration,
) -> anyhow::Result<Worker> {
    let defaults = WorkerConfig::new(client);
    let config = WorkerConfig {
        name: execution.name.clone().unwrap_or_else(|| defaults.name.clone()),
        pools: execution.pools.clone(),
        slots: execution.slots,
        drain: execution.drain_ms.map_or(drain_default, Duration::from_millis),
        ..defaults
    };
    Ok(Worker::new(config, runner)?)
}

impl WorkerCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stopping = shutdown::token()?;
        let runner = self.execution.runner().context("start a worker: --exec says what to execute")?;
        let worker = build(self.remote.config(), &self.execution, runner, Duration::from_secs(30))?;
        worker.run(stopping).await.context("run the worker")
    }
}
