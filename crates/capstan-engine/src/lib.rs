//! The engine: gives work to workers, keeps leases and timers, and sends the commands that follow.
//!
//! **What it is.** One engine is active at a time, elected through a key in JetStream ([`leadership`]). It loads the
//! open tasks and active schedules, follows the log, and keeps in memory who waits, who runs and what rings when.
//! Everything it decides it decides as a command to a task or a schedule: its decider and the log's expected version have the last word, so a
//! late or doubled command of a deposed engine changes nothing. The engine therefore needs no fence of its own
//! within one task. That two tasks of one session never run at once rests on the handover instead: a new engine
//! begins only after the old one has had to stop, and after it has read everything the old one recorded. What is left
//! is a process frozen for longer than its time to live *between* handing a lease to the network and its leaving the
//! machine.
//!
//! **What it refuses to be.** It writes no read model, keeps no queue but the log, and trusts no heartbeat beyond
//! its own life: after a change of leader every live lease gets one fresh period.
//!
//! **Where to start.** [`process`] is the pure part: what happens goes in, effects come out as data. `reign.rs` is
//! the loop that feeds it; [`Engine`] decides who reigns. Everybody else talks to it through [`EngineClient`].

mod client;
mod clock;
mod config;
mod deciders;
mod engine;
pub mod leadership;
pub mod process;
pub mod protocol;
mod reign;
mod ticking;
mod tool_caller;

pub use client::{EngineClient, EngineError};
pub use config::EngineConfig;
pub use deciders::Deciders;
pub use engine::{Engine, EngineFailure, EngineHandle};
pub use protocol::{WorkerStatus, WorkerView};
