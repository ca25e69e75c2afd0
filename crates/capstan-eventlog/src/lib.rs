//! The append-only log: one trait, a JetStream adapter, an in-memory adapter.
//!
//! **What it is.** [`EventLog`] stores commits, orders them and hands them out again. [`JetStreamLog`] keeps them
//! in one NATS JetStream stream, [`MemoryLog`] in this process; both pass the same conformance suite
//! (`tests/log/conformance.rs`), also behind [`SharedTail`], which lets the readers of a process share one tail. [`Telemetry`] is the log's lossy neighbour for the output of running agents, and
//! [`Topology`] names every stream and subject Capstan uses on a server.
//!
//! **What it refuses to be.** It knows no event by name, and it never retries a decision: a stale writer is told
//! so and decides anew elsewhere. It deletes nothing but a beginning that an operator archives.
//!
//! **Where to start.** `event_log.rs` is the contract. `jetstream.rs` is the adapter's front; in its folder
//! `append.rs` is the life of one commit, `group_commit.rs` shares one flush among many, `cursor.rs` reads.

mod event_log;
mod fingerprint_key;
mod jetstream;
mod memory;
mod metric;
mod scan;
mod shared_tail;
mod snapshot;
mod telemetry;
mod topology;

pub use event_log::{
    AppendError, Appended, Archived, Difference, EventLog, LogIdentity, ReadError, Selection, Tail,
    TailBatch, TailSource,
};
pub use fingerprint_key::{FingerprintKey, ParseFingerprintKeyError};
pub use jetstream::batch::{BatchMessage, NotStored, begin_batch, stored_at};
pub use jetstream::config::{Credentials, Durability, DurabilityHint, JetStreamConfig};
pub use jetstream::connection::Connection;
pub use jetstream::inspection::{InspectedStream, Inspection, StreamState};
pub use jetstream::server::{ServerError, ServerVersion};
pub use jetstream::streams::StreamError;
pub use jetstream::{ConnectError, JetStreamLog};
pub use memory::MemoryLog;
pub use metric::ALL as METRICS;
pub use scan::{RawCommit, Scan, ScanSource, ScannedCommit};
pub use shared_tail::SharedTail;
pub use snapshot::{KeptKey, OpenStream, OpenStreams, OpenTasks, Snapshot, SnapshotError, Snapshots, Spent};
pub use telemetry::{Telemetry, TelemetryError, TelemetryLine, TelemetryTail};
pub use topology::{InvalidPrefix, StreamSpec, Topology};
