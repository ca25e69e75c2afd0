//! The submission that is sent again and again, each time with an id of its own.

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;

use crate::connection::Connection;

/// Length of a body in bytes, reached with filler.
const BODY_BYTES: usize = 512;

/// A submission. `{id}` in URL, header and body is replaced by a fresh id, `{pad}` in the body by filler.
#[derive(Args, Clone)]
pub(crate) struct Request {
    /// Address to POST to, for example `http://127.0.0.1:7070/v1/workspaces/dev/tasks`.
    #[arg(long)]
    url: String,
    /// Body, JSON.
    #[arg(long)]
    body: String,
    /// Name of the header that carries the id as idempotency key.
    #[arg(long)]
    key_header: Option<String>,
    /// Begins every id, so that two phases share none.
    #[arg(long)]
    prefix: String,
    /// JSON pointer into the answer to the name that results are read under; the id itself by default.
    #[arg(long)]
    reference: Option<String>,
}

impl Request {
    /// Opens a connection to the server that submissions go to.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        Connection::open(host(&self.url)?).await
    }

    /// Sends submission `number` and answers the name its result is read under. Any status but 2xx is an error.
    pub(crate) async fn submit(&self, connection: &mut Connection, number: u64) -> anyhow::Result<String> {
        let id = format!("{}-{number}", self.prefix);
        let path = path(&self.url)?.replace("{id}", &id);
        let key = self.key_header.as_ref().map(|name| (name.as_str(), id.as_str()));
        let answer = connection.post(&path, key, &self.body(&id)).await?;
        if !(200..300).contains(&answer.status) {
            bail!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        let Some(pointer) = &self.reference else { return Ok(id) };
        let answer: Value = serde_json::from_slice(&answer.body)?;
        let reference = answer.pointer(pointer).with_context(|| format!("no {pointer} in {answer}"))?;
        Ok(reference.as_str().map_or_else(|| reference.to_string(), str::to_owned))
    }

    fn body(&self, id: &str) -> String {
        let body = self.body.replace("{id}", id);
        let filler = (BODY_BYTES + "{pad}".len()).saturating_sub(body.len());
        body.replace("{pad}", &"x".repeat(filler))
    }
}

/// Host and port of an `http://` address.
pub(crate) fn host(url: &str) -> anyhow::Result<&str> {
    Ok(split(url)?.0)
}

/// Path and query of an `http://` address.
pub(crate) fn path(url: &str) -> anyhow::Result<&str> {
    Ok(split(url)?.1)
}

fn split(url: &str) -> anyhow::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url} does not begin with http://"))?;
    let path = rest.find('/').with_context(|| format!("{url} has no path"))?;
    Ok(rest.split_at(path))
}
