//! From a listener to answers.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{App, router};

/// Time limit for the head of a request, and for a connection's next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer that may wait for its client, and most bytes of the head of a request.
const BUFFER_BYTES_MAX: usize = 128 << 10;

/// Serves HTTP until the app stops, then lets the requests at hand finish. Live streams end, each with the place to
/// resume from.
pub async fn serve(app: Arc<App>, listener: TcpListener) -> io::Result<()> {
    let (stopping, live) = (app.stopping.clone(), app.live.clone());
    let ending_streams = async {
        stopping.cancelled().await;
        live.stop();
    };
    tokio::join!(accept(router(app), listener, stopping.clone(), HEAD_TIMEOUT), ending_streams);
    Ok(())
}

/// Takes connections until told to stop, then waits for those that are still busy.
async fn accept(
    router: Router,
    mut listener: TcpListener,
    stopping: CancellationToken,
    head_timeout: Duration,
) {
    let connections = TaskTracker::new();
    loop {
        let (connection, peer) = tokio::select! {
            () = stopping.cancelled() => break,
            // What goes wrong with one connection ends only that one; the trait sees to it.
            accepted = Listener::accept(&mut listener) => accepted,
        };
        connections.spawn(converse(router.clone(), connection, peer, stopping.clone(), head_timeout));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Answers the requests of one connection.
async fn converse(
    router: Router,
    connection: TcpStream,
    peer: SocketAddr,
    stopping: CancellationToken,
    head_timeout: Duration,
) {
    // Answers are small and complete: holding them back to fill a packet only adds latency.
    let _ = connection.set_nodelay(true);
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(BUFFER_BYTES_MAX);
    let conversation = protocol.serve_connection(TokioIo::new(connection), service).with_upgrades();
    let mut conversation = pin!(conversation);
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        () = stopping.cancelled() => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection broke");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn received(mut connection: TcpStream) -> String {
        let mut text = String::new();
        let reading = connection.read_to_string(&mut text);
        tokio::time::timeout(PATIENCE, reading).await.expect("the connection ends").expect("text");
        text
    }

    #[tokio::test]
    async fn a_head_that_stops_half_way_is_not_waited_for_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = CancellationToken::new();
        let shows_peer = get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() });
        let router = Router::new().route("/peer", shows_peer);
        let serving = tokio::spawn(accept(router, listener, stopping.clone(), Duration::from_millis(20)));

        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET /peer HTTP/1.1\r\nhost: ").await.unwrap();
        let answer = received(half).await;
        assert!(!answer.contains(" 200 "), "{answer}");

        let mut whole = TcpStream::connect(address).await.unwrap();
        let own = whole.local_addr().unwrap().to_string();
        whole.write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let answer = received(whole).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&own), "{answer}");

        stopping.cancel();
        tokio::time::timeout(PATIENCE, serving).await.expect("the server stops").unwrap();
    }
}
