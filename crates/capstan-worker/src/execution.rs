//! One attempt, from its lease to its report.

use std::sync::Arc;

use capstan_client::{Client, Error, LeasedAttempt, RunResult};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Assignment, Conclusion, Hints, ReportError, Reporter, Runner};

/// Starts, executes and reports. Nothing is executed before the server accepted the start.
pub(crate) async fn execute(
    client: &Client,
    runner: &dyn Runner,
    leased: LeasedAttempt,
    hints: watch::Receiver<Hints>,
    giving_up: CancellationToken,
) {
    let reporter = Reporter::new(client.attempt(&leased.attempt_id, leased.epoch), hints.clone());
    let leased = Arc::new(leased);
    let attempt = &leased.attempt_id;
    if let Err(error) = reporter.start().await {
        // Cancelled before it began, or given to another: either way there is nothing to execute.
        tracing::info!(%attempt, error = &error as &dyn std::error::Error, "the attempt was not started");
        return;
    }
    let assignment = Assignment { leased: Arc::clone(&leased), reporter: reporter.clone(), hints, giving_up };
    match runner.run(assignment).await {
        Conclusion::Abandon => tracing::info!(%attempt, "the attempt was abandoned"),
        Conclusion::Return { reason } => match reporter.give_back(&reason).await {
            Ok(()) => tracing::info!(%attempt, "the attempt was given back"),
            // Left to the lease's end; what was told to stop ends with its grace.
            Err(error) => {
                tracing::info!(%attempt, error = &error as &dyn std::error::Error, "the attempt could not be given back");
            }
        },
        Conclusion::Report(result) => match reporter.finish(&result).await {
            Ok(()) => tracing::debug!(%attempt, outcome = result.outcome, "the attempt was reported"),
            Err(ReportError::Lost) => tracing::info!(%attempt, "the lease was lost before the report"),
            Err(ReportError::Refused(error)) => report_refusal(&reporter, &result, &error).await,
        },
    }
}

/// What the agent planned cannot be done: it would be refused again after every further try, so the run fails with it.
async fn report_refusal(reporter: &Reporter, result: &RunResult, refusal: &Error) {
    tracing::warn!(
        attempt = reporter.attempt_id(),
        error = refusal as &dyn std::error::Error,
        "the report was refused"
    );
    let plain = RunResult {
        outcome: "error".to_owned(),
        exit_code: result.exit_code,
        error: Some(format!("the report of the run's end was refused: {refusal}")),
        error_class: Some("terminal".to_owned()),
        ..RunResult::default()
    };
    if let Err(error) = reporter.finish(&plain).await {
        // Left to the lease's end, so that the task does not hang on a report nobody takes.
        let attempt = reporter.attempt_id();
        tracing::error!(
            attempt,
            error = &error as &dyn std::error::Error,
            "the plain report was refused too"
        );
    }
}
