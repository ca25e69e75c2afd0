//! Announces the position of the read models to every process over core NATS. An announcement may get lost: waiting reads
//! check the checkpoint as well.

use std::sync::Arc;

use capstan_contract::subject::Subjects;
use capstan_envelope::Position;
use capstan_projections::ReadModels;
use futures_util::StreamExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Announces positions; only the newest when they come faster than the bus takes them.
pub(super) fn announcer(
    client: async_nats::Client,
    subjects: Subjects,
) -> Arc<dyn Fn(Position) + Send + Sync> {
    let (newest, mut changes) = watch::channel(Position::START);
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            let position = *changes.borrow_and_update();
            // A lost announcement is harmless.
            let _ = client.publish(subjects.projected(), position.to_string().into()).await;
        }
    });
    Arc::new(move |position| {
        newest.send_replace(position);
    })
}

/// Passes announcements on to the waiting reads of this process.
pub(super) fn listen(
    client: async_nats::Client,
    subjects: &Subjects,
    read_models: ReadModels,
) -> JoinHandle<()> {
    let subject = subjects.projected();
    tokio::spawn(async move {
        // A subscription survives reconnects; it fails only when the client is closed.
        let Ok(mut announcements) = client.subscribe(subject).await else { return };
        while let Some(message) = announcements.next().await {
            if let Some(position) =
                std::str::from_utf8(&message.payload).ok().and_then(|text| text.parse().ok())
            {
                read_models.observe(position);
            }
        }
    })
}
