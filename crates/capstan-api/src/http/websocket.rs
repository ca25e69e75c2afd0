//! Frames over a WebSocket, one JSON object each.
//!
//! tungstenite reads what the client sends and answers its pings. Frames go past it: they are the same for all who get them, with
//! the heads of their messages, and are written from the memory they share.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use capstan_live::Run;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::http::frames::Frames;
use crate::problem::{Code, Problem};

/// Most bytes of a message from a client. Clients have nothing to say here but pings and a close, which are shorter.
const MESSAGE_BYTES_MAX: usize = 4096;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Accepts a WebSocket and sends these frames over it.
pub(super) async fn accept(
    request: Request,
    frames: Frames,
    ping_every: Duration,
) -> Result<Response, Problem> {
    let (mut head, _) = request.into_parts();
    let upgrade = head.extensions.get::<OnUpgrade>().cloned();
    // axum's socket hides the connection, so it only checks the handshake.
    let _: WebSocketUpgrade =
        WebSocketUpgrade::from_request_parts(&mut head, &()).await.map_err(|refused| {
            let told = format!("the WebSocket handshake is incomplete: {}", refused.body_text());
            Problem::new(Code::MalformedRequest, told)
        })?;
    let key = head.headers.get(header::SEC_WEBSOCKET_KEY);
    let answer = derive_accept_key(key.map(HeaderValue::as_bytes).unwrap_or_default());
    if let Some(upgrade) = upgrade {
        tokio::spawn(async move {
            // Without a connection there is nobody to tell.
            if let Ok(connection) = upgrade.await {
                converse(socket(connection).await, frames, ping_every).await;
            }
        });
    }
    let headers = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, answer.as_str()),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response())
}

async fn socket(connection: Upgraded) -> Socket {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .read_buffer_size(MESSAGE_BYTES_MAX)
        .write_buffer_size(0);
    WebSocketStream::from_raw_socket(TokioIo::new(connection), Role::Server, Some(config)).await
}

/// Sends frames until either side ends it.
async fn converse(mut socket: Socket, mut frames: Frames, ping_every: Duration) {
    loop {
        let sent = tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Close(_))) | None => return,
                // Pings are answered by the protocol itself.
                Some(Ok(_)) => Ok(()),
                Some(Err(Error::Capacity(_))) => {
                    let reason = format!("a message has at most {MESSAGE_BYTES_MAX} bytes").into();
                    let frame = CloseFrame { code: CloseCode::Size, reason };
                    return end(socket, Some(frame)).await;
                }
                Some(Err(_)) => return,
            },
            next = tokio::time::timeout(ping_every, frames.next()) => match next {
                Ok(Some(run)) => write(&mut socket, &run).await,
                Ok(None) => return end(socket, None).await,
                Err(_) => socket.send(Message::Ping(Bytes::new())).await,
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Writes frames as they are, after what the protocol has to say.
async fn write(socket: &mut Socket, run: &Run) -> Result<(), Error> {
    socket.flush().await?;
    let connection = socket.get_mut();
    connection.write_all(&run.websocket()).await?;
    connection.flush().await?;
    Ok(())
}

async fn end(mut socket: Socket, frame: Option<CloseFrame>) {
    // A client that is gone needs no goodbye.
    let _ = socket.send(Message::Close(frame)).await;
}
