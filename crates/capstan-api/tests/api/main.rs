//! The surface over real HTTP and NATS, on a real log and a real Postgres.

#![expect(clippy::unwrap_used, reason = "what is missing fails the test")]

mod access;
mod agents;
mod all_faults;
mod authorisation;
mod bad_input;
mod batches;
mod channels;
mod classes;
mod commands;
mod conditions;
mod conformance;
mod dead_letters;
mod descriptions;
mod document;
mod failures;
mod harness;
mod inbox;
mod inputs;
mod lease_bodies;
mod lifecycle;
mod lists;
mod live;
mod minimal;
mod nats;
mod nats_permissions;
mod nats_workers;
mod operations;
mod outputs;
mod pages;
mod parity;
mod plans;
mod redaction;
mod reports;
mod schedules;
mod sessions;
mod tenants;
mod tokens;
mod tool_calls;
mod unreadable;
mod worker_protocol;
mod workspaces;
