//! The options of a worker from which each runner takes what it needs.

use std::path::{Path, PathBuf};

use crate::{Patience, StdinMode};

/// A runner cannot be made without this option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is required")]
pub struct MissingOption(pub &'static str);

/// Options of a worker's runners.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// The command line of the runner `process`, given to `sh -c`.
    pub exec: Option<String>,
    /// The command of Claude Code, with arguments of the operator if any; given to `sh -c`.
    pub claude: String,
    /// The folder for directories of sessions, if one was chosen.
    pub state_dir: Option<PathBuf>,
    /// The folder for runners that keep sessions even if none was chosen.
    pub default_state_dir: PathBuf,
    /// Closing of the standard input of a process.
    pub stdin: StdinMode,
    /// Environment variables of the worker passed to the agent, besides `PATH`, `HOME`, `LANG` and similar ones.
    pub pass_env: Vec<String>,
    /// Time limits of the agent.
    pub patience: Patience,
}

impl RunnerOptions {
    /// The options of a worker without command line, with Claude Code as `claude`.
    pub fn new(default_state_dir: impl Into<PathBuf>) -> Self {
        Self {
            exec: None,
            claude: "claude".to_owned(),
            state_dir: None,
            default_state_dir: default_state_dir.into(),
            stdin: StdinMode::default(),
            pass_env: Vec::new(),
            patience: Patience::default(),
        }
    }

    /// The folder of a runner that always keeps sessions.
    pub(crate) fn kept_state_dir(&self) -> &Path {
        self.state_dir.as_ref().unwrap_or(&self.default_state_dir)
    }
}
