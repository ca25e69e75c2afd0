//! The read models as an administrator sees them: their progress, rebuild and verification.

use std::time::Duration;

use capstan_contract::admin::{ListProjections, RebuildProjection, VerifyProjection};
use capstan_contract::command::Unconditional;
use capstan_envelope::Position;
use capstan_projections::{
    MODELS, ProjectorConfig, ProjectorState, RebuildError, RebuildReport, VerifyReport, Which,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Answer, Installation};
use crate::App;
use crate::answered::{Answered, List};
use crate::problem::{Code, Problem};

/// Longest wait for a rebuild or a verification; both continue in the background.
const WAIT: Duration = Duration::from_secs(20);

/// The name that stands for all read models.
const ALL: &str = "all";

/// A read model and its progress. All models of a process move together.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Projection {
    name: &'static str,
    version: i32,
    /// State of the projector of this process; absent when none runs here.
    projector: Option<ProjectorState>,
    position: Position,
    head: Position,
    lag_events: u64,
    lag_seconds: Option<f64>,
    parked_streams: Option<usize>,
}

/// The result of a job, as far as it is known when the response is sent.
#[serde_with::skip_serializing_none]
#[derive(Serialize, JsonSchema)]
pub(crate) struct Job<R> {
    /// False while the job continues in the background.
    pub(crate) done: bool,
    /// True when the rows equal the log, after a verification.
    ok: Option<bool>,
    /// Result of the job that has ended.
    report: Option<R>,
}

impl<R: Serialize> From<Job<R>> for Answered {
    /// 200 with the result, or 202 while the job is running.
    fn from(job: Job<R>) -> Self {
        Self { status: if job.done { 200 } else { 202 }, ..Self::json(&job) }
    }
}

impl Answer<Installation> for ListProjections {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        let head = app.log.head().await?;
        let position = app.reads.models().position().await?;
        let status = app.projector.as_ref().map(|status| status.borrow().clone());
        let items = MODELS
            .iter()
            .map(|model| Projection {
                name: model.name,
                version: model.version,
                projector: status.as_ref().map(|status| status.state.clone()),
                position,
                head,
                lag_events: head.commits_since(position),
                lag_seconds: status.as_ref().map(|status| status.lag_seconds),
                parked_streams: status.as_ref().map(|status| status.parked_streams),
            })
            .collect();
        Ok(List { items, next_cursor: None, position, limit: MODELS.len() as u32, total: None }.into())
    }
}

impl Answer<Installation> for RebuildProjection {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        Ok(rebuild(app, self.name).await?.into())
    }
}

async fn rebuild(app: &App, name: String) -> Result<Job<RebuildReport>, Problem> {
    let which = if name == ALL { Which::All } else { Which::Some(vec![name]) };
    let (log, models) = (app.log.clone(), app.reads.models().clone());
    let config = ProjectorConfig { replay: app.config.replay.clone(), ..ProjectorConfig::default() };
    run(async move {
        let rebuilt = capstan_projections::rebuild(&log, &models, &which, &config).await;
        match &rebuilt {
            Ok(report) => {
                tracing::info!(schema = report.schema, events = report.events, "the read models are rebuilt");
            }
            Err(error) => tracing::warn!(%error, "failed to rebuild the read models"),
        }
        Ok(Job { done: true, ok: None, report: Some(rebuilt?) })
    })
    .await
}

impl Answer<Installation> for VerifyProjection {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        Ok(verify(app, self.name).await?.into())
    }
}

/// Differences are logged too, since the comparison may end after the response.
async fn verify(app: &App, name: String) -> Result<Job<VerifyReport>, Problem> {
    if name != ALL && !MODELS.iter().any(|model| model.name == name) {
        return Err(Problem::not_found("read model"));
    }
    let (log, models, replay) = (app.log.clone(), app.reads.models().clone(), app.config.replay.clone());
    run(async move {
        let mut report = capstan_projections::verify(&log, &models, &replay).await.map_err(|error| {
            Problem::new(Code::ReadModelUnavailable, "the rows could not be compared").because(error)
        })?;
        report.differences.retain(|difference| name == ALL || difference.model == name);
        let is_equal = report.differences.is_empty();
        for difference in &report.differences {
            tracing::error!(model = difference.model, rows = difference.count, "rows differ from the log");
        }
        Ok(Job { done: true, ok: Some(is_equal), report: Some(report) })
    })
    .await
}

/// Runs a job in the background and waits for its result for a while.
async fn run<R: Send + 'static>(
    job: impl Future<Output = Result<Job<R>, Problem>> + Send + 'static,
) -> Result<Job<R>, Problem> {
    let mut running = tokio::spawn(job);
    match tokio::time::timeout(WAIT, &mut running).await {
        Ok(Ok(result)) => result,
        Ok(Err(panicked)) => Err(Problem::internal(panicked)),
        Err(_) => Ok(Job { done: false, ok: None, report: None }),
    }
}

impl From<RebuildError> for Problem {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::UnknownModel(_) => Self::not_found("read model"),
            RebuildError::Busy => Self::new(Code::IllegalTransition, "another rebuild is running"),
            error => Self::new(
                Code::ReadModelUnavailable,
                "the read models could not be rebuilt; they are unchanged",
            )
            .because(error),
        }
    }
}
