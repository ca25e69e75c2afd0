//! Follows a stream of server-sent events until tasks end.

use anyhow::Context;
use serde_json::Value;

use crate::connection::Connection;
use crate::request::{host, path};
use crate::wait::{PATIENCE, Wait};

/// A stream that is being read.
pub(crate) struct Follower {
    connection: Connection,
    end_event: String,
    end_reference: String,
    bytes: Vec<u8>,
    /// Up to here `bytes` were searched for the end of a frame.
    searched: usize,
}

impl Follower {
    /// Opens the stream of `wait`; `None` where it names none.
    pub(crate) async fn open(wait: &Wait) -> anyhow::Result<Option<Self>> {
        let Some(url) = &wait.follow else { return Ok(None) };
        let mut connection = Connection::open(host(url)?).await?;
        connection.stream(path(url)?).await?;
        let mut follower = Self {
            connection,
            end_event: wait.end_event.clone().context("--end-event is missing")?,
            end_reference: wait.end_reference.clone().context("--end-reference is missing")?,
            bytes: Vec::with_capacity(64 * 1024),
            searched: 0,
        };
        // The head of the answer says that the stream stands; what follows it is live.
        follower.frame().await?;
        Ok(Some(follower))
    }

    /// Waits for the end of `reference` and answers the id of its event.
    pub(crate) async fn end_of(&mut self, reference: &str) -> anyhow::Result<String> {
        let ended = tokio::time::timeout(PATIENCE, self.find(reference)).await;
        ended.with_context(|| format!("no end of {reference} in {PATIENCE:?}"))?
    }

    async fn find(&mut self, reference: &str) -> anyhow::Result<String> {
        loop {
            let frame = self.frame().await?;
            let field = |name: &str| {
                frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
            };
            if field("event") != Some(&self.end_event) {
                continue;
            }
            let data: Value = serde_json::from_str(field("data").context("an event without data")?)?;
            if data.pointer(&self.end_reference).and_then(Value::as_str) == Some(reference) {
                return Ok(field("id").context("an event without an id")?.to_owned());
            }
        }
    }

    /// The next part of the stream that ends with an empty line; sizes of chunks within it are lines of no known field.
    async fn frame(&mut self) -> anyhow::Result<String> {
        loop {
            let end = self.bytes[self.searched..].windows(2).position(|pair| pair == b"\n\n");
            let head = self.bytes[self.searched..].windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end.map(|at| at + 2).into_iter().chain(head.map(|at| at + 4)).min() {
                let frame: Vec<u8> = self.bytes.drain(..self.searched + end).collect();
                self.searched = 0;
                return Ok(String::from_utf8_lossy(&frame).into_owned());
            }
            self.searched = self.bytes.len().saturating_sub(3);
            self.connection.read(&mut self.bytes).await?;
        }
    }
}
