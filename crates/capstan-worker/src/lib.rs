//! The reference worker: leases attempts, runs agents as processes, streams their output, reports.
//!
//! **What it is.** [`Worker`] keeps N slots busy with attempts and holds their leases; a [`Runner`] executes one attempt:
//! [`ProcessRunner`] as a process that speaks the line protocol of `docs/worker-protocol.md`, [`ClaudeCodeRunner`] with the
//! Claude Code command line, [`NoopRunner`] not at all, to measure the rest.
//!
//! **What it refuses to be.** It speaks the HTTP API only and reaches neither NATS nor Postgres. It executes nothing
//! without an accepted lease, and reports nothing under a lost one. Tools run for approved calls alone.
//!
//! **Where to start.** `worker.rs` is the loop, `leases.rs` what is held, `execution.rs` one attempt from lease to report;
//! `tool.rs` carries out an approved tool call, `worker/tool_calls.rs` takes them.
//! `process_runner.rs` and `claude_code_runner.rs` run the agent; `agent.rs` is what they share: `conversation.rs` stays with
//! the process, `message.rs` is the line protocol and `relay.rs` what becomes of it.

mod agent;
mod auto_runner;
mod backoff;
mod claude_code_runner;
mod config;
mod execution;
mod leases;
mod noop_runner;
mod process_runner;
mod reporter;
mod runner;
mod tool;
mod worker;

pub use agent::{Patience, StdinMode};
pub use auto_runner::AutoRunner;
pub use claude_code_runner::{ClaudeCodeConfig, ClaudeCodeRunner};
pub use config::WorkerConfig;
pub use leases::{Hints, LeaseState};
pub use noop_runner::NoopRunner;
pub use process_runner::{ProcessConfig, ProcessRunner};
pub use reporter::{ReportError, Reporter};
pub use runner::{Assignment, Conclusion, Runner};
pub use tool::ToolConfig;
pub use worker::{Worker, WorkerError};
