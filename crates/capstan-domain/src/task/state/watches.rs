//! Watches of a task.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::WatchId;
use crate::task::event::{SourceWatch, WatchArmed, WatchFired};

/// Batches of source events remembered, so that a repeated one fires nothing.
const FIRED_KEPT: usize = 64;

/// The watches of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watches {
    /// The watches in force.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub armed: BTreeMap<WatchId, SourceWatch>,
    /// Those among them that fired.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub fired: BTreeSet<WatchId>,
    /// Fingerprints of the last batches they fired for, oldest first.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub batches: Vec<String>,
}

impl std::ops::Deref for Watches {
    type Target = BTreeMap<WatchId, SourceWatch>;

    fn deref(&self) -> &Self::Target {
        &self.armed
    }
}

impl Watches {
    pub(in crate::task) fn arm(&mut self, e: &WatchArmed) {
        self.armed.insert(e.watch_id, e.watch.clone());
    }

    pub(in crate::task) fn fire(&mut self, e: &WatchFired) {
        self.batches.push(e.fingerprint.clone());
        self.fired.insert(e.watch_id);
        let surplus = self.batches.len().saturating_sub(FIRED_KEPT);
        self.batches.drain(..surplus);
    }

    pub(in crate::task) fn disarm(&mut self, watch_id: WatchId) {
        self.armed.remove(&watch_id);
        self.fired.remove(&watch_id);
    }
}
