//! Lets the agent's configuration say who executes its attempts.

use async_trait::async_trait;
use capstan_client::RunResult;
use serde_json::Value;

use crate::{Assignment, ClaudeCodeRunner, Conclusion, ProcessRunner, Runner};

/// Chooses by `agent_config.runner`.
#[derive(Clone, Debug, Default)]
pub struct AutoRunner {
    /// Executes agents of the runner `process`.
    pub process: Option<ProcessRunner>,
    /// Executes agents of the runner `claude_code`.
    pub claude_code: Option<ClaudeCodeRunner>,
}

impl AutoRunner {
    fn named(&self, name: &str) -> Option<&dyn Runner> {
        match name {
            "process" => self.process.as_ref().map(|runner| runner as &dyn Runner),
            "claude_code" => self.claude_code.as_ref().map(|runner| runner as &dyn Runner),
            _ => None,
        }
    }
}

#[async_trait]
impl Runner for AutoRunner {
    async fn run(&self, assignment: Assignment) -> Conclusion {
        let name = assignment.leased.agent_config.get("runner").and_then(Value::as_str).unwrap_or_default();
        match self.named(name) {
            Some(runner) => runner.run(assignment).await,
            None => Conclusion::Report(Box::new(RunResult {
                outcome: "error".to_owned(),
                error: Some(format!("this worker does not have the runner {name:?}")),
                error_class: Some("terminal".to_owned()),
                ..RunResult::default()
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProcessConfig;

    #[test]
    fn only_a_configured_runner_is_chosen() {
        let process = Some(ProcessRunner::new(ProcessConfig::new("true")));
        let auto = AutoRunner { process, claude_code: None };
        assert!(auto.named("process").is_some());
        assert!(auto.named("claude_code").is_none() && auto.named("air").is_none());
    }
}
