//! Chooses the runner of each attempt by the agent's configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use capstan_client::{ErrorClass, FinishAttempt, ReportedOutcome};
use serde_json::Value;

use crate::registry::{runner, runner_names};
use crate::{Assignment, Conclusion, Runner, RunnerOptions};

/// Chooses by `agent_config.runner`.
#[derive(Clone)]
pub struct AutoRunner {
    runners: BTreeMap<&'static str, Arc<dyn Runner>>,
}

impl AutoRunner {
    /// Every runner that these options suffice for.
    pub fn new(options: &RunnerOptions) -> Self {
        let make = |name| Some((name, runner(name, options)?.ok()?));
        Self { runners: runner_names().filter_map(make).collect() }
    }
}

#[async_trait]
impl Runner for AutoRunner {
    async fn run(&self, assignment: Assignment) -> Conclusion {
        let name = assignment.leased.agent_config.get("runner").and_then(Value::as_str).unwrap_or_default();
        match self.runners.get(name) {
            Some(runner) => runner.run(assignment).await,
            None => Conclusion::Report(Box::new(FinishAttempt {
                error: Some(format!("this worker does not have the runner {name:?}")),
                error_class: Some(ErrorClass::Terminal),
                ..FinishAttempt::new(ReportedOutcome::Error)
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_configured_runner_is_chosen() {
        let names =
            |options: &RunnerOptions| AutoRunner::new(options).runners.into_keys().collect::<Vec<_>>();
        let without_exec = RunnerOptions::new("/state");
        assert_eq!(names(&without_exec), ["claude_code"]);
        let with_exec = RunnerOptions { exec: Some("true".to_owned()), ..RunnerOptions::new("/state") };
        assert_eq!(names(&with_exec), ["claude_code", "process"]);
    }
}
