//! Readiness: this process accepts work, or the reasons it does not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use capstan_eventlog::{EventLog, JetStreamLog, ReadError};
use capstan_projections::{ProjectorState, ProjectorStatus, ReadModels};
use chrono::Utc;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Time limit of one check; after it, the check counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Something readiness depends on.
#[async_trait]
pub trait Check: Send + Sync {
    /// Name of the check, one word.
    fn name(&self) -> &'static str;

    /// Looks now. The texts are for operators on a page without a token: no addresses, no secrets.
    async fn look(&self) -> Finding;
}

/// The finding of a check.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Finding {
    /// True when the check passed.
    pub ok: bool,
    /// The reason of a failure, in one sentence.
    pub reason: Option<String>,
    /// Further facts, for people.
    #[serde(flatten)]
    pub facts: BTreeMap<&'static str, Value>,
}

impl Finding {
    /// A check that passed.
    pub fn ok() -> Self {
        Self { ok: true, reason: None, facts: BTreeMap::new() }
    }

    /// A check that failed, with its reason.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { ok: false, reason: Some(reason.into()), facts: BTreeMap::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, fact: impl Into<Value>) -> Self {
        self.facts.insert(name, fact.into());
        self
    }
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Readiness")]
pub(crate) struct Report {
    /// True when work is accepted.
    pub(crate) ready: bool,
    /// Reasons of the failed checks.
    reasons: Vec<String>,
    /// Findings by check.
    checks: BTreeMap<&'static str, Finding>,
}

/// Looks at everything at once.
pub(crate) async fn report(checks: &[Arc<dyn Check>], stopping: bool) -> Report {
    let look = async |check: &Arc<dyn Check>| {
        let finding = tokio::time::timeout(CHECK_TIMEOUT, check.look()).await;
        let finding = finding
            .unwrap_or_else(|_| Finding::failed(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())));
        (check.name(), finding)
    };
    let checks: BTreeMap<_, _> = join_all(checks.iter().map(look)).await.into_iter().collect();
    let mut reasons: Vec<_> = checks
        .iter()
        .filter(|(_, finding)| !finding.ok)
        .map(|(name, finding)| format!("{name}: {}", finding.reason.as_deref().unwrap_or("failed")))
        .collect();
    if stopping {
        reasons.push("the process is stopping".to_owned());
    }
    Report { ready: reasons.is_empty(), reasons, checks }
}

/// The read models: reachable, and followed closely enough.
pub struct ReadModelsCheck {
    models: ReadModels,
    log: Arc<dyn EventLog>,
    projector: Option<watch::Receiver<ProjectorStatus>>,
    lag_max: Duration,
}

impl ReadModelsCheck {
    /// Checks Postgres, and that the rows are at most `lag_max` behind the log: as the projector of this process says,
    /// or by the checkpoint where it runs in another process.
    pub fn new(
        models: ReadModels,
        log: Arc<dyn EventLog>,
        projector: Option<watch::Receiver<ProjectorStatus>>,
        lag_max: Duration,
    ) -> Self {
        Self { models, log, projector, lag_max }
    }

    /// Compares the checkpoint with the log. The lag is the age of the first commit that the rows do not show.
    async fn compare(&self) -> Finding {
        let Ok(position) = self.models.position().await else {
            return Finding::failed("the read models cannot be reached");
        };
        let finding = match (self.log.holds(position).await, self.log.next(position).await) {
            (Ok(false), _) => Finding::failed(DIVERGED),
            (Ok(true), Ok(Some(next))) => {
                let lag = (Utc::now() - next.recorded_at).to_std().unwrap_or_default();
                if lag > self.lag_max { behind(lag.as_secs_f64()) } else { Finding::ok() }
            }
            (Ok(true), Ok(None)) => Finding::ok(),
            (Err(_), _) | (_, Err(_)) => Finding::failed("the log cannot be compared with the read models"),
        };
        finding.with("position", json!(position))
    }
}

const DIVERGED: &str = "STORE_DIVERGED: the rows were made from another log; rebuild them";

fn behind(seconds: f64) -> Finding {
    Finding::failed(format!("the read models are {seconds:.0} s behind"))
}

#[async_trait]
impl Check for ReadModelsCheck {
    fn name(&self) -> &'static str {
        "read_models"
    }

    async fn look(&self) -> Finding {
        if !self.models.is_reachable().await {
            return Finding::failed("the read models cannot be reached");
        }
        let Some(status) = self.projector.as_ref().map(|status| status.borrow().clone()) else {
            return self.compare().await;
        };
        let finding = match &status.state {
            ProjectorState::Diverged { .. } => Finding::failed(DIVERGED),
            ProjectorState::WaitingForUpgrade { position, .. } => {
                Finding::failed(format!("the event at {position} is newer than this build"))
            }
            ProjectorState::Starting => Finding::failed("the projector is starting"),
            ProjectorState::Rebuilding => Finding::failed("the tables are being made"),
            ProjectorState::Failing { .. } => Finding::failed("the projector fails and tries again"),
            ProjectorState::Stopped => Finding::failed("the projector is stopped"),
            _ if status.lag_seconds > self.lag_max.as_secs_f64() => behind(status.lag_seconds),
            ProjectorState::Standby | ProjectorState::CatchingUp | ProjectorState::Live => Finding::ok(),
        };
        finding
            .with("position", json!(status.position))
            .with("lag_events", status.lag_events)
            .with("lag_seconds", status.lag_seconds)
            .with("parked_streams", status.parked_streams)
    }
}

/// The log: reachable, still the same one, and with which durability.
#[async_trait]
impl Check for JetStreamLog {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn look(&self) -> Finding {
        match self.check().await {
            Ok(head) => Finding::ok()
                .with("position", json!(head))
                .with("subjects", self.subjects())
                .with("bytes", self.bytes()),
            Err(ReadError::Diverged { .. }) => {
                Finding::failed("STORE_DIVERGED: the log is not the one it was")
            }
            Err(_) => Finding::failed("the log cannot be reached"),
        }
        .with("durability", self.durability().to_string())
        .with("server_version", self.server_version().to_string())
    }
}
