//! An HTTP endpoint that counts what it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The requests of an endpoint, by idempotency key.
pub(crate) type Seen = Arc<Mutex<BTreeMap<String, u32>>>;

/// A running endpoint. It does each key once, as a tool should, and counts how often it was asked.
pub(crate) struct Endpoint {
    pub(crate) url: String,
    /// Requests by key.
    pub(crate) asked: Seen,
    /// The calls carried out, by key.
    pub(crate) done: Seen,
}

impl Endpoint {
    /// Answers the first `failing` requests with 503, the others with `answer`.
    pub(crate) async fn open(failing: u32, answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tool", listener.local_addr().unwrap());
        let (asked, done) = (Seen::default(), Seen::default());
        let seen = (Arc::clone(&asked), Arc::clone(&done));
        let answer = answer.to_owned();
        tokio::spawn(async move {
            let mut left = failing;
            while let Ok((stream, _)) = listener.accept().await {
                let is_failing = left > 0;
                left = left.saturating_sub(1);
                let _ = serve(stream, &seen, is_failing, &answer).await;
            }
        });
        Self { url, asked, done }
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: &(Seen, Seen),
    is_failing: bool,
    answer: &str,
) -> std::io::Result<()> {
    let request = read(&mut stream).await?;
    let key = request
        .lines()
        .find_map(|line| {
            line.to_lowercase().strip_prefix("idempotency-key:").map(|key| key.trim().to_owned())
        })
        .expect("every call carries a key");
    *seen.0.lock().unwrap().entry(key.clone()).or_default() += 1;
    let (status, body) = if is_failing { ("503 Not Now", "") } else { ("200 OK", answer) };
    if !is_failing {
        *seen.1.lock().unwrap().entry(key).or_default() += 1;
    }
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

async fn read(stream: &mut TcpStream) -> std::io::Result<String> {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await?;
        text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if read == 0 || body.len() >= length.unwrap_or(0) {
            return Ok(text);
        }
    }
}
