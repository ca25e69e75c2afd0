//! The stream of commands that could not be processed, with their original headers and the error.

use async_nats::Client;
use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context, Message};
use capstan_domain::redaction;
use capstan_eventlog::Topology;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::metric;
use crate::problem::{Code, Problem};

/// Header with the id of the command, which a retry keeps.
pub(crate) const COMMAND_ID: &str = "Capstan-Command-Id";
/// Prefix of the original headers, which would otherwise apply to the dead letter itself.
const ORIGINAL: &str = "Capstan-Original-";
const SUBJECT: &str = "Capstan-Subject";
const ERROR_CODE: &str = "Capstan-Error-Code";
const ERROR: &str = "Capstan-Error";
const ATTEMPTS: &str = "Capstan-Attempts";
const DEAD_AT: &str = "Capstan-Dead-At";

/// The stream of dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    jetstream: Context,
    topology: Topology,
}

/// A command that could not be processed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeadCommand {
    pub(crate) sequence: u64,
    /// The subject it was published on.
    pub(crate) subject: String,
    pub(crate) code: String,
    pub(crate) error: String,
    pub(crate) attempts: u64,
    pub(crate) dead_at: Option<DateTime<Utc>>,
    pub(crate) command_id: Option<Uuid>,
    /// The payload with secrets hidden; a text when it is not JSON.
    pub(crate) payload: Value,
}

impl DeadCommand {
    fn from_message(message: &StreamMessage) -> Self {
        let text = |name: &'static str| message.headers.get(name).map(|value| value.as_str().to_owned());
        let mut payload = serde_json::from_slice(&message.payload)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&message.payload).into_owned()));
        redaction::redact(&mut payload);
        Self {
            sequence: message.sequence,
            subject: text(SUBJECT).unwrap_or_default(),
            code: text(ERROR_CODE).unwrap_or_default(),
            error: text(ERROR).unwrap_or_default(),
            attempts: text(ATTEMPTS).and_then(|text| text.parse().ok()).unwrap_or_default(),
            dead_at: text(DEAD_AT)
                .and_then(|text| Some(text.parse::<DateTime<chrono::FixedOffset>>().ok()?.to_utc())),
            command_id: text(COMMAND_ID).and_then(|text| text.parse().ok()),
            payload,
        }
    }
}

impl DeadLetters {
    /// The dead letters of one installation.
    pub fn new(client: Client, topology: Topology) -> Self {
        Self { jetstream: jetstream::new(client), topology }
    }

    /// Stores the original payload, with its subject, its headers and the error as headers.
    pub(crate) async fn keep(
        &self,
        message: &Message,
        command_id: Option<Uuid>,
        problem: &Problem,
        deliveries: i64,
    ) -> Result<(), async_nats::Error> {
        let address = self.topology.parse_command(&message.subject);
        let source = address
            .map_or_else(|| "cmd".to_owned(), |(workspace, command)| format!("cmd.{workspace}.{command}"));
        let mut headers = HeaderMap::new();
        for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
            for value in values {
                headers.append(format!("{ORIGINAL}{name}"), value.clone());
            }
        }
        if let Some(command_id) = command_id {
            headers.insert(COMMAND_ID, command_id.to_string());
        }
        headers.insert(SUBJECT, message.subject.as_str());
        headers.insert(ERROR_CODE, problem.code.as_str());
        headers.insert(ERROR, problem.detail.replace(['\r', '\n'], " "));
        headers.insert(ATTEMPTS, deliveries.to_string());
        headers.insert(DEAD_AT, Utc::now().to_rfc3339());
        let subject = self.topology.dead_letter_subject(&source);
        self.jetstream.publish_with_headers(subject, headers, message.payload.clone()).await?.await?;
        metrics::counter!(metric::DEAD_LETTERS, "source" => "command").increment(1);
        tracing::error!(subject = %message.subject, code = problem.code.as_str(), "a command became a dead letter");
        Ok(())
    }

    /// Up to `limit` dead letters after a sequence, oldest first.
    pub(crate) async fn list(&self, after: u64, limit: u32) -> Result<Vec<DeadCommand>, Problem> {
        let stream = self.stream().await?;
        let (all, mut next, mut found) =
            (self.topology.dead_letter_subject(">"), after.saturating_add(1), Vec::new());
        while (found.len() as u64) < u64::from(limit) {
            match stream.get_first_raw_message_by_subject(&all, next).await {
                Ok(message) => {
                    next = message.sequence.saturating_add(1);
                    found.push(DeadCommand::from_message(&message));
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(found)
    }

    /// The dead letter with this sequence.
    pub(crate) async fn one(&self, sequence: u64) -> Result<DeadCommand, Problem> {
        Ok(DeadCommand::from_message(&self.message(&self.stream().await?, sequence).await?))
    }

    /// Publishes the command again on its original subject with its original id, and removes the dead letter. A repeated
    /// retry is deduplicated by the sequence of the dead letter.
    pub(crate) async fn retry(&self, sequence: u64) -> Result<(), Problem> {
        let stream = self.stream().await?;
        let message = self.message(&stream, sequence).await?;
        let subject =
            message.headers.get(SUBJECT).map(|subject| subject.as_str().to_owned()).unwrap_or_default();
        if self.topology.parse_command(&subject).is_none() {
            return Err(Problem::new(Code::IllegalTransition, "the dead letter has no original subject"));
        }
        let mut headers = HeaderMap::new();
        for (name, values) in message.headers.iter() {
            let name = name.to_string();
            // Headers for the server applied to the first publication only.
            let Some(original) = name.strip_prefix(ORIGINAL).filter(|name| !is_of_server(name)) else {
                continue;
            };
            for value in values {
                headers.append(original, value.clone());
            }
        }
        if let Some(command_id) = message.headers.get(COMMAND_ID) {
            headers.insert(COMMAND_ID, command_id.clone());
        }
        let place = format!("dead-letter-{sequence}-{}", message.time.unix_timestamp_nanos());
        headers.insert("Nats-Msg-Id", place);
        let sent = self.jetstream.publish_with_headers(subject, headers, message.payload.clone()).await;
        sent.map_err(unavailable)?.await.map_err(unavailable)?;
        stream.delete_message(sequence).await.map_err(unavailable)?;
        Ok(())
    }

    /// Removes the dead letter.
    pub(crate) async fn discard(&self, sequence: u64) -> Result<(), Problem> {
        let stream = self.stream().await?;
        self.message(&stream, sequence).await?;
        stream.delete_message(sequence).await.map_err(unavailable)?;
        tracing::info!(sequence, "a dead letter was discarded");
        Ok(())
    }

    async fn stream(&self) -> Result<Stream, Problem> {
        self.jetstream.get_stream(self.topology.dead_letters_stream()).await.map_err(unavailable)
    }

    async fn message(&self, stream: &Stream, sequence: u64) -> Result<StreamMessage, Problem> {
        if sequence == 0 {
            // The server would not take it for a number at all.
            return Err(Problem::not_found("dead letter"));
        }
        stream.get_raw_message(sequence).await.map_err(|error| match error.kind() {
            RawMessageErrorKind::NoMessageFound => Problem::not_found("dead letter"),
            _ => unavailable(error),
        })
    }
}

/// True for headers that address the server.
fn is_of_server(name: &str) -> bool {
    name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-"))
        || name.eq_ignore_ascii_case(COMMAND_ID)
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::new(Code::LogUnavailable, "the dead letters are temporarily unavailable").because(error)
}
