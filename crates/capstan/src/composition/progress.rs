//! How every process learns how far the read models are, whichever process writes them: a word on core NATS. It may
//! get lost; who waits looks at the checkpoint too.

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
            // Lost words are harmless.
            let _ = client.publish(subjects.projected(), position.to_string().into()).await;
        }
    });
    Arc::new(move |position| {
        newest.send_replace(position);
    })
}

/// Tells this process' waiters what is announced.
pub(super) fn listen(
    client: async_nats::Client,
    subjects: &Subjects,
    read_models: ReadModels,
) -> JoinHandle<()> {
    let subject = subjects.projected();
    tokio::spawn(async move {
        // A subscription survives reconnects; it fails only when the client is closed.
        let Ok(mut words) = client.subscribe(subject).await else { return };
        while let Some(word) = words.next().await {
            if let Some(position) = std::str::from_utf8(&word.payload).ok().and_then(|text| text.parse().ok())
            {
                read_models.observe(position);
            }
        }
    })
}
