//! Dead letters: commands that could not be processed, and commits the read models could not fold.
//!
//! The commands are in a stream of their own, the commits in the log. Only a command can be discarded; a commit waits
//! until a later build can fold it.

pub(crate) mod store;

use std::fmt;

use capstan_contract::command::Unconditional;
use capstan_contract::query::page_size;
use capstan_envelope::{Position, redaction};
use capstan_projections::ParkedCommit;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::{Answer, Installation};
use crate::App;
use crate::answered::{Answered, List};
use crate::problem::{Code, Problem};
use store::DeadCommand;

/// The id of a dead letter: `command-7`, `commit-0-42-9f3ac21b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub(crate) enum Id {
    /// A command, by its sequence in the stream of dead letters.
    Command(u64),
    /// A commit, by its position in the log.
    Commit(Position),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(sequence) => write!(f, "command-{sequence}"),
            Self::Commit(position) => write!(f, "commit-{position}"),
        }
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = text.split_once('-').and_then(|(kind, number)| match kind {
            "command" => number.parse().ok().map(Self::Command),
            "commit" => number.parse().ok().map(Self::Commit),
            _ => None,
        });
        id.ok_or("must be the id of a dead letter, as in command-7")
    }
}

/// A dead letter of either kind.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DeadLetter {
    /// Kind and place: `command-7`, `commit-0-42-9f3ac21b`.
    id: String,
    /// `command` or `commit`.
    kind: &'static str,
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
            id: Id::Command(command.sequence).to_string(),
            kind: "command",
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
            id: Id::Commit(commit.position).to_string(),
            kind: "commit",
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

/// Lists dead letters: commands first, then commits, each oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ListDeadLetters {
    /// Page size, 50 by default; a value beyond 1 to 500 counts as the nearest one.
    limit: Option<u32>,
    /// The `next_cursor` of the previous page.
    cursor: Option<Id>,
}

impl Answer<Installation> for ListDeadLetters {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        let (after, limit) = (self.cursor.unwrap_or(Id::Command(0)), page_size(self.limit));
        let mut items: Vec<DeadLetter> = Vec::new();
        if let Id::Command(after) = after {
            items.extend(app.dead_letters.list(after, limit).await?.into_iter().map(DeadLetter::from));
        }
        let left = i64::from(limit) - items.len() as i64;
        if left > 0 {
            let after = if let Id::Commit(after) = after { after } else { Position::START };
            let parked = app.reads.models().parked_after(after, left).await?;
            items.extend(parked.into_iter().map(DeadLetter::from));
        }
        let next_cursor =
            items.last().filter(|_| items.len() as u64 >= u64::from(limit)).map(|last| last.id.clone());
        let position = app.reads.models().position().await?;
        Ok(List { items, next_cursor, position, limit, total: None }.into())
    }
}

/// Reads a dead letter.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct GetDeadLetter {
    /// Id of the dead letter.
    pub(crate) dead_letter_id: Id,
}

impl Answer<Installation> for GetDeadLetter {
    async fn answer(self, app: &App, _: &Installation, _: Unconditional) -> Result<Answered, Problem> {
        let letter: DeadLetter = match self.dead_letter_id {
            Id::Command(sequence) => app.dead_letters.one(sequence).await?.into(),
            Id::Commit(position) => parked(app, position).await?.into(),
        };
        Ok(Answered::json(&letter))
    }
}

/// Publishes a command again, or folds the parked commits of a stream again, in order.
pub(crate) async fn retry(app: &App, id: Id) -> Result<Handled, Problem> {
    match id {
        Id::Command(sequence) => {
            app.dead_letters.retry(sequence).await?;
            Ok(Handled { done: true, still_parked: None })
        }
        Id::Commit(position) => {
            let stream = parked(app, position).await?.stream;
            let stream = stream.parse().map_err(Problem::internal)?;
            let left = app.reads.models().retry_parked(&app.log, &stream).await.map_err(|error| {
                Problem::new(Code::ReadModelUnavailable, "the commits could not be folded").because(error)
            })?;
            Ok(Handled { done: left == 0, still_parked: Some(left) })
        }
    }
}

/// Discards a command; a commit cannot be discarded.
pub(crate) async fn discard(app: &App, id: Id) -> Result<Handled, Problem> {
    match id {
        Id::Command(sequence) => app.dead_letters.discard(sequence).await?,
        Id::Commit(position) => {
            parked(app, position).await?;
            let detail = "a commit of the log cannot be discarded; retry it, or rebuild the read models";
            return Err(Problem::new(Code::IllegalTransition, detail));
        }
    }
    Ok(Handled { done: true, still_parked: None })
}

async fn parked(app: &App, position: Position) -> Result<ParkedCommit, Problem> {
    app.reads.models().parked_at(position).await?.ok_or_else(|| Problem::not_found("dead letter"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_as_it_is_shown() {
        for id in [Id::Command(7), Id::Commit("0-42-9f3ac21b".parse().unwrap())] {
            assert_eq!(Id::try_from(id.to_string()), Ok(id));
        }
        for text in ["", "7", "command-", "command-x", "task-1", "command-1-2", "commit-42"] {
            assert!(Id::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
