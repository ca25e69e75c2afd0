//! The reference worker: leases attempts, runs agents as processes, streams their output, reports.
//!
//! **Scope.** [`Worker`] keeps N slots busy with attempts and holds their leases; a [`Runner`] executes one attempt: as a
//! process that speaks the line protocol of `docs/worker-protocol.md`, with the Claude Code command line, or, to measure
//! everything else, not at all ([`NoopRunner`]).
//!
//! **Limits.** It speaks the HTTP API only and reaches neither NATS nor Postgres. It executes nothing without an accepted
//! lease, and reports nothing after a lost one. Tools run for approved calls only.
//!
//! **Entry points.** `worker.rs` is the loop, `leases.rs` the held leases, `execution.rs` one attempt from lease to report.
//! `tool.rs` executes an approved tool call, `worker/tool_calls.rs` takes such calls. `registry.rs` lists the runners,
//! `process_runner.rs` and `claude_code_runner.rs` run the agent; both share `agent.rs`: `conversation.rs` accompanies the
//! process, `message.rs` is the line protocol, `relay.rs` forwards its messages to the server.

mod agent;
mod auto_runner;
mod backoff;
mod claude_code_runner;
mod config;
mod ends;
mod execution;
#[cfg(test)]
mod fixture;
mod leases;
mod noop_runner;
mod process_runner;
mod registry;
mod reporter;
mod runner;
mod runner_options;
mod tool;
mod worker;

pub use agent::{Patience, StdinMode};
pub use auto_runner::AutoRunner;
pub use config::WorkerConfig;
pub use leases::{Hints, LeaseState};
pub use noop_runner::NoopRunner;
pub use registry::{runner, runner_names};
pub use reporter::{ReportError, Reporter};
pub use runner::{Assignment, Conclusion, Runner};
pub use runner_options::{MissingOption, RunnerOptions};
pub use tool::ToolConfig;
pub use worker::{Worker, WorkerError};
