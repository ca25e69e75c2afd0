//! One attempt, from its lease to its report.

use std::sync::Arc;

use capstan_client::{
    Client, Error, ErrorClass, FinishAttempt, LeaseConditions, LeasedAttempt, ReportedOutcome,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ends::Ends;
use crate::reporter::FetchError;
use crate::{Assignment, Conclusion, Hints, ReportError, Reporter, Runner};

/// Executes an attempt whose lease the server has renewed, and reports.
pub(crate) async fn execute(
    (client, ends): (&Client, &Ends),
    runner: &dyn Runner,
    leased: LeasedAttempt,
    hints: watch::Receiver<Hints>,
    giving_up: CancellationToken,
) {
    let lease = LeaseConditions {
        attempt_id: leased.attempt_id.clone(),
        lease_epoch: leased.epoch,
        idempotency_key: None,
        command_id: None,
    };
    let reporter = Reporter::new(client.clone(), ends.clone(), lease, hints.clone());
    let attempt = &leased.attempt_id.clone();
    let leased = if leased.omitted.is_empty() {
        Arc::new(leased)
    } else {
        match reporter.fetch().await {
            Ok(whole) => Arc::new(whole),
            Err(error) => return not_fetched(&reporter, &error).await,
        }
    };
    let assignment = Assignment { leased: Arc::clone(&leased), reporter: reporter.clone(), hints, giving_up };
    match runner.run(assignment).await {
        Conclusion::Abandon => tracing::info!(%attempt, "the attempt was abandoned"),
        Conclusion::Return { reason } => match reporter.give_back(&reason).await {
            Ok(()) => tracing::info!(%attempt, "the attempt was returned"),
            // Left until the lease ends; a cancelled attempt ends with its grace time.
            Err(error) => {
                tracing::info!(%attempt, error = &error as &dyn std::error::Error, "the attempt could not be returned");
            }
        },
        Conclusion::Report(result) => match reporter.finish(&result).await {
            Ok(()) => {
                tracing::debug!(%attempt, outcome = ?result.outcome, "the attempt was reported");
            }
            Err(ReportError::Lost) => tracing::info!(%attempt, "the lease was lost before the report"),
            Err(ReportError::Refused(error)) => report_refusal(&reporter, &result, &error).await,
        },
    }
}

/// An attempt that cannot be read as a whole is returned, unless its lease is lost.
async fn not_fetched(reporter: &Reporter, error: &FetchError) {
    let attempt = reporter.attempt_id();
    tracing::warn!(%attempt, error = error as &dyn std::error::Error, "the attempt was not fetched");
    if !matches!(error, FetchError::Call(ReportError::Lost))
        && let Err(error) = reporter.give_back(&format!("the attempt was not fetched: {error}")).await
    {
        tracing::info!(%attempt, error = &error as &dyn std::error::Error, "the attempt could not be returned");
    }
}

/// A refused plan of the agent fails the run: a retry would be refused again.
async fn report_refusal(reporter: &Reporter, result: &FinishAttempt, refusal: &Error) {
    tracing::warn!(
        attempt = %reporter.attempt_id(),
        error = refusal as &dyn std::error::Error,
        "the report was refused"
    );
    let plain = FinishAttempt {
        exit_code: result.exit_code,
        error: Some(format!("the report of the run's end was refused: {refusal}")),
        error_class: Some(ErrorClass::Terminal),
        ..FinishAttempt::new(ReportedOutcome::Error)
    };
    if let Err(error) = reporter.finish(&plain).await {
        // Left until the lease ends, so that the task is not blocked by a report that is always refused.
        let attempt = reporter.attempt_id();
        tracing::error!(
            %attempt,
            error = &error as &dyn std::error::Error,
            "the report without the plan was refused too"
        );
    }
}
