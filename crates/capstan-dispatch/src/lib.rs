//! One loop between a command and the log: load → decide → append; conflict → catch up and again;
//! repeated command → the first answer.
//!
//! **What it is.** A [`Dispatcher`] executes the commands of one category of streams against an
//! [`EventLog`](capstan_eventlog::EventLog). It is generic over the decider, which holds the rules, and the codec,
//! which holds the stored shapes. Streams it has seen stay in memory, bounded; a stale memory costs one more
//! round and never a wrong decision, because every append names the version it was decided on and every "no" is
//! confirmed against the log.
//!
//! **What it refuses to be.** It contains no business rule and knows no event by name.
//!
//! **Where to start.** `dispatcher.rs` holds the loop, `together.rs` the same for two streams that change as one,
//! `loading.rs` how a stream gets into memory.

mod cache;
mod context;
mod decided;
mod dispatcher;
mod error;
mod keys;
mod loading;
mod metric;
mod no_snapshots;
mod together;

pub use cache::StreamCache;
pub use capstan_eventlog::{OpenStream, OpenStreams, OpenTasks, Snapshot, SnapshotError, Snapshots, Spent};
pub use context::{CommandContext, OnceContext};
pub use decided::{Decided, Loaded};
pub use dispatcher::{Dispatchable, Dispatcher, DispatcherConfig};
pub use error::{DispatchError, ReadFailure};
pub use loading::read_events;
pub use metric::ALL as METRICS;
pub use no_snapshots::NoSnapshots;
pub use together::{Together, TogetherError, execute_together};
