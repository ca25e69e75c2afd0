//! Read models: folds the log into Postgres tables, and reads them.
//!
//! **Purpose.** [`Projector`] follows the log and folds it into the read models: rows and checkpoint commit in one
//! transaction. [`ReadModels`] is the connection to the tables: migrations, the reads of the API, waiting for a position,
//! snapshots of streams. [`rebuild`] rebuilds tables beside the old ones and switches; [`verify`] folds the log
//! independently and compares.
//!
//! **Limits.** It is not the source of truth: every table can be dropped. It decides nothing and has no side effects: a
//! model is a pure fold of events into rows.
//!
//! **Files.** `model.rs` is the trait of a read model; `catalogue/` has one for each folder of `projections/`, which
//! contains its table and golden cases; `events.rs` declares the events a model reads. `fold.rs` folds all models,
//! `applier.rs` applies one batch, `projector.rs` is the loop around it. `search.rs` is the index of texts. `queries/` contains the reads.

#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants))]

mod applier;
mod catalogue;
mod cell;
mod checkpoint;
mod commits;
mod config;
mod copy_in;
mod decided;
mod digest;
mod events;
mod fact;
mod fold;
mod generation;
mod inspection;
mod metric;
mod migrate;
mod model;
mod parked;
mod past;
mod progress;
mod projector;
mod queries;
mod read_models;
mod rebuild;
mod redaction;
mod replay;
mod rows;
mod search;
mod session;
mod snapshots;
mod status;
mod store_error;
mod table;
mod verify;

pub use catalogue::blockers::OpenBlocker;
pub use catalogue::outputs::OutputRow;
pub use catalogue::runs::RunObject;
pub use catalogue::tasks::TaskObject;
pub use catalogue::{MODELS, ReadModel, answers};
pub use config::{OnProgress, ProjectorConfig, ProjectorMemory};
pub use decided::new_task;
pub use digest::DigestError;
pub use inspection::{DatabaseInspection, TablesState};
pub use metric::ALL as METRICS;
pub use migrate::MigrateError;
pub use parked::{ParkedCommit, RetryError};
pub use past::{run_after, task_after};
pub use progress::PositionTimeout;
pub use projector::{Projector, ProjectorHandle};
pub use queries::*;
pub use read_models::{ConnectError, ReadModels};
pub use rebuild::{RebuildError, RebuildReport, Which, rebuild};
pub use replay::ReplayError;
pub use replay::config::{OnReplay, ReplayConfig};
pub use replay::progress::{ReplayProgress, ReplayStep};
pub use replay::spill::{Records, Spill, bucket_of, name_hash};
pub use status::{ProjectorState, ProjectorStatus};
pub use store_error::StoreError;
pub use verify::{ModelDifference, VerifyError, VerifyReport, verify};
