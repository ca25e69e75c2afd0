//! A follower that costs little: it reads frames from a plain socket and counts them, and resumes after a gap.

use std::fmt;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use capstan_envelope::Position;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// A handshake of a WebSocket needs a key of 16 bytes; which one does not matter.
const WEBSOCKET: &str = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                         sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n";
/// Opcode of a WebSocket's frame with text.
const TEXT: u8 = 1;

/// The transport of a live stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Over {
    Sse,
    WebSocket,
}

impl fmt::Display for Over {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sse => "SSE",
            Self::WebSocket => "WebSocket",
        })
    }
}

/// What a follower has received.
#[derive(Default)]
pub(super) struct Counts {
    frames: AtomicU64,
    bytes: AtomicU64,
    gaps: AtomicU64,
}

impl Counts {
    /// Frames of events.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// Bytes of all frames, with what the transport adds.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Frames that told of missing ones.
    pub(super) fn gaps(&self) -> u64 {
        self.gaps.load(Ordering::Relaxed)
    }
}

/// A follower of the workspace.
pub(super) struct Follower {
    host: String,
    over: Over,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that were counted.
    used: usize,
    /// The place to resume after.
    place: String,
    counts: Arc<Counts>,
}

/// One frame: its name, and the place after it where it has one.
struct Frame<'a> {
    event: &'a str,
    id: Option<&'a str>,
}

/// Bytes that were used, and the frame in them.
type Parsed<'a> = (usize, Option<Frame<'a>>);

/// A frame that was counted.
#[derive(PartialEq)]
enum Counted {
    CaughtUp,
    Other,
}

impl Follower {
    /// Connects to `host:port`, to receive what follows a position.
    pub(super) async fn open(host: &str, over: Over, after: Position) -> anyhow::Result<Self> {
        let place = after.to_string();
        let (stream, buffer) = connect(host, over, &place).await?;
        Ok(Self { host: host.to_owned(), over, stream, buffer, used: 0, place, counts: Arc::default() })
    }

    /// What it has received, now and later.
    pub(super) fn counts(&self) -> Arc<Counts> {
        self.counts.clone()
    }

    /// Counts until the server fails.
    pub(super) async fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            self.next().await?;
        }
    }

    /// Counts until the history is complete.
    pub(super) async fn catch_up(&mut self) -> anyhow::Result<()> {
        while self.next().await? != Counted::CaughtUp {}
        Ok(())
    }

    /// Counts the next frame. A stream that ends is resumed.
    async fn next(&mut self) -> anyhow::Result<Counted> {
        loop {
            if let Some(counted) = self.count() {
                return Ok(counted);
            }
            // Only here, where little is left, what is counted is moved out.
            self.buffer.drain(..self.used);
            self.used = 0;
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                (self.stream, self.buffer) = connect(&self.host, self.over, &self.place).await?;
            }
        }
    }

    /// Counts the next frame of the buffer; `None` until all of it is there.
    fn count(&mut self) -> Option<Counted> {
        loop {
            let rest = &self.buffer[self.used..];
            let (bytes, frame) = match self.over {
                Over::Sse => sse(rest),
                Over::WebSocket => websocket(rest),
            }?;
            self.used += bytes;
            self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            let Some(frame) = frame else { continue };
            if let Some(id) = frame.id {
                self.place.clear();
                self.place.push_str(id);
            }
            match frame.event {
                "caught_up" => return Some(Counted::CaughtUp),
                "gap" => self.counts.gaps.fetch_add(1, Ordering::Relaxed),
                _ => self.counts.frames.fetch_add(1, Ordering::Relaxed),
            };
            return Some(Counted::Other);
        }
    }
}

/// Opens the stream; answers what came after the head of the answer too.
async fn connect(host: &str, over: Over, place: &str) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(host).await.context("connect a follower")?;
    stream.set_nodelay(true)?;
    let (status, headers) = match over {
        Over::Sse => ("200", "accept: text/event-stream\r\n"),
        Over::WebSocket => ("101", WEBSOCKET),
    };
    let path = format!("/v1/workspaces/dev/stream?after={place}");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = Vec::with_capacity(READ_BYTES);
    let end = loop {
        ensure!(stream.read_buf(&mut buffer).await? > 0, "the server closed a stream before it began");
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    if buffer.get(9..12) != Some(status.as_bytes()) {
        bail!("a stream was refused: {}", String::from_utf8_lossy(&buffer));
    }
    buffer.drain(..end);
    Ok((stream, buffer))
}

/// The first frame of server-sent events; `None` until all of it is there. Sizes of chunks are lines without a meaning.
fn sse(bytes: &[u8]) -> Option<Parsed<'_>> {
    let mut frame = Frame { event: "", id: None };
    let mut rest = bytes;
    loop {
        let line = rest;
        let length = rest.skip_until(b'\n').ok()?;
        let line = line[..length].strip_suffix(b"\n")?;
        if let Some(event) = line.strip_prefix(b"event: ") {
            frame.event = str::from_utf8(event).unwrap_or_default();
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            frame.id = str::from_utf8(id).ok();
        } else if line.is_empty() {
            return Some((bytes.len() - rest.len(), Some(frame).filter(|frame| !frame.event.is_empty())));
        }
    }
}

/// The first frame over a WebSocket, of which only the beginning is read: `{"id":"…","event":"…",`.
fn websocket(bytes: &[u8]) -> Option<Parsed<'_>> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (head, length) = match second & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(length)),
    };
    let payload = bytes.get(head..head + length)?;
    // A close ends the connection; pings need no answer as long as the server only sends.
    let frame = (first & 0x0f == TEXT).then(|| {
        let (id, rest) = match payload.strip_prefix(br#"{"id":""#) {
            Some(rest) => quoted(rest).map_or((None, rest), |(id, rest)| (Some(id), rest)),
            None => (None, payload),
        };
        let event = rest.get(1..).and_then(|rest| quoted(rest.strip_prefix(br#""event":""#)?));
        Frame { event: event.map_or("", |(event, _)| event), id }
    });
    Some((head + length, frame))
}

/// The text up to the next quotation mark, and what is behind the mark.
fn quoted(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'"')?;
    Some((str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(parsed: Option<Parsed<'_>>) -> (usize, &str, Option<&str>) {
        let (bytes, Some(frame)) = parsed.unwrap() else { panic!("no frame") };
        (bytes, frame.event, frame.id)
    }

    #[test]
    fn a_frame_is_read_across_the_sizes_of_chunks() {
        let text = b"2a\r\nid: 0-7\nevent: task-done\ndata: {}\n\n\r\n";
        assert_eq!(named(sse(text)), (text.len() - 2, "task-done", Some("0-7")));
        assert!(sse(&text[..20]).is_none());
        assert!(sse(b"d\r\n: connected\n\n").unwrap().1.is_none());
    }

    #[test]
    fn a_frame_of_a_websocket_is_read_whole() {
        let text = br#"{"id":"0-7","event":"task-done","data":{}}"#;
        let bytes = [&[0x81, text.len() as u8][..], text].concat();
        assert_eq!(named(websocket(&bytes)), (bytes.len(), "task-done", Some("0-7")));
        assert!(websocket(&bytes[..bytes.len() - 1]).is_none());
        let text = br#"{"event":"end","data":{}}"#;
        let bytes = [&[0x81, text.len() as u8][..], text].concat();
        assert_eq!(named(websocket(&bytes)), (bytes.len(), "end", None));
    }
}
