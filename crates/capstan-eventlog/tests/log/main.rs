//! The conformance suite on both adapters of the log, and failures that only a real server has.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod conformance;
mod faults;
mod group_commit;
mod permissions;
mod proxy;
mod reading;
mod replicated;
mod server;
mod shared_tail;
mod streams;
mod telemetry;
mod writer;
