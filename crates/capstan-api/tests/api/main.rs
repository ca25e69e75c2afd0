//! The surface over real HTTP and NATS, on a real log and a real Postgres.

#![expect(clippy::unwrap_used, reason = "what is missing fails the test")]

mod access;
mod bad_input;
mod commands;
mod failures;
mod harness;
mod inputs;
mod live;
mod nats;
mod operations;
mod sessions;
mod worker_protocol;
