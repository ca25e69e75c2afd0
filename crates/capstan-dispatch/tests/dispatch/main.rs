//! The promises of dispatch, on the log in memory and toy deciders.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise breaks")]

mod command;
mod dispatching;
mod keys;
mod together;
mod troubled;
