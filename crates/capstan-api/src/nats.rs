//! Commands and queries over NATS: durable commands from a work queue, and request/reply.

mod durable;
mod lanes;
mod message;
mod outcomes;
mod rpc;
mod surface;

use std::sync::Arc;

use async_nats::Client;
use capstan_eventlog::Topology;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::App;
use surface::Surface;

/// The NATS surface of this process. Dropping it does not stop it; stop it first.
#[derive(Debug)]
pub struct NatsHandle {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl NatsHandle {
    /// Accepts no more commands, and waits until the running ones are answered.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            // A panic of a loop is logged already; there is nothing to wait for.
            let _ = task.await;
        }
    }
}

/// Serves commands published on `capstan.cmd.<workspace>.<command>` and requests on `capstan.rpc.<workspace>.>`. Replicas
/// share the work. The loops recover from failures until the app stops.
pub fn serve(app: &Arc<App>, client: &Client, topology: &Topology) -> NatsHandle {
    let stop = app.stopping.child_token();
    let surface =
        Surface { app: app.clone(), client: client.clone(), topology: topology.clone(), stop: stop.clone() };
    let tasks = vec![tokio::spawn(durable::serve(surface.clone())), tokio::spawn(rpc::serve(surface))];
    NatsHandle { stop, tasks }
}
