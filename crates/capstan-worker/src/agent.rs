//! An agent as a process, shared by the runners that start one.
//!
//! `process.rs` is the process and its pipes, `conversation.rs` accompanies it, `relay.rs` reports its output, `ending.rs`
//! is its end. A [`Listener`] interprets the lines of an agent; `message.rs` holds the messages of the line protocol of
//! `docs/worker-protocol.md`.

mod conversation;
mod ending;
mod environment;
mod line_splitter;
mod message;
mod process;
mod relay;
mod sessions;
mod stdin;

use std::time::Duration;

pub(crate) use self::conversation::{Conversation, not_started, see_off};
pub(crate) use self::ending::{Ended, Ending, exit_text, result_of, well_ended};
pub(crate) use self::environment::{for_attempt, passed_on};
pub(crate) use self::line_splitter::{LINE_MAX, Line};
pub(crate) use self::message::{Message, Refusal, ToolCall, read as read_message};
pub(crate) use self::process::{AgentProcess, Chunk, Listener, Written};
pub(crate) use self::relay::{Relay, Said};
pub(crate) use self::sessions::{Session, Sessions};
pub use self::stdin::StdinMode;

/// Time limits of agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Time between asking an agent to stop and killing it.
    pub grace: Duration,
    /// Time that an agent may wait for an answer. Then it is stopped, and the answer starts a new run of the same session.
    pub wait_live: Duration,
}

impl Default for Patience {
    /// 10 s of grace, 60 s of waiting.
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), wait_live: Duration::from_mins(1) }
    }
}
