//! How a client learns the result of a submission.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use crate::connection::Connection;
use crate::request::{host, path};

/// Longest wait for one result.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The read that shows a result, and how often it is repeated.
#[derive(Args, Clone)]
pub(crate) struct Wait {
    /// Address to GET the result from; `{ref}` is replaced by its name.
    #[arg(long)]
    result: String,
    /// Text that the answer contains once the result is there; a 2xx answer is enough by default.
    #[arg(long)]
    done: Option<String>,
    /// Pause between two reads of one result in milliseconds.
    #[arg(long, default_value_t = 2)]
    poll_ms: u64,
    /// Stream of server-sent events that tells of ends, in the place of repeated reads. The id of an event is `{position}`
    /// in the address of the result.
    #[arg(long, requires_all = ["end_event", "end_reference"])]
    pub(crate) follow: Option<String>,
    /// Name of the event that ends a task.
    #[arg(long)]
    pub(crate) end_event: Option<String>,
    /// JSON pointer into the data of that event to the name of the result.
    #[arg(long)]
    pub(crate) end_reference: Option<String>,
}

impl Wait {
    /// Opens a connection to the server that results are read from.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(host(&self.result)?).await
    }

    /// Reads the result of `reference` until it is there.
    pub(crate) async fn read(&self, connection: &mut Connection, reference: &str) -> anyhow::Result<()> {
        self.read_after(connection, reference, "").await
    }

    /// As [`Self::read`], as of a position.
    pub(crate) async fn read_after(
        &self,
        connection: &mut Connection,
        reference: &str,
        position: &str,
    ) -> anyhow::Result<()> {
        let path = path(&self.result)?.replace("{ref}", reference).replace("{position}", position);
        let begun = Instant::now();
        loop {
            let answer = connection.get(&path).await.context("read a result")?;
            let there = match &self.done {
                Some(text) => answer.body.windows(text.len()).any(|window| window == text.as_bytes()),
                None => (200..300).contains(&answer.status),
            };
            if there {
                return Ok(());
            }
            if answer.status >= 500 || begun.elapsed() > PATIENCE {
                let body = String::from_utf8_lossy(&answer.body);
                bail!("no result of {reference} after {:?}: {}: {body}", begun.elapsed(), answer.status);
            }
            tokio::time::sleep(Duration::from_millis(self.poll_ms)).await;
        }
    }
}
