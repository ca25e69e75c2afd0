//! Ends every attempt at once.

use async_trait::async_trait;
use capstan_client::RunResult;

use crate::{Assignment, Conclusion, Runner};

/// Succeeds without doing anything, to measure everything but the agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopRunner;

#[async_trait]
impl Runner for NoopRunner {
    async fn run(&self, _assignment: Assignment) -> Conclusion {
        let result = RunResult { outcome: "ok".to_owned(), exit_code: Some(0), ..RunResult::default() };
        Conclusion::Report(Box::new(result))
    }
}
