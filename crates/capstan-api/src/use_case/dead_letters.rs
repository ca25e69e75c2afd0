//! Dead letters: commands that could not be processed, and commits the read models could not fold.
//!
//! The commands are in a stream of their own, the commits in the log. Only a command can be discarded; a commit waits
//! until a later build can fold it.

pub(crate) mod store;

use capstan_contract::admin::{
    DeadLetterId, DiscardDeadLetter, GetDeadLetter, ListDeadLetters, RetryDeadLetter,
};
use capstan_contract::command::Unconditional;
use capstan_contract::query::page_size;
use capstan_domain::redaction;
use capstan_envelope::Position;
use capstan_projections::ParkedCommit;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::answer::{Answer, Installation};
use crate::App;
use crate::answered::{Answered, List};
use crate::problem::{Code, Problem};
use store::DeadCommand;

/// A kind of dead letters.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeadLetterKind {
    /// A command that could not be processed.
    Command,
    /// A commit the read models could not fold.
    Commit,
}

/// A dead letter of either kind.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadLetter {
    /// Kind and place: `command-7`, `commit-0-42-9f3ac21b`.
    id: String,
    /// Kind of the dead letter.
    kind: DeadLetterKind,
    /// The subject of a command, the stream of a commit.
    source: String,
    code: Option<String>,
    error: String,
    attempts: Option<u64>,
    #[serialize_always]
    dead_at: Option<DateTime<Utc>>,
    command_id: Option<String>,
    /// The command or the commit as stored, with secrets redacted; a text when it is not JSON.
    payload: Value,
}

/// The result of a retry or a discard.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Handled {
    /// True when nothing is left to do.
    done: bool,
    /// Number of commits of the stream that could not be folded again.
    still_parked: Option<usize>,
}

impl From<DeadCommand> for DeadLetter {
    fn from(command: DeadCommand) -> Self {
        Self {
            id: DeadLetterId::Command(command.sequence).to_string(),
            kind: DeadLetterKind::Command,
            source: command.subject,
            code: Some(command.code),
            error: command.error,
            attempts: Some(command.attempts),
            dead_at: command.dead_at,
            command_id: command.command_id.map(|id| id.to_string()),
            payload: command.payload,
        }
    }
}

impl From<ParkedCommit> for DeadLetter {
    fn from(commit: ParkedCommit) -> Self {
        let mut payload = serde_json::from_str(&commit.payload).unwrap_or(Value::String(commit.payload));
        redaction::redact(&mut payload);
        Self {
            id: DeadLetterId::Commit(commit.position).to_string(),
            kind: DeadLetterKind::Commit,
            source: commit.stream,
            code: None,
            error: commit.error,
            attempts: None,
            dead_at: Some(commit.parked_at),
            command_id: None,
            payload,
        }
    }
}

impl Answer<Installation> for ListDeadLetters {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        let (after, limit) = (self.cursor.unwrap_or(DeadLetterId::Command(0)), page_size(self.limit));
        let mut items: Vec<DeadLetter> = Vec::new();
        if let DeadLetterId::Command(after) = after {
            items.extend(app.dead_letters.list(after, limit).await?.into_iter().map(DeadLetter::from));
        }
        let left = i64::from(limit) - items.len() as i64;
        if left > 0 {
            let after = if let DeadLetterId::Commit(after) = after { after } else { Position::START };
            let parked = app.reads.models().parked_after(after, left).await?;
            items.extend(parked.into_iter().map(DeadLetter::from));
        }
        let next_cursor =
            items.last().filter(|_| items.len() as u64 >= u64::from(limit)).map(|last| last.id.clone());
        let position = app.reads.models().position().await?;
        Ok(List { items, next_cursor, position, limit, total: None }.into())
    }
}

impl Answer<Installation> for GetDeadLetter {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        let letter: DeadLetter = match self.dead_letter_id {
            DeadLetterId::Command(sequence) => app.dead_letters.one(sequence).await?.into(),
            DeadLetterId::Commit(position) => parked(app, position).await?.into(),
        };
        Ok(Answered::json(&letter))
    }
}

impl Answer<Installation> for RetryDeadLetter {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        let handled = match self.dead_letter_id {
            DeadLetterId::Command(sequence) => {
                app.dead_letters.retry(sequence).await?;
                Handled { done: true, still_parked: None }
            }
            DeadLetterId::Commit(position) => {
                let stream = parked(app, position).await?.stream;
                let stream = stream.parse().map_err(Problem::internal)?;
                let left = app.reads.models().retry_parked(&app.log, &stream).await.map_err(|error| {
                    Problem::new(Code::ReadModelUnavailable, "the commits could not be folded").because(error)
                })?;
                Handled { done: left == 0, still_parked: Some(left) }
            }
        };
        Ok(Answered::json(&handled))
    }
}

impl Answer<Installation> for DiscardDeadLetter {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        match self.dead_letter_id {
            DeadLetterId::Command(sequence) => app.dead_letters.discard(sequence).await?,
            DeadLetterId::Commit(position) => {
                parked(app, position).await?;
                let detail = "a commit of the log cannot be discarded; retry it, or rebuild the read models";
                return Err(Problem::new(Code::IllegalTransition, detail));
            }
        }
        Ok(Answered::json(&Handled { done: true, still_parked: None }))
    }
}

async fn parked(app: &App, position: Position) -> Result<ParkedCommit, Problem> {
    app.reads.models().parked_at(position).await?.ok_or_else(|| Problem::not_found("dead letter"))
}
