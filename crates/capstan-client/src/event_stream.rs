//! A live stream, followed over any number of lost connections.

use std::collections::VecDeque;
use std::time::Duration;

use capstan_contract::request::Request;
use capstan_contract::stream::StreamOptions;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{accepted, fields_of, parameters};
use crate::{Client, Error, SseEvent, SseParser};

/// The server sends at least a comment every 15 s; three of them missing is a broken connection.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// One event of a live stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveEvent {
    /// Id to resume after it; none on some control events.
    pub id: Option<String>,
    /// The event's wire name, or `snapshot`, `caught_up`, `gap`, `log`, `end`.
    pub event: String,
    /// Data as JSON text.
    pub data: String,
}

impl LiveEvent {
    /// Reads the data.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.data).map_err(|source| Error::Decode { status: 200, source })
    }
}

/// The data of a `gap`.
#[derive(Deserialize)]
struct Gap {
    reason: String,
}

/// A live stream that resumes where it was cut.
pub struct EventStream {
    client: Client,
    path: Vec<String>,
    parameters: Vec<(String, String)>,
    /// The id of the last event.
    after: Option<String>,
    connection: Option<Connection>,
    /// The place before a commit that the server could not read.
    unreadable_after: Option<String>,
    failures: u32,
    ended: bool,
}

struct Connection {
    bytes: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    parser: SseParser,
    ready: VecDeque<SseEvent>,
}

impl Client {
    /// Follows a live stream.
    pub fn follow<S: Request<Beside = StreamOptions>>(
        &self,
        stream: &S,
        options: StreamOptions,
    ) -> Result<EventStream, Error> {
        let after = options.after.map(String::from);
        let mut fields = fields_of(stream)?;
        fields.extend(fields_of(&StreamOptions { after: None, ..options })?);
        Ok(EventStream {
            path: self.path::<S>(&mut fields),
            parameters: parameters(fields),
            client: self.clone(),
            after,
            connection: None,
            unreadable_after: None,
            failures: 0,
            ended: false,
        })
    }
}

impl EventStream {
    /// The next event. Lost connections are reopened after the last event; an error is final, also that of a log which
    /// does not hold the place to resume from. `None` after `end`.
    ///
    /// Not cancel safe while it connects; an event that was handed out is never handed out again.
    pub async fn next(&mut self) -> Option<Result<LiveEvent, Error>> {
        while !self.ended {
            match self.step().await {
                Ok(Some(event)) => return Some(Ok(event)),
                Ok(None) => self.connection = None,
                Err(error) if error.is_retryable() => {
                    self.connection = None;
                    let pause = (RETRY_FIRST * 2_u32.pow(self.failures.min(6))).min(RETRY_MAX);
                    self.failures = self.failures.saturating_add(1);
                    tokio::time::sleep(error.retry_after().unwrap_or(pause)).await;
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// One event, or `None` when the connection is over.
    async fn step(&mut self) -> Result<Option<LiveEvent>, Error> {
        if self.connection.is_none() {
            self.connection = Some(self.connect().await?);
        }
        let Some(connection) = &mut self.connection else { return Ok(None) };
        while connection.ready.is_empty() {
            let bytes = tokio::time::timeout(SILENCE_LIMIT, connection.bytes.next()).await;
            match bytes.map_err(|_| Error::Silent)? {
                Some(bytes) => {
                    connection.ready.extend(connection.parser.push(&bytes.map_err(Error::Transport)?));
                }
                // A server that shuts down ends its streams politely; asking at once would only hammer it.
                None => return Err(Error::Silent),
            }
        }
        let Some(event) = connection.ready.pop_front() else { return Ok(None) };
        if event.id.is_some() {
            self.after.clone_from(&event.id);
        }
        let event = LiveEvent { id: event.id, event: event.event, data: event.data };
        match event.event.as_str() {
            "end" => self.ended = true,
            "gap" if event.json::<Gap>()?.reason == "log_diverged" => {
                return Err(Error::Diverged { after: self.after.take().unwrap_or_default() });
            }
            // The commit may be no concern of this stream, which then goes on after it; met again, it is.
            "gap" if event.json::<Gap>()?.reason == "log_unreadable" => {
                let after = self.after.as_deref().map(place_in_the_log).unwrap_or_default().to_owned();
                if self.unreadable_after.as_ref() == Some(&after) {
                    return Err(Error::Unreadable { after });
                }
                self.unreadable_after = Some(after);
            }
            // A server that can only say that it stops is asked less and less often.
            "gap" => {}
            _ => self.failures = 0,
        }
        Ok(Some(event))
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let mut request =
            self.client.endless(&self.path).header("Accept", "text/event-stream").query(&self.parameters);
        if let Some(after) = &self.after {
            request = request.header("Last-Event-ID", after);
        }
        let response = accepted(request.send().await.map_err(Error::Transport)?).await?;
        let bytes = response.bytes_stream().boxed();
        Ok(Connection { bytes, parser: SseParser::new(), ready: VecDeque::new() })
    }
}

/// An event id without its place among the log lines, which go on beside the log.
fn place_in_the_log(id: &str) -> &str {
    id.split_once('~').map_or(id, |(place, _)| place)
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream")
            .field("path", &self.path)
            .field("parameters", &self.parameters)
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_go_on_do_not_move_the_place_in_the_log() {
        for id in ["0-4-9f3ac21b.1", "0-4-9f3ac21b.1~7", "0-4-9f3ac21b.1~812"] {
            assert_eq!(place_in_the_log(id), "0-4-9f3ac21b.1");
        }
    }
}
