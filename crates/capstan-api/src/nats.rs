//! The same commands over NATS: durable ones from a work queue, and request/reply.

mod durable;
mod message;
mod queries;
mod rpc;

use std::sync::Arc;

use async_nats::Client;
use capstan_eventlog::Topology;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::App;

/// The NATS surface of this process. Dropping it does not stop it; stop it first.
#[derive(Debug)]
pub struct NatsHandle {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl NatsHandle {
    /// Takes no more commands, and waits until those at hand are answered.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            // A loop that panicked has said so already; there is nothing left to wait for.
            let _ = task.await;
        }
    }
}

/// Serves commands published on `capstan.cmd.<workspace>.<command>` and asked on `capstan.rpc.<workspace>.<command>`.
/// Replicas share the work. Loops heal themselves until the app stops.
pub fn serve(app: &Arc<App>, client: &Client, topology: &Topology) -> NatsHandle {
    let stop = app.stopping.child_token();
    let surface =
        Surface { app: app.clone(), client: client.clone(), topology: topology.clone(), stop: stop.clone() };
    let tasks = vec![tokio::spawn(durable::serve(surface.clone())), tokio::spawn(rpc::serve(surface))];
    NatsHandle { stop, tasks }
}

/// What both ways need.
#[derive(Clone)]
struct Surface {
    app: Arc<App>,
    client: Client,
    topology: Topology,
    stop: CancellationToken,
}

impl Surface {
    /// Runs `once` again and again until told to stop, with a pause after each failure.
    async fn keep_alive<F>(&self, name: &'static str, once: impl Fn(Self) -> F)
    where
        F: Future<Output = Result<(), async_nats::Error>>,
    {
        while !self.stop.is_cancelled() {
            if let Err(error) = once(self.clone()).await {
                tracing::warn!(surface = name, %error, "the NATS surface lost its source, trying again");
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(RETRY_PAUSE) => {}
            }
        }
    }
}

/// Pause before a lost source is asked for again.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);
