//! Whole journeys through the finished product: the real executable, real servers, real processes, from outside.
//!
//! Everything goes through HTTP, NATS, the command line and signals, as a user's would.

#![expect(clippy::unwrap_used, reason = "a journey that meets something else than it expects ends there")]

mod agent_story;
mod agent_versions;
mod archive_limits;
mod archive_memory;
mod archived_log;
mod bad_input;
mod bus;
mod claude_code;
mod idempotency;
mod kill;
mod limits;
mod operations;
mod process;
mod python_worker;
mod rebuild;
mod reopened;
mod schedules;
mod secrets;
mod settlement_kill;
mod sse;
mod tool_gate;
mod usage;
mod verified_log;
mod whole_story;
mod why;
mod without_postgres;
mod worker_by_hand;
