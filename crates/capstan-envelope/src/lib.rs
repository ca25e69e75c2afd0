//! The words of the log: streams, positions, commits, metadata.
//!
//! A *commit* is one decision as it is stored: 1..n events of one stream in one message, with typed metadata
//! and the hash of the commit before it. This crate knows how a commit looks and what a position is; it
//! knows no event by name but the one that carries a stream forward, and touches no network. Start with [`Commit`].

mod applied;
mod carried;
mod codec;
mod commit;
mod hash;
mod memory_share;
mod metadata;
mod metric;
mod older_keys;
mod position;
mod stored_commit;
mod stream_head;
mod stream_id;

pub use applied::{Applied, AppliedKeys, KEYS_KEPT, Remembered};
pub use carried::{CARRIED_FORWARD, Carried, CarriedAccount};
pub use codec::{Codec, CodecError, UnreadableCommit};
pub use commit::{Commit, CommitFacts, CommitId, EventRecord, Recorded};
pub use hash::CommitHash;
pub use memory_share::{Held, MemoryShare};
pub use metadata::{Actor, Idempotency, Metadata};
pub use metric::{Metric, MetricKind};
pub use older_keys::{KeysSeen, OLDER_KEYS_MAX, OlderKeys};
pub use position::{ParsePositionError, Position};
pub use stored_commit::{FORMAT_EPOCH, ParseActorError, StoredCommitError};
pub use stream_head::StreamHead;
pub use stream_id::{InvalidName, StreamId, Workspace};
