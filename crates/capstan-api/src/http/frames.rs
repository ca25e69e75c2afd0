//! Frames on their way to a client: as server-sent events, or over a WebSocket.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use capstan_live::Run;
use futures_util::{Stream, StreamExt, stream};

use crate::http::websocket;
use crate::problem::Problem;

/// Frames of any making.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Run> + Send>>;

/// Sends frames over a WebSocket to a client that asks for one, and as server-sent events to all others.
pub(crate) async fn send(
    request: Request,
    frames: Frames,
    ping_every: Duration,
) -> Result<Response, Problem> {
    if asks_for_websocket(request.headers()) {
        websocket::accept(request, frames, ping_every).await
    } else {
        Ok(sse(frames, ping_every))
    }
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let upgrades = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    upgrades.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("websocket"))
}

/// Sends frames as server-sent events, with a comment whenever nothing else was said for a while.
fn sse(frames: Frames, ping_every: Duration) -> Response {
    let chunks = stream::unfold(frames, move |mut frames| async move {
        let chunk = match tokio::time::timeout(ping_every, frames.next()).await {
            Ok(Some(run)) => run.sse(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_stream_still_says_something() {
        let frames: Frames = Box::pin(stream::pending());
        let mut body = sse(frames, Duration::from_millis(5)).into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), ": connected\n\n");
        assert_eq!(body.next().await.unwrap().unwrap(), ": ping\n\n");
    }
}
