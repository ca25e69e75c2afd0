//! The log, and one append to it.

use anyhow::{Context, bail};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use std::time::Duration;

use crate::commit::{HASH, SUBJECTS, hash, hex};
use crate::group_commit::GroupCommit;
use crate::jetstream_of;

/// Name of the stream.
const STREAM: &str = "FLOOR";
/// The sequence at which a subject must end for an append to be accepted.
pub(crate) const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// A commit on its way.
pub(crate) struct Append {
    pub(crate) subject: String,
    /// The sequence of the task's last commit, 0 before the first.
    pub(crate) expected: u64,
    pub(crate) payload: Bytes,
}

impl Append {
    /// The headers it is published with.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED, self.expected.to_string());
        headers.insert(HASH, hex(&hash(&self.subject, &self.payload)));
        headers
    }
}

/// The log.
pub(crate) struct Log {
    context: jetstream::Context,
    group_commit: Option<GroupCommit>,
}

impl Log {
    /// Creates the stream, which must not exist yet.
    pub(crate) async fn create(client: async_nats::Client, group_commit: bool) -> anyhow::Result<Self> {
        let context = jetstream_of(client.clone());
        let config = stream::Config {
            name: STREAM.to_owned(),
            subjects: vec![format!("{SUBJECTS}.>")],
            allow_direct: true,
            allow_atomic_publish: true,
            // Expected sequences already tell a repeat.
            duplicate_window: Duration::from_millis(100),
            ..stream::Config::default()
        };
        context.create_stream(config).await?;
        Ok(Self { context, group_commit: group_commit.then(|| GroupCommit::start(client)) })
    }

    /// The stream.
    pub(crate) async fn stream(&self) -> anyhow::Result<stream::Stream> {
        Ok(self.context.get_stream(STREAM).await?)
    }

    /// Stores a commit and answers its sequence.
    pub(crate) async fn append(&self, append: Append) -> anyhow::Result<u64> {
        if let Some(group_commit) = &self.group_commit {
            return group_commit.append(append).await;
        }
        let headers = append.headers();
        let sent = self.context.publish_with_headers(append.subject, headers, append.payload).await?;
        Ok(sent.await?.sequence)
    }
}

/// Reads the answer to a publication: the sequence of the last commit in it.
pub(crate) fn acknowledged(answer: &[u8]) -> anyhow::Result<u64> {
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    if let Some(error) = answer.get("error") {
        bail!("the log refused the commit: {error}");
    }
    answer["seq"].as_u64().context("an acknowledgement without a sequence")
}
