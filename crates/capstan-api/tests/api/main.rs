//! The surface over real HTTP and NATS, on a real log and a real Postgres.

#![expect(clippy::unwrap_used, reason = "what is missing fails the test")]

mod access;
mod bad_input;
mod commands;
mod failures;
mod harness;
mod lifecycle;
mod live;
mod nats;
mod operations;
mod plans;
mod worker_protocol;
