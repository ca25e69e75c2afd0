//! Real servers for the tests of the other crates, and the tests of the crate graph.
//!
//! **Scope.** [`servers`] starts a nats-server and a Postgres for a test, [`configured_nats`] a nats-server with its own
//! configuration, and [`eventually`] waits for a condition that nothing announces. `tests/architecture.rs` holds the crate
//! graph.
//!
//! **Limits.** No production code depends on it; it imitates no server, and depends on no crate whose tests use it.
//!
//! **Entry point.** Most tests need only `TestServers::start().await`.

pub mod configured_nats;
pub mod eventually;
pub mod servers;
