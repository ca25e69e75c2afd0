//! The surface over real HTTP and NATS, on a real log and a real Postgres.

#![expect(clippy::unwrap_used, reason = "what is missing fails the test")]

mod access;
mod agents;
mod authorisation;
mod bad_input;
mod channels;
mod commands;
mod failures;
mod harness;
mod lists;
mod live;
mod nats;
mod nats_permissions;
mod operations;
mod outputs;
mod redaction;
mod schedules;
mod tenants;
mod tokens;
mod worker_protocol;
mod workspaces;
