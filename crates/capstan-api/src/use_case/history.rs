//! The history of a task: its events in the log.

mod event_text;

use capstan_contract::query::{GetTaskHistory, Wait, page_size};
use capstan_contract::{DomainEvent, whole_records};
use capstan_domain::redaction::redacted;
use capstan_envelope::{Actor, CARRIED_FORWARD, EventRecord, Position, Recorded, StreamId, Workspace};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::answer::Answer;
use super::{resolve, streams};
use crate::App;
use crate::answered::{Answered, List};
use crate::problem::Problem;

/// One event.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HistoryEntry {
    /// The commit's position and the event's index in it, as on the live stream.
    id: String,
    position: Position,
    version: u64,
    event: String,
    /// The event in one line, for people.
    text: String,
    occurred_at: DateTime<Utc>,
    actor: Actor,
    command: String,
    command_id: Uuid,
    correlation_id: Uuid,
    /// Fields of the event.
    data: Box<RawValue>,
}

/// A page holds whole commits.
impl Answer for GetTaskHistory {
    async fn answer(self, app: &App, workspace: &Workspace, _: Wait) -> Result<Answered, Problem> {
        let (after, limit) = (self.cursor.unwrap_or_default(), page_size(self.limit));
        app.must_hold(after).await?;
        let stream = streams::task(workspace, self.task_id)?;
        must_be_of(app, &stream, after).await?;
        let commits = app.log.read_stream(&stream, after).await?;
        if commits.is_empty() {
            // Nothing after this position, or no such task.
            resolve::existing_task(app, workspace, self.task_id).await?;
        }
        let position = commits.last().map_or(after, |recorded| recorded.position);
        let mut items = Vec::new();
        let mut next_cursor = None;
        for recorded in commits {
            if !items.is_empty() && items.len() + recorded.commit.events.len() > limit as usize {
                next_cursor = Some(last_position(&items).to_string());
                break;
            }
            items.extend(entries(recorded));
        }
        Ok(List { items, next_cursor, position, limit, total: None }.into())
    }
}

/// Refuses the place of a commit of another stream.
async fn must_be_of(app: &App, stream: &StreamId, after: Position) -> Result<(), Problem> {
    let commit = if after == Position::START { None } else { app.log.at(after).await? };
    if commit.is_some_and(|recorded| recorded.commit.stream != *stream) {
        return Err(Problem::invalid_field("/cursor", "must be a next_cursor of this list"));
    }
    Ok(())
}

fn last_position(items: &[HistoryEntry]) -> Position {
    items.last().map_or(Position::START, |entry| entry.position)
}

fn entries(recorded: Recorded) -> impl Iterator<Item = HistoryEntry> {
    let Recorded { position, commit, .. } = recorded;
    let records = whole_records(&commit);
    let last = commit.events.len().saturating_sub(1);
    let (metadata, version, command_id) = (commit.metadata, commit.version, commit.commit_id.0);
    records.into_iter().enumerate().map(move |(index, record)| HistoryEntry {
        // The last event of a commit is named by the commit alone: resuming there continues after all of it.
        id: if index == last { position.to_string() } else { format!("{position}.{index}") },
        position,
        version,
        text: text(&record),
        event: record.name,
        occurred_at: metadata.occurred_at,
        actor: metadata.actor.clone(),
        command: metadata.command.clone(),
        command_id,
        correlation_id: metadata.correlation_id,
        data: redacted(&record.data).into_owned(),
    })
}

/// The event as text; the name of an event this build cannot decode.
fn text(record: &EventRecord) -> String {
    if record.name == CARRIED_FORWARD {
        return "Carried forward: what was before may be archived".to_owned();
    }
    match DomainEvent::decode("task", record) {
        Ok(DomainEvent::Task(event)) => event_text::text(&event),
        Ok(_) | Err(_) => record.name.clone(),
    }
}
