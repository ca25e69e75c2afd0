//! From a listener to answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::{App, router};

/// Serves HTTP until the app stops, then lets the requests at hand finish. Live streams end, each with the place to
/// resume from.
pub async fn serve(app: Arc<App>, listener: TcpListener) -> io::Result<()> {
    // Answers are small and complete: holding them back to fill a packet only adds latency.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let service = router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let stopping = async move {
        app.stopping.cancelled().await;
        app.live.stop();
    };
    axum::serve(listener, service).with_graceful_shutdown(stopping).await
}
