//! The reference worker: leases attempts, runs agents as processes, streams their output, reports.
//!
//! **What it is.** [`Worker`] keeps N slots busy with attempts and holds their leases; a [`Runner`] executes one attempt:
//! [`ProcessRunner`] as a process that speaks the line protocol of `docs/worker-protocol.md`, [`NoopRunner`] not at all,
//! to measure the rest.
//!
//! **What it refuses to be.** It speaks the HTTP API only and reaches neither NATS nor Postgres. It executes nothing
//! without an accepted lease, and reports nothing under a lost one.
//!
//! **Where to start.** `worker.rs` is the loop, `leases.rs` what is held, `execution.rs` one attempt from lease to report.
//! `process_runner.rs` runs the agent; in its folder `message.rs` is the line protocol and `relay.rs` what becomes of it.

mod backoff;
mod config;
mod execution;
mod leases;
mod noop_runner;
mod process_runner;
mod reporter;
mod runner;
mod worker;

pub use config::WorkerConfig;
pub use leases::{Hints, LeaseState};
pub use noop_runner::NoopRunner;
pub use process_runner::{ProcessConfig, ProcessRunner, StdinMode};
pub use reporter::{ReportError, Reporter};
pub use runner::{Assignment, Conclusion, Runner};
pub use worker::{Worker, WorkerError};
