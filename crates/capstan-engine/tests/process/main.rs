//! The engine's process without a network: rules one by one, then thousands of lives with crashes.

#![expect(clippy::unwrap_used, reason = "a test stops where its premise breaks")]

mod budgets;
mod classes;
mod crashes;
mod families;
mod rules;
mod schedules;
mod tool_calls;
mod world;
