//! The registry of runners: name → constructor. `--runner` and [`AutoRunner`](crate::AutoRunner) both read it.
//!
//! To add a runner, add its name to the domain's list (`agent_config.rs`), a file beside `process_runner.rs`, and a
//! line here. A test of the executable holds both lists together.

use std::sync::Arc;

use crate::claude_code_runner::ClaudeCodeRunner;
use crate::process_runner::ProcessRunner;
use crate::runner_options::MissingOption;
use crate::{Runner, RunnerOptions};

/// A constructor of a runner.
type Constructor = fn(&RunnerOptions) -> Result<Arc<dyn Runner>, MissingOption>;

/// Every runner an agent's configuration may name.
const RUNNERS: &[(&str, Constructor)] = &[
    ("claude_code", |options| Ok(Arc::new(ClaudeCodeRunner::new(options.clone())))),
    ("process", |options| Ok(Arc::new(ProcessRunner::new(options.clone())?))),
];

/// The names of all runners.
pub fn runner_names() -> impl Iterator<Item = &'static str> {
    RUNNERS.iter().map(|(name, _)| *name)
}

/// The runner of this name; `None` if there is no such runner.
pub fn runner(name: &str, options: &RunnerOptions) -> Option<Result<Arc<dyn Runner>, MissingOption>> {
    RUNNERS.iter().find(|(known, _)| *known == name).map(|(_, make)| make(options))
}
