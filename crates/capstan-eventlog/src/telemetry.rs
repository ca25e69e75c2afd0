//! The output of running agents: plentiful, kept for a while, never the truth.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use bytes::Bytes;
use capstan_envelope::Workspace;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use serde::Deserialize;
use uuid::Uuid;

use crate::jetstream::connection::{ApiError, Connection, RequestError};
use crate::jetstream::cursor::{Cursor, Event, Followed};
use crate::jetstream::get::{Gets, Stored};
use crate::jetstream::streams::{STREAM_NOT_FOUND, status};
use crate::metric;
use crate::{Difference, ReadError, Topology};

/// Lines sent before their acknowledgements are waited for.
const WINDOW: usize = 256;

/// Lines that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Some lines were not acknowledged; they may or may not be there.
    #[error("write {lost} of {total} log lines of run {run}")]
    NotWritten {
        /// The run they belong to.
        run: Uuid,
        /// Lines without an acknowledgement.
        lost: usize,
        /// Lines given.
        total: usize,
        /// Error of the first of them.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The lines cannot be read for now.
    #[error("read log lines")]
    NotRead {
        /// Error of the transport.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// One line of output.
#[derive(Clone, Debug, PartialEq)]
pub struct TelemetryLine {
    /// Its place among all lines; continue reading after it.
    pub sequence: u64,
    /// The task it belongs to.
    pub task: Uuid,
    /// The run it belongs to.
    pub run: Uuid,
    /// Time the log stored it.
    pub recorded_at: DateTime<Utc>,
    /// The line as JSON.
    pub data: Bytes,
}

/// Writes and reads the output of running agents.
#[derive(Clone, Debug)]
pub struct Telemetry {
    topology: Topology,
    writes: Connection,
    reads: Connection,
    gets: Gets,
    ack_timeout: Duration,
}

impl Telemetry {
    pub(crate) fn new(
        topology: Topology,
        writes: Connection,
        reads: Connection,
        gets: Gets,
        ack_timeout: Duration,
    ) -> Self {
        Self { topology, writes, reads, gets, ack_timeout }
    }

    /// Writes lines of one run, in order, and waits until all are stored.
    pub async fn append(
        &self,
        workspace: &Workspace,
        task: Uuid,
        run: Uuid,
        lines: Vec<Bytes>,
    ) -> Result<(), TelemetryError> {
        self.append_once(workspace, task, run, lines, None).await
    }

    /// Writes lines as [`Telemetry::append`] does. Those that were written under the same name within the last two minutes
    /// are not stored again.
    pub async fn append_once(
        &self,
        workspace: &Workspace,
        task: Uuid,
        run: Uuid,
        lines: Vec<Bytes>,
        name: Option<&str>,
    ) -> Result<(), TelemetryError> {
        let subject = self.topology.log_subject(workspace, task, run);
        let total = lines.len();
        let mut stored = 0;
        let mut trouble = None;
        for (index, window) in lines.chunks(WINDOW).enumerate() {
            let name = name.map(|name| format!("{name}/{index}"));
            let (acknowledged, refusal) = self.write(&subject, window, name.as_deref()).await;
            stored += acknowledged;
            trouble = trouble.or(refusal);
        }
        metrics::counter!(metric::TELEMETRY_LINES).increment(stored as u64);
        match trouble {
            None => Ok(()),
            Some(error) => {
                let lost = total - stored;
                Err(TelemetryError::NotWritten { run, lost, total, source: Box::new(error) })
            }
        }
    }

    /// Publishes one line after the other and then collects the acknowledgements: waiting for each in between
    /// would be slow, and sending from several tasks would lose the order.
    async fn write(
        &self,
        subject: &str,
        lines: &[Bytes],
        name: Option<&str>,
    ) -> (usize, Option<RequestError>) {
        #[derive(Deserialize)]
        struct Ack {
            error: Option<ApiError>,
        }
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            Some(RequestError::Client { subject: subject.to_owned(), source })
        };
        let client = self.writes.client();
        let (losses, denials) = (self.writes.losses(), self.writes.denials());
        let inbox = client.new_inbox();
        let mut acks = match client.subscribe(inbox.clone()).await {
            Ok(acks) => acks,
            Err(error) => return (0, failed(Box::new(error))),
        };
        for (index, line) in lines.iter().enumerate() {
            let mut headers = HeaderMap::new();
            if let Some(name) = name {
                headers.insert(NATS_MESSAGE_ID, format!("{name}/{index}"));
            }
            let (subject, inbox, line) = (subject.to_owned(), inbox.clone(), line.clone());
            let sent = client.publish_with_reply_and_headers(subject, inbox, headers, line).await;
            if let Err(error) = sent {
                return (0, failed(Box::new(error)));
            }
        }
        let (mut stored, mut refusal) = (0, None);
        for _ in lines {
            let ack = tokio::select! {
                ack = acks.next() => ack,
                denied = self.writes.denied_since(denials, subject) => return (stored, Some(denied)),
                () = self.writes.lost_since(losses) => None,
                () = tokio::time::sleep(self.ack_timeout) => {
                    let (subject, timeout) = (subject.to_owned(), self.ack_timeout);
                    return (stored, Some(RequestError::TimedOut { subject, timeout }));
                }
            };
            let Some(ack) = ack else {
                return (stored, Some(RequestError::Lost { subject: subject.to_owned() }));
            };
            match serde_json::from_slice(&ack.payload) {
                Ok(Ack { error: None }) => stored += 1,
                Ok(Ack { error: Some(ApiError { err_code: code, description }) }) => {
                    refusal = Some(RequestError::Refused { subject: subject.to_owned(), code, description });
                }
                Err(source) => {
                    refusal = Some(RequestError::Unreadable { subject: subject.to_owned(), source });
                }
            }
        }
        (stored, refusal)
    }

    /// Up to `limit` lines of a task, or of a whole workspace, after `after`, in order.
    pub async fn read(
        &self,
        workspace: &Workspace,
        task: impl Into<Option<Uuid>>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TelemetryLine>, TelemetryError> {
        let filter = self.topology.log_filter(workspace, task.into());
        let stored = self.gets.page(&filter, after, limit).await;
        let stored = stored.map_err(|error| TelemetryError::NotRead { source: Box::new(error) })?;
        Ok(stored.into_iter().filter_map(TelemetryLine::from_stored).collect())
    }

    /// Place of the last line of a task that is kept; 0 when there is none.
    pub async fn last(&self, workspace: &Workspace, task: Uuid) -> Result<u64, TelemetryError> {
        let last = self.gets.last(&self.topology.log_filter(workspace, Some(task))).await;
        let last = last.map_err(|error| TelemetryError::NotRead { source: Box::new(error) })?;
        Ok(last.map_or(0, |line| line.sequence))
    }

    /// Place of the last line ever stored, of any workspace; 0 before the first one. A place beyond it is none of these
    /// lines: the log that held it was replaced, or there never was one.
    pub async fn end(&self) -> Result<u64, TelemetryError> {
        match status(&self.reads, &self.topology.logs_stream()).await {
            Ok(status) => Ok(status.last),
            Err(RequestError::Refused { code: STREAM_NOT_FOUND, .. }) => Ok(0),
            Err(error) => Err(TelemetryError::NotRead { source: Box::new(error) }),
        }
    }

    /// Follows the lines of a task, or of a whole workspace, after `after`: kept ones first, then live ones.
    ///
    /// Lines that have aged away are skipped. A place beyond the end, left over from a log that was replaced, is
    /// taken as the end: lost lines never stop anything.
    pub async fn tail(
        &self,
        workspace: &Workspace,
        task: Option<Uuid>,
        after: u64,
    ) -> Result<TelemetryTail, TelemetryError> {
        let followed = Followed {
            connection: self.reads.clone(),
            stream: self.topology.logs_stream(),
            filter: Some(self.topology.log_filter(workspace, task)),
            is_gapless: false,
        };
        let mut cursor = Cursor::new(followed.clone(), after);
        let mut opened = cursor.open().await;
        if let Err(ReadError::Diverged { difference: Difference::EndsAt(head), .. }) = opened {
            cursor = Cursor::new(followed.clone(), head);
            opened = cursor.open().await;
        }
        opened.map_err(|error| TelemetryError::NotRead { source: Box::new(error) })?;
        Ok(TelemetryTail { cursor, followed })
    }
}

/// Follows lines of output.
#[derive(Debug)]
pub struct TelemetryTail {
    cursor: Cursor,
    followed: Followed,
}

impl TelemetryTail {
    /// Place of the last line handed out, or the place where the tail began.
    pub fn position(&self) -> u64 {
        self.cursor.sequence()
    }

    /// Waits for more lines. Cancel-safe.
    pub async fn next(&mut self) -> Result<Vec<TelemetryLine>, TelemetryError> {
        loop {
            match self.cursor.next().await {
                Ok(Event::Opened { .. }) => {}
                Ok(Event::Message(delivered)) => {
                    let mut lines = Vec::new();
                    lines.extend(TelemetryLine::from_delivered(delivered));
                    while let Some(delivered) = self.cursor.next_ready() {
                        lines.extend(TelemetryLine::from_delivered(delivered));
                    }
                    if !lines.is_empty() {
                        return Ok(lines);
                    }
                }
                Err(ReadError::Diverged { .. }) => {
                    // The lines were dropped and begin anew; so does the reader.
                    self.cursor = Cursor::new(self.followed.clone(), 0);
                }
                Err(error) => return Err(TelemetryError::NotRead { source: Box::new(error) }),
            }
        }
    }
}

impl TelemetryLine {
    fn from_stored(stored: Stored) -> Option<Self> {
        let (task, run) = Topology::parse_log(&stored.subject)?;
        Some(Self {
            sequence: stored.sequence,
            task,
            run,
            recorded_at: stored.recorded_at,
            data: stored.payload,
        })
    }

    fn from_delivered(delivered: crate::jetstream::cursor::Delivered) -> Option<Self> {
        let (task, run) = Topology::parse_log(&delivered.message.subject)?;
        Some(Self {
            sequence: delivered.sequence,
            task,
            run,
            recorded_at: delivered.recorded_at,
            data: delivered.message.payload,
        })
    }
}
