//! The engine: leases work to workers, keeps leases and timers, and sends the commands that follow.
//!
//! One engine is active at a time, elected through a key in JetStream ([`leadership`]). It loads the open tasks and active
//! schedules, follows the log, and keeps in memory the queue, the live attempts and the timers. Every decision is a command
//! to a task, schedule or class: its decider and the log's expected version have the last word, so a late or repeated
//! command of a deposed engine changes nothing. The engine therefore needs no fence within one task. That two tasks of one
//! session never run at once rests on the handover instead: a new engine begins only after the old one has had to stop,
//! and after it has read everything the old one recorded. The remaining risk is a process frozen for longer than its time to
//! live *between* handing a lease to the network and its leaving the machine.
//!
//! It writes no read model, keeps no queue but the log, and trusts no heartbeat across a change of leader: then every live
//! lease gets one fresh period.
//!
//! **Start here.** [`process`] is the pure part: events go in, effects come out as data. `leader_loop.rs` feeds it;
//! [`Engine`] runs the election around it. Other parts of the node use [`EngineClient`].
#![cfg_attr(not(test), warn(clippy::wildcard_enum_match_arm, clippy::match_wildcard_for_single_variants))]

mod client;
mod clock;
mod commands;
mod config;
mod deciders;
mod dependencies;
mod engine;
mod from_log;
mod leader_error;
mod leader_loop;
pub mod leadership;
mod metric;
mod orders;
pub mod own_thread;
pub mod process;
pub mod protocol;
mod startup;
mod ticking;
mod tool_caller;
mod unreadable;

pub use client::{EngineClient, EngineError};
pub use config::EngineConfig;
pub use deciders::Deciders;
pub use dependencies::Connect;
pub use engine::{Engine, EngineHandle, EnginePanicked};
pub use metric::ALL as METRICS;
pub use protocol::{WorkerStatus, WorkerView};
