//! Reading server-sent events as a browser would.

use anyhow::{Context, ensure};
use futures_util::StreamExt;
use serde_json::Value;

use crate::process::{PATIENCE, Product};

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

/// Reads frames from `path` until `enough`; `last_event_id` resumes.
pub(crate) async fn read_until(
    product: &Product,
    path: &str,
    last_event_id: Option<&str>,
    mut enough: impl FnMut(&Frame) -> bool,
) -> anyhow::Result<Vec<Frame>> {
    let mut request = product.http.get(product.at(path)).header("accept", "text/event-stream");
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let answer = request.send().await?;
    ensure!(answer.status().is_success(), "GET {path}: {}", answer.status());
    let mut chunks = answer.bytes_stream();
    let (mut text, mut frames) = (String::new(), Vec::new());
    tokio::time::timeout(PATIENCE, async {
        loop {
            while let Some(end) = text.find("\n\n") {
                let block: String = text.drain(..end + 2).collect();
                let Some(frame) = parse(&block)? else { continue };
                let done = enough(&frame);
                frames.push(frame);
                if done {
                    return Ok(frames);
                }
            }
            let chunk = chunks.next().await.context("the stream ended early")??;
            text.push_str(std::str::from_utf8(&chunk)?);
        }
    })
    .await
    .with_context(|| format!("GET {path} did not bring what was awaited"))?
}

fn parse(block: &str) -> anyhow::Result<Option<Frame>> {
    let (mut id, mut event, mut data) = (None, "message".to_owned(), String::new());
    for line in block.lines() {
        match line.split_once(':').map(|(name, value)| (name, value.strip_prefix(' ').unwrap_or(value))) {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("event", value)) => value.clone_into(&mut event),
            Some(("data", value)) => data.push_str(value),
            _ => {}
        }
    }
    if data.is_empty() {
        return Ok(None);
    }
    Ok(Some(Frame { id, event, data: serde_json::from_str(&data)? }))
}

/// The frames that carry recorded events.
pub(crate) fn events(frames: &[Frame]) -> Vec<Frame> {
    frames
        .iter()
        .filter(|frame| frame.id.is_some() && frame.data.get("event_version").is_some())
        .cloned()
        .collect()
}
