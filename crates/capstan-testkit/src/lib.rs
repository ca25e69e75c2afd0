//! What the tests of the other crates share.
//!
//! **What it is.** Real servers per test process ([`servers`]) and patient assertions ([`eventually`]); conformance
//! suites, generators and oracles live in modules of their own beside them.
//!
//! **What it refuses to be.** It is never a dependency of production code, it imitates no server, and it depends on
//! none of the crates whose own tests use it.
//!
//! **Where to start.** Most tests need `TestServers::start().await` and nothing else from here.

pub mod configured_nats;
pub mod eventually;
pub mod servers;
