//! One keep-alive connection over a plain socket, so that on a small machine the load generator costs little.

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most headers an answer may have.
const HEADERS_MAX: usize = 64;

/// An open connection.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

/// The answer to a request.
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Body bytes.
    pub(crate) body: Vec<u8>,
}

/// The head of an answer.
struct Head {
    status: u16,
    /// Its length in bytes.
    length: usize,
    body: BodyLength,
}

enum BodyLength {
    Bytes(usize),
    Chunked,
}

impl Connection {
    /// Connects to `host:port`.
    pub(crate) async fn open(host: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(host).await.with_context(|| format!("connect to {host}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: host.to_owned(), buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Posts a JSON body, with one header of the caller's.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        header: Option<(&str, &str)>,
        body: &str,
    ) -> anyhow::Result<Answer> {
        let header = header.map(|(name, value)| format!("{name}: {value}\r\n")).unwrap_or_default();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{header}content-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.send(&request).await?;
        self.answer().await
    }

    /// Gets a path.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host)).await?;
        self.answer().await
    }

    async fn send(&mut self, request: &str) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request.as_bytes()).await?)
    }

    /// Asks for a stream of server-sent events, whose bytes are then read with [`Self::read`].
    pub(crate) async fn stream(&mut self, path: &str) -> anyhow::Result<()> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\n\r\n", self.host))
            .await
    }

    /// Appends what arrives next to `bytes`.
    pub(crate) async fn read(&mut self, bytes: &mut Vec<u8>) -> anyhow::Result<()> {
        if self.stream.read_buf(bytes).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        self.buffer.clear();
        let head = loop {
            self.fill().await?;
            if let Some(head) = head(&self.buffer)? {
                break head;
            }
        };
        let body = match head.body {
            BodyLength::Bytes(length) => self.bytes(head.length, length).await?,
            BodyLength::Chunked => self.chunks(head.length).await?,
        };
        Ok(Answer { status: head.status, body })
    }

    async fn bytes(&mut self, from: usize, length: usize) -> anyhow::Result<Vec<u8>> {
        while self.buffer.len() < from + length {
            self.fill().await?;
        }
        Ok(self.buffer[from..from + length].to_vec())
    }

    async fn chunks(&mut self, mut from: usize) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let (digits, size) = loop {
                match httparse::parse_chunk_size(&self.buffer[from..]) {
                    Ok(httparse::Status::Complete(found)) => break found,
                    Ok(httparse::Status::Partial) => self.fill().await?,
                    Err(_) => bail!("the size of a chunk is not a number"),
                }
            };
            // A line break ends each chunk, the empty last one included.
            let size = usize::try_from(size)?;
            let chunk = self.bytes(from + digits, size + 2).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
            from += digits + size + 2;
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

/// The head at the beginning of `bytes`; `None` until all of it has arrived.
fn head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.context("an answer without a status")?;
    let mut body = BodyLength::Bytes(0);
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            body = BodyLength::Bytes(std::str::from_utf8(header.value)?.trim().parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            body = BodyLength::Chunked;
        }
    }
    Ok(Some(Head { status, length, body }))
}
