//! Collects the bodies of requests: no more bytes than allowed, and no longer than the timeout.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;

use crate::problem::{Code, Problem};

/// Bytes of a refused body that are still read, so that a client that is still sending receives the response.
const DRAIN_BYTES_MAX: usize = 32 << 20;

/// Longest time to receive a body: a stalled client must not hold a connection.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Collects a body of at most `limit_bytes`.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, Problem> {
    read_within(READ_TIMEOUT, headers, body, limit_bytes).await
}

/// Refuses a request with a body, for routes that read none.
pub(crate) fn must_be_empty(request: &Request) -> Result<(), Problem> {
    if request.body().is_end_stream() {
        return Ok(());
    }
    Err(Problem::invalid_field("", "this request takes no body; its fields are parameters"))
}

async fn read_within(
    timeout: Duration,
    headers: &HeaderMap,
    body: Body,
    limit_bytes: usize,
) -> Result<Bytes, Problem> {
    tokio::time::timeout(timeout, collect(headers, body, limit_bytes)).await.unwrap_or_else(|_| {
        let detail = format!("the body did not arrive within {} s", timeout.as_secs());
        Err(Problem::new(Code::RequestTimeout, detail))
    })
}

async fn collect(headers: &HeaderMap, body: Body, limit_bytes: usize) -> Result<Bytes, Problem> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if let Some(encoding) = encodings.find(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        drain(body.into_data_stream()).await;
        let detail = format!("the body is encoded as {encoding}: send it without Content-Encoding");
        return Err(Problem::new(Code::UnsupportedEncoding, detail));
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<usize>().ok());
    if announced.is_none_or(|bytes| bytes <= limit_bytes) {
        let mut chunks = body.into_data_stream();
        let mut first = Bytes::new();
        let mut whole = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|source| {
                Problem::new(Code::MalformedRequest, "the body is incomplete").because(source)
            })?;
            // A body in one piece, the usual case, is not copied.
            if first.is_empty() && whole.is_empty() {
                first = chunk;
            } else {
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&chunk);
            }
            if first.len().max(whole.len()) > limit_bytes {
                drain(chunks).await;
                return Err(Problem::too_large(limit_bytes));
            }
        }
        return Ok(if whole.is_empty() { first } else { whole.into() });
    }
    if announced.is_some_and(|bytes| bytes <= DRAIN_BYTES_MAX) {
        drain(body.into_data_stream()).await;
    }
    Err(Problem::too_large(limit_bytes))
}

async fn drain(mut chunks: axum::body::BodyDataStream) {
    let mut left = DRAIN_BYTES_MAX;
    let reading = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Limited for slow senders; the response is sent either way.
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_stops_half_way_is_not_waited_for_for_ever() {
        let begun = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{")) });
        let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
        let refused = read_within(Duration::from_millis(5), &HeaderMap::new(), body, 100).await.unwrap_err();
        assert_eq!(refused.code, Code::RequestTimeout);
        let whole = read_within(READ_TIMEOUT, &HeaderMap::new(), Body::from("{}"), 100).await.unwrap();
        assert_eq!(whole, "{}");
    }
}
