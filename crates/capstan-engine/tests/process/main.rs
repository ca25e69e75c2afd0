//! The engine's process without a network: rules one by one, then thousands of runs with crashes.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise breaks")]

mod bench;
mod budgets;
mod classes;
mod commands;
mod crashes;
mod fence;
mod invariants;
mod relations;
mod rules;
mod schedules;
mod tool_calls;
mod world;
