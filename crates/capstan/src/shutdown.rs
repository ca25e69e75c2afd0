//! The request to stop this process.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by Ctrl-C or SIGTERM.
pub(crate) fn token() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let [mut interrupt, mut terminate] =
        [listen_for(SignalKind::interrupt())?, listen_for(SignalKind::terminate())?];
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("asked to stop");
        cancelled.cancel();
        // A second request ends the process at once.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(token)
}

fn listen_for(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("listen for signals")
}
