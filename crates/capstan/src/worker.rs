//! `capstan worker`: leases attempts and executes them, and executes approved tool calls.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use capstan_client::ClientConfig;
use capstan_worker::{
    AutoRunner, Patience, Runner, RunnerOptions, StdinMode, ToolConfig, Worker, WorkerConfig, runner,
    runner_names,
};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};

use crate::output::WrongUsage;
use crate::remote::Remote;
use crate::shutdown;

/// Lease attempts and execute them.
#[derive(Args)]
#[command(group(ArgGroup::new("work").args(["exec", "runner", "tools"]).required(true).multiple(true)))]
pub(crate) struct WorkerCommand {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    execution: Execution,
}

/// Options for the execution of attempts and tool calls.
#[derive(Args, Clone, Debug)]
pub(crate) struct Execution {
    /// Command line of the agent, given to `sh -c`.
    #[arg(long)]
    exec: Option<String>,
    /// Runner of attempts; `process` by default when --exec is given.
    #[arg(long, value_parser = runner_name())]
    runner: Option<String>,
    /// Command of Claude Code, for the runners `claude_code` and `auto`; given to `sh -c`, may contain arguments.
    #[arg(long, default_value = "claude")]
    claude: String,
    /// Folder for directories of sessions. By default agents of --exec get none, and those of Claude Code are in
    /// `capstan-worker` in the user's state folder, or in `worker` in the data folder of `capstan dev`.
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Attempts executed at the same time.
    #[arg(long, default_value_t = 4)]
    slots: usize,
    /// Display name of the worker.
    #[arg(long)]
    name: Option<String>,
    /// Pool to serve; may be repeated.
    #[arg(long = "pool", default_value = "default")]
    pools: Vec<String>,
    /// Closing of the agent's standard input.
    #[arg(long, value_enum, default_value_t)]
    stdin: Stdin,
    /// Time in milliseconds that an agent may wait for an answer before it is stopped.
    #[arg(long, default_value_t = 60_000)]
    wait_live_ms: u64,
    /// Time in milliseconds between asking an agent to stop and killing it.
    #[arg(long, default_value_t = 10_000)]
    grace_ms: u64,
    /// Time in milliseconds that running attempts get when the worker stops; 30000 by default, 2000 in `capstan dev`.
    #[arg(long)]
    drain_ms: Option<u64>,
    /// Environment variable passed to the agent besides PATH, HOME, LANG and similar ones; may be repeated.
    #[arg(long = "env")]
    pass_env: Vec<String>,
    /// Tool whose approved calls this worker executes: the command, given to `sh -c`, reads the arguments as JSON from
    /// standard input. A worker with tools but neither --exec nor --runner takes no attempts.
    #[arg(long = "tool", value_name = "NAME=CMD", value_parser = tool)]
    tools: Vec<(String, String)>,
    /// Environment variable passed to tools but not to agents; may be repeated.
    #[arg(long = "tool-env")]
    tool_env: Vec<String>,
    /// Time limit of a tool call in milliseconds.
    #[arg(long, default_value_t = 100_000)]
    tool_timeout_ms: u64,
}

/// Reads `NAME=CMD`.
fn tool(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(name, command)| (name.trim(), command)) {
        Some((name, command)) if !name.is_empty() && !command.trim().is_empty() => {
            Ok((name.to_owned(), command.to_owned()))
        }
        _ => Err("must be NAME=CMD".to_owned()),
    }
}

/// Closing of the agent's standard input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Stdin {
    /// After the prompt was read, unless the agent declares itself interactive.
    #[default]
    Auto,
    /// Directly after the prompt.
    Close,
    /// Not before the agent ends.
    Open,
}

impl From<Stdin> for StdinMode {
    fn from(stdin: Stdin) -> Self {
        match stdin {
            Stdin::Auto => Self::Auto,
            Stdin::Close => Self::Close,
            Stdin::Open => Self::Open,
        }
    }
}

/// The value of `--runner` that chooses by the agent's configuration.
const AUTO: &str = "auto";

