//! Reads single messages and the messages of one subject, without a consumer.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use capstan_envelope::{CommitHash, Position};
use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::connection::{Connection, RequestError};
use crate::Topology;

/// Most messages asked for at a time; the server sends them without flow control.
const PAGE_MESSAGES: usize = 256;
/// Most bytes asked for at a time, well below what makes the server drop a slow connection.
const PAGE_BYTES: usize = 4 << 20;
/// Time limit of one page.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Names the number of the subject's last message; the server refuses a message whose writer expects another one. It is
/// stored with the message.
pub(crate) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

const NOT_FOUND: u16 = 404;
const END_OF_BATCH: u16 = 204;
/// Error code of the leader for a message that does not exist.
const NO_MESSAGE_FOUND: u64 = 10_037;

/// A message as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    /// Its number in the stream.
    pub(crate) sequence: u64,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) subject: String,
    /// Number of the subject's message before this one, as its writer expected it; 0 for none.
    pub(crate) expected: u64,
    pub(crate) payload: Bytes,
}

impl Stored {
    /// Hash of the commit that this message is.
    pub(crate) fn hash(&self, topology: &Topology) -> CommitHash {
        CommitHash::of(topology.stream_tokens(&self.subject), &self.payload)
    }

    /// The position of the commit that this message is.
    pub(crate) fn position(&self, topology: &Topology) -> Position {
        Position::new(self.sequence, self.hash(topology))
    }
}

/// Gets from one stream.
///
/// With one replica a direct get sees every acknowledged write. With more, any replica may answer a direct get,
/// so the leader is asked instead, one message at a time.
#[derive(Clone, Debug)]
pub(crate) struct Gets {
    connection: Connection,
    stream: String,
    ask_leader: bool,
}

impl Gets {
    pub(crate) fn new(connection: Connection, stream: String, replicas: usize) -> Self {
        Self { connection, stream, ask_leader: replicas > 1 }
    }

