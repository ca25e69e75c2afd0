//! A cheap load generator: keep-alive HTTP/1.1 over plain sockets, so that on a small machine the figures measure the
//! server and not the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bench::report::Latency;

/// One keep-alive connection.
pub(super) struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

/// An HTTP response.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// Body bytes.
    pub(super) body: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port`.
    pub(super) async fn open(host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await.context("connect to the server")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: host.to_owned(), buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Gets a path and reads the whole answer.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes()).await?;
        self.answer().await
    }

    /// Posts a JSON body and reads the whole answer.
    pub(super) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<Answer> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        self.buffer.clear();
        let head_end = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection");
            }
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = std::str::from_utf8(&self.buffer[..head_end])?;
        let status = head.get(9..12).context("an HTTP status line")?.parse()?;
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            })
            .map(|(_, value)| value.trim().parse())
            .context("an answer with a length")??;
        while self.buffer.len() < head_end + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the server closed the connection within an answer");
            }
        }
        Ok(Answer { status, body: self.buffer[head_end..head_end + length].to_vec() })
    }
}

/// Runs `clients` connections that post as fast as they are answered, for `duration`; every answer must have
/// `expected_status`.
pub(super) async fn run(
    host: &str,
    path: &str,
    clients: usize,
    duration: Duration,
    expected_status: u16,
    body: impl Fn(u64) -> String + Send + Sync + 'static,
) -> anyhow::Result<Latency> {
    let body = Arc::new(body);
    let next = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for _ in 0..clients {
        let (host, path) = (host.to_owned(), path.to_owned());
        let (body, next, stop) = (body.clone(), next.clone(), stop.clone());
        tasks.spawn(async move {
            let mut connection = Connection::open(&host).await?;
            let mut latency = Latency::new();
            while !stop.load(Ordering::Relaxed) {
                let request = body(next.fetch_add(1, Ordering::Relaxed));
                let sent = Instant::now();
                let answer = connection.post(&path, &request).await?;
                latency.record(sent.elapsed());
                if answer.status != expected_status {
                    bail!("status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
                }
            }
            Ok(latency)
        });
    }
    tokio::time::sleep(duration).await;
    stop.store(true, Ordering::Relaxed);
    let mut total = Latency::new();
    while let Some(finished) = tasks.join_next().await {
        total.merge(&finished??);
    }
    total.took(started.elapsed());
    Ok(total)
}
