//! Events into rows, and the rows back to readers.
//!
//! **What it is.** [`Projector`] follows the log and folds it into the read models in Postgres: rows and
//! checkpoint commit together or not at all. [`ReadModels`] is the door to the tables: migrations, the reads
//! the API is allowed, waiting for a position, snapshots of streams. [`rebuild`] makes the tables anew beside
//! the old ones and switches; [`verify`] folds the log independently and compares.
//!
//! **What it refuses to be.** It holds no truth: every table can be dropped. It decides nothing and causes
//! nothing: a model is a pure fold that is handed rows and events, and can touch nothing else.
//!
//! **Where to start.** `model.rs` is the shape of a read model, `catalogue/` has one for each folder of
//! `projections/`, where its table and golden cases live. `fold.rs` folds them together, `applier.rs` is the
//! life of one batch, `projector.rs` the loop around it. `queries/` holds the reads.

mod applier;
mod catalogue;
mod cell;
mod checkpoint;
mod commits;
mod config;
mod decided;
mod digest;
mod error;
mod fact;
mod fold;
mod generation;
mod inspection;
mod labels;
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
mod rows;
mod session;
mod snapshots;
mod status;
mod verify;

pub use catalogue::tasks::WaitingReason;
pub use catalogue::{MODELS, SHOWN};
pub use config::{OnProgress, ProjectorConfig};
pub use decided::new_task;
pub use digest::DigestError;
pub use inspection::{DatabaseInspection, TablesState};
pub use migrate::MigrateError;
pub use parked::{ParkedCommit, RetryError};
pub use past::{run_after, task_after};
pub use progress::PositionTimeout;
pub use projector::{Projector, ProjectorHandle};
pub use queries::agent_stats::AgentStats;
pub use queries::blocker::BlockerFilter;
pub use queries::channel::{BindingFilter, BindingsOf};
pub use queries::cursor::{InvalidCursor, Page};
pub use queries::output::OutputFilter;
pub use queries::run::RunFilter;
pub use queries::schedule::ScheduleFilter;
pub use queries::span::Span;
pub use queries::task::TaskFilter;
pub use queries::tree::{TaskTree, TreeTask};
pub use queries::{Item, Listing, QueryError, Total};
pub use read_models::{ConnectError, ReadModels};
pub use rebuild::{RebuildError, RebuildReport, Which, rebuild};
pub use rows::StoreError;
pub use status::{ProjectorState, ProjectorStatus};
pub use verify::{ModelDifference, VerifyError, VerifyReport, verify};
