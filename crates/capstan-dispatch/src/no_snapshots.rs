//! A store of snapshots that holds none.

use async_trait::async_trait;
use capstan_envelope::StreamId;
use capstan_eventlog::{Snapshot, SnapshotError, Snapshots};

/// Holds no snapshot: every cold stream is read from its beginning. For tests and for categories with short streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSnapshots;

#[async_trait]
impl Snapshots for NoSnapshots {
    async fn load(&self, _: &StreamId) -> Result<Option<Snapshot>, SnapshotError> {
        Ok(None)
    }
}
