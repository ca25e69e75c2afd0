//! Frames on their way to a client: as server-sent events, or over a WebSocket.

use std::convert::Infallible;
use std::error::Error as _;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use capstan_live::Frame;
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::problem::{Code, Problem};

/// Most bytes of a message from a client. Clients have nothing to say here but pings and a close, which are shorter.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Frames of any making.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Frame> + Send>>;

/// Sends frames over a WebSocket to a client that asks for one, and as server-sent events to all others.
pub(crate) async fn send(
    request: Request,
    frames: Frames,
    ping_every: Duration,
) -> Result<Response, Problem> {
    let (mut head, _) = request.into_parts();
    if !asks_for_websocket(&head.headers) {
        return Ok(sse(frames, ping_every));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut head, &()).await.map_err(|refused| {
        let told = format!("the WebSocket handshake is incomplete: {}", refused.body_text());
        Problem::new(Code::MalformedRequest, told)
    })?;
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| websocket(socket, frames, ping_every)))
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    upgrades.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// Sends frames as server-sent events, with a comment whenever nothing else was said for a while.
fn sse(frames: Frames, ping_every: Duration) -> Response {
    let chunks = stream::unfold(frames, move |mut frames| async move {
        let chunk = match tokio::time::timeout(ping_every, frames.next()).await {
            Ok(Some(frame)) => event(&frame),
            Ok(None) => return None,
            Err(_) => Bytes::from_static(b": ping\n\n"),
        };
        Some((Ok::<_, Infallible>(chunk), frames))
    });
    // The first bytes tell the client at once that it is connected, however quiet the log is.
    let hello = stream::once(async { Ok(Bytes::from_static(b": connected\n\n")) });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(hello.chain(chunks))).into_response()
}

fn event(frame: &Frame) -> Bytes {
    let mut text = Vec::with_capacity(frame.data.len() + 96);
    if let Some(id) = &frame.id {
        text.extend_from_slice(b"id: ");
        text.extend_from_slice(id.to_string().as_bytes());
        text.push(b'\n');
    }
    text.extend_from_slice(b"event: ");
    text.extend_from_slice(frame.event.as_bytes());
    text.push(b'\n');
    for line in frame.data.split(|byte| *byte == b'\n') {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.into()
}

/// A frame as one WebSocket message.
#[serde_with::skip_serializing_none]
#[derive(Serialize)]
struct Shown<'a> {
    id: Option<String>,
    event: &'a str,
    data: &'a RawValue,
}

/// Sends frames over a WebSocket, one JSON object each, until either side ends it.
async fn websocket(mut socket: WebSocket, mut frames: Frames, ping_every: Duration) {
    loop {
        let message = tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(Message::Close(_))) | None => return,
                // Pings are answered by the protocol itself.
                Some(Ok(_)) => continue,
                Some(Err(error)) if is_too_long(&error) => Message::Close(Some(CloseFrame {
                    code: close_code::SIZE,
                    reason: format!("a message has at most {MESSAGE_BYTES_MAX} bytes").into(),
                })),
                Some(Err(_)) => return,
            },
            frame = tokio::time::timeout(ping_every, frames.next()) => match frame {
                Ok(Some(frame)) => shown(&frame),
                Ok(None) => Message::Close(None),
                Err(_) => Message::Ping(Bytes::new()),
            },
        };
        let is_last = matches!(message, Message::Close(_));
        if socket.send(message).await.is_err() || is_last {
            return;
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    matches!(source, Some(tungstenite::Error::Capacity(_)))
}

fn shown(frame: &Frame) -> Message {
    let data = serde_json::from_slice::<&RawValue>(&frame.data).unwrap_or(RawValue::NULL);
    let id = frame.id.map(|place| place.to_string());
    let shown = Shown { id, event: &frame.event, data };
    Message::Text(serde_json::to_string(&shown).unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<&str>, data: &'static str) -> Frame {
        Frame {
            id: id.map(|id| id.parse().unwrap()),
            event: "task-done".into(),
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    #[test]
    fn a_frame_is_one_event_with_its_id() {
        assert_eq!(
            event(&frame(Some("0-7-9f3ac21b.1~8"), "{}")),
            "id: 0-7-9f3ac21b.1~8\nevent: task-done\ndata: {}\n\n"
        );
        assert_eq!(event(&frame(None, "{\n}")), "event: task-done\ndata: {\ndata: }\n\n");
    }

    #[test]
    fn a_message_holds_the_same_frame() {
        let Message::Text(text) = shown(&frame(Some("0"), r#"{"a":1}"#)) else { panic!("no text") };
        assert_eq!(text.as_str(), r#"{"id":"0","event":"task-done","data":{"a":1}}"#);
    }

    #[tokio::test]
    async fn a_silent_stream_still_says_something() {
        let frames: Frames = Box::pin(stream::pending());
        let mut body = sse(frames, Duration::from_millis(5)).into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), ": connected\n\n");
        assert_eq!(body.next().await.unwrap().unwrap(), ": ping\n\n");
    }
}
