//! The state of a run at each of its turning points, from the history of its task.

use capstan_contract::TaskCodec;
use capstan_contract::query::{ListRunSnapshots, Wait, page_size};
use capstan_domain::id::{AttemptId, RunId, TaskId};
use capstan_domain::task::Event;
use capstan_domain::task::event::RunStatus;
use capstan_envelope::{Codec, Position, Workspace};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::Answer;
use super::{resolve, streams};
use crate::App;
use crate::answered::{Answered, List};
use crate::problem::Problem;

/// A turning point of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TurningPoint {
    /// It was requested.
    Accepted,
    /// An attempt was leased to a worker.
    Leased,
    /// The attempt began.
    Started,
    /// The worker was asked to stop.
    StopRequested,
    /// The attempt ended.
    AttemptEnded,
    /// Another attempt will follow.
    RetryScheduled,
    /// It ended.
    Finished,
}

/// A run at one of its turning points.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct RunSnapshot {
    /// Its place among the run's snapshots, from 1.
    seq: u32,
    run_id: RunId,
    task_id: TaskId,
    /// The turning point.
    event: TurningPoint,
    status: RunStatus,
    attempt_id: Option<AttemptId>,
    /// Start of the newest lease.
    #[serde(skip)]
    leased_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    exit_code: Option<i32>,
    error: Option<String>,
    at: DateTime<Utc>,
}

impl Answer for ListRunSnapshots {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let Self { run_id, .. } = self;
        let (after, limit) = (self.cursor.unwrap_or_default(), page_size(self.limit));
        let task_id = resolve::task_of(app, workspace, &run_id, "run").await?;
        let stream = streams::task(workspace, task_id)?;
        let commits = app.log.read_stream(&stream, Position::START).await?;
        let position = commits.last().map_or(Position::START, |recorded| recorded.position);
        let events = commits.iter().filter_map(|recorded| TaskCodec::decode(&recorded.commit).ok()).flatten();
        let mut items = snapshots(task_id, run_id, events);
        if items.last().map_or(0, |last| last.seq) < after {
            return Err(Problem::invalid_field("/cursor", "must be a next_cursor of this list"));
        }
        items.retain(|snapshot| snapshot.seq > after);
        let is_more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_cursor = items.last().filter(|_| is_more).map(|snapshot| snapshot.seq.to_string());
        Ok(List { items, next_cursor, position, limit, total: None }.into())
    }
}

fn snapshots(task_id: TaskId, run_id: RunId, facts: impl Iterator<Item = Event>) -> Vec<RunSnapshot> {
    let mut taken: Vec<RunSnapshot> = Vec::new();
    for fact in facts {
        let last = taken.last().cloned();
        let Some(mut next) = turned(task_id, run_id, last, &fact) else { continue };
        next.seq = u32::try_from(taken.len()).unwrap_or(u32::MAX).saturating_add(1);
        taken.push(next);
    }
    taken
}

/// The state of the run after this fact, when the fact is one of its turning points.
fn turned(task_id: TaskId, run_id: RunId, last: Option<RunSnapshot>, fact: &Event) -> Option<RunSnapshot> {
    if let Event::RunRequested(e) = fact
        && e.run_id == run_id
    {
        return Some(RunSnapshot {
            seq: 1,
            run_id,
            task_id,
            event: TurningPoint::Accepted,
            status: RunStatus::Accepted,
            attempt_id: None,
            leased_at: None,
            started_at: None,
            ended_at: None,
            exit_code: None,
            error: None,
            at: e.queued_at,
        });
    }
    let mut next = last?;
    match fact {
        Event::AttemptLeased(e) if e.run_id == run_id => {
            (next.event, next.at, next.attempt_id) =
                (TurningPoint::Leased, e.leased_at, Some(e.attempt_id.clone()));
            (next.leased_at, next.exit_code, next.error) = (Some(e.leased_at), None, None);
        }
        Event::AttemptStarted(e) if e.run_id == run_id => {
            next.event = TurningPoint::Started;
            if next.ended_at.is_none() {
                next.status = RunStatus::Running;
            }
            next.started_at = next.started_at.or(next.leased_at);
        }
        Event::AttemptCancelRequested(e) if e.run_id == run_id => {
            (next.event, next.error) = (TurningPoint::StopRequested, Some(e.reason.clone()));
        }
        Event::AttemptEnded(e) if e.run_id == run_id => {
            (next.event, next.at) = (TurningPoint::AttemptEnded, e.ended_at);
            (next.exit_code, next.error) = (e.exit_code, e.error.clone());
        }
        Event::RetryScheduled(e) if e.run_id == run_id => {
            (next.event, next.status, next.attempt_id) =
                (TurningPoint::RetryScheduled, RunStatus::Accepted, None);
        }
        Event::RunEnded(e) if e.run_id == run_id => {
            (next.event, next.at, next.status) = (TurningPoint::Finished, e.ended_at, e.status);
            (next.exit_code, next.error) = (e.exit_code, e.error.clone());
            next.ended_at = Some(e.ended_at);
        }
        _ => return None,
    }
    Some(next)
}
