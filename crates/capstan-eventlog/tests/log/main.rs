//! What every log must do, asked of both adapters, and what only a real server can go wrong with.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod faults;
mod group_commit;
mod proxy;
mod reading;
mod replicated;
mod server;
mod streams;
mod telemetry;
mod writer;
