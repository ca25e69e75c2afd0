//! A worker that does nothing: it reports what it leased as ended, with its next request.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::open_tasks::Queued;
use crate::work::Work;

/// Works until the server is gone.
pub(crate) async fn run(server: SocketAddr, connections: usize, want: usize) -> anyhow::Result<()> {
    let mut running = JoinSet::new();
    for _ in 0..connections {
        running.spawn(work(server, want));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

async fn work(server: SocketAddr, want: usize) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut ended: Vec<Queued> = Vec::new();
    loop {
        let body = serde_json::to_string(&Work { want, ended })?;
        let request = format!(
            "POST /v1/work HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        ended = serde_json::from_slice(answer(&mut stream, &mut buffer).await?)?;
    }
}

/// Reads one answer with a length and returns its body.
async fn answer<'a>(stream: &mut TcpStream, buffer: &'a mut Vec<u8>) -> anyhow::Result<&'a [u8]> {
    buffer.clear();
    let (body, length) = loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection");
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end])?;
            ensure!(head.starts_with("HTTP/1.1 200"), "the server answered {head}");
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .context("an answer without a length")?;
            break (end + 4, length.1.trim().parse::<usize>()?);
        }
    };
    while buffer.len() < body + length {
        ensure!(stream.read_buf(buffer).await? > 0, "the server closed the connection within an answer");
    }
    Ok(&buffer[body..body + length])
}