    /// The last message of a subject.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<Stored>, RequestError> {
        self.one(json!({ "last_by_subj": subject })).await
    }

    /// The message with this number.
    pub(crate) async fn at(&self, sequence: u64) -> Result<Option<Stored>, RequestError> {
        if sequence == 0 {
            return Ok(None);
        }
        self.one(json!({ "seq": sequence })).await
    }

    /// The first message after `after` whose subject matches `filter`.
    pub(crate) async fn next(&self, filter: &str, after: u64) -> Result<Option<Stored>, RequestError> {
        self.one(json!({ "seq": after.saturating_add(1), "next_by_subj": filter })).await
    }

    /// Up to `limit` messages after `after` whose subjects match `filter`, in order.
    pub(crate) async fn page(
        &self,
        filter: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Stored>, RequestError> {
        if self.ask_leader {
            let mut messages: Vec<Stored> = Vec::new();
            let mut after = after;
            while messages.len() < limit {
                let Some(message) = self.next(filter, after).await? else { break };
                after = message.sequence;
                messages.push(message);
            }
            return Ok(messages);
        }
        let mut messages: Vec<Stored> = Vec::new();
        loop {
            let wanted = PAGE_MESSAGES.min(limit - messages.len());
            if wanted == 0 {
                return Ok(messages);
            }
            let after = messages.last().map_or(after, |message| message.sequence);
            if !self.batch(filter, after, wanted, &mut messages).await? {
                return Ok(messages);
            }
        }
    }

    /// All messages after `after` whose subjects match `filter`, in order.
    pub(crate) async fn all(&self, filter: &str, after: u64) -> Result<Vec<Stored>, RequestError> {
        self.page(filter, after, usize::MAX).await
    }

    /// One batched direct get; true when more messages match.
    async fn batch(
        &self,
        filter: &str,
        after: u64,
        wanted: usize,
        messages: &mut Vec<Stored>,
    ) -> Result<bool, RequestError> {
        let subject = format!("$JS.API.DIRECT.GET.{}", self.stream);
        let question = json!({
            "seq": after.saturating_add(1), "next_by_subj": filter, "batch": wanted, "max_bytes": PAGE_BYTES,
        });
        let client = self.connection.client();
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| RequestError::Client {
            subject: subject.clone(),
            source,
        };
        let timed_out = || RequestError::TimedOut { subject: subject.clone(), timeout: TIMEOUT };
        let standing = tokio::time::timeout(TIMEOUT, self.connection.standing());
        let losses = standing.await.map_err(|_| timed_out())?;
        let denials = self.connection.denials();
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| failed(Box::new(error)))?;
        client
            .publish_with_reply(subject.clone(), inbox, question.to_string().into())
            .await
            .map_err(|error| failed(Box::new(error)))?;
        loop {
            let answer = tokio::select! {
                answer = answers.next() => answer,
                denied = self.connection.denied_since(denials, &subject) => return Err(denied),
                () = self.connection.lost_since(losses) => None,
                () = tokio::time::sleep(TIMEOUT) => return Err(timed_out()),
            };
            let Some(answer) = answer else { return Err(RequestError::Lost { subject }) };
            match answer.status.map(|status| status.as_u16()) {
                None => messages.push(read_direct(&subject, answer)?),
                Some(END_OF_BATCH) => {
                    let pending = answer.headers.as_ref().and_then(|headers| headers.get("Nats-Num-Pending"));
                    return Ok(pending.is_some_and(|pending| pending.as_str() != "0"));
                }
                Some(NOT_FOUND) => return Ok(false),
                Some(503) => return Err(RequestError::NoResponders { subject }),
                Some(code) => {
                    let description = answer.description.unwrap_or_default();
                    return Err(RequestError::Refused { subject, code: code.into(), description });
                }
            }
        }
    }

    async fn one(&self, question: Value) -> Result<Option<Stored>, RequestError> {
        if self.ask_leader {
            return self.one_from_leader(question).await;
        }
        let subject = format!("$JS.API.DIRECT.GET.{}", self.stream);
        let answer = self.connection.ask(&subject, None, question.to_string().into(), TIMEOUT).await?;
        match answer.status.map(|status| status.as_u16()) {
            None => read_direct(&subject, answer).map(Some),
            Some(NOT_FOUND) => Ok(None),
            Some(code) => Err(RequestError::Refused {
                subject,
                code: code.into(),
                description: answer.description.unwrap_or_default(),
            }),
        }
    }

    async fn one_from_leader(&self, question: Value) -> Result<Option<Stored>, RequestError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            message: Raw,
        }
        #[derive(serde::Deserialize)]
        struct Raw {
            subject: String,
            seq: u64,
            time: DateTime<Utc>,
            #[serde(default)]
            data: String,
            #[serde(default)]
            hdrs: String,
        }
        let endpoint = format!("STREAM.MSG.GET.{}", self.stream);
        match self.connection.call::<Answer>(&endpoint, &question).await {
            Ok(Answer { message }) => {
                let decoded = |text: &str| {
                    BASE64.decode(text.as_bytes()).map_err(|_| RequestError::Refused {
                        subject: endpoint.clone(),
                        code: 0,
                        description: "the data is not base64".to_owned(),
                    })
                };
                let (payload, headers) = (decoded(&message.data)?, decoded(&message.hdrs)?);
                Ok(Some(Stored {
                    sequence: message.seq,
                    recorded_at: message.time,
                    subject: message.subject,
                    expected: expected_in_text(&String::from_utf8_lossy(&headers)),
                    payload: payload.into(),
                }))
            }
            Err(RequestError::Refused { code: NO_MESSAGE_FOUND, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The expected sequence in the headers of a message; 0 where they name none.
pub(crate) fn expected_in(headers: Option<&HeaderMap>) -> u64 {
    headers
        .and_then(|headers| headers.get(EXPECTED))
        .and_then(|value| value.as_str().parse().ok())
        .unwrap_or(0)
}

/// The same in headers as they are stored: `NATS/1.0`, then a line for each.
fn expected_in_text(headers: &str) -> u64 {
    let lines = headers.lines().filter_map(|line| line.split_once(':'));
    let mut expected = lines.filter(|(name, _)| *name == EXPECTED);
    expected.next().and_then(|(_, value)| value.trim().parse().ok()).unwrap_or(0)
}

fn read_direct(asked: &str, answer: Message) -> Result<Stored, RequestError> {
    let read = |headers: &HeaderMap| {
        let text = |name: &'static str| headers.get(name).map(async_nats::HeaderValue::as_str);
        let sequence = text("Nats-Sequence")?.parse().ok()?;
        let recorded_at = DateTime::parse_from_rfc3339(text("Nats-Time-Stamp")?).ok()?.to_utc();
        Some((sequence, recorded_at, text("Nats-Subject")?.to_owned()))
    };
    let Some((sequence, recorded_at, subject)) = answer.headers.as_ref().and_then(read) else {
        return Err(RequestError::Refused {
            subject: asked.to_owned(),
            code: 0,
            description: "the answer carries no sequence, time and subject".to_owned(),
        });
    };
    let expected = expected_in(answer.headers.as_ref());
    Ok(Stored { sequence, recorded_at, subject, expected, payload: answer.payload })
}
