//! Deciders: commands, events, states, rejections.
//!
//! Everything here is a pure function over values: no IO, no async, no clock, no randomness, no logging. Time,
//! fresh ids and looked-up facts come in with the command. It can be read, tested and fuzzed with nothing
//! installed. Start with [`task`], the heart; [`agent`], [`channel`] and [`workspace`] are the small deciders.
//!
//! | module | kind |
//! |---|---|
//! | [`agent`], [`channel`], [`class`], [`schedule`], [`session`], [`task`], [`token`], [`workspace`] | aggregates: one decider, one category of streams |
//! | [`agent_config`], [`change`], [`choice`], [`cron`], [`id`], [`policy`], [`requested`], [`usage`] | values in commands and events |
//! | [`fault`], [`finite`], [`limits`], [`redaction`], [`span`], `text` | limits and checks of values |
//! | [`canonical`], [`class_key`], [`outcome_text`] | values derived from others |
//! | [`matching`], [`slab`], [`interned`] | the in-memory index of tasks that may run, and its records |
//!
//! To add a decider: one file here in the order of its neighbours (identity, command, event, rejection, state,
//! decide, evolve, tests), one line below, one entry in the contract's catalogue, then regenerate `schemas/`.
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants))]

#[macro_use]
mod stored;

pub mod agent;
pub mod agent_config;
pub mod canonical;
pub mod change;
pub mod channel;
pub mod choice;
pub mod class;
pub mod class_key;
pub mod cron;
pub mod fault;
pub mod finite;
pub mod id;
pub mod implied;
pub mod interned;
pub mod limits;
pub mod matching;
pub mod millis;
pub mod outcome_text;
pub mod policy;
pub mod redaction;
pub mod requested;
pub mod schedule;
pub mod session;
pub mod slab;
pub mod span;
pub mod task;
mod text;
pub mod token;
pub mod usage;
pub mod workspace;

pub use change::Change;
pub use fault::{Fault, Faults};
pub use requested::Requested;
