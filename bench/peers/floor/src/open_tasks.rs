//! What the engine holds of open tasks: those that wait for a worker, and the reads that wait for an end.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

/// A task with the sequence of its last commit.
pub(crate) type Queued = (Uuid, u64);

/// Tasks that wait, and readers that wait for tasks.
#[derive(Default)]
pub(crate) struct OpenTasks {
    queue: Mutex<VecDeque<Queued>>,
    arrived: Notify,
    ends: Mutex<HashMap<Uuid, End>>,
}

enum End {
    Projected,
    Awaited(oneshot::Sender<()>),
}

impl OpenTasks {
    /// Adds a task that was accepted.
    pub(crate) fn add(&self, task: Queued) {
        lock(&self.queue).push_back(task);
        self.arrived.notify_one();
    }

    /// Takes up to `want` tasks, without waiting.
    pub(crate) fn take(&self, want: usize) -> Vec<Queued> {
        let mut queue = lock(&self.queue);
        let count = want.min(queue.len());
        queue.drain(..count).collect()
    }

    /// As [`Self::take`], but waits up to `patience` for a first one.
    pub(crate) async fn take_next(&self, want: usize, patience: Duration) -> Vec<Queued> {
        let _ = tokio::time::timeout(patience, self.arrived.notified()).await;
        self.take(want)
    }

    /// Notes that the rows show the end of a task.
    pub(crate) fn ended(&self, task: Uuid) {
        if let Some(End::Awaited(reader)) = lock(&self.ends).insert(task, End::Projected) {
            let _ = reader.send(());
        }
    }

    /// Waits up to `patience` until the rows show the end of a task. One reader a task.
    pub(crate) async fn end_of(&self, task: Uuid, patience: Duration) {
        let awaited = {
            let mut ends = lock(&self.ends);
            if matches!(ends.get(&task), Some(End::Projected)) {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            ends.insert(task, End::Awaited(sender));
            receiver
        };
        let _ = tokio::time::timeout(patience, awaited).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
