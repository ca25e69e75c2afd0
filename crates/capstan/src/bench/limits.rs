//! Measures the servers without Capstan: the limit that every other benchmark is compared with, on the same servers and
//! in the same run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};

use crate::bench::report::{Latency, Sample};

/// Size of a stored accept commit, so that both sides move the same bytes.
pub(super) const COMMIT_BYTES: usize = 1500;

/// A JetStream stream like the log, but plain.
pub(super) struct RawLog {
    client: async_nats::Client,
    context: jetstream::Context,
    name: String,
    /// Leads the subjects that are written to.
    lead: String,
    subject: AtomicU64,
}

impl RawLog {
    /// Creates a fresh stream with the log's settings.
    pub(super) async fn create(nats_url: &str, name: &str) -> anyhow::Result<Self> {
        let log = Self::open(nats_url, name, name).await?;
        log.context
            .create_stream(stream::Config {
                name: name.to_owned(),
                subjects: vec![format!("{name}.>")],
                storage: stream::StorageType::File,
                allow_direct: true,
                allow_atomic_publish: true,
                discard: stream::DiscardPolicy::New,
                ..stream::Config::default()
            })
            .await
            .context("create the stream for the limits")?;
        Ok(log)
    }

    /// A stream that exists, to write to new subjects below `lead`.
    pub(super) async fn open(nats_url: &str, name: &str, lead: &str) -> anyhow::Result<Self> {
        let client = async_nats::connect(nats_url).await.context("connect to nats-server")?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(Duration::from_secs(30));
        let (name, lead) = (name.to_owned(), lead.to_owned());
        Ok(Self { client, context, name, lead, subject: AtomicU64::new(0) })
    }

    fn fresh_subject(&self) -> String {
        format!("{}.{}", self.lead, self.subject.fetch_add(1, Ordering::Relaxed))
    }

    /// One publish per commit with an expected version, each client waiting for its acknowledgement.
    pub(super) async fn publish(
        self: &Arc<Self>,
        clients: usize,
        duration: Duration,
    ) -> anyhow::Result<Latency> {
        let deadline = Instant::now() + duration;
        let payload = Bytes::from(vec![b'x'; COMMIT_BYTES]);
        let mut tasks = tokio::task::JoinSet::new();
        let started = Instant::now();
        for _ in 0..clients {
            let (log, payload) = (self.clone(), payload.clone());
            tasks.spawn(async move {
                let mut latency = Latency::new();
                while Instant::now() < deadline {
                    let mut headers = HeaderMap::new();
                    headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
                    let sent = Instant::now();
                    let acknowledged = log
                        .context
                        .publish_with_headers(log.fresh_subject(), headers, payload.clone())
                        .await?;
                    acknowledged.await?;
                    latency.record(sent.elapsed());
                }
                anyhow::Ok(latency)
            });
        }
        let mut total = Latency::new();
        while let Some(finished) = tasks.join_next().await {
            total.merge(&finished??);
        }
        total.took(started.elapsed());
        Ok(total)
    }

    /// Atomic batches of `size` commits of different subjects, each with its own expected version.
    pub(super) async fn publish_batched(&self, size: usize, duration: Duration) -> anyhow::Result<f64> {
        let payload = Bytes::from(vec![b'x'; COMMIT_BYTES]);
        let started = Instant::now();
        let mut published = 0_usize;
        while started.elapsed() < duration {
            let batch_id = uuid::Uuid::now_v7().simple().to_string();
            for sequence in 1..=size {
                let mut headers = HeaderMap::new();
                headers.insert("Nats-Batch-Id", batch_id.as_str());
                headers.insert("Nats-Batch-Sequence", sequence.to_string());
                headers.insert("Nats-Expected-Last-Subject-Sequence", "0");
                if sequence < size {
                    self.client.publish_with_headers(self.fresh_subject(), headers, payload.clone()).await?;
                } else {
                    headers.insert("Nats-Batch-Commit", "1");
                    let answer = self
                        .client
                        .request_with_headers(self.fresh_subject(), headers, payload.clone())
                        .await?;
                    let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
                    anyhow::ensure!(answer.get("error").is_none(), "the batch was refused: {answer}");
                }
            }
            published += size;
        }
        Ok(published as f64 / started.elapsed().as_secs_f64())
    }

    /// Reads the stream in order, from its beginning.
    pub(super) async fn read(&self) -> anyhow::Result<f64> {
        let mut stream = self.context.get_stream(&self.name).await?;
        let total = stream.info().await?.state.messages;
        let consumer = stream
            .create_consumer(jetstream::consumer::pull::Config {
                ack_policy: jetstream::consumer::AckPolicy::None,
                memory_storage: true,
                inactive_threshold: Duration::from_secs(30),
                ..jetstream::consumer::pull::Config::default()
            })
            .await?;
        let mut messages = consumer.stream().max_messages_per_batch(2000).messages().await?;
        let started = Instant::now();
        for _ in 0..total {
            messages.next().await.context("the stream ended early")??;
        }
        Ok(total as f64 / started.elapsed().as_secs_f64())
    }
}

/// COPY of rows like the task model's into a table without indexes, in rows per second.
pub(super) async fn copy_rows(database_url: &str, rows: usize) -> anyhow::Result<f64> {
    let (client, connection) = tokio_postgres::connect(database_url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    client
        .batch_execute(
            "DROP TABLE IF EXISTS bench_copy; CREATE TABLE bench_copy (id text, state text, doc text)",
        )
        .await?;
    let document = "x".repeat(COMMIT_BYTES);
    let started = Instant::now();
    let sink = client.copy_in::<_, Bytes>("COPY bench_copy FROM STDIN").await?;
    let mut sink = std::pin::pin!(sink);
    let mut buffer = BytesMut::with_capacity(1 << 20);
    for row in 0..rows {
        buffer.extend_from_slice(format!("{row}\tqueued\t{document}\n").as_bytes());
        if buffer.len() > 1 << 19 {
            sink.send(buffer.split().freeze()).await?;
        }
    }
    sink.send(buffer.freeze()).await?;
    let copied = sink.as_mut().finish().await?;
    let rate = copied as f64 / started.elapsed().as_secs_f64();
    client.batch_execute("DROP TABLE bench_copy").await?;
    drop(client);
    driver.await??;
    Ok(rate)
}

/// All limits of one round.
pub(super) async fn round(
    nats_url: &str,
    database_url: &str,
    number: usize,
    seconds: u64,
) -> anyhow::Result<Vec<Sample>> {
    let span = Duration::from_secs(seconds);
    let log = Arc::new(RawLog::create(nats_url, &format!("LIMITS{number}")).await?);
    let mut samples = Vec::new();
    for clients in [1, 16, 64, 256] {
        let latency = log.publish(clients, span).await?;
        samples.push(Sample::latency(format!("raw publish, {clients} clients"), "commits/s", &latency));
    }
    for size in [50, 200, 1000] {
        let rate = log.publish_batched(size, span).await?;
        samples.push(Sample::rate(format!("raw atomic batches of {size}"), "commits/s", rate));
    }
    samples.push(Sample::rate("raw ordered read", "commits/s", log.read().await?));
    samples.push(Sample::rate("raw COPY", "rows/s", copy_rows(database_url, 200_000).await?));
    Ok(samples)
}
