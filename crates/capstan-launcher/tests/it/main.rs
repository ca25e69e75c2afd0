//! Real servers: what the launcher promises, one file per promise.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod crash;
mod folder;
mod orphan;
mod resume;
mod search;
mod stage;