/// Reads the name of a runner, with `-` for `_` as well.
fn runner_name() -> impl TypedValueParser<Value = String> {
    let named = runner_names().map(|name| PossibleValue::new(name).alias(name.replace('_', "-")));
    let auto = PossibleValue::new(AUTO).help("The runner named by the agent's configuration");
    PossibleValuesParser::new(named.chain([auto])).map(|name| name.replace('-', "_"))
}

impl Execution {
    /// The runner of attempts; `None` when nothing says how to execute them.
    pub(crate) fn runner(&self, default_state_dir: &Path) -> anyhow::Result<Option<Arc<dyn Runner>>> {
        let options = RunnerOptions {
            exec: self.exec.clone(),
            claude: self.claude.clone(),
            state_dir: self.state_dir.as_deref().map(absolute).transpose()?,
            stdin: self.stdin.into(),
            pass_env: self.pass_env.clone(),
            patience: Patience {
                grace: Duration::from_millis(self.grace_ms),
                wait_live: Duration::from_millis(self.wait_live_ms),
            },
            ..RunnerOptions::new(absolute(default_state_dir)?)
        };
        let name = match &self.runner {
            Some(name) => name,
            None if self.exec.is_some() => "process",
            None => return Ok(None),
        };
        if name == AUTO {
            return Ok(Some(Arc::new(AutoRunner::new(&options))));
        }
        let made = runner(name, &options).with_context(|| format!("find the runner {name:?}"))?;
        Ok(Some(made.with_context(|| WrongUsage(format!("use the runner {name:?}")))?))
    }

    /// True when tools are configured.
    pub(crate) fn has_tools(&self) -> bool {
        !self.tools.is_empty()
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("use the folder {}", path.display()))
}

/// The folder for state of this user that is neither configuration nor cache.
fn user_state_dir() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    state.unwrap_or_else(std::env::temp_dir).join("capstan-worker")
}

/// A worker for a server; without a runner it executes tool calls only.
pub(crate) fn build(
    client: ClientConfig,
    execution: &Execution,
    runner: Option<Arc<dyn Runner>>,
    drain_default: Duration,
) -> anyhow::Result<Worker> {
    let defaults = WorkerConfig::new(client);
    // No run requests this pool, so no run is reported as waiting for this worker.
    let pools = if runner.is_some() { execution.pools.clone() } else { vec!["tools-only".to_owned()] };
    let config = WorkerConfig {
        name: execution.name.clone().unwrap_or_else(|| defaults.name.clone()),
        pools,
        slots: execution.slots,
        tools: ToolConfig {
            commands: execution.tools.iter().cloned().collect(),
            pass_env: execution.tool_env.clone(),
            limit: Duration::from_millis(execution.tool_timeout_ms),
            ..ToolConfig::default()
        },
        drain: execution.drain_ms.map_or(drain_default, Duration::from_millis),
        ..defaults
    };
    Ok(match runner {
        Some(runner) => Worker::new(config, runner)?,
        None => Worker::for_tools(config)?,
    })
}

impl WorkerCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let stopping = shutdown::token()?;
        let runner = self.execution.runner(&user_state_dir())?;
        let worker = build(self.remote.config(), &self.execution, runner, Duration::from_secs(30))?;
        worker.run(stopping).await.context("run the worker")
    }
}

#[cfg(test)]
mod tests {
    use capstan_domain::agent_config::AgentConfig;

    use super::*;

    #[test]
    fn the_worker_has_exactly_the_runners_an_agent_may_name() {
        let mut known: Vec<_> = runner_names().collect();
        let mut accepted: Vec<_> = AgentConfig::runner_names().collect();
        known.sort_unstable();
        accepted.sort_unstable();
        assert_eq!(known, accepted);
    }

    #[test]
    fn the_name_of_a_runner_may_be_spelt_with_a_hyphen() {
        let parse = |text: &str| {
            let command = clap::Command::new("x").arg(clap::Arg::new("runner").value_parser(runner_name()));
            command.try_get_matches_from(["x", text]).ok()?.remove_one::<String>("runner")
        };
        assert_eq!(parse("claude-code").as_deref(), Some("claude_code"));
        assert_eq!(parse("process").as_deref(), Some("process"));
        assert_eq!(parse("auto").as_deref(), Some("auto"));
        assert_eq!(parse("none"), None);
    }
}
