//! The subscribers, by the commits they selected.

use std::collections::HashMap;
use std::sync::Arc;

use capstan_envelope::{StreamId, Workspace};
use capstan_eventlog::Selection;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::metric;
use crate::recent::Entry;

type Queues = HashMap<u64, mpsc::Sender<Arc<Entry>>>;

/// The queues of all subscribers, found by what they selected.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    last_key: u64,
    of_all: Queues,
    of_workspace: HashMap<Workspace, Queues>,
    of_stream: HashMap<StreamId, Queues>,
}

impl Subscribers {
    /// Opens a queue; every later commit of the selection goes into it.
    pub(crate) fn add(
        &mut self,
        selection: &Selection,
        queue_max: usize,
    ) -> (u64, mpsc::Receiver<Arc<Entry>>) {
        let (sender, receiver) = mpsc::channel(queue_max);
        self.last_key += 1;
        let key = self.last_key;
        self.queues(selection).insert(key, sender);
        (key, receiver)
    }

    fn queues(&mut self, selection: &Selection) -> &mut Queues {
        match selection {
            Selection::All => &mut self.of_all,
            Selection::Workspace(workspace) => self.of_workspace.entry(workspace.clone()).or_default(),
            Selection::Stream(stream) => self.of_stream.entry(stream.clone()).or_default(),
        }
    }

    /// Closes a queue.
    pub(crate) fn remove(&mut self, selection: &Selection, key: u64) {
        let queues = self.queues(selection);
        queues.remove(&key);
        let is_empty = queues.is_empty();
        match selection {
            Selection::Workspace(workspace) if is_empty => drop(self.of_workspace.remove(workspace)),
            Selection::Stream(stream) if is_empty => drop(self.of_stream.remove(stream)),
            _ => {}
        }
    }

    /// Hands a commit to all who want it. A full queue is closed: nobody is waited for.
    pub(crate) fn publish(&mut self, entry: &Arc<Entry>) {
        let stream = &entry.recorded.commit.stream;
        offer(&mut self.of_all, entry);
        if let Some(queues) = self.of_workspace.get_mut(stream.workspace()) {
            offer(queues, entry);
        }
        if let Some(queues) = self.of_stream.get_mut(stream) {
            offer(queues, entry);
        }
    }

    /// Closes every queue.
    pub(crate) fn close(&mut self) {
        self.of_all.clear();
        self.of_workspace.clear();
        self.of_stream.clear();
    }
}

fn offer(queues: &mut Queues, entry: &Arc<Entry>) {
    queues.retain(|_, queue| match queue.try_send(Arc::clone(entry)) {
        Ok(()) => true,
        Err(TrySendError::Full(_)) => {
            metrics::counter!(metric::SLOW_SUBSCRIBERS).increment(1);
            false
        }
        Err(TrySendError::Closed(_)) => false,
    });
}
